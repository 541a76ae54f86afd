"""CheckJob: see whether the job in flight has ended."""

from __future__ import annotations

from dataclasses import replace

from massive_upload.constants import SLICE_EVENTS
from massive_upload.contracts import JobCounters, Next, SliceInput, Step
from massive_upload.domain.progress import Batch, BatchState, Partition
from massive_upload.domain.waits import POLL_EVENTS, job_seconds, next_poll_seconds
from massive_upload.errors import JobRejected
from massive_upload.salesforce.bulk import Job
from massive_upload.usecases.slice_tasks import SliceServices, claimed_partition, open_batch

MOST_LOST_JOBS = 5
"""A batch whose job vanishes as often is not lost by accident: somebody deletes the run's jobs."""


def check_job(task: SliceInput, services: SliceServices) -> Step:
    """Ask the org for the job's state once.

    Raises:
        FencedOut: another slice has claimed the partition.
        JobRejected: the batch's jobs are deleted again and again.
        PassingError: the org or AWS did not answer.
    """
    partition = claimed_partition(services.store, task)
    batch = open_batch(services.store, partition)
    if batch is None:
        return _step(task, Next.MORE)
    if batch.state is not BatchState.SUBMITTED or batch.job_id is None:
        return _step(task, Next.UPLOAD)
    job = services.org.bulk.get(batch.job_id)
    if job is None:
        _send_again(partition, batch, services)
        return _step(task, Next.UPLOAD)
    waited_seconds = task.step.job_waited_seconds + task.step.wait_seconds
    if job.state.is_terminal:
        services.store.record_heartbeat(partition, services.org.heartbeat())
        return _step(task, Next.SETTLE, job=_counters(job, waited_seconds))
    wait_seconds = next_poll_seconds(waited_seconds)
    services.store.record_heartbeat(partition, services.org.heartbeat(wake_after_seconds=wait_seconds))
    is_spent = task.step.events >= SLICE_EVENTS
    return _step(
        task,
        Next.MORE if is_spent else Next.WAIT_FOR_JOB,
        wait_seconds=wait_seconds,
        job_waited_seconds=waited_seconds,
    )


def _send_again(partition: Partition, batch: Batch, services: SliceServices) -> None:
    """The job was deleted: what became of its rows is unknown, and an upsert may be repeated."""
    if batch.lost_jobs >= MOST_LOST_JOBS:
        raise JobRejected(
            f"Batch {batch.number} of partition {batch.partition} has lost {batch.lost_jobs + 1} jobs.",
            next_step="Find out who deletes the org's ingest jobs, then resume the run.",
        )
    following = replace(
        batch, state=BatchState.PLANNED, attempt=batch.attempt + 1, job_id=None, lost_jobs=batch.lost_jobs + 1
    )
    services.store.plan_next_attempt(partition, batch, following, job_seconds=None, beat=services.org.heartbeat())


def _counters(job: Job, waited_seconds: int) -> JobCounters:
    return JobCounters(
        state=job.state,
        processed=job.processed,
        failed=job.failed,
        seconds=job_seconds(waited_seconds, job.total_processing_ms),
    )


def _step(
    task: SliceInput,
    following: Next,
    *,
    wait_seconds: int = 0,
    job_waited_seconds: int = 0,
    job: JobCounters | None = None,
) -> Step:
    return Step(
        epoch=task.step.epoch,
        next=following,
        wait_seconds=wait_seconds,
        events=task.step.events + POLL_EVENTS,
        job_waited_seconds=job_waited_seconds,
        job=job,
    )
