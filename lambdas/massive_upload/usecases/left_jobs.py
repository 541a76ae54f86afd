"""Jobs that a run has left behind as it ended: nobody else writes to its target before they have ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from massive_upload.constants import STATE_KEPT_DAYS
from massive_upload.domain.progress import Partition, Run
from massive_upload.usecases.drain import Drain, Left
from massive_upload.usecases.receipt import renew_receipt
from massive_upload.usecases.slice_tasks import SliceServices, unsettled_batches


def end_left_jobs(run: Run, services: SliceServices) -> Left:
    """Settle or abort what a run that has ended left in flight, and have its receipt say what came of it.

    How the run ended stays as it is; its account is the sum of its partitions at any time. Harmless when it is called
    again: a call that died before the receipt was written is made good by the next. Of a run that is so old that its
    items and files expire nothing is asked: Salesforce has ended its jobs after seven days.

    Returns:
        The worst that a lane has left.
    """
    age = services.clock.now() - run.started_at
    if run.plan_name is None or run.ended_at is None or age > timedelta(days=STATE_KEPT_DAYS):
        return Left.NOTHING
    left = end_jobs_of(run, services.store.partitions(run.run_id), services)
    if not renew_receipt(run, run.ended_at, services):
        return Left.JOB  # resumed meanwhile: what is left is that execution's, and so is the receipt
    return left


def end_jobs_of(run: Run, partitions: Sequence[Partition], services: SliceServices) -> Left:
    """Settle or abort the jobs that some partitions of a run were left with.

    Returns:
        The worst that one of them has left.
    """
    with_job = {batch.partition for batch in unsettled_batches(services.store, partitions) if batch.has_job}
    left = Drain(run, services).end_lanes([partition for partition in partitions if partition.partition in with_job])
    return next((worst for worst in (Left.JOB, Left.ROWS) if worst in left), Left.NOTHING)
