"""SettleBatch: record the outcome of every row of a batch's job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from massive_upload.constants import JOB_ROWS_PER_BATCH, SLICE_EVENTS
from massive_upload.contracts import JobCounters, Next, SliceInput, Step
from massive_upload.domain import presets
from massive_upload.domain.breaker import after_batch, after_job
from massive_upload.domain.bulk_batches import bulk_batches_of
from massive_upload.domain.hot_parents import KEPT_OF_A_LANE, hottest
from massive_upload.domain.load import Load, Pace
from massive_upload.domain.pace import LanePace, PaceReason, next_pace
from massive_upload.domain.progress import Batch, BatchState, JobWork, LaneFailures, LaneNotes, Partition
from massive_upload.domain.staged_file import StagedFile
from massive_upload.domain.waits import SETTLE_EVENTS, longest_wait_seconds, org_wait_seconds, unqueued_seconds
from massive_upload.errors import BatchQuotaExhausted, JobRejected, PassingError, RunHalted
from massive_upload.observability import Event, Marker, Metric, emit_of, follow, log
from massive_upload.ports import LaneView
from massive_upload.salesforce.bulk import JobGone, JobState
from massive_upload.salesforce.error_codes import is_out_of_batches
from massive_upload.usecases.attempt import Attempt
from massive_upload.usecases.check_patience import patience_left_seconds
from massive_upload.usecases.circuit_breaker import is_run_given_up
from massive_upload.usecases.job_outcome import JobOutcome, is_proven_clean, read_outcome
from massive_upload.usecases.lost_jobs import send_again
from massive_upload.usecases.org_usage import tell_used_up
from massive_upload.usecases.row_plan import plan_rows
from massive_upload.usecases.run_config import RunConfig
from massive_upload.usecases.slice_tasks import (
    SliceServices,
    claimed_lane,
    claimed_partition,
    has_to_halt,
    slice_task,
)
from massive_upload.usecases.staging import pace_of
from massive_upload.usecases.turn import Turn, ask_for_turn

_WAITS_FOR_LISTS = 2
"""After so many waits in a row for the org, whatever it was asked (six minutes), what its result files lack is taken as
not to come."""


@slice_task
def settle_batch(task: SliceInput, services: SliceServices) -> Step:
    """Read the outcome, keep what was rejected, and either settle the batch or plan its next attempt.

    Raises:
        FencedOut: another slice has claimed the partition.
        JobRejected: the org refused the whole job for a reason of configuration; its rows are kept as rejected.
        RunHalted: rows fail for a reason that would repeat for every row; the whole run is asked to stop.
        OrgUnreachable: the org has taken no rows for as long as the load's patience lasts.
        PassingError: the org or AWS did not answer.
    """
    config = services.configs.of(task.run_id)
    lane = claimed_lane(services.store, task, with_ahead=True, org_id=config.org_id, with_run=True)
    partition, batch, step = lane.partition, lane.batch, task.step
    counters = step.job
    if batch is None or batch.state is not BatchState.SUBMITTED or counters is None or counters.job_id != batch.job_id:
        return step.then(Next.FETCH, events=SETTLE_EVENTS)  # settled by a repetition of this task
    follow(batch)
    load = config.load
    pace = load.pace_at(partition.pace)
    delays = presets.SWEEP_RETRY_DELAYS_SECONDS if partition.is_sweep else pace.retry_delays_seconds
    try:
        settled = settle_attempt(
            partition,
            batch,
            counters,
            services,
            retries=len(delays),
            are_lists_final=step.org_waits >= _WAITS_FOR_LISTS,
        )
    except JobGone:
        send_again(partition, batch, services)
        return step.then(Next.BACK_OFF, events=SETTLE_EVENTS)
    following = settled.following
    if settled.waiting_code is not None:
        has_got_on = following.succeeded + following.rejected > batch.succeeded + batch.rejected
        so_far = step.then(Next.BACK_OFF, events=SETTLE_EVENTS, is_progress=has_got_on)
        return _wait_for_org(so_far, settled.waiting_code, partition, services, load)
    edge_seconds = 0 if partition.is_sweep else pace.delay_seconds
    to_turn = partial(step.then, events=SETTLE_EVENTS, requests_told=counters.requests_told, is_progress=True)
    if following.state is BatchState.PLANNED:
        delay_seconds = delays[batch.retries] if following.retries > batch.retries else edge_seconds
        return to_turn(Next.BACK_OFF, wait_seconds=delay_seconds)
    if _is_last(partition, batch):
        latest = claimed_partition(services.store, task)  # a newer claim may have found more to read since
        services.store.complete_partition(latest, services.org.heartbeat())
        log(Marker.SUCCESS, Event.PARTITION_COMPLETED)
        return step.then(Next.DONE, events=SETTLE_EVENTS)
    if step.events >= SLICE_EVENTS:
        return step.then(Next.MORE, events=SETTLE_EVENTS)
    if lane.ahead is not None and not edge_seconds and _may_go_on(lane, lane.ahead, load, services, counters):
        return step.then(Next.UPLOAD, events=SETTLE_EVENTS, batch=lane.ahead.number, is_progress=True)
    return to_turn(Next.FETCH, wait_seconds=edge_seconds)


def _wait_for_org(step: Step, code: str, partition: Partition, services: SliceServices, load: Load) -> Step:
    """The next wait for an org that takes no rows for now, though it answers, within the load's patience."""
    if is_out_of_batches(code):
        tell_used_up(BatchQuotaExhausted.__name__)
    left_seconds = patience_left_seconds(step, load, last_try=f"At the last try the org took no rows: {code}.")
    wait_seconds = longest_wait_seconds(org_wait_seconds(step.org_waits), patience_left_seconds=left_seconds)
    waited_seconds = step.org_waited_seconds
    services.store.record_heartbeat(partition, services.org.heartbeat(wake_after_seconds=wait_seconds))
    log(Marker.WAITING, Event.WAITING_FOR_ORG, code=code, wait_seconds=wait_seconds, waited_seconds=waited_seconds)
    return step.model_copy(
        update={
            "wait_seconds": wait_seconds,
            "org_waits": step.org_waits + 1,
            "org_waited_seconds": waited_seconds + wait_seconds,
        }
    )


