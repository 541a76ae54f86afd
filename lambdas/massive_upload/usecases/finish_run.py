"""FinishRun: end a run, whatever it came to, with an exact account."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from massive_upload.constants import DRAIN_WAIT_SECONDS, JUDGED_FROM_ROWS, MOST_DRAINS
from massive_upload.contracts import FinishRunInput, Mode, Verdict
from massive_upload.domain.account import Account, Outcome, outcome_of
from massive_upload.domain.incremental import Watermark, mapping_sha256, may_set
from massive_upload.domain.progress import Halt, Partition, PartitionStatus, Run, RunStatus, partition_id
from massive_upload.errors import RunError, StateChanged, message_of
from massive_upload.observability import Event, Marker, Metric, emit, log
from massive_upload.usecases.drain import Drain, Left
from massive_upload.usecases.plan_file import read_plan
from massive_upload.usecases.receipt import Ended, ask_target, gather_receipt, renew_receipt, write_receipt
from massive_upload.usecases.run_ids import run_id_in_sequence, run_id_of
from massive_upload.usecases.shown_by import shown_by
from massive_upload.usecases.slice_tasks import SliceServices, unsettled_batches

_ENDED_STATUS = {"ABORTED": RunStatus.STOPPED, "TIMED_OUT": RunStatus.FAILED, "FAILED": RunStatus.FAILED}
"""What an execution that ended by itself makes of its run."""


_MARKERS = {RunStatus.STOPPED: Marker.STOP, RunStatus.PAUSED: Marker.STOP}


@dataclass(frozen=True)
class _Ending:
    """What a run came to; an error means that the execution is to fail."""

    status: RunStatus
    error: str | None = None
    cause: str | None = None


def finish_run(task: FinishRunInput, services: SliceServices) -> Verdict:
    """Settle or abort the jobs in flight, add up the account, write the receipt and give the target back.

    A run that leaves jobs behind keeps the target's lease: by that the next run knows whose jobs have yet to end.
    Harmless when it is called again, and for an execution that does not carry out the run (any more).

    Returns:
        A verdict: Drain where jobs in flight have yet to end; else Succeed or Fail.
    """
    run_id = _run_id(task, services)
    failure = _failure(task.state)
    run = services.store.run(run_id)
    if run is None or run.execution_arn != task.execution.arn:
        return _end_of_sequence(task, run_id, failure, services)
    if run.status is RunStatus.RUNNING:
        # A PlanRun that died just after its plan counted has left partitions out; their rows are not sent.
        services.store.create_partitions(run, read_plan(services.files, run))
    partitions = services.store.partitions(run_id)
    if run.status is RunStatus.RUNNING:
        lanes_left = Drain(run, services).end_lanes(partitions, look=run.drains)
        now = services.store.run(run_id)  # what was settled may have asked it to end
        if now is None or now.execution_arn != run.execution_arn:  # who has resumed it would be held up by what follows
            return _verdict_without_run(run_id, failure)
        run = now
        if any(left is not Left.NOTHING for left in lanes_left) and run.drains < MOST_DRAINS:
            services.store.count_drain(run, api_requests=services.org.take_requests())
            log(Marker.WAITING, Event.WAITING_FOR_OLD_JOBS, wait_seconds=DRAIN_WAIT_SECONDS, drains=run.drains + 1)
            return Verdict(next="Drain", run_id=run_id, status=run.status, wait_seconds=DRAIN_WAIT_SECONDS)
        partitions = services.store.partitions(run_id)
    return _close(run, partitions, task, failure, services)


def _run_id(task: FinishRunInput, services: SliceServices) -> str:
    """Which of its runs an execution has come to; only one that carries a sequence out has several."""
    given = task.state.get("input")
    if isinstance(given, dict):
        return run_id_of(given, task.execution)
    plan = task.state.get("plan")
    planned = plan.get("run_id") if isinstance(plan, dict) else None
    if isinstance(planned, str):
        return planned
    begun = (services.store.run(run_id) for run_id in services.store.open_runs())
    ours = [run.run_id for run in begun if run is not None and run.execution_arn == task.execution.arn]
    return ours[0] if ours else run_id_of(task.state, task.execution)


def _close(
    run: Run,
    partitions: list[Partition],
    task: FinishRunInput,
    failure: _Ending | None,
    services: SliceServices,
) -> Verdict:
    outcome = outcome_of(run, partitions, unsettled_batches(services.store, partitions))
    account = outcome.account
    if run.is_unfinished:
        ending = failure or _ending_of(run, partitions, outcome, task, services)
        if not _goes_on(run, ending, task):
            ending = _without_loads_after(run, ending)
        elif run.is_halting:
            ending = _halted_before(run.loads_after[0], run, task)
        if not _record_end(run, ending, outcome, partitions, services):
            return _verdict_of_another(run, task, failure, services)
    else:
        ending = _Ending(run.status, run.error, run.cause)
        if run.ended_at is not None:
            # Of several FinishRuns one may have written another end than the one that counts, or settled rows since.
            renew_receipt(run, run.ended_at, services)
    goes_on = _goes_on(run, ending, task)
    kept = [*(run.leases_after if goes_on else ()), *([run.lease_key] if account.unsettled else ())]
    _give_back(run, run.execution_arn, services, but=kept)
    return Verdict(
        next="Fail" if ending.error else "More" if goes_on else "Succeed",
        run_id=run.run_id,
        status=ending.status,
        error=ending.error or "",
        cause=ending.cause or "",
        **asdict(account),
    )


def _record_end(
    run: Run, ending: _Ending, outcome: Outcome, partitions: list[Partition], services: SliceServices
) -> bool:
    """Write the receipt, end the run and tell of it, unless somebody else has changed the run since it was read."""
    ended = Ended(status=ending.status, error=ending.error, at=services.clock.now())
    target = ask_target(run, services)
    requests = services.org.take_requests()
    services.store.count_run_requests(run.run_id, requests)
    counted = replace(run, api_requests=run.api_requests + requests)
    shown_before = services.store.shown(run.load)
    shown = shown_by(run, partitions, ended.at, shown_before, services)
    receipt = gather_receipt(counted, ended, outcome, partitions, target, shown, services)
    if not write_receipt(counted, receipt, services):
        return False
    known = services.store.watermark(run.load)
    is_first = services.store.finish_run(
        run,
        status=ending.status,
        ended_at=ended.at,
        error=ending.error,
        cause=ending.cause,
        watermark=_watermark(run, ended, known, services),
        instead_of=known,
        shown=shown if shown is not None and shown.may_replace(shown_before) else None,
        shown_before=shown_before,
    )
    if is_first:
        _tell(run, ending, outcome.account)
    return is_first


def _tell(run: Run, ending: _Ending, account: Account) -> None:
    log(
        _MARKERS.get(ending.status, Marker.SUCCESS if ending.error is None else Marker.ERROR),
        Event.RUN_ENDED,
        run_id=run.run_id,
        status=ending.status,
        error=ending.error,
        **asdict(account),
    )
    if run.plan_name is not None and run.mode != Mode.PLAN:
        _emit_outcome(run, ending.status, account)


def _verdict_of_another(
    run: Run,
    task: FinishRunInput,
    failure: _Ending | None,
    services: SliceServices,
) -> Verdict:
    """The verdict on a run that somebody else has changed since it was read.

    Where another FinishRun has ended it, that one's end counts, and has been told.

    Raises:
        StateChanged: its plan counts since, so that the account is another.
    """
    now = services.store.run(run.run_id)
    if now is None or now.execution_arn != run.execution_arn:
        return _verdict_without_run(run.run_id, failure)
    if now.ended_at is None:
        raise StateChanged(f"Run {run.run_id} was planned in between.", next_step="It is read again by itself.")
    return _close(now, services.store.partitions(run.run_id), task, failure, services)


def _goes_on(run: Run, ending: _Ending, task: FinishRunInput) -> bool:
    """Whether the next load of the sequence begins: this one has completed, in the execution that it began with."""
    is_resumed = task.state.get("mode") == Mode.RESUME
    is_alive = task.ended is None and not is_resumed
    return is_alive and bool(run.loads_after) and ending.error is None and ending.status is RunStatus.COMPLETED


def _halted_before(next_load: str, run: Run, task: FinishRunInput) -> _Ending:
    """The end of a sequence that was asked to end when a load of it had nothing left to do.

    There is nothing that a resume could go on with, so that a pause ends as a stop does.
    """
    start = json.dumps({"load": task.state.get("load"), "mode": run.mode, "start_with": next_load})
    return _Ending(
        RunStatus.COMPLETED,
        RunError.STOPPED,
        f"The run was asked to end and has completed; the loads after it have not begun. Begin them with {start}.",
    )


def _without_loads_after(run: Run, ending: _Ending) -> _Ending:
    """An end that names the loads of the sequence which its execution does not come to."""
    if not run.loads_after:
        return ending
    return replace(ending, cause=_with_loads_left(ending.cause, run.loads_after))


def _with_loads_left(cause: str | None, loads: Sequence[str]) -> str:
    left = f"This execution does not go on with {', '.join(loads)}: run in this order what has not been run."
    return " ".join(filter(None, [cause, left]))


def _end_of_sequence(task: FinishRunInput, run_id: str, failure: _Ending | None, services: SliceServices) -> Verdict:
    """The verdict where nothing is recorded of a load; in a sequence the targets that were taken are given back."""
    plan = task.state.get("plan")
    position = plan.get("position") if isinstance(plan, dict) else None
    if isinstance(plan, dict) and position:
        loads = plan["sequence"]
        before = services.store.run(run_id_in_sequence(run_id_of(task.state, task.execution), loads[position - 1]))
        if before is not None:
            _give_back(before, task.execution.arn, services, but=())
        if failure is not None:
            failure = replace(failure, cause=_with_loads_left(failure.cause, loads[position:]))
    return _verdict_without_run(run_id, failure)


def _give_back(run: Run, execution_arn: str, services: SliceServices, *, but: Sequence[str | None]) -> None:
    """Give back the targets that a run's execution has taken; none that another has taken over meanwhile."""
    for key in dict.fromkeys((run.lease_key, *run.leases_after)):
        lease = services.store.lease(key) if key is not None and key not in but else None
        if lease is not None and lease.execution_arn == execution_arn:
            services.store.release_lease(lease)


