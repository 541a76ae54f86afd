"""Ctrl-C, as a terminal sends it: to the command and every process of its group."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.org import Faults, OrgServer, OrgSettings, generated_opportunities
from local.org.credentials import CLIENT_ID, CLIENT_SECRET

PATIENCE_SECONDS = 120
ROWS = 2_000


@pytest.fixture(scope="module")
def org() -> Iterator[OrgServer]:
    with OrgServer(OrgSettings(source=generated_opportunities(ROWS, rejected_share=0), time_scale=1000)) as server:
        yield server


@pytest.fixture
def slow_org() -> Iterator[OrgServer]:
    """Its jobs stand still, and what is done with one of them takes a while, as long as it does in real time."""
    faults = Faults.parse(
        """
        - match: {object: Opportunity, every: 1}
          action: {job_stalls: {after_rows: 0}}
        - match: {path: "/jobs/ingest/[^/]+/?$"}
          action: {delay_seconds: 20}
        """
    )
    source = generated_opportunities(ROWS, rejected_share=0)
    with OrgServer(OrgSettings(source=source, faults=faults, time_scale=10)) as server:
        yield server


MAIN = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from cli.main import main
main()
"""
"""The command as a terminal starts it: whoever runs the tests under ``nohup`` has them ignore that signal."""


class Command:
    """``massive-upload run`` in a process group of its own; reads its standard error output line by line."""

    def __init__(self, org_url: str, out: Path, *sets: str, time_scale: int) -> None:
        scale = ("--time-scale", str(time_scale))
        arguments = ["run", "opportunity", "--local", "--json", "--org-url", org_url, *scale]
        for assignment in sets:
            arguments += ["--set", assignment]
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *arguments, "--out", str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "SALESFORCE_CLIENT_ID": CLIENT_ID, "SALESFORCE_CLIENT_SECRET": CLIENT_SECRET},
            start_new_session=True,
        )

    def wait_for_line(self, words: str) -> None:
        assert self.process.stderr is not None
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            if words in line:
                return
        pytest.fail(f"The command ended without a line with {words!r}: {seen}")

    def press_ctrl_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def send(self, number: signal.Signals) -> None:
        """As ``kill`` sends it: to the command alone."""
        self.process.send_signal(number)

    def finish(self) -> tuple[int, str, str]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        stderr, stdout = self.process.stderr.read(), self.process.stdout.read()
        return self.process.wait(PATIENCE_SECONDS), stdout, stderr

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(org: OrgServer, tmp_path: Path) -> Iterator[Callable[..., Command]]:
    commands: list[Command] = []

    def start(*sets: str, time_scale: int = 1000, org: OrgServer = org) -> Command:
        commands.append(Command(org.url, tmp_path, *sets, time_scale=time_scale))
        return commands[-1]

    yield start
    for command in commands:
        command.kill()


def adds_up(summary: dict[str, int]) -> bool:
    classes = ("succeeded", "rejected", "not_sent", "skipped_null_key", "duplicates_dropped", "unsettled")
    return summary["source_rows"] == sum(summary[name] for name in classes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_lets_the_run_pause_at_a_batch_edge(start, tmp_path, number):
    command = start("partitioning.by=key", "pace.batch_rows=100", "pace.delay_seconds=500")
    command.wait_for_line("1 running")
    command.send(number)
    code, stdout, stderr = command.finish()

    assert code == 3, stderr
    assert "Pausing at the next batch edge" in stderr
    summary = json.loads(stdout.splitlines()[-1])
    assert (summary["status"], summary["error"]) == ("Paused", None)
    assert json.loads((tmp_path / "receipt.json").read_text())["status"] == "Paused"
    assert 0 < summary["not_sent"] <= ROWS
    assert summary["unsettled"] == 0
    assert adds_up(summary)
    assert "Traceback" not in stderr


def test_a_run_pauses_with_its_account_though_nobody_reads_its_output_any_more(start, tmp_path):
    command = start("partitioning.by=key", "pace.batch_rows=100", "pace.delay_seconds=500")
    command.wait_for_line("1 running")
    command.process.stderr.close()  # as where Ctrl-C has ended the `tee` of a pipe
    command.process.stdout.close()
    command.press_ctrl_c()

    assert command.process.wait(PATIENCE_SECONDS) == 3
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    assert (receipt["status"], receipt["account"]["unsettled"]) == ("Paused", 0)


def test_ctrl_c_twice_stops_the_run_at_once(start, tmp_path):
    command = start("partitioning.by=key", "pace.batch_rows=100", "pace.delay_seconds=600", time_scale=10)
    command.wait_for_line("100 of 2,000 rows")
    command.press_ctrl_c()
    command.wait_for_line("Press Ctrl-C again")
    command.press_ctrl_c()
    code, stdout, stderr = command.finish()

    assert code == 3, stderr
    summary = json.loads(stdout.splitlines()[-1])
    assert summary["status"] == "Stopped"
    assert (summary["succeeded"], summary["not_sent"]) == (100, ROWS - 100)
    assert json.loads((tmp_path / "receipt.json").read_text())["status"] == "Stopped"
    assert "Traceback" not in stderr


@pytest.mark.parametrize("presses", [2, 3])
def test_a_run_that_is_stopped_at_once_is_settled_unless_its_jobs_are_left_as_they_are(
    start, tmp_path, slow_org, presses
):
    lanes = 4
    sets = ("partitioning.by=key", f"partitioning.count={lanes}", "pace.stagger_seconds=0", "pace.batch_rows=100")
    command = start(*sets, time_scale=10, org=slow_org)
    command.wait_for_line(f"{lanes} running")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while slow_org.backend.statistics()["jobs"].get("InProgress", 0) < lanes:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for words in ("again to stop at once", "again to leave them")[: presses - 1]:
        command.press_ctrl_c()
        command.wait_for_line(words)
    command.press_ctrl_c()
    code, stdout, stderr = command.finish()

    assert code == 3, stderr
    summary = json.loads(stdout.splitlines()[-1])
    assert summary["status"] == "Stopped"
    assert adds_up(summary)
    assert (summary["unsettled"] == 0) is (presses == 2)
    assert (tmp_path / "receipt.json").exists() is (presses == 2)
