"""Batches whose job is gone: nobody can tell what became of their rows, and an upsert may be repeated."""

from __future__ import annotations

from dataclasses import replace

from massive_upload.domain.breaker import after_job
from massive_upload.domain.progress import Batch, BatchState, Partition
from massive_upload.errors import JobRejected
from massive_upload.observability import Event, Marker, log
from massive_upload.usecases.slice_tasks import SliceServices

MOST_LOST_JOBS = 5
"""A batch whose job vanishes as often is not lost by accident: somebody deletes the run's jobs."""


def send_again(partition: Partition, batch: Batch, services: SliceServices) -> None:
    """Plan one more attempt with the same rows; it does not count as one of the load's retries.

    Raises:
        JobRejected: the batch's jobs are deleted again and again.
    """
    if batch.lost_jobs >= MOST_LOST_JOBS:
        raise JobRejected(
            f"Batch {batch.number} of partition {batch.partition} has lost {batch.lost_jobs + 1} jobs.",
            next_step="Find out who deletes the org's ingest jobs, then resume the run.",
        )
    following = replace(
        batch,
        state=BatchState.PLANNED,
        attempt=batch.attempt + 1,
        job_id=None,
        sent_before=batch.sent_before + 1,
        lost_jobs=batch.lost_jobs + 1,
    )
    notes = replace(partition.notes, failures=after_job(partition.failures, is_failed=True, code=None))
    beat = services.org.heartbeat()
    services.store.plan_next_attempt(partition, batch, following, notes=notes, beat=beat)
    log(Marker.WARNING, Event.JOB_GONE, rows=batch.rows, lost_jobs=following.lost_jobs)
