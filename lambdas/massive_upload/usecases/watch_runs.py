"""The watchdog: runs whose execution ended without FinishRun, and partitions that stand still."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from massive_upload.constants import JUDGED_FROM_ROWS
from massive_upload.contracts import ExecutionContext, FinishRunInput, Mode, WatchdogReport
from massive_upload.domain.progress import Partition, PartitionStatus, Run, RunStatus
from massive_upload.observability import Event, Marker, Metric, emit, log
from massive_upload.ports import Clock, Executions, ProgressStore

STUCK_AFTER = timedelta(minutes=30)
"""Twice as long as any call of a function may take. A slice tells when it claims its lane, with all that it records,
and before it waits, for how long. One whose calls are killed again and again, or refused by AWS, is silent for longer.
"""


def watch_runs(
    store: ProgressStore, executions: Executions, clock: Clock, finish: Callable[[Run, str], None]
) -> WatchdogReport:
    """Look after every run that has begun and not finished, and emit how far each has come.

    Args:
        store: the progress table.
        executions: tells whether a run's execution has ended.
        clock: the time.
        finish: hands a run whose execution has ended, and its status, to FinishRun.
    """
    run_ids = store.open_runs()
    finished = stuck = never_started = 0
    for run_id in run_ids:
        run = store.run(run_id)
        if run is None:
            continue
        ended = executions.ended_as(run.execution_arn)
        if ended is not None:
            log(Marker.WARNING, Event.RUN_LEFT_OPEN, run_id=run_id, ended=ended)
            finish(run, ended)
            finished += 1
            continue
        partitions = store.partitions(run_id)
        stuck += _tell(Event.PARTITION_STUCK, [each for each in partitions if is_stuck(each, clock.now())])
        never_started += _tell(
            Event.PARTITION_NEVER_STARTED, [each for each in partitions if is_overdue(each, clock.now())]
        )
        if run.status is RunStatus.RUNNING and run.mode != Mode.PLAN:
            _emit_progress(run, partitions)
    emit(
        {
            Metric.WATCHDOG_HEARTBEAT: 1,
            Metric.OPEN_RUNS: len(run_ids),
            Metric.LEFT_OPEN_RUNS: finished,
            Metric.STUCK_PARTITIONS: stuck,
            Metric.NEVER_STARTED_PARTITIONS: never_started,
        }
    )
    return WatchdogReport(
        open_runs=len(run_ids),
        finished_runs=finished,
        stuck_partitions=stuck,
        never_started_partitions=never_started,
    )


def finish_request(run: Run, ended: str) -> FinishRunInput:
    """What FinishRun is asked for a run whose execution ended without it, with that execution's status."""
    name = run.execution_arn.rpartition(":")[2]
    execution = ExecutionContext(arn=run.execution_arn, name=name, started_at=run.started_at)
    return FinishRunInput(execution=execution, state={"input": {"run_id": run.run_id}}, ended=ended)


def is_stuck(partition: Partition, now: datetime) -> bool:
    """Whether a lane at work has not been heard of for long, waits on purpose apart."""
    if partition.status is not PartitionStatus.RUNNING or partition.last_progress_at is None:
        return False
    expected = max(partition.last_progress_at, partition.next_wake_at or partition.last_progress_at)
    return now - expected > STUCK_AFTER


def is_overdue(partition: Partition, now: datetime) -> bool:
    """Whether a lane should have begun long ago and has not."""
    if partition.status is not PartitionStatus.PENDING or partition.due_at is None:
        return False
    return now - partition.due_at > STUCK_AFTER


def _tell(event: Event, partitions: Sequence[Partition]) -> int:
    for partition in partitions:
        log(Marker.WARNING, event, run_id=partition.run_id, partition=partition.partition)
    return len(partitions)


def _emit_progress(run: Run, partitions: Sequence[Partition]) -> None:
    lanes = [partition for partition in partitions if not partition.is_sweep]
    rows = sum(lane.source_rows for lane in lanes)
    settled = sum(lane.settled_rows for lane in lanes)
    values: dict[Metric, float] = {Metric.ROWS_LEFT: rows - settled}
    if rows:
        values[Metric.PROGRESS_PERCENT] = 100 * settled / rows
    succeeded = sum(partition.succeeded for partition in partitions)
    judged = succeeded + sum(partition.rejected for partition in partitions)
    if judged >= JUDGED_FROM_ROWS:
        values[Metric.SUCCESS_RATE_PERCENT] = 100 * succeeded / judged
    emit(values, load=run.load, run_id=run.run_id)
