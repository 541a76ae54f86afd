"""Jobs in flight of a run that ends: settled where they have ended, aborted where they have not."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum, unique

from massive_upload.constants import ABORTED_JOB_SECONDS, DRAIN_WAIT_SECONDS
from massive_upload.domain.progress import Batch, BatchState, Partition, PartitionStatus, Run
from massive_upload.errors import FencedOut, LoadError, RequestRefused, SalesforceUnavailable, StateChanged
from massive_upload.observability import Event, Marker, following, log
from massive_upload.salesforce.bulk import BulkIngest, Job, JobGone, JobState
from massive_upload.usecases.job_outcome import counters_of
from massive_upload.usecases.lost_jobs import send_again
from massive_upload.usecases.settle_batch import settle_attempt
from massive_upload.usecases.slice_tasks import SliceServices, open_batch

_MOST_UNANSWERED = 5
"""Each takes two minutes at most (`salesforce.transport.TRANSFER_TIMEOUT`), of the fifteen that FinishRun has."""

_ABORTED_LOOKS = ABORTED_JOB_SECONDS // DRAIN_WAIT_SECONDS


@unique
class Left(StrEnum):
    """What a lane that was brought to its end has left at the org."""

    NOTHING = "nothing"
    ROWS = "rows"
    """Its job has ended, and what became of its rows is not known yet."""
    JOB = "job"
    """Its job has yet to end, was aborted and may still write rows, or nobody knows whether it has ended."""


class Drain:
    """Brings the lanes of a run to their end, one after the other.

    An org that leaves too many calls without an answer is asked no more for the time being: each waits for its whole
    time-out, and FinishRun would be killed before it had counted its look.

    Args:
        run: the run as it is to be ended.
        services: of the task.
    """

    def __init__(self, run: Run, services: SliceServices) -> None:
        self._run = run
        self._services = services
        self._unanswered = 0

    def end_lanes(self, partitions: Sequence[Partition], *, look: int = 0) -> list[Left]:
        """Bring lanes to their end.

        Args:
            partitions: the lanes.
            look: how often the same was done before; each time other lanes are the first, so that those whose calls
                stay without an answer do not keep the org from being asked for the others'.
        """
        first = look * _MOST_UNANSWERED % max(1, len(partitions))
        return [self.end_lane(partition) for partition in (*partitions[first:], *partitions[:first])]

    def end_lane(self, partition: Partition) -> Left:
        """Bring a lane to its end: fence out who may still work on it, and settle or abort its job in flight.

        The lane's partition is no longer Running then, unless somebody else has claimed it in this very moment. Of one
        whose run has ended before, what is left is settled.
        """
        if partition.status is PartitionStatus.COMPLETED:
            return Left.NOTHING
        store = self._services.store
        try:
            mine = store.take_over_partition(partition, execution_arn=self._run.execution_arn)
            if mine.status is PartitionStatus.RUNNING:
                store.stop_partition(mine)
            batch = open_batch(store, mine)
            if batch is None or not batch.has_job:
                return Left.NOTHING
            if self._unanswered >= _MOST_UNANSWERED:
                return Left.JOB
            config = self._services.configs.of(self._run.run_id)
            with following(batch), self._services.org.only_to(config.org_id):
                return self._drain(mine, batch)
        except FencedOut:
            return Left.JOB  # claimed or reopened in this very moment; it is looked at again

    def _drain(self, partition: Partition, batch: Batch) -> Left:
        """An org that refuses or does not answer must not keep the run from ending: its rows are then unsettled.

        Nor must what the job itself has come to, which may be an error after it is recorded: the record tells which it
        was.
        """
        left = Left.JOB
        try:
            batch, job = _end_job(partition, batch, self._services)
            if job is not None and job.may_write(batch.rows) and not _is_over(job, partition, batch, self._services):
                return left
            left = Left.ROWS
            _record(partition, batch, job, self._services)
        except FencedOut:
            raise
        except LoadError as error:
            self._unanswered += isinstance(error, SalesforceUnavailable) and not error.answered
            if self._services.store.batch(partition, batch.number).has_job:
                log(Marker.WARNING, Event.JOB_UNSETTLED, error=type(error).__name__, reason=str(error))
                return left
            log(Marker.WARNING, Event.JOB_REFUSED, error=type(error).__name__, code=error.code)
        return Left.NOTHING


def _end_job(partition: Partition, batch: Batch, services: SliceServices) -> tuple[Batch, Job | None]:
    """Abort a batch's job where it has not ended.

    Returns:
        The batch and its job as they are then; no job where the org knows none, or none that got its rows.
    """
    bulk = services.org.bulk
    job = bulk.get(batch.job_id or "")
    if batch.state is BatchState.CREATED:
        if job is not None and job.state is JobState.OPEN:
            bulk.abort(job.id)
        if job is None or job.state in (JobState.OPEN, JobState.ABORTED):
            return batch, None
        batch = services.store.record_submitted(partition, batch, services.org.heartbeat())
    if job is not None and not job.state.is_terminal:
        job = _abort(bulk, job)
    return batch, job


def _is_over(job: Job, partition: Partition, batch: Batch, services: SliceServices) -> bool:
    """Whether a job was aborted so long ago that a batch which had begun has ended, too. Otherwise it is noted.

    By the clock, or by so many looks that as much time lies between them: where time is made to pass faster, as in a
    rehearsal, the clock does not show it.
    """
    if job.state is not JobState.ABORTED:
        return False
    seconds = 0.0 if batch.aborted_at is None else (services.clock.now() - batch.aborted_at).total_seconds()
    if seconds >= ABORTED_JOB_SECONDS or batch.aborted_looks >= _ABORTED_LOOKS:
        return True
    services.store.note_aborted(partition, batch, services.org.heartbeat())
    return False


def _abort(bulk: BulkIngest, job: Job) -> Job | None:
    try:
        bulk.abort(job.id)
    except (RequestRefused, StateChanged) as error:
        # It may have ended meanwhile, which the next answer tells.
        log(Marker.WARNING, Event.ABORT_REFUSED, code=error.code)
    return bulk.get(job.id)


def _record(partition: Partition, batch: Batch, job: Job | None, services: SliceServices) -> None:
    """Settle what a job has done. What it left is planned as one more attempt, which resume would send."""
    if job is None:
        send_again(partition, batch, services)
        return
    try:
        settle_attempt(partition, batch, counters_of(job), services, retries=batch.retries + 1)
    except JobGone:
        send_again(partition, batch, services)
