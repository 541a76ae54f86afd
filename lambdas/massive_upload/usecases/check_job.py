"""CheckJob: see whether the job in flight has ended."""

from __future__ import annotations

from massive_upload.constants import ABORTED_JOB_SECONDS, LONG_WAIT_SECONDS, SLICE_EVENTS
from massive_upload.contracts import JobCounters, Next, SliceInput, Step
from massive_upload.domain.bulk_batches import bulk_batches_of
from massive_upload.domain.progress import Batch, BatchState, Partition
from massive_upload.domain.quota import RequestsTold
from massive_upload.domain.waits import POLL_EVENTS, Look, job_seconds, next_poll_seconds, unbegun_poll_seconds
from massive_upload.errors import OrgUnreachable
from massive_upload.observability import Event, Marker, follow, log
from massive_upload.salesforce.bulk import Job, JobState
from massive_upload.usecases.job_outcome import counters_of
from massive_upload.usecases.lost_jobs import send_again
from massive_upload.usecases.org_usage import tell_usage
from massive_upload.usecases.slice_tasks import (
    SliceServices,
    claimed_lane,
    is_halting,
    slice_task,
    stop_lane,
)


@slice_task
def check_job(task: SliceInput, services: SliceServices) -> Step:
    """Ask the org for the job's state once.

    One that has ended is handed on as it is: SettleBatch looks at the lane before it records anything. A stop or pause
    of the run leaves a job that has gone on for long to FinishRun, which aborts it. An aborted job has ended once it
    has stood still for as long as a batch of it may take. Another one that has not got any further for as long as the
    load's patience lasts is aborted; what it left is sent again. A batch whose job is gone goes back to FetchPage,
    which sees to flags and to the lane's turn before it is sent again.

    Raises:
        OrgUnreachable: the job stands still, and could not be aborted for as long again.
        FencedOut: another slice has claimed the partition.
        JobRejected: the batch's jobs are deleted again and again.
        PassingError: the org or AWS did not answer.
    """
    step, store = task.step, services.store
    before = Look(step.job_waited_seconds, step.job_processed) if step.job_seen else Look()
    waited_seconds = step.job_waited_seconds + step.wait_seconds
    job = None if step.job_id is None else services.org.bulk.get(step.job_id)
    if job is not None and job.state.is_terminal and job.state is not JobState.ABORTED:
        seconds = 0 if step.job_is_adopted else _seconds_of(job, before.waited_seconds, waited_seconds)
        return step.then(Next.SETTLE, events=POLL_EVENTS, job=_counters(job, services, seconds))
    lane = claimed_lane(store, task)
    partition, batch = lane.partition, lane.batch
    if batch is None:
        return step.then(Next.MORE, events=POLL_EVENTS)
    follow(batch)
    if batch.state is not BatchState.SUBMITTED or batch.job_id != step.job_id:
        return step.then(Next.FETCH, events=POLL_EVENTS)
    if job is None:
        send_again(partition, batch, services)
        return step.then(Next.FETCH, events=POLL_EVENTS)
    if waited_seconds >= LONG_WAIT_SECONDS and is_halting(store, task.run_id):
        stop_lane(store, partition)
        return step.then(Next.DONE, events=POLL_EVENTS)
    seen = f"{job.state} {job.processed} {job.failed}"
    still_seconds = step.job_still_seconds + step.wait_seconds if seen == step.job_seen else 0
    if job.state is JobState.ABORTED and (not job.may_write(batch.rows) or still_seconds >= ABORTED_JOB_SECONDS):
        return step.then(Next.SETTLE, events=POLL_EVENTS, job=_counters(job, services, 0))
    patience_seconds = max(LONG_WAIT_SECONDS, services.configs.of(task.run_id).load.effective_pace.patience_seconds)
    if still_seconds >= patience_seconds:
        _abort(job, services, still_seconds, patience_seconds)
    look = Look(waited_seconds, job.processed or 0)
    wait_seconds = _wait_seconds(job, look, before, partition, batch, is_adopted=step.job_is_adopted)
    store.record_heartbeat(partition, services.org.heartbeat(wake_after_seconds=wait_seconds))
    log(Marker.WAITING, Event.WAITING_FOR_JOB, state=job.state, processed=job.processed, wait_seconds=wait_seconds)
    following = Next.MORE if step.events >= SLICE_EVENTS else Next.WAIT_FOR_JOB
    looked = step.then(
        following,
        events=POLL_EVENTS,
        wait_seconds=wait_seconds,
        job_id=job.id,
        job_waited_seconds=waited_seconds,
        job_is_adopted=step.job_is_adopted,
    )
    seen_now = {"job_seen": seen, "job_processed": look.processed, "job_still_seconds": still_seconds}
    return looked.model_copy(update=seen_now)


def _wait_seconds(job: Job, look: Look, before: Look, partition: Partition, batch: Batch, *, is_adopted: bool) -> int:
    """The wait for a job in flight, by what the looks at it have shown; of an adopted one nobody knows since when."""
    if job.state is JobState.ABORTED:
        return ABORTED_JOB_SECONDS
    is_paired, is_known = partition.is_paired, partition.job_seconds is not None
    unbegun_seconds = unbegun_poll_seconds(batch.rows, partition.job_seconds, partition.job_rows, is_paired=is_paired)
    return next_poll_seconds(
        look,
        before,
        rows=batch.rows,
        worked_ms=job.worked_ms // (1 if is_paired else bulk_batches_of(batch.rows)),
        unbegun_seconds=unbegun_seconds,
        is_overdue=job.state is JobState.IN_PROGRESS and is_known and not is_adopted,
        is_paired=is_paired,
    )


def _seconds_of(job: Job, looked_at_seconds: int, waited_seconds: int) -> int:
    """How long a job took that was waited for since it was closed; 0 where that is not known."""
    if job.state is not JobState.JOB_COMPLETE or job.processed is None:  # nobody knows what its time was spent on
        return 0
    return job_seconds(
        looked_at_seconds,
        waited_seconds,
        job.total_processing_ms,
        life_seconds=job.life_seconds,
        batches=bulk_batches_of(job.processed),
    )


def _counters(job: Job, services: SliceServices, seconds: int) -> JobCounters:
    """What an ended job reported, with the requests that are to be counted with it, and what the org tells of them."""
    org = services.org
    usage = org.api_usage
    tell_usage(usage)
    told = None if usage is None else RequestsTold(allowed=usage.allowed, left=usage.left, at=services.clock.now())
    return counters_of(job, seconds=seconds, api_requests=org.take_requests(), requests_told=told)


def _abort(job: Job, services: SliceServices, still_seconds: int, patience_seconds: int) -> None:
    """Rows that the job has saved stay saved, and its result files tell which: only the others are sent again."""
    if still_seconds >= 2 * patience_seconds:
        raise OrgUnreachable(
            f"Job {job.id} has stood still for {still_seconds} s, and the org does not abort it.",
            next_step="Abort it in Setup, Bulk Data Load Jobs, then resume the run.",
        )
    log(Marker.WARNING, Event.JOB_STALLED, state=job.state, processed=job.processed, waited_seconds=still_seconds)
    services.org.bulk.abort(job.id)