def _watermark(run: Run, ended: Ended, known: Watermark | None, services: SliceServices) -> Watermark | None:
    """The watermark that a run sets: only a complete one, of all rows or of a window. Rejected rows do not matter."""
    if ended.status != RunStatus.COMPLETED or run.mode not in (Mode.FULL, Mode.INCREMENTAL) or run.as_of is None:
        return None
    config = services.configs.of(run.run_id)
    new = Watermark(
        load=run.load,
        as_of=run.as_of,
        target=config.lease_key,
        mapping_sha256=mapping_sha256(config.load),
        run_id=run.run_id,
        set_at=ended.at,
    )
    is_due = may_set(new, known, modified_after=run.modified_after, started_at=run.started_at)
    return new if is_due else None


def _emit_outcome(run: Run, status: RunStatus, account: Account) -> None:
    """The first rows of a run that goes on later say as little of it at its pause as they do while it is at work."""
    rows_left = account.not_sent + account.unsettled
    values: dict[Metric, float] = {Metric.ROWS_LEFT: rows_left}
    if account.source_rows:
        values[Metric.PROGRESS_PERCENT] = 100 * (account.source_rows - rows_left) / account.source_rows
    judged = account.succeeded + account.rejected
    is_told = status is RunStatus.COMPLETED or judged >= JUDGED_FROM_ROWS
    if account.success_rate_percent is not None and is_told:
        values[Metric.SUCCESS_RATE_PERCENT] = account.success_rate_percent
    emit(values, load=run.load, run_id=run.run_id)


