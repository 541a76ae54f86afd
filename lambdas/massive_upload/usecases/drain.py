"""Jobs in flight of a run that ends: settled where they have ended, aborted where they have not."""

from __future__ import annotations

from dataclasses import replace

from massive_upload.contracts import JobCounters
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Batch, BatchState, Partition
from massive_upload.errors import FencedOut, JobRejected, PassingError, RunHalted
from massive_upload.salesforce.bulk import Job, JobState
from massive_upload.usecases.settle_batch import settle_attempt
from massive_upload.usecases.slice_tasks import SliceServices, open_batch


def drain_partition(partition: Partition, services: SliceServices, load: Load) -> bool:
    """Bring a partition's job in flight to an end, if it has one. Nobody works on the partition any more.

    Returns:
        True where nothing is in flight now; False where the job has been aborted and has yet to end, or where the org
        does not answer.
    """
    batch = open_batch(services.store, partition)
    if batch is None or batch.state is BatchState.PLANNED:
        return True
    try:
        mine = services.store.take_over_partition(partition)
        job = services.org.bulk.get(batch.job_id or "")
        return _drain_job(mine, batch, job, services, load)
    except FencedOut:
        return False  # somebody else changed it in this very moment; it is looked at again
    except PassingError:
        return False


def _drain_job(partition: Partition, batch: Batch, job: Job | None, services: SliceServices, load: Load) -> bool:
    store, bulk = services.store, services.org.bulk
    if batch.state is BatchState.CREATED:
        if job is None or job.state is JobState.ABORTED:
            return True
        if job.state is JobState.OPEN:
            bulk.abort(job.id)
            return True
        batch = store.record_submitted(partition, batch, services.org.heartbeat())
    if job is None:
        unsent = replace(batch, state=BatchState.PLANNED, attempt=batch.attempt + 1, job_id=None)
        store.plan_next_attempt(partition, batch, unsent, job_seconds=None, beat=services.org.heartbeat())
        return True
    if not job.state.is_terminal:
        job = bulk.abort(job.id)
    if not job.state.is_terminal:
        return False
    _settle(partition, batch, job, services, load)
    return True


def _settle(partition: Partition, batch: Batch, job: Job, services: SliceServices, load: Load) -> None:
    counters = JobCounters(state=job.state, processed=job.processed, failed=job.failed, seconds=0)
    try:
        settle_attempt(partition, batch, counters, services, load, retry_delays_seconds=())
    except (JobRejected, RunHalted):
        return  # the batch is settled all the same, and the run is ending
