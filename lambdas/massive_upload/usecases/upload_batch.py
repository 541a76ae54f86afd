"""UploadBatch: carry a staged batch to the org in a job of its own."""

from __future__ import annotations

from dataclasses import replace

from massive_upload.contracts import Next, SliceInput, Step
from massive_upload.domain.breaker import after_batch
from massive_upload.domain.progress import Batch, BatchState, Lease, Partition
from massive_upload.domain.waits import UPLOAD_EVENTS, first_poll_seconds
from massive_upload.errors import FencedOut, InternalError, PassingError
from massive_upload.observability import Event, Marker, Metric, emit_of, follow, log
from massive_upload.salesforce.bulk import BulkIngest, JobState
from massive_upload.salesforce.data_cloud import QueryExpired
from massive_upload.usecases.circuit_breaker import check_lane
from massive_upload.usecases.range_reader import RangeReader
from massive_upload.usecases.run_config import RunConfig
from massive_upload.usecases.slice_tasks import SliceServices, claimed_lane, slice_task
from massive_upload.usecases.staging import tell_staged


@slice_task
def upload_batch(task: SliceInput, services: SliceServices) -> Step:
    """Create a job, record it, upload the batch's file, close the job, and stage the rows that come after it.

    The job is recorded before anything is sent to it. Whoever comes back to a batch whose job is recorded reads the
    job's state: one that is still Open may or may not have the data, and a second upload must never be tried, so that
    job is aborted and another is created. One that was created and never recorded stays Open and empty. A batch of
    which no row can be sent needs no job.

    While the job runs, the next rows are staged as the batch ahead, which is recorded together with what was sent. So
    it can be sent as soon as this one is settled.

    Raises:
        FencedOut: another slice or another run has taken over.
        BreakerTripped: too much of the lane fails; nothing was sent.
        PassingError: the org or AWS did not answer; calling again goes on from what is recorded.
    """
    store, config = services.store, services.configs.of(task.run_id)
    lane = claimed_lane(store, task, lease_key=config.lease_key)
    partition, batch = lane.partition, lane.batch
    if batch is None:
        return task.step.then(Next.MORE, events=UPLOAD_EVENTS)
    follow(batch)
    if batch.rows == 0:
        _settle_empty(partition, batch, services, config)
        return task.step.then(Next.FETCH, events=UPLOAD_EVENTS, is_progress=True)
    if batch.state is BatchState.SUBMITTED:
        return _wait_for_job(task.step, partition, batch, is_adopted=True)
    is_adopted = batch.state is BatchState.CREATED and _has_started(services.org.bulk, batch)
    if not is_adopted:
        check_lane(partition, config.load)
        check_holder(lane.lease, task.run_id, config.lease_key)
        batch = _send(partition, batch, services, config)
    closed_at = services.clock.now()
    ahead = _stage_ahead(partition, batch, services, config)
    read_seconds = int((services.clock.now() - closed_at).total_seconds())
    step = _wait_for_job(task.step, partition, batch, read_seconds=read_seconds, is_adopted=is_adopted)
    beat = services.org.heartbeat(wake_after_seconds=step.wait_seconds)
    submitted = store.record_submitted(partition, batch, beat, ahead=ahead)
    if ahead is not None:
        tell_staged(ahead, config.load)
    follow(submitted)
    log(
        Marker.UPLOAD,
        Event.BATCH_UPLOADED,
        rows=batch.rows,
        size_bytes=batch.size_bytes,
        wait_seconds=step.wait_seconds,
    )
    return step


def _settle_empty(partition: Partition, batch: Batch, services: SliceServices, config: RunConfig) -> None:
    settled = replace(batch, state=BatchState.SETTLED)
    limits = config.load.breaker.lane
    failures = after_batch(partition.failures, limits, rows=batch.first_rows, failed_rows=batch.rejected)
    notes = replace(partition.notes, failures=failures)
    services.store.settle_batch(partition, batch, settled, notes=notes, beat=services.org.heartbeat())
    emit_of(batch, {Metric.BATCHES_SETTLED: 1}, load=config.load.name)


