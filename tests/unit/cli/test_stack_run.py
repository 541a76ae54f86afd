"""Which run of a deployed stack a command goes on with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from cli import stack_commands
from cli.errors import ExitCode, RunRefused, UsageMistake
from cli.stack import ExecutionState, Stack
from cli.stack_run import halt_run, refused_runs, resume_run, run_on, start_input, watch_run, watched_run
from massive_upload.constants import RESUMABLE_DAYS
from massive_upload.domain.progress import Halt, Run, RunStatus
from massive_upload.errors import RunNotResumable
from tests.unit.cli.progress_examples import a_run


class FakeStack:
    """The part of `cli.stack.Stack` that resumes runs; the newest run is the first, and PlanRun is done at once."""

    def __init__(self, *runs: Run, going_on: str = "") -> None:
        self.store = self
        self._runs = {run.run_id: run for run in runs}
        self._going_on = going_on

    def run(self, run_id: str) -> Run | None:
        return self._runs.get(run_id)

    def ask_to_halt(self, run_id: str, halt: Halt) -> bool:
        return halt is not None and self._runs[run_id].is_unfinished

    def newest_runs(self, most: int) -> Sequence[str]:
        return list(self._runs)[:most]

    def command(self, *words: str) -> str:
        return " ".join(words)

    def execution(self, arn: str) -> ExecutionState:
        return ExecutionState(status="RUNNING" if arn == self._going_on else "ABORTED", error=None, cause=None)

    def has_ended(self, arn: str) -> bool:
        return self.execution(arn).has_ended

    def start(self, payload: Mapping[str, object], name: str) -> str:
        run_id = str(payload["run_id"])
        self._runs[run_id] = replace(self._runs[run_id], execution_arn=name)
        return name


NOW = datetime.now(UTC)
RUNNING = a_run(run_id="newest", status=RunStatus.RUNNING, execution_arn="arn:newest", started_at=NOW)
PAUSED = a_run(run_id="older", status=RunStatus.PAUSED, started_at=NOW)
TOO_OLD = NOW - timedelta(days=RESUMABLE_DAYS, seconds=1)


@pytest.mark.parametrize("given", [{}, {"start_with": "opportunity"}])
def test_a_sequence_begins_with_its_first_load_or_with_the_one_that_is_named(given):
    assert start_input("nightly", mode="full", sets=[], **given) == {"load": "nightly", "mode": "full", **given}


def test_a_load_begins_by_hand_as_its_schedule_begins_it():
    assert start_input("account", mode="incremental", sets=[], scheduled=True) == {
        "load": "account",
        "mode": "incremental",
        "scheduled": True,
    }


def test_who_pauses_a_load_of_a_sequence_hears_which_loads_are_not_gone_on_with(capsys):
    run = replace(RUNNING, loads_after=("opportunity", "order"))
    stack_commands._halt(cast("Stack", FakeStack(run)), "newest", Halt.PAUSE)
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"No resume goes on with opportunity, order of its sequence. Once {run.load} has completed, begin there:",
        "start SEQUENCE --start-with opportunity",
    ]


def failing(*names: str, runs: Sequence[Run] = (), mode: str | None = None) -> FakeStack:
    """A stack with these runs, whose newest executions have failed; all began at the same time."""
    stack = FakeStack(*runs)
    state = ExecutionState(status="FAILED", error="PartitionsFailed", cause="why", mode=mode)
    stack.failed_executions = lambda most: [(name, NOW) for name in names[:most]]  # type: ignore[attr-defined]
    stack.execution_named = dict.fromkeys(names, state).get  # type: ignore[attr-defined]
    return stack


@pytest.mark.parametrize(
    ("stack", "refused"),
    [
        (failing("bad", "newest", runs=[RUNNING]), ["bad: PartitionsFailed"]),
        (failing("night", runs=[replace(RUNNING, run_id="night.account", load="account")]), []),
        (failing("again", mode="resume"), []),
        (failing("old", runs=[a_run(run_id=f"r{n}", started_at=NOW + timedelta(1)) for n in range(50)]), []),
    ],
    ids=["neither", "of a sequence", "a resume", "whose runs are forgotten"],
)
def test_what_failed_before_it_had_a_run_is_told(stack, refused):
    assert refused_runs(cast("Stack", stack), 9) == refused


def test_the_execution_of_a_sequence_is_its_runs():
    stack = failing(
        "night", runs=[replace(RUNNING, run_id=f"night.{load}", load=load) for load in ("order", "account")]
    )
    with pytest.raises(UsageMistake, match=r"night is a sequence: name one of its runs, night.account, night.order\."):
        run_on(cast("Stack", stack), "night")
    with pytest.raises(RunRefused, match="PartitionsFailed: why"):
        run_on(cast("Stack", failing("bad")), "bad")


def resumed(stack: FakeStack, run_id: str) -> str:
    return resume_run(cast("Stack", stack), run_id, partitions=()).run_id


@pytest.mark.parametrize("named", ["latest", "newest"])
def test_a_run_that_has_just_died_is_gone_on_with_though_nobody_has_closed_it_yet(named):
    assert resumed(FakeStack(RUNNING, PAUSED), named) == "newest"


@pytest.mark.parametrize("named", ["latest", "newest"])
def test_while_the_newest_run_goes_on_no_older_one_is_taken_instead(named):
    with pytest.raises(UsageMistake, match=r"Run newest is still being carried out; name another run.*stop newest"):
        resumed(FakeStack(RUNNING, PAUSED, going_on="arn:newest"), named)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": RunStatus.COMPLETED},
        {"status": RunStatus.PLANNING, "plan_name": None},
        {"mode": "plan"},
        {"status": RunStatus.PAUSED, "started_at": TOO_OLD},
    ],
    ids=["completed", "not planned", "plan", "too old"],
)
def test_latest_passes_by_what_has_nothing_to_go_on_with(changes):
    assert resumed(FakeStack(a_run(**{"run_id": "newest", "started_at": NOW, **changes}), PAUSED), "latest") == "older"


def test_a_run_that_is_being_planned_is_left_to_its_execution():
    planning = replace(RUNNING, status=RunStatus.PLANNING, plan_name=None)
    with pytest.raises(UsageMistake, match="Run newest is still being carried out"):
        resumed(FakeStack(planning, going_on="arn:newest"), "newest")
    with pytest.raises(RunNotResumable, match=r"is Planning and has nothing.*Let its execution end"):
        resumed(FakeStack(planning), "newest")


def test_a_run_that_is_too_old_is_refused_before_an_execution_is_started():
    stack = FakeStack(a_run(run_id="old", status=RunStatus.PAUSED, started_at=TOO_OLD))
    with pytest.raises(RunNotResumable, match="Start the load anew"):
        resumed(stack, "old")
    assert stack.run("old") == a_run(run_id="old", status=RunStatus.PAUSED, started_at=TOO_OLD)


def test_a_run_that_somebody_resumes_while_it_is_watched_is_watched_on(monkeypatch, capsys):
    stack = FakeStack(RUNNING)
    watched = watched_run(cast("Stack", stack), "newest")
    told: list[str] = []

    def tell(run, ended, *, as_json):
        told.append(run.execution_arn)
        return ExitCode.STOPPED

    def resumed_by_another(arn: str) -> ExecutionState:
        stack.start({"run_id": "newest"}, "arn:theirs")
        return ExecutionState(status="ABORTED", error=None, cause=None)

    monkeypatch.setattr("cli.stack_run._tell", tell)
    monkeypatch.setattr("cli.stack_run._wait_until_finished", lambda run: None)
    monkeypatch.setattr(stack, "execution", resumed_by_another)
    assert watch_run(watched, as_json=False) is ExitCode.STOPPED
    assert told == ["arn:theirs"]
    assert "Run newest was resumed" in capsys.readouterr().err


FIRST = replace(RUNNING, run_id="n.account", load="account", loads_after=("opportunity", "task"))
SECOND = replace(RUNNING, run_id="n.opportunity", load="opportunity", loads_after=("task",))


@pytest.mark.parametrize(
    ("ended", "later", "told"),
    [
        ({"status": RunStatus.COMPLETED}, [], "It does not go on with opportunity, task: run in this order what"),
        ({"status": RunStatus.COMPLETED}, [SECOND], "It does not go on with task: run in this order what"),
        ({"status": RunStatus.FAILED, "error": "PartitionsFailed", "cause": "It names them."}, [], ""),
    ],
    ids=["resumed", "second resumed", "failed"],
)
def test_who_watches_a_load_of_a_sequence_hears_which_loads_it_does_not_go_on_with(
    ended, later, told, monkeypatch, capsys
):
    others = [replace(each, execution_arn="arn:others", status=RunStatus.COMPLETED) for each in later]
    monkeypatch.setattr("cli.stack_run._tell", lambda run, ended, as_json: ExitCode.STOPPED)
    stack = cast("Stack", FakeStack(replace(FIRST, **ended), *others))
    watch_run(watched_run(stack, "n.account"), as_json=False)
    said = capsys.readouterr().err
    assert said.startswith(told)
    assert bool(said) is bool(told)


@pytest.mark.parametrize(
    ("later", "going_on", "advice"),
    [
        ([SECOND], "arn:newest", "its sequence has come to another: stop n.opportunity"),
        ([], "arn:newest", "the next run of its sequence is yet to be recorded"),
        ([], "", "there is nothing to stop"),
    ],
    ids=["its sequence goes on", "between two loads", "over"],
)
def test_a_load_that_has_completed_cannot_be_stopped_though_its_sequence_can(later, going_on, advice):
    first = replace(FIRST, status=RunStatus.COMPLETED)
    with pytest.raises(UsageMistake, match=f"Run n.account is Completed; {advice}"):
        halt_run(cast("Stack", FakeStack(first, *later, going_on=going_on)), "n.account", Halt.STOP)
