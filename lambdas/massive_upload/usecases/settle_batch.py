"""SettleBatch: record the outcome of every row of a batch's job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from massive_upload.constants import SLICE_EVENTS
from massive_upload.contracts import JobCounters, Next, SliceInput, Step
from massive_upload.domain import presets
from massive_upload.domain.error_counts import add_counts
from massive_upload.domain.file_keys import deferred_key, rejected_key, staged_key
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Batch, BatchState, Partition
from massive_upload.domain.staged_file import RowError, StagedFile
from massive_upload.domain.waits import SETTLE_EVENTS
from massive_upload.errors import InternalError, JobRejected, RunHalted
from massive_upload.observability import Event, Marker, Metric, emit, follow, log
from massive_upload.ports import Files
from massive_upload.salesforce.bulk import JobGone
from massive_upload.usecases.job_outcome import JobOutcome, counters_of, is_proven_clean, read_outcome
from massive_upload.usecases.lost_jobs import send_again
from massive_upload.usecases.slice_tasks import SliceServices, claimed_partition, open_batch


def settle_batch(task: SliceInput, services: SliceServices) -> Step:
    """Read the outcome, keep what was rejected, and either settle the batch or plan its next attempt.

    Raises:
        FencedOut: another slice has claimed the partition.
        JobRejected: the org refused the whole job for a reason of configuration; its rows are kept as rejected.
        RunHalted: rows fail for a reason that would repeat for every row; the whole run is asked to stop.
        PassingError: the org or AWS did not answer.
    """
    partition = claimed_partition(services.store, task)
    batch = open_batch(services.store, partition)
    step = task.step
    if batch is None:
        return step.then(Next.FETCH, events=SETTLE_EVENTS)
    follow(batch)
    if batch.state is not BatchState.SUBMITTED:
        return step.then(Next.BACK_OFF, events=SETTLE_EVENTS)
    load = services.configs.of(task.run_id).load
    pace = load.effective_pace
    delays = presets.SWEEP_RETRY_DELAYS_SECONDS if partition.is_sweep else pace.retry_delays_seconds
    try:
        counters = step.job or _counters(services, batch)
        following = settle_attempt(partition, batch, counters, services, load, retry_delays_seconds=delays)
    except JobGone:
        send_again(partition, batch, services)
        return step.then(Next.BACK_OFF, events=SETTLE_EVENTS)
    if following is not None:
        delay_seconds = delays[batch.attempt - batch.lost_jobs]
        return step.then(Next.BACK_OFF, events=SETTLE_EVENTS, wait_seconds=delay_seconds, is_progress=True)
    if _is_last(partition, batch):
        settled = services.store.partition(task.run_id, task.partition)
        services.store.complete_partition(settled, services.org.heartbeat())
        log(Marker.SUCCESS, Event.PARTITION_COMPLETED)
        return step.then(Next.DONE, events=SETTLE_EVENTS)
    if step.events >= SLICE_EVENTS:
        return step.then(Next.MORE, events=SETTLE_EVENTS)
    delay_seconds = 0 if partition.is_sweep else pace.delay_seconds
    return step.then(Next.FETCH, events=SETTLE_EVENTS, wait_seconds=delay_seconds, is_progress=True)


def settle_attempt(
    partition: Partition,
    batch: Batch,
    counters: JobCounters,
    services: SliceServices,
    load: Load,
    *,
    retry_delays_seconds: Sequence[int],
) -> Batch | None:
    """Settle one attempt of a batch whose job has ended.

    Everything is written to S3 under keys that depend on the attempt and the claim alone, then recorded in one
    transaction: before it nothing has happened, after it the attempt is never looked at again.

    Returns:
        The batch with its next attempt, where rows are to be sent again; None where the batch is settled.

    Raises:
        JobRejected, RunHalted: after the batch was settled.
        JobGone: the org no longer knows the job; nothing was recorded.
    """
    content: StagedFile | None = None
    if not is_proven_clean(batch, counters):
        content = StagedFile(services.files.read(batch.file_key), load.target.external_id)
    outcome = read_outcome(services.org.bulk, batch, counters, content)
    is_whole_batch = batch.attempt == 0
    job_seconds = (counters.seconds or None) if is_whole_batch else None
    if outcome.halting_code is not None:
        services.store.request_stop(partition.run_id, outcome.halting_code)
    has_attempts_left = batch.attempt - batch.lost_jobs < len(retry_delays_seconds) and outcome.halting_code is None
    attempt = _Attempt(partition, batch, outcome, content, services.files, tries=_tries(partition, batch, load))
    if outcome.passing and has_attempts_left:
        following = attempt.plan_next()
        services.store.plan_next_attempt(
            partition, batch, following, job_seconds=job_seconds, beat=services.org.heartbeat()
        )
        _tell(partition, batch, following, outcome, counters, load)
        log(Marker.RETRY, Event.ROWS_SENT_AGAIN, rows=following.rows, next_attempt=following.attempt)
        return following
    settled = attempt.settle()
    services.store.settle_batch(partition, batch, settled, job_seconds=job_seconds, beat=services.org.heartbeat())
    _tell(partition, batch, settled, outcome, counters, load)
    log(
        Marker.SUCCESS,
        Event.BATCH_SETTLED,
        rows=settled.first_rows,
        succeeded=settled.succeeded,
        rejected=settled.rejected,
        deferred=settled.deferred,
        lock_errors=settled.lock_errors,
        job_seconds=counters.seconds,
    )
    _raise_if_hopeless(batch, outcome)
    return None


@dataclass(frozen=True)
class _Attempt:
    """An attempt whose outcome is known, and what follows from it."""

    partition: Partition
    batch: Batch
    outcome: JobOutcome
    content: StagedFile | None
    files: Files
    tries: int

    def plan_next(self) -> Batch:
        """The batch with only the rows that failed for a passing reason."""
        batch = self._with_rejected(self.outcome.rejected)
        if self.content is None:
            raise InternalError("Rows are to be sent again, but their staged file was not read.")
        again = self.content.select(set(self.outcome.passing))
        self._check_match(batch.rejected - self.batch.rejected, again.rows)
        key = staged_key(batch.run_id, batch.partition, batch.number, batch.attempt + 1)
        self.files.write(key, again.content)
        return replace(
            batch,
            state=BatchState.PLANNED,
            attempt=batch.attempt + 1,
            job_id=None,
            rows=again.rows,
            size_bytes=len(again.content),
            file_key=key,
            keys=again.keys,
            succeeded_keys=batch.succeeded_keys + batch.keys - again.keys,
            succeeded=batch.succeeded + self.batch.rows - again.rows - (batch.rejected - self.batch.rejected),
        )

    def settle(self) -> Batch:
        """The settled batch. What a lane gives up for a passing reason waits for the sweep; the sweep rejects it."""
        if self.outcome.is_clean:
            batch = self.batch
        elif self.partition.is_sweep:
            batch = self._with_rejected({**self.outcome.rejected, **self.outcome.passing})
        else:
            batch = self._with_deferred(self._with_rejected(self.outcome.rejected))
        rejected = batch.rejected - self.batch.rejected
        self._check_match(rejected, batch.deferred)
        succeeded = batch.succeeded + self.batch.rows - rejected - batch.deferred
        succeeded_keys = batch.succeeded_keys + batch.keys
        return replace(batch, state=BatchState.SETTLED, succeeded=succeeded, succeeded_keys=succeeded_keys)

    def _with_rejected(self, errors: Mapping[str, RowError]) -> Batch:
        batch = replace(self.batch, lock_errors=self.batch.lock_errors + self.outcome.lock_errors)
        if not errors or self.content is None:
            return batch
        kept = self.content.with_errors(errors, tries=self.tries)
        key = rejected_key(batch.run_id, batch.partition, batch.number, batch.attempt, self.partition.epoch)
        self.files.write(key, kept.content)
        return replace(
            batch,
            keys=batch.keys - kept.keys,
            rejected=batch.rejected + kept.rows,
            rejected_codes=add_counts(batch.rejected_codes, kept.codes),
            rejected_files=(*batch.rejected_files, key),
        )

    def _with_deferred(self, batch: Batch) -> Batch:
        if not self.outcome.passing or self.content is None:
            return batch
        kept = self.content.with_errors(self.outcome.passing, tries=self.tries)
        key = deferred_key(batch.run_id, batch.partition, batch.number, self.partition.epoch)
        self.files.write(key, kept.content)
        return replace(batch, keys=batch.keys - kept.keys, deferred=kept.rows, deferred_file=key)

    def _check_match(self, rejected: int, passing: int) -> None:
        """The rows that the org named, and no others, must be found in the staged file."""
        named = self.outcome.named_rows
        if rejected + passing != named:
            raise InternalError(
                f"Job {self.batch.job_id} names {named} rows that did not succeed; "
                f"their keys are those of {rejected + passing} rows that were sent.",
                next_step="Compare the external id in the job's result files with what was uploaded.",
            )


def _tell(
    partition: Partition,
    batch: Batch,
    following: Batch,
    outcome: JobOutcome,
    counters: JobCounters,
    load: Load,
) -> None:
    """Tell what an attempt came to, once it is recorded: a repetition of the task finds nothing to settle."""
    _log_failures(outcome)
    values: dict[Metric, float] = {
        Metric.ROWS_SENT: batch.rows,
        Metric.ROWS_SUCCEEDED: following.succeeded - batch.succeeded,
        Metric.ROWS_REJECTED: following.rejected - batch.rejected,
        Metric.ROWS_RESENT: batch.rows if batch.attempt or partition.is_sweep else 0,
        Metric.LOCK_ERRORS: outcome.lock_errors,
        Metric.BATCHES_SETTLED: int(following.state is BatchState.SETTLED),
    }
    if counters.seconds:
        values[Metric.JOB_SECONDS] = counters.seconds
    if counters.processing_ms:
        values[Metric.PROCESSING_MILLISECONDS] = counters.processing_ms
        values[Metric.APEX_MILLISECONDS] = counters.apex_ms
    emit(values, load=load.name, run_id=batch.run_id, partition=batch.partition, batch=batch.number)


def _log_failures(outcome: JobOutcome) -> None:
    """One line for each code, so that a query can add them up; the messages are in the files of rejected rows."""
    for marker, errors in ((Marker.RETRY, outcome.passing), (Marker.ERROR, outcome.rejected)):
        for code, rows in Counter(error.code for error in errors.values()).items():
            log(marker, Event.ROWS_FAILED, code=code, rows=rows)


def _tries(partition: Partition, batch: Batch, load: Load) -> int:
    """How often a row of this attempt has been sent; a row of the sweep was sent by its lane before."""
    in_lane = 1 + len(load.effective_pace.retry_delays_seconds) if partition.is_sweep else 0
    return in_lane + batch.attempt + 1


def _raise_if_hopeless(batch: Batch, outcome: JobOutcome) -> None:
    if outcome.refused_code is not None:
        raise JobRejected(
            f"The org refused job {batch.job_id} as a whole: {outcome.refused_code}.",
            next_step="Read the job's error in Setup, Bulk Data Load Jobs; mend the load or the user's permissions.",
            code=outcome.refused_code,
        )
    if outcome.halting_code is not None:
        raise RunHalted(
            f"Rows fail with {outcome.halting_code}, which would repeat for every row.",
            next_step="Mend the cause, then resume the run; the rows that failed are kept as rejected.",
            code=outcome.halting_code,
        )


def _is_last(partition: Partition, batch: Batch) -> bool:
    """Whether nothing is left to read once this batch is settled. A query that has expired is asked once more."""
    if partition.kept_list is not None:
        return partition.settled_rows + batch.first_rows >= partition.source_rows
    return partition.query_rows is not None and batch.next_offset >= partition.query_rows


def _counters(services: SliceServices, batch: Batch) -> JobCounters:
    """The job's counters, where the slice did not hand them on."""
    job = services.org.bulk.get(batch.job_id or "")
    if job is None:
        raise JobGone(f"The org no longer knows job {batch.job_id}.")
    if not job.state.is_terminal:
        raise InternalError(f"Job {batch.job_id} was to be settled, but it has not ended.")
    return counters_of(job)
