"""Jobs in flight of a run that ends: settled where they have ended, aborted where they have not."""

from __future__ import annotations

from massive_upload.domain.load import Load
from massive_upload.domain.progress import Batch, BatchState, Partition, PartitionStatus, Run
from massive_upload.errors import FencedOut, JobRejected, LoadError, RequestRefused, RunHalted, StateChanged
from massive_upload.observability import Event, Marker, following, log
from massive_upload.salesforce.bulk import BulkIngest, Job, JobState
from massive_upload.usecases.job_outcome import counters_of
from massive_upload.usecases.lost_jobs import send_again
from massive_upload.usecases.settle_batch import settle_attempt
from massive_upload.usecases.slice_tasks import SliceServices, open_batch


def end_lane(run: Run, partition: Partition, services: SliceServices, load: Load) -> bool:
    """Bring a lane to its end: fence out who may still work on it, and settle or abort its job in flight.

    Returns:
        True where nothing is in flight now; False where a job has been aborted and has yet to end, or where its state
        cannot be learned. The lane's partition is no longer Running in either case.
    """
    if partition.status is PartitionStatus.COMPLETED:
        return True
    try:
        mine = services.store.take_over_partition(partition, execution_arn=run.execution_arn)
        if mine.status is PartitionStatus.RUNNING:
            services.store.stop_partition(mine)
        batch = open_batch(services.store, mine)
        if batch is None or batch.state is BatchState.PLANNED:
            return True
        with following(batch):
            return _drain(mine, batch, services, load)
    except FencedOut:
        return False  # claimed or reopened in this very moment; it is looked at again


def _drain(partition: Partition, batch: Batch, services: SliceServices, load: Load) -> bool:
    """An org that refuses or does not answer must not keep the run from ending: its rows are then unsettled."""
    try:
        return _drain_job(partition, batch, services, load)
    except FencedOut:
        raise
    except (JobRejected, RunHalted) as error:
        # What the job came to is recorded before either is raised, and the run is ending anyway.
        log(Marker.WARNING, Event.JOB_REFUSED, error=type(error).__name__, code=error.code)
        return True
    except LoadError as error:
        log(Marker.WARNING, Event.JOB_UNSETTLED, error=type(error).__name__, reason=str(error))
        return False


def _drain_job(partition: Partition, batch: Batch, services: SliceServices, load: Load) -> bool:
    store, bulk = services.store, services.org.bulk
    job = bulk.get(batch.job_id or "")
    if batch.state is BatchState.CREATED:
        if job is not None and job.state is JobState.OPEN:
            bulk.abort(job.id)
        if job is None or job.state in (JobState.OPEN, JobState.ABORTED):
            send_again(partition, batch, services)
            return True
        batch = store.record_submitted(partition, batch, services.org.heartbeat())
    if job is not None and not job.state.is_terminal:
        job = _abort(bulk, job)
    if job is None:
        send_again(partition, batch, services)
        return True
    if job.state.is_terminal:
        _settle(partition, batch, job, services, load)
    return job.state.is_terminal


def _abort(bulk: BulkIngest, job: Job) -> Job | None:
    try:
        bulk.abort(job.id)
    except (RequestRefused, StateChanged) as error:
        # It may have ended meanwhile, which the next answer tells.
        log(Marker.WARNING, Event.ABORT_REFUSED, code=error.code)
    return bulk.get(job.id)


def _settle(partition: Partition, batch: Batch, job: Job, services: SliceServices, load: Load) -> None:
    """Settle what the job has done. What it left is planned as one more attempt, which resume would send."""
    settle_attempt(partition, batch, counters_of(job), services, load, retries=batch.retries + 1)
