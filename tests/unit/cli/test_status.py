"""The tables of runs and of partitions where there is little room."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from cli import status
from cli.summary import NO_ACCOUNT, RunFacts
from massive_upload.domain.progress import PartitionStatus, Run, RunStatus
from tests.unit.cli.progress_examples import STARTED_AT, a_partition, a_run

RUN_ID = "opportunity-retry-20260131-220000-1a2b"
RUN = a_run(
    run_id=RUN_ID, mode="retry_failed", status=RunStatus.FAILED, error="AccountDoesNotBalance", source_rows=150_000_000
)
STOPPING = a_run(run_id="a-night", status=RunStatus.RUNNING, stop_requested=True, source_rows=1)
PARTITION = a_partition(
    rows=12_000_000,
    status=PartitionStatus.FAILED,
    error="AccountDoesNotBalance",
    settled_rows=11_900_000,
    succeeded=11_800_000,
    rejected=100_000,
    batches=1_200,
    lock_errors=61_322,
)
FIGURES = {"11,900,000", "11,800,000", "100,000"}


def facts_of(run: Run) -> RunFacts:
    return RunFacts(
        run_id=run.run_id,
        load_name=run.load,
        mode=run.mode,
        run=run,
        partitions=[PARTITION],
        account=NO_ACCOUNT,
        status=run.status,
        error=None,
        cause=None,
        started_at=STARTED_AT,
        ended_at=None,
        out="out",
    )


@pytest.fixture
def store() -> Any:
    runs = {run.run_id: run for run in (RUN, STOPPING)}
    return SimpleNamespace(
        newest_runs=lambda _most: list(runs), run=runs.get, partitions=lambda run_id: [PARTITION] * (run_id == RUN_ID)
    )


@pytest.mark.parametrize("columns", ["80", "100", "200"])
def test_no_figure_id_or_error_of_a_run_is_cut(store, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    status.show_newest(store, none="none", as_json=False)
    text = capsys.readouterr().out
    assert {*FIGURES, RUN_ID, "150,000,000", "Failed", "retry_failed", "AccountDoesNotBalance"} <= set(text.split())
    assert "rejected" in text
    assert {"(stop", "for)"} <= set(text.split())
    assert max(map(len, text.splitlines())) <= int(columns)


def test_the_loads_that_a_paused_run_of_a_sequence_does_not_go_on_with_are_told(capsys):
    facts = replace(facts_of(a_run(status=RunStatus.PAUSED)), cause="This execution does not go on with opportunity")
    status.show_run(facts, as_json=False)
    assert "This execution does not go on with opportunity" in capsys.readouterr().out


@pytest.mark.parametrize(("run_status", "asked_to"), [(RunStatus.RUNNING, "pause"), (RunStatus.PAUSED, None)])
def test_what_a_run_is_asked_to_do_is_told_until_it_has_done_so(run_status, asked_to, capsys):
    run = a_run(status=run_status, pause_requested=True)
    store: Any = SimpleNamespace(
        newest_runs=lambda _most: [run.run_id], run=lambda _id: run, partitions=lambda _id: [PARTITION]
    )
    status.show_newest(store, none="none", as_json=True)
    status.show_run(facts_of(run), as_json=True)
    (listed,), shown = map(json.loads, capsys.readouterr().out.splitlines())
    assert listed["asked_to"] == shown["asked_to"] == asked_to


def test_an_unfinished_run_that_nothing_carries_out_is_listed_as_that(store, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    status.show_newest(store, none="none", as_json=False, are_left=True)
    status.show_newest(store, none="none", as_json=True, are_left=True)
    *table, listed = capsys.readouterr().out.splitlines()
    assert ["Running (no process)" in line for line in table] == [False, False, True]
    assert [line["is_left"] for line in json.loads(listed)] == [False, True]


def test_where_there_is_room_each_run_has_one_line(store, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    status.show_newest(store, none="none", as_json=False)
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_an_id_that_is_too_long_goes_on_in_the_next_line(store, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "70")
    status.show_newest(store, none="none", as_json=False)
    text = capsys.readouterr().out
    assert set(text.split()) >= FIGURES
    assert RUN_ID not in text
    first, second = text.splitlines()[3:5]
    assert first.split()[0] + second.split()[0] == RUN_ID


@pytest.mark.parametrize(("columns", "lines_of_a_row"), [("80", 2), ("200", 1)])
def test_no_figure_or_error_of_a_partition_is_cut(columns, lines_of_a_row, monkeypatch, capsys):
    facts = facts_of(RUN)
    monkeypatch.setenv("COLUMNS", columns)
    status.show_run(facts, as_json=False)
    table = capsys.readouterr().out.rpartition("partitions ")[2]
    rows = [line for line in table.splitlines() if line.startswith("│")]
    words = set(" ".join(rows).replace("│", " ").split())
    assert len(rows) == lines_of_a_row
    assert {*FIGURES, "12,000,000", "1,200", "61,322", "0000", "Failed", "AccountDoesNotBalance"} <= words