def _may_go_on(lane: LaneView, ahead: Batch, load: Load, services: SliceServices, counters: JobCounters) -> bool:
    """Whether the batch that is staged ahead may be sent at once; FetchPage sees to whatever speaks against it."""
    partition = lane.partition
    if has_to_halt(lane.run, partition.run_id) or is_run_given_up(partition, load, services.store):
        return False
    try:
        batches, before = bulk_batches_of(ahead.rows), Turn(requests_told=counters.requests_told)
        return ask_for_turn(partition, services, batches=batches, before=before, quota=lane.quota).has_come
    except PassingError:  # the batch before is settled; FetchPage asks again, and has patience
        return False


@dataclass(frozen=True, kw_only=True)
class SettledAttempt:
    """An attempt whose outcome is recorded.

    Attributes:
        following: the batch as it is recorded: with its next attempt Planned, or Settled.
        waiting_code: as `JobOutcome` has it.
    """

    following: Batch
    waiting_code: str | None


def settle_attempt(
    partition: Partition,
    batch: Batch,
    counters: JobCounters,
    services: SliceServices,
    *,
    retries: int,
    are_lists_final: bool = False,
) -> SettledAttempt:
    """Settle one attempt of a batch whose job has ended.

    Everything is written to S3 in files of its own, which one transaction then records: before it nothing has happened,
    after it the attempt is never looked at again.

    Args:
        partition: the lane's, as it was claimed.
        batch: whose job has ended.
        counters: what the job reported.
        services: what the task works with.
        retries: how often rows may be sent again for a passing reason.
        are_lists_final: as `read_outcome` has it.

    Raises:
        JobRejected, RunHalted: after that was recorded.
        JobGone, SalesforceUnavailable: the org no longer knows the job, or its result files are not believed; nothing
            was recorded.
    """
    config = services.configs.of(partition.run_id)
    load = config.load
    content: StagedFile | None = None
    if not is_proven_clean(batch, counters):
        content = StagedFile(services.files.read(batch.file_key), load.target.external_id)
    outcome = read_outcome(services.org.bulk, batch, counters, content, are_lists_final=are_lists_final)
    if outcome.halting_code is not None:
        services.store.request_stop(partition, outcome.halting_code, error=RunHalted.__name__)
    plan = plan_rows(outcome, batch, retries=retries, is_sweep=partition.is_sweep)
    following = Attempt(
        batch=batch,
        outcome=outcome,
        plan=plan,
        content=content,
        files=services.files,
        tries=batch.sent_before + 1,
    ).following()
    is_settled = following.state is BatchState.SETTLED
    record = services.store.settle_batch if is_settled else services.store.plan_next_attempt
    pace, reason = _next_pace(partition, batch, outcome, load)
    notes = LaneNotes(
        failures=_failures(partition, following, outcome, counters, load),
        pace=pace,
        hot_parents=_hot_parents(partition, outcome, content, config),
        job_seconds=_unqueued_seconds(partition, batch, counters) if _is_typical(batch, outcome) else None,
        work=_work(partition, batch, outcome, counters),
    )
    beat = services.org.heartbeat(uncounted_requests=counters.api_requests)
    record(partition, batch, following, notes=notes, beat=beat)
    if reason is not None:
        recorded = replace(partition, pace=pace, lock_errors=partition.lock_errors + outcome.lock_errors)
        _log_pace(pace_of(load, recorded), reason, pace.speed_percent)
    _tell(partition, batch, following, outcome, counters, load)
    _raise_if_hopeless(batch, outcome)
    return SettledAttempt(following=following, waiting_code=outcome.waiting_code)


def _is_typical(batch: Batch, outcome: JobOutcome) -> bool:
    """Whether an attempt is like those of later batches: of all its rows, and by an org that takes rows."""
    return batch.attempt == 0 and outcome.waiting_code is None


