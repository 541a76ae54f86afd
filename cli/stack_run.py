"""A run that the deployed stack carries out: started, resumed, watched, halted."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pydantic import ValidationError
from rich.console import Console

from cli.errors import ExitCode, RunRefused, UsageMistake
from cli.following import follow
from cli.outcome import Advice, rejected_advice, tell_outcome
from cli.progress import ProgressDisplay
from cli.run_ids import LATEST, find_run, may_be_retried, new_run_id, newest_runs, warn_of_older_rows
from cli.snapshot import Snapshot, take_snapshot
from cli.stack import Stack
from cli.stack_facts import facts_of
from infra.documents import Document, apply_sets
from massive_upload.contracts import RUN_ID_PATTERN, Mode, StartInput
from massive_upload.domain.progress import Halt, Run
from massive_upload.errors import AnotherRunActive, RunNotResumable
from massive_upload.usecases.planning.resume import later_writer, resumable
from massive_upload.usecases.run_ids import run_id_beside, run_id_in_sequence

_LOOK_SECONDS = 2.0
_LONGEST_BEGINNING_SECONDS = 120.0
"""A function's first start, a login and the target's check take seconds; jobs that a stopped run has left in flight are
waited for longer, and then the run is left to itself."""
_LONGEST_END_SECONDS = 60.0
"""An execution that was stopped is finished by the watchdog, as soon as it hears of it."""
_MOST_LOADS = 50
"""How many runs are looked through for those of a sequence."""
_CHANGEABLE = ("pace", "partitioning", "sample")
_LONGEST_NAME = 80
"""StartExecution, API reference."""


@dataclass(frozen=True, kw_only=True)
class StackRun:
    """A run and the execution that carries it out."""

    stack: Stack
    run_id: str
    execution_arn: str

    def has_ended(self, *, within_seconds: float) -> bool:
        """Wait a while, then say whether the execution has ended."""
        if self.stack.execution(self.execution_arn).has_ended:
            return True
        time.sleep(within_seconds)
        return False

    def runs(self) -> list[Run]:
        """The run; where the execution carries a sequence out, the runs of its loads so far, in order."""
        run = self.stack.store.run(self.run_id)
        if run is not None and not run.loads_after:
            return [run]
        newest = newest_runs(self.stack.store, _MOST_LOADS)
        found = [each for each in newest if each.execution_arn == self.execution_arn]
        return sorted(found, key=lambda each: -len(each.loads_after)) or ([run] if run is not None else [])

    def is_carried_out(self) -> bool:
        """Whether the run, or one of its sequence, is recorded as this execution's, and not as a later one's."""
        return any(each.execution_arn == self.execution_arn for each in self.runs())

    def snapshot(self) -> Snapshot:
        """How far the run has come; of a sequence, the load that it has come to."""
        runs = self.runs()
        return take_snapshot(self.stack.store, runs[-1].run_id if runs else self.run_id)


def start_input(
    load: str, *, mode: str, sets: Sequence[str], start_with: str | None = None, scheduled: bool = False
) -> dict[str, Any]:
    """The input of an execution that begins a run, or the runs of a sequence from one of its loads on.

    Raises:
        UsageMistake: a ``--set`` is wrong, or changes what only the deployed load's file can.
    """
    changes = Document(name="--set")
    apply_sets(changes, sets)
    if changes.mistakes:
        raise UsageMistake("\n".join(changes.mistakes))
    fixed = sorted(set(changes.values) - set(_CHANGEABLE))
    if fixed:
        raise UsageMistake(
            f"--set {fixed[0]}: a deployed load is changed in its file, then deployed; "
            f"a start can change {', '.join(_CHANGEABLE)} alone."
        )
    begun: dict[str, object] = {"load": load, "mode": mode}
    begun |= {"start_with": start_with} if start_with is not None else {}
    begun |= {"scheduled": True} if scheduled else {}
    try:
        start = StartInput.model_validate(begun | changes.values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageMistake(f"--set {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
    return start.model_dump(mode="json", exclude_unset=True)


def start_run(stack: Stack, payload: dict[str, Any], *, run_id: str | None) -> StackRun:
    """Begin a run, and wait until it is recorded; its id is its execution's name, of a sequence that of its first run.

    Raises:
        UsageMistake: there is a run of this id, or it cannot be one.
        RunRefused: it was refused before it began.
    """
    name = run_id or new_run_id(payload["load"])
    if len(name) > _LONGEST_NAME or not re.fullmatch(RUN_ID_PATTERN, name):
        raise UsageMistake(f"--run-id {name!r}: write up to 80 letters, digits, '.', '_' and '-'.")
    if stack.store.run(name) is not None:
        raise UsageMistake(f"There is already a run {name!r}; resume it, or give another --run-id.")
    run = StackRun(stack=stack, run_id=name, execution_arn=stack.start(payload, name))
    _wait_until_begun(run)
    return replace(run, run_id=next((each.run_id for each in run.runs()), name))


def resume_run(stack: Stack, run_id: str, *, partitions: Sequence[int]) -> StackRun:
    """Let a new execution go on with a run, and wait until it has taken over.

    Raises:
        UsageMistake: there is no such run, or it is still being carried out.
        RunNotResumable: it has nothing to go on with.
        RunRefused: the execution was refused.
    """
    run = find_run(stack.store, run_id, fits=lambda candidate: _can_be_resumed(stack, candidate))
    if run.is_unfinished and not stack.execution(run.execution_arn).has_ended:
        raise UsageMistake(
            f"Run {run.run_id} is still being carried out; name another run, let it end, or stop it: "
            f"{stack.command('stop', run.run_id)}"
        )
    resumable(stack.store, run.run_id, begins_at=datetime.now(UTC))
    payload: dict[str, object] = {"mode": Mode.RESUME.value, "run_id": run.run_id}
    if partitions:
        payload["partitions"] = list(partitions)
    suffix = f"-resume-{uuid4().hex[:6]}"
    arn = stack.start(payload, run.run_id[: _LONGEST_NAME - len(suffix)] + suffix)
    resumed = StackRun(stack=stack, run_id=run.run_id, execution_arn=arn)
    _wait_until_begun(resumed)
    return resumed


def retry_run(stack: Stack, run_id: str, *, only: str | None) -> StackRun:
    """Begin a run that sends the rejected rows of another once more, and wait until it is recorded.

    Raises:
        UsageMistake: there is no such run.
        RunRefused: it was refused before it began.
    """
    run = find_run(stack.store, run_id, fits=lambda run: may_be_retried(run, stack.store))
    warn_of_older_rows(run, stack.store)
    payload = {"mode": Mode.RETRY_FAILED.value, "of": run.run_id} | ({"only": only} if only is not None else {})
    return start_run(stack, payload, run_id=new_run_id(f"{run.load}-retry"))


def halt_run(stack: Stack, run_id: str, halt: Halt) -> Run:
    """Ask a run to stop or to pause; the run as it was just before.

    Raises:
        UsageMistake: there is no such run, or it has ended.
    """
    run = find_run(stack.store, run_id, fits=lambda candidate: candidate.is_unfinished)
    if not stack.store.ask_to_halt(run.run_id, halt):
        ended = find_run(stack.store, run.run_id)
        advice = f"there is nothing to {halt}"
        following = _runs_after(stack, ended)
        under_way = next((later for later in following.values() if later is not None and later.is_unfinished), None)
        if under_way is not None:
            advice = f"its sequence has come to another: {stack.command(halt, under_way.run_id)}"
        elif None in following.values() and not stack.execution(ended.execution_arn).has_ended:
            advice = "the next run of its sequence is yet to be recorded: try again a little later"
        raise UsageMistake(f"Run {ended.run_id} is {ended.status}; {advice}.")
    return run


def watched_run(stack: Stack, run_id: str) -> StackRun:
    """A run that there is, to be watched.

    Raises:
        UsageMistake: there is no such run.
        RunRefused: there is an execution of this name, which failed before it had recorded a run.
    """
    run = run_on(stack, run_id)
    return StackRun(stack=stack, run_id=run.run_id, execution_arn=run.execution_arn)


def refused_runs(stack: Stack, most: int) -> list[str]:
    """What was started last and failed before it had recorded a run, each with its error: the newest first.

    Args:
        stack: the stack.
        most: how many executions that have failed are looked at; resumes apart, whose run is recorded.
    """
    newest = newest_runs(stack.store, _MOST_LOADS)
    oldest = newest[-1].started_at if len(newest) == _MOST_LOADS else None
    refused = []
    for name, started_at in stack.failed_executions(most):
        is_forgotten = oldest is not None and started_at < oldest
        if is_forgotten or stack.store.run(name) is not None or _runs_of_sequence(name, newest):
            continue
        state = stack.execution_named(name)
        if state is not None and state.mode != Mode.RESUME:
            refused.append(f"{name}: {state.error}")
    return refused


def _runs_of_sequence(name: str, newest: Sequence[Run]) -> list[str]:
    """The runs of the loads of a sequence that an execution of this name carried out, in order."""
    return [run.run_id for run in reversed(newest) if run.run_id == run_id_in_sequence(name, run.load)]


def run_on(stack: Stack, run_id: str) -> Run:
    """The run of an id, or of 'latest'.

    Raises:
        UsageMistake: there is no such run, or it is a sequence's execution, which has several.
        RunRefused: there is an execution of this name, which failed before it had recorded a run.
    """
    if run_id != LATEST and stack.store.run(run_id) is None:
        loads = _runs_of_sequence(run_id, newest_runs(stack.store, _MOST_LOADS))
        if loads:
            raise UsageMistake(f"{run_id} is a sequence: name one of its runs, {', '.join(loads)}.")
        refused = stack.execution_named(run_id)
        if refused is not None and refused.error is not None:
            raise RunRefused(refused.error, refused.cause or "its execution names no cause")
    return find_run(stack.store, run_id)


def watch_run(run: StackRun, *, as_json: bool) -> ExitCode:
    """Show a run until it has ended, then its summary; whoever stops watching leaves it alone.

    Raises:
        RunRefused: its execution ended without having begun or resumed it.
    """
    has_begun = run.is_carried_out()
    display = ProgressDisplay(Console(stderr=True))
    with display:
        follow(run, display, look_seconds=_LOOK_SECONDS)
        _wait_until_finished(run)
    if not run.is_carried_out():
        now = run.stack.store.run(run.run_id) if has_begun else None
        if now is None:
            raise _refusal(run)
        print(f"Run {run.run_id} was resumed: it goes on in another execution.", file=sys.stderr)
        return watch_run(replace(run, execution_arn=now.execution_arn), as_json=as_json)
    ended = run.runs()
    code = max(_tell(run, each, as_json=as_json) for each in ended)
    left = [name for name, later in _runs_after(run.stack, ended[-1]).items() if later is None]
    if left and ended[-1].error is None:  # else its cause names them
        names = ", ".join(left)
        print(
            f"It does not go on with {names}: run in this order what has not been run, once it has completed.",
            file=sys.stderr,
        )
    if code is ExitCode.OK and run.stack.execution(run.execution_arn).error is not None:
        raise _refusal(run)  # a later load of a sequence was refused before it began
    return code


def _runs_after(stack: Stack, run: Run) -> dict[str, Run | None]:
    """The runs of the loads that come after it in its sequence; None where its execution has begun none."""
    return {name: stack.store.run(run_id_beside(run.run_id, run.load, name)) for name in run.loads_after}


def _tell(run: StackRun, ended: Run, *, as_json: bool) -> ExitCode:
    advice = Advice(
        unfinished=f"Go on with: {run.stack.command('resume', ended.run_id)}",
        rejected=rejected_advice(ended.run_id, run.stack.command),
        defect="This is a defect. Please report it with the log of the execution "
        f"(Step Functions console): {run.execution_arn}",
    )
    return tell_outcome(facts_of(run.stack, ended), advice, as_json=as_json)


def _wait_until_begun(run: StackRun) -> None:
    """Wait until the run's item says that this execution carries it out."""
    deadline = time.monotonic() + _LONGEST_BEGINNING_SECONDS
    while time.monotonic() < deadline:
        has_ended = run.stack.has_ended(run.execution_arn)
        if run.is_carried_out():  # read after the execution's state: what it recorded is there
            return
        if has_ended:
            raise _refusal(run)
        time.sleep(_LOOK_SECONDS)


def _wait_until_finished(run: StackRun) -> None:
    """Give the watchdog time to finish the run of an execution that was stopped."""
    deadline = time.monotonic() + _LONGEST_END_SECONDS
    while time.monotonic() < deadline:
        if not any(each.execution_arn == run.execution_arn and each.is_unfinished for each in run.runs()):
            return
        time.sleep(_LOOK_SECONDS)


def _refusal(run: StackRun) -> RunRefused:
    state = run.stack.execution(run.execution_arn)
    if state.status == "SUCCEEDED":  # the one way to end well without a run
        return RunRefused(
            AnotherRunActive.__name__,
            "It was skipped, as a scheduled start is while another run is loading the target. Start it again when that "
            f"has ended: {run.stack.command('status')} lists it.",
        )
    return RunRefused(state.error or state.status, state.cause or "the execution ended before the run began")


def _can_be_resumed(stack: Stack, run: Run) -> bool:
    """Whether 'latest' may mean a run; one that is recorded as unfinished may have died, and is not passed by."""
    try:
        resumable(stack.store, run.run_id, begins_at=datetime.now(UTC))
    except RunNotResumable:
        return False
    return later_writer(stack.store, run) is None