def _ending_of(
    run: Run, partitions: list[Partition], outcome: Outcome, task: FinishRunInput, services: SliceServices
) -> _Ending:
    account, ended = outcome.account, task.ended
    if run.plan_name is None and run.is_halting:
        return _Ending(
            RunStatus.STOPPED,
            RunError.STOPPED,
            "The run was asked to end before it was planned; nothing was written. Start a new run.",
        )
    if run.plan_name is None:
        return _Ending(
            RunStatus.FAILED,
            RunError.NOT_PLANNED,
            "The execution ended before the run was planned; nothing was written. Start again.",
        )
    if run.mode == Mode.PLAN:
        return _Ending(RunStatus.COMPLETED)
    if not outcome.adds_up:
        return _Ending(
            RunStatus.FAILED,
            RunError.ACCOUNT_DOES_NOT_BALANCE,
            "The run's figures do not add up to its rows. This is a defect: keep the run's state.",
        )
    incomplete = [partition for partition in partitions if partition.status is not PartitionStatus.COMPLETED]
    failed = [partition for partition in incomplete if partition.status is PartitionStatus.FAILED]
    is_unfinished = bool(incomplete) or _awaits_sweep(partitions)
    if is_unfinished and ended in _ENDED_STATUS and not run.is_halting:
        return _Ending(_ENDED_STATUS[ended], RunError.of_execution(ended), _resume_hint(run, ended))
    if run.halt_asked_for is not None and (len(incomplete) > len(failed) or _awaits_sweep(partitions)):
        return _halted(run, run.halt_asked_for, failed)
    if failed or (is_unfinished and run.stop_error):
        return _Ending(
            RunStatus.FAILED, run.stop_error or RunError.PARTITIONS_FAILED, _why_failed(run, partitions, failed)
        )
    if is_unfinished:
        return _Ending(RunStatus.FAILED, RunError.LANES_UNFINISHED, f"{_left_out(incomplete, task)}{_resume_hint(run)}")
    if account.unsettled:
        return _Ending(RunStatus.FAILED, RunError.ROWS_UNSETTLED, _resume_hint(run))
    criterion_percent = services.configs.of(run.run_id).load.success_criterion_percent
    rate_percent = account.success_rate_percent
    if rate_percent is not None and rate_percent < criterion_percent:
        return _Ending(
            RunStatus.COMPLETED,
            RunError.BELOW_CRITERION,
            f"{rate_percent:.2f} % of the rows succeeded; the load asks for {criterion_percent:g} %. "
            f"The rejected rows are kept with their reasons.",
        )
    return _Ending(RunStatus.COMPLETED)


