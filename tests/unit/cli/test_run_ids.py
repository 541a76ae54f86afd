"""Which run an operator means."""

from collections.abc import Sequence
from typing import cast

import pytest

from cli.errors import UsageMistake
from cli.run_ids import find_run, has_lanes, may_be_retried, new_run_id, warn_of_older_rows
from massive_upload.domain.progress import Partition, Run, RunStatus
from massive_upload.ports import ProgressStore
from tests.unit.cli.progress_examples import a_partition, a_run


class Runs:
    """The part of `massive_upload.ports.ProgressStore` that finds runs; the newest is the first."""

    def __init__(self, *runs: Run, rejected: int, deferred: int, writer: str | None = None) -> None:
        self._runs = {run.run_id: run for run in runs}
        self._writer = writer
        self._failed = {"rejected": rejected, "deferred": deferred}

    def run(self, run_id: str) -> Run | None:
        return self._runs.get(run_id)

    def newest_runs(self, most: int) -> Sequence[str]:
        return list(self._runs)[:most]

    def last_writer(self, _key: str) -> str | None:
        return self._writer

    def partitions(self, run_id: str) -> Sequence[Partition]:
        return [a_partition(run_id=run_id), a_partition("0001", run_id=run_id, **self._failed)]


def store(*runs: Run, rejected: int = 0, deferred: int = 0) -> ProgressStore:
    return cast("ProgressStore", Runs(*runs, rejected=rejected, deferred=deferred))


TWO = (a_run(run_id="newer"), a_run(run_id="older", status=RunStatus.RUNNING))


def test_a_run_is_found_by_its_id():
    assert find_run(store(*TWO), "older").run_id == "older"


def test_latest_is_the_newest_run_that_fits():
    assert find_run(store(*TWO), "latest").run_id == "newer"
    assert find_run(store(*TWO), "latest", fits=lambda run: run.is_unfinished).run_id == "older"


def test_a_run_that_only_planned_has_no_rows_to_show_or_to_retry():
    planned, unplanned = a_run(mode="plan"), a_run(plan_name=None)
    assert [has_lanes(run) for run in (a_run(), planned, unplanned, None)] == [True, False, False, False]


@pytest.mark.parametrize(
    ("run", "rejected", "fits"),
    [
        (a_run(), 1, True),
        (a_run(), 0, False),
        (a_run(mode="plan"), 1, False),
        (a_run(status=RunStatus.RUNNING), 1, False),
        (None, 1, False),
    ],
)
def test_rejected_rows_of_a_run_that_has_ended_may_be_sent_once_more(run, rejected, fits):
    assert may_be_retried(run, store(rejected=rejected)) is fits


@pytest.mark.parametrize("run_id", ["first", "retry"])
@pytest.mark.parametrize(("writer", "is_warned"), [("first", False), ("later", True)])
def test_who_sends_rows_again_that_a_later_run_has_brought_is_warned(run_id, writer, is_warned, capsys):
    first = a_run(run_id="first", lease_key="org#opportunity")
    runs = Runs(first, a_run(run_id="retry", retry_of="first"), rejected=1, deferred=0, writer=writer)
    run = runs.run(run_id)
    assert run is not None
    warn_of_older_rows(run, cast("ProgressStore", runs))
    said = capsys.readouterr().err
    assert said.startswith("Warning: run later has written to the target since.") == is_warned
    assert ("what run first had of them" in said) == is_warned


def test_rows_that_await_the_sweep_are_for_resume_and_not_for_a_retry():
    assert not may_be_retried(a_run(status=RunStatus.PAUSED), store(deferred=3))


@pytest.mark.parametrize(
    ("run_id", "runs", "words"),
    [
        ("x", TWO, "There is no run 'x'; the newest are newer, older."),
        ("x", (), "there are none yet"),
        ("latest", (), "'latest' could mean"),
        ("latest", TWO[:1], "'latest' could mean"),
    ],
)
def test_a_run_that_is_not_there_is_answered_with_those_that_are(run_id, runs, words):
    with pytest.raises(UsageMistake, match=words):
        find_run(store(*runs), run_id, fits=lambda run: run.is_unfinished)


def test_two_new_ids_differ():
    assert new_run_id("opportunity") != new_run_id("opportunity")
