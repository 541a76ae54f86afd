"""Rejected rows of a run that is kept in a state directory: looked at, mended at the target, sent once more."""

import csv
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from infra.config import load_file
from infra.synth import ROOT
from local.aws.state import STATE_VERSION, StateDirectory
from local.org import OrgServer, OrgSettings, generated_opportunities
from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from massive_upload.domain.staged_file import REJECT_COLUMNS
from tests.e2e.commands import document, invoke
from tests.e2e.conftest import Assembled
from tests.e2e.forked_command import Command, Kill, Moment
from tests.e2e.opportunities import expected_rejects, target_rows

pytestmark = pytest.mark.usefixtures("quick_synthesis")

LOGIN = {"SALESFORCE_CLIENT_ID": CLIENT_ID, "SALESFORCE_CLIENT_SECRET": CLIENT_SECRET}
TIME_SCALE = 1000
SOURCE = generated_opportunities(300, seed=3, rejected_share=0.1)
REJECTS = expected_rejects(SOURCE)
NO_PARENT = "INVALID_FIELD"
SETS = [
    "partitioning.count=2",
    "pace.stagger_seconds=0",
    "pace.delay_seconds=0",
    "pace.batch_rows=100",
    "success_criterion_percent=0",
]


@pytest.fixture
def assembly(assembled: Assembled) -> Path:
    return assembled(load_file(ROOT / "loads" / "opportunity.yaml", sets=SETS))


