"""Batches whose job is gone: nobody can tell what became of their rows, and an upsert may be repeated."""

from __future__ import annotations

from dataclasses import replace

from massive_upload.domain.breaker import after_job
from massive_upload.domain.progress import Batch, Partition
from massive_upload.errors import JobRejected
from massive_upload.observability import Event, Marker, log
from massive_upload.usecases.slice_tasks import SliceServices

MOST_LOST_JOBS = 5
"""A batch whose job vanishes as often is not lost by accident: somebody deletes the run's jobs."""


def send_again(partition: Partition, batch: Batch, services: SliceServices) -> None:
    """Plan one more attempt with the same rows; it does not count as one of the load's retries.

    Raises:
        JobRejected: the batch's jobs are deleted again and again. The attempt is recorded before, and its jobs are
            counted anew, so that a resume sends the rows. A task that dies in between lets the lane go on as far again,
            unless its circuit breaker ends it.
    """
    lost_jobs = batch.lost_jobs + 1
    is_too_often = lost_jobs > MOST_LOST_JOBS
    following = replace(
        batch.for_another_job(),
        sent_before=batch.sent_before + 1,
        lost_jobs=0 if is_too_often else lost_jobs,
    )
    notes = replace(partition.notes, failures=after_job(partition.failures, is_failed=True, code=None))
    beat = services.org.heartbeat()
    services.store.plan_next_attempt(partition, batch, following, notes=notes, beat=beat)
    log(Marker.WARNING, Event.JOB_GONE, rows=batch.rows, lost_jobs=lost_jobs)
    if is_too_often:
        raise JobRejected(
            f"Batch {batch.number} of partition {batch.partition} has lost {lost_jobs} jobs.",
            next_step="Find out who deletes the org's ingest jobs, then resume the run.",
        )