def _wait_for_job(step: Step, partition: Partition, batch: Batch, *, read_seconds: int = 0, is_adopted: bool) -> Step:
    """The wait for a job that is closed, just now unless it is adopted; reading took its time, in which it has run."""
    foreseen_seconds = first_poll_seconds(
        batch.rows, partition.job_seconds, partition.job_rows, is_paired=partition.is_paired
    )
    read_seconds = max(0, min(read_seconds, foreseen_seconds - 1))  # a machine's clock may be set back meanwhile
    return step.then(
        Next.WAIT_FOR_JOB,
        events=UPLOAD_EVENTS,
        wait_seconds=foreseen_seconds - read_seconds,
        batch=batch.number,
        job_id=batch.job_id,
        job_waited_seconds=read_seconds,
        job_is_adopted=is_adopted,
    )


def _stage_ahead(partition: Partition, batch: Batch, services: SliceServices, config: RunConfig) -> Batch | None:
    """Stage what comes after a batch whose job is in flight.

    The job matters more: where the source cannot be read now, the lane reads once the job is settled.
    """
    if partition.ahead_batch is not None:
        return None
    try:
        return RangeReader(services, partition, config, in_flight=batch).stage_ahead()
    except (PassingError, QueryExpired) as error:
        log(Marker.WARNING, Event.READ_AHEAD_FAILED, error=type(error).__name__, code=error.code)
        return None


def _has_started(bulk: BulkIngest, batch: Batch) -> bool:
    """Whether the recorded job got its data and was closed; a job that was not is given up."""
    job = bulk.get(_job_id(batch))
    if job is None or job.state is JobState.ABORTED:
        return False
    if job.state is JobState.OPEN:
        bulk.abort(job.id)
        log(Marker.WARNING, Event.JOB_GIVEN_UP)
        return False
    return True


def _send(partition: Partition, batch: Batch, services: SliceServices, config: RunConfig) -> Batch:
    """Carry a batch to a job of its own, which is then closed."""
    store, bulk, load = services.store, services.org.bulk, config.load
    content = services.files.read(batch.file_key)
    if len(content) != batch.size_bytes:
        raise InternalError(
            f"The staged file {batch.file_key} has {len(content)} bytes; {batch.size_bytes} were recorded.",
            next_step="Resume the run from its cursor; find out who changes files of the bucket.",
        )
    job = bulk.create(object_name=load.target.object, external_id=load.target.external_id)
    created = store.record_job(partition, batch, job.id, services.org.heartbeat())
    follow(created)
    bulk.upload(job.id, content)
    check_holder(store.lease(config.lease_key), partition.run_id, config.lease_key)
    _close(bulk, job.id)
    return created


def _close(bulk: BulkIngest, job_id: str) -> None:
    """Close a job whose data the org has taken for sure; a doubtful end is cleared up by a look at the job."""
    try:
        bulk.close(job_id)
    except PassingError:
        job = bulk.get(job_id)
        if job is None or job.state is JobState.ABORTED:
            raise
        if job.state is JobState.OPEN:
            bulk.close(job_id)


def check_holder(lease: Lease | None, run_id: str, lease_key: str) -> None:
    """Make sure that the target, whose lease was just read, is still this run's.

    Raises:
        FencedOut: another run has taken the target over.
    """
    if lease is None or lease.run_id != run_id:
        raise FencedOut(
            f"Run {run_id} no longer holds the target {lease_key}.",
            next_step="Nothing to do: this slice ends, and the run that holds the target goes on.",
        )


def _job_id(batch: Batch) -> str:
    if batch.job_id is None:
        raise InternalError(f"Batch {batch.number} of partition {batch.partition} is {batch.state} without a job.")
    return batch.job_id