@pytest.fixture
def org() -> Iterator[OrgServer]:
    with OrgServer(OrgSettings(source=SOURCE, time_scale=TIME_SCALE)) as server:
        yield server


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory to work in, and a login."""
    monkeypatch.chdir(tmp_path)
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)


def on_state(*arguments: str) -> Result:
    return invoke(*arguments, "--local", "--state-dir", "state")


def load_once(org: OrgServer) -> Any:
    """A run that is kept in the directory `state`."""
    sets = [word for assignment in SETS for word in ("--set", assignment)]
    options = ["--org-url", org.url, "--time-scale", str(TIME_SCALE), "--loads-dir", str(ROOT / "loads"), "--json"]
    result = on_state("run", "opportunity", *options, *sets)
    assert result.exit_code == 0, result.output
    return document(result)


def find_parents(org: OrgServer, file: str) -> list[dict[str, str]]:
    """Somebody creates the accounts that the rows of a CSV file miss; the rows."""
    with Path(file).open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    accounts = org.backend.table("Account")
    field = accounts.schema.find("External_ID__c")
    assert field is not None
    accounts.seed(field, sorted({row["Account.External_ID__c"] for row in rows}))
    return rows


def assert_one_line(result: Result, words: str) -> None:
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert words in line


def test_rejected_rows_are_shown_written_out_and_sent_once_more(org: OrgServer) -> None:
    run = load_once(org)
    run_id = run["run_id"]

    shown = document(on_state("failures", "latest", "--json"))
    assert (shown["run_id"], shown["rejected"]) == (run_id, len(REJECTS))
    assert shown == document(invoke("failures", "--out", f"out/{run_id}", "--json"))
    no_parent = next(each["rows"] for each in shown["codes"] if each["code"] == NO_PARENT)
    assert 0 < no_parent < len(REJECTS)

    result = on_state("failures", run_id, "--code", NO_PARENT, "--csv", "rows.csv")
    assert result.exit_code == 0, result.output
    rows = find_parents(org, "rows.csv")
    assert (len(rows), {row["error_code"] for row in rows}) == (no_parent, {NO_PARENT})
    assert set(REJECT_COLUMNS) < set(rows[0])

    assert_one_line(on_state("retry-failed", run_id, "--only", "NOTHING"), f"There are {', '.join(codes(shown))}.")
    mended = document(on_state("retry-failed", run_id, "--only", NO_PARENT, "--json"))
    assert (mended["status"], mended["mode"], mended["source_rows"]) == ("Completed", "retry_failed", no_parent)
    assert mended["succeeded"] == no_parent
    assert {row["External_ID__c"] for row in rows} < set(target_rows(org.backend))
    receipt = json.loads(Path("out", mended["run_id"], "receipt.json").read_text())
    assert (receipt["run_id"], receipt["retry_of"]) == (mended["run_id"], run_id)

    rest = document(on_state("retry-failed", "latest", "--json"))
    assert (rest["source_rows"], rest["rejected"]) == (len(REJECTS) - no_parent,) * 2
    assert json.loads(Path("out", rest["run_id"], "receipt.json").read_text())["retry_of"] == run_id
    assert document(on_state("failures", "latest", "--json"))["run_id"] == rest["run_id"]
    assert len(target_rows(org.backend)) == 300 - rest["rejected"]


def codes(shown: Any) -> list[str]:
    return sorted(each["code"] for each in shown["codes"])


def test_rejected_rows_are_read_while_no_org_is_there_and_without_a_login(
    org: OrgServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_once(org)
    org.stop()
    for name in LOGIN:
        monkeypatch.delenv(name)

    result = on_state("failures", "latest")

    assert result.exit_code == 0, result.output
    assert NO_PARENT in result.stdout


@pytest.mark.parametrize(
    "write", [pytest.param(1, id="before its execution", marks=pytest.mark.soak), pytest.param(8, id="during it")]
)
def test_a_retry_whose_process_was_killed_is_finished_by_resume(
    org: OrgServer, assembly: Path, tmp_path: Path, write: int
) -> None:
    run = load_once(org)
    on_state("failures", "latest", "--code", NO_PARENT, "--csv", "rows.csv")
    rows = find_parents(org, "rows.csv")
    killed = Command(
        ["retry-failed", "latest", "--only", NO_PARENT, "--local", "--state-dir", "state"],
        assembly=assembly,
        environment=LOGIN,
        directory=tmp_path,
        kill=Kill(write, Moment.AFTER),
    )
    assert killed.wait()
    assert killed.exit_code == -9, killed.errors

    (unfinished,) = set(kept_runs()) - {run["run_id"]}
    assert_one_line(on_state("retry-failed", unfinished), f"Run {unfinished} is unfinished; go on with it first:")
    shown = on_state("status", "latest").stdout
    assert shown.splitlines()[-1].startswith("No process is at work on it. Go on with it: massive-upload resume ")

    result = on_state("resume", "latest", "--json")
    assert result.exit_code == 0, result.output
    summary = document(result)
    assert (summary["run_id"], summary["mode"]) == (unfinished, "retry_failed")
    assert (summary["source_rows"], summary["succeeded"]) == (len(rows), len(rows))
    assert len(target_rows(org.backend)) == run["succeeded"] + len(rows)


def test_a_run_without_rejected_rows_has_nothing_to_retry() -> None:
    with OrgServer(OrgSettings(source=generated_opportunities(50, rejected_share=0), time_scale=TIME_SCALE)) as org:
        run_id = load_once(org)["run_id"]
        kept = kept_runs()

        assert_one_line(on_state("retry-failed", run_id), f"Run {run_id} has no rejected rows")
        assert_one_line(on_state("retry-failed", "nothing"), "There is no run 'nothing' in")
        assert_one_line(on_state("failures", "nothing"), f"its newest is {run_id}.")
        assert kept_runs() == kept == [run_id]

    result = on_state("failures", "latest")
    assert result.exit_code == 0, result.output
    assert f"Run {run_id} has no rejected rows." in result.stdout


def kept_runs() -> list[str]:
    with StateDirectory(Path("state")) as state:
        return sorted(state.documents())


@pytest.mark.parametrize("command", ["failures", "retry-failed"])
def test_a_directory_that_cannot_be_used_is_one_line_and_exit_status_2(command: str) -> None:
    assert_one_line(on_state(command, "latest"), "--state-dir state: there is no such directory")
    assert not Path("state").exists()

    with StateDirectory(Path("state")):
        assert_one_line(on_state(command, "latest"), "is in use by process")
    assert_one_line(on_state(command, "latest"), "start one with massive-upload run")
    assert_one_line(on_state(command, "night"), "There is no run 'night' in")

    connection = sqlite3.connect("state/state.sqlite3")
    connection.execute(f"PRAGMA user_version = {STATE_VERSION + 1}")
    connection.close()
    assert_one_line(on_state(command, "latest"), f"has version {STATE_VERSION + 1}")
