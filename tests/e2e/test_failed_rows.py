"""Rejected rows of a deployed stack's run: looked at, mended at the target, sent once more, by the real commands."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import stack_run
from infra.config import load_file
from infra.synth import ROOT
from local.org import OrgServer, OrgSettings, generated_opportunities
from massive_upload.domain.staged_file import REJECT_COLUMNS
from tests.e2e.commands import document, invoke
from tests.e2e.opportunities import expected_rows, target_rows
from tests.e2e.world import World, as_operator, deployed

TIME_SCALE = 500.0
SOURCE = generated_opportunities(600, seed=3, rejected_share=0.1)
NO_PARENT = "INVALID_FIELD"


@pytest.fixture(scope="module")
def org() -> Iterator[OrgServer]:
    with OrgServer(OrgSettings(source=SOURCE, time_scale=TIME_SCALE)) as org:
        yield org


@pytest.fixture(scope="module")
def world(org: OrgServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    sets = [
        "partitioning.by=key",
        "partitioning.count=2",
        "pace.stagger_seconds=0",
        "pace.delay_seconds=0",
        "pace.batch_rows=100",
    ]
    loads = {"opportunity": load_file(ROOT / "loads" / "opportunity.yaml", sets=["partitioning.by=key", *sets])}
    with deployed(tmp_path_factory.mktemp("world"), loads=loads, org_url=org.url, time_scale=TIME_SCALE) as world:
        yield world


@pytest.fixture(autouse=True)
def environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    as_operator(world, monkeypatch)
    monkeypatch.setattr(stack_run, "_LOOK_SECONDS", 0.2)


def found_parents(org: OrgServer, keys: set[str]) -> None:
    """Somebody creates the accounts that were missing."""
    accounts = org.backend.table("Account")
    field = accounts.schema.find("External_ID__c")
    assert field is not None
    accounts.seed(field, sorted(keys))


def test_rejected_rows_are_shown_written_out_and_sent_once_more(org: OrgServer, world: World, tmp_path: Path) -> None:
    run = document(invoke("start", "opportunity", "--watch", "--json"))
    assert (run["status"], run["succeeded"]) == ("Completed", len(expected_rows(SOURCE)))

    shown = document(invoke("failures", "latest", "--json"))
    codes = {each["code"]: each for each in shown["codes"]}
    assert (shown["run_id"], shown["rejected"]) == (run["run_id"], run["rejected"])
    assert sum(each["rows"] for each in codes.values()) == run["rejected"]
    assert len(codes) > 1
    assert world.receipt(run["run_id"])["rejected_by_code"] == {code: each["rows"] for code, each in codes.items()}

    file = tmp_path / "rows.csv"
    result = invoke("failures", run["run_id"], "--code", NO_PARENT, "--csv", str(file), "--sample", "1")
    assert result.exit_code == 0, result.output
    assert NO_PARENT in result.stdout
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == codes[NO_PARENT]["rows"] > 1
    assert set(REJECT_COLUMNS) < set(rows[0])
    assert {row["error_code"] for row in rows} == {NO_PARENT}
    assert codes[NO_PARENT]["keys"] == [row["External_ID__c"] for row in rows[:3]]

    found_parents(org, {row["Account.External_ID__c"] for row in rows})
    mended = document(invoke("retry-failed", run["run_id"], "--only", NO_PARENT, "--watch", "--json"))
    assert (mended["status"], mended["mode"], mended["error"]) == ("Completed", "retry_failed", None)
    assert (mended["source_rows"], mended["succeeded"]) == (len(rows), len(rows))
    assert {row["External_ID__c"] for row in rows} < set(target_rows(org.backend))
    assert world.receipt(mended["run_id"])["retry_of"] == run["run_id"]

    rest = document(invoke("retry-failed", "latest", "--watch", "--json"))
    assert (rest["source_rows"], rest["rejected"]) == (run["rejected"] - len(rows),) * 2
    assert len(target_rows(org.backend)) == run["succeeded"] + mended["succeeded"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("failures", "nothing"), "There is no run 'nothing'"),
        (("failures", "--out", "nowhere"), "nowhere holds no receipt.json"),
        (("retry-failed", "nothing"), "There is no run 'nothing'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(arguments: tuple[str, ...], words: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