def _left_out(incomplete: list[Partition], task: FinishRunInput) -> str:
    """Whether lanes are unfinished that the execution was not to go on with."""
    wanted = task.state.get("partitions")
    if not isinstance(wanted, list) or not wanted:
        return ""
    left_out = {each.partition for each in incomplete if not each.is_sweep} - set(map(partition_id, wanted))
    return "Partitions are unfinished that it was not to go on with. " if left_out else ""


def _why_failed(run: Run, partitions: list[Partition], failed: list[Partition]) -> str:
    parts = [f"The run was stopped: {(run.stop_reason or '').rstrip('.')}."] if run.stop_error else []
    if failed:
        first = failed[0]
        parts.append(
            f"{len(failed)} of {len(partitions)} partitions failed; partition {first.partition}: {first.error}."
        )
    return " ".join([*parts, _resume_hint(run)])


def _halted(run: Run, halt: Halt, failed: list[Partition]) -> _Ending:
    """The end of a run that an operator asked for: a stop shows red in the console, a pause goes on by and by."""
    if halt is Halt.PAUSE:
        return _Ending(RunStatus.PAUSED)
    failures = f"{len(failed)} partitions had failed before. " if failed else ""
    return _Ending(RunStatus.STOPPED, RunError.STOPPED, f"The run was asked to stop. {failures}{_resume_hint(run)}")


def _awaits_sweep(partitions: list[Partition]) -> bool:
    """Whether rows were given up for a passing reason and the sweep has not sent them once more."""
    swept = sum(partition.settled_rows for partition in partitions if partition.is_sweep)
    return sum(partition.deferred for partition in partitions) > swept


def _resume_hint(run: Run, ended: str | None = None) -> str:
    how = f"The execution ended as {ended}. " if ended else ""
    return f'{how}Go on with {{"mode": "resume", "run_id": "{run.run_id}"}}.'


def _failure(state: Mapping[str, object]) -> _Ending | None:
    """The error that a state of the machine has caught, if there is one."""
    error = state.get("error")
    if not isinstance(error, dict):
        return None
    cause = str(error.get("Cause", ""))
    return _Ending(RunStatus.FAILED, str(error.get("Error", "Unknown")), message_of(cause))


def _verdict_without_run(run_id: str, failure: _Ending | None) -> Verdict:
    """The execution never came to own a run: there is nothing to finish."""
    if failure is None:
        return Verdict(next="Succeed", run_id=run_id, status=RunStatus.STOPPED)
    return Verdict(
        next="Fail", run_id=run_id, status=failure.status, error=failure.error or "", cause=failure.cause or ""
    )
