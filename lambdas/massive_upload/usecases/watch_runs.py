"""The watchdog: runs whose execution ended without FinishRun, and partitions that stand still."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from massive_upload.contracts import ExecutionContext, FinishRunInput, WatchdogReport
from massive_upload.domain.progress import Partition, PartitionStatus, Run
from massive_upload.observability import Event, Marker, log
from massive_upload.ports import Clock, Executions, ProgressStore

STUCK_AFTER = timedelta(minutes=30)
"""Longer than any task with its retries, and than any single wait: a slice tells before it waits, and how long."""


def watch_runs(
    store: ProgressStore, executions: Executions, clock: Clock, finish: Callable[[Run, str], None]
) -> WatchdogReport:
    """Look after every run that has begun and not finished.

    Args:
        store: the progress table.
        executions: tells whether a run's execution has ended.
        clock: the time.
        finish: hands a run whose execution has ended, and its status, to FinishRun.
    """
    run_ids = store.open_runs()
    finished = stuck = 0
    for run_id in run_ids:
        run = store.run(run_id)
        if run is None:
            continue
        ended = executions.ended_as(run.execution_arn)
        if ended is not None:
            log(Marker.WARNING, Event.RUN_LEFT_OPEN, run_id=run_id, ended=ended)
            finish(run, ended)
            finished += 1
        else:
            stuck += sum(is_stuck(partition, clock.now()) for partition in store.partitions(run_id))
    return WatchdogReport(open_runs=len(run_ids), finished_runs=finished, stuck_partitions=stuck)


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
