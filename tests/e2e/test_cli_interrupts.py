"""Ctrl-C, as a terminal sends it: to the command and every process of its group."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.config import load_file
from infra.synth import ROOT
from local.org import Faults, OrgServer, OrgSettings, generated_opportunities
from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from tests.e2e.conftest import Assembled
from tests.e2e.forked_command import PATIENCE_SECONDS, Command

LOADS = ROOT / "loads"
LOGIN = {"SALESFORCE_CLIENT_ID": CLIENT_ID, "SALESFORCE_CLIENT_SECRET": CLIENT_SECRET}
ROWS = 2_000


@pytest.fixture(scope="module")
def org() -> Iterator[OrgServer]:
    with OrgServer(OrgSettings(source=generated_opportunities(ROWS, rejected_share=0), time_scale=1000)) as server:
        yield server


@pytest.fixture
def slow_org() -> Iterator[OrgServer]:
    """Its jobs stand still; the five minutes that an aborted one is waited for leave time for a third Ctrl-C."""
    faults = Faults.parse("- match: {object: Opportunity, every: 1}\n  action: {job_stalls: {after_rows: 0}}")
    source = generated_opportunities(ROWS, rejected_share=0)
    with OrgServer(OrgSettings(source=source, faults=faults, time_scale=100)) as server:
        yield server


@pytest.fixture
def start(org: OrgServer, tmp_path: Path, assembled: Assembled) -> Iterator[Callable[..., Command]]:
    commands: list[Command] = []

    def start(
        *sets: str,
        time_scale: int = 1000,
        org: OrgServer = org,
        options: Sequence[str] = (),
        arguments: Sequence[str] = (),
    ) -> Command:
        of_run = arguments_of_run(org.url, tmp_path, *sets, time_scale=time_scale)
        commands.append(
            Command(
                arguments or [*of_run, *options],
                assembly=assembled(load_file(LOADS / "opportunity.yaml", sets=list(sets))),
                environment=LOGIN,
                directory=tmp_path,
            )
        )
        return commands[-1]

    yield start
    for command in commands:
        command.kill()


def arguments_of_run(org_url: str, out: Path, *sets: str, time_scale: int) -> list[str]:
    options = ("--local", "--json", "--org-url", org_url, "--time-scale", str(time_scale), "--out", str(out))
    assignments = [word for assignment in sets for word in ("--set", assignment)]
    return ["run", "opportunity", "--loads-dir", str(LOADS), *options, *assignments]


def summary_of(command: Command) -> dict[str, Any]:
    """The summary of a command that ends as one that was interrupted."""
    assert command.wait()
    assert command.exit_code == 3, command.errors
    summary: dict[str, Any] = json.loads(command.output.splitlines()[-1])
    return summary


def adds_up(summary: dict[str, int]) -> bool:
    classes = ("succeeded", "rejected", "not_sent", "skipped_null_key", "duplicates_dropped", "unsettled")
    return summary["source_rows"] == sum(summary[name] for name in classes)


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(other, marks=pytest.mark.soak) for other in (signal.SIGTERM, signal.SIGHUP))],
)
def test_one_signal_lets_the_run_pause_at_a_batch_edge(start, tmp_path, number):
    command = start("partitioning.by=key", "pace.batch_rows=100", "pace.delay_seconds=500")
    command.wait_for_line("1 running")
    command.send(number)
    summary = summary_of(command)

    assert "Pausing at the next batch edge" in command.errors
    assert (summary["status"], summary["error"]) == ("Paused", None)
    assert json.loads((tmp_path / "receipt.json").read_text())["status"] == "Paused"
    assert 0 < summary["not_sent"] <= ROWS
    assert summary["unsettled"] == 0
    assert adds_up(summary)
    assert "Traceback" not in command.errors


@pytest.mark.soak
def test_ctrl_c_before_a_resumed_run_goes_on_pauses_it_again(start, tmp_path):
    sets = ("partitioning.by=key", "pace.batch_rows=100", "pace.delay_seconds=500")
    state = ("--state-dir", str(tmp_path / "state"))
    command = start(*sets, options=state)
    command.wait_for_line("1 running")
    command.press_ctrl_c()
    paused = summary_of(command)
    command = start(*sets, arguments=["resume", "latest", "--local", "--json", *state])
    command.wait_for_line("begins")
    command.press_ctrl_c()
    summary = summary_of(command)

    assert summary["status"] == "Paused"
    assert 0 < summary["not_sent"] <= paused["not_sent"]
    assert adds_up(summary)


def test_a_run_pauses_with_its_account_though_nobody_reads_its_output_any_more(org, tmp_path, assembled):
    sets = ("partitioning.by=key", "pace.batch_rows=100", "pace.delay_seconds=500")
    assembly = assembled(load_file(LOADS / "opportunity.yaml", sets=list(sets)))
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from cli import local_run; from cli.main import main\n"
            "assembly = Path(sys.argv.pop(1)); local_run.synthesize_apart = lambda *_: assembly\n"
            "main()",
            str(assembly),
            *arguments_of_run(org.url, tmp_path, *sets, time_scale=1000),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **LOGIN},
        start_new_session=True,
    ) as command:
        assert command.stderr is not None
        assert command.stdout is not None
        assert any("1 running" in line for line in command.stderr)
        command.stderr.close()  # as where Ctrl-C has ended the `tee` of a pipe
        command.stdout.close()
        os.killpg(command.pid, signal.SIGINT)
        assert command.wait(PATIENCE_SECONDS) == 3
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    assert (receipt["status"], receipt["account"]["unsettled"]) == ("Paused", 0)


def test_ctrl_c_twice_stops_the_run_at_once(start, tmp_path):
    command = start("partitioning.by=key", "pace.batch_rows=100", "pace.delay_seconds=600", time_scale=10)
    command.wait_for_line("100 of 2,000 rows")
    command.press_ctrl_c()
    command.wait_for_line("Press Ctrl-C again")
    command.press_ctrl_c()
    summary = summary_of(command)

    assert summary["status"] == "Stopped"
    assert (summary["succeeded"], summary["not_sent"]) == (100, ROWS - 100)
    assert json.loads((tmp_path / "receipt.json").read_text())["status"] == "Stopped"
    assert "Traceback" not in command.errors


@pytest.mark.parametrize("presses", [2, 3])
def test_a_run_that_is_stopped_at_once_is_settled_unless_its_jobs_are_left_as_they_are(
    start, tmp_path, slow_org, presses
):
    lanes = 2
    sets = ("partitioning.by=key", f"partitioning.count={lanes}", "pace.stagger_seconds=0", "pace.batch_rows=100")
    command = start(*sets, time_scale=100, org=slow_org)
    command.wait_for_line(f"{lanes} running")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while slow_org.backend.statistics()["jobs"].get("InProgress", 0) < lanes:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for words in ("again to stop at once", "again to leave them")[: presses - 1]:
        command.press_ctrl_c()
        command.wait_for_line(words)
    command.press_ctrl_c()
    summary = summary_of(command)

    assert summary["status"] == "Stopped"
    assert adds_up(summary)
    assert (summary["unsettled"] == 0) is (presses == 2)
    assert (tmp_path / "receipt.json").exists() is (presses == 2)