def _work(partition: Partition, batch: Batch, outcome: JobOutcome, counters: JobCounters) -> JobWork:
    """What an attempt tells of the org's speed: only a first one that completed, and whose time is known, does."""
    if not _is_typical(batch, outcome) or counters.state != JobState.JOB_COMPLETE or not counters.seconds:
        return JobWork()
    return JobWork(
        jobs=1,
        rows=batch.rows,
        seconds=counters.seconds,
        processing_ms=_processing_ms(partition, batch, counters),
        contended_rows=outcome.contended_rows,
    )


def _processing_ms(partition: Partition, batch: Batch, counters: JobCounters) -> int:
    """How long the org worked on a job, one batch added to the other; no longer than the job took.

    Of a job of several batches nobody says whether the org adds them up. A full one is taken to have been worked on for
    as long as the job took, and the last one for its part of that, side by side; where they share a parent, in turn.
    """
    job_ms = 1000 * counters.seconds
    if bulk_batches_of(batch.rows) == 1:
        return min(counters.processing_ms, job_ms)
    return job_ms if partition.is_paired else job_ms * batch.rows // JOB_ROWS_PER_BATCH


def _unqueued_seconds(partition: Partition, batch: Batch, counters: JobCounters) -> int | None:
    """How long the next job is expected to take; None where this one's time is not known."""
    processing_ms = _processing_ms(partition, batch, counters)
    return unqueued_seconds(counters.seconds, processing_ms, before_seconds=partition.job_seconds) or None


def _failures(
    partition: Partition, following: Batch, outcome: JobOutcome, counters: JobCounters, load: Load
) -> LaneFailures:
    """What the lane's circuit breaker goes by from here on."""
    if outcome.waiting_code is not None:
        return partition.failures
    is_failed = counters.state != JobState.JOB_COMPLETE
    failures = after_job(partition.failures, is_failed=is_failed, code=outcome.main_code)
    if following.state is not BatchState.SETTLED:
        return failures
    failed_rows = following.rejected + following.deferred
    return after_batch(failures, load.breaker.lane, rows=following.first_rows, failed_rows=failed_rows)


def _next_pace(
    partition: Partition, batch: Batch, outcome: JobOutcome, load: Load
) -> tuple[LanePace, PaceReason | None]:
    """The lane's pace from here on; only the first try of a batch tells how contended the org is, if it takes rows."""
    if not _is_typical(batch, outcome) or partition.is_sweep or not load.effective_pace.adaptive:
        return partition.pace, None
    return next_pace(
        partition.pace, speed_percent=batch.speed_percent, rows=batch.rows, failed_rows=outcome.contended_rows
    )


def _log_pace(pace: Pace, reason: PaceReason, speed_percent: int) -> None:
    log(
        Marker.WARNING if reason is not PaceReason.QUIET else Marker.SUCCESS,
        Event.PACE_CHANGED,
        reason=reason.value,
        speed_percent=speed_percent,
        batch_rows=pace.batch_rows,
        delay_seconds=pace.delay_seconds,
        retry_delays_seconds=pace.retry_delays_seconds,
    )


def _hot_parents(
    partition: Partition, outcome: JobOutcome, content: StagedFile | None, config: RunConfig
) -> Mapping[str, int]:
    """The parents that have cost the lane most lock errors, where the load's parent column is sent at all."""
    mapping = config.load.fields.get(config.load.source.parent or "")
    if content is None or mapping is None or not outcome.locked:
        return partition.hot_parents
    of_this_job = content.counted(mapping.to, outcome.locked)
    return hottest([partition.hot_parents, of_this_job], KEPT_OF_A_LANE, config.identity)


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
    _log_following(batch, following, counters)
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
    emit_of(batch, values, load=load.name)


def _log_following(batch: Batch, following: Batch, counters: JobCounters) -> None:
    if following.halvings > batch.halvings:
        log(Marker.WARNING, Event.JOB_HALVED, rows=batch.rows, halvings=following.halvings)
    if following.state is BatchState.PLANNED:
        log(Marker.RETRY, Event.ROWS_SENT_AGAIN, rows=following.rows, next_attempt=following.attempt)
        return
    log(
        Marker.SUCCESS,
        Event.BATCH_SETTLED,
        rows=following.first_rows,
        succeeded=following.succeeded,
        rejected=following.rejected,
        deferred=following.deferred,
        lock_errors=following.lock_errors,
        job_seconds=counters.seconds,
    )


def _log_failures(outcome: JobOutcome) -> None:
    """One line for each code, so that a query can add them up; the messages are in the files of rejected rows."""
    lines = ((Marker.RETRY, outcome.passing), (Marker.RETRY, outcome.untried), (Marker.ERROR, outcome.rejected))
    for marker, errors in lines:
        for code, rows in Counter(error.code for error in errors.values()).items():
            log(marker, Event.ROWS_FAILED, code=code, rows=rows)


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
