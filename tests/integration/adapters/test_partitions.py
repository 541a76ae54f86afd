"""Partitions and batches in the progress table."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.constants import STATE_KEPT_DAYS
from massive_upload.domain.key_digest import KeyDigest
from massive_upload.domain.pace import LanePace
from massive_upload.domain.progress import (
    BATCH_TRANSITIONS,
    PARTITION_TRANSITIONS,
    Batch,
    BatchState,
    JobWork,
    KeptList,
    LaneFailures,
    LaneNotes,
    Partition,
    PartitionStatus,
    RunFailures,
    SourceRange,
    StagedRows,
)
from massive_upload.errors import FencedOut, InternalError, StateChanged
from massive_upload.ports import Heartbeat
from tests.integration.adapters.entities import (
    ARN,
    BEAT,
    RUN,
    STARTED_AT,
    a_batch,
    a_lane,
    begin,
    claim,
    force_batch,
    force_partition,
)
from tests.integration.adapters.stack import TABLE

COLUMNS = ("Key__c", "Name__c")
FAILURES = LaneFailures(failed_jobs=2, judged_rows=30, failed_rows=20, code="STRING_TOO_LONG")
PACE = LanePace(speed_percent=50, is_patient=True, judged_rows=7, failed_rows=2, limit_percent=100, quiet_decisions=3)
NOTES = LaneNotes(failures=FAILURES, pace=PACE, hot_parents={"ACC-1": 3})


def lane(store: DynamoDbProgress, partition: str = "0000") -> Partition:
    return store.partition(RUN, partition)


def test_more_lanes_than_one_transaction_takes_are_recorded_in_order(store):
    begin(store, lanes=101)
    partitions = store.partitions(RUN)
    assert [partition.partition for partition in partitions] == [f"{index:04d}" for index in range(101)]
    third = partitions[2]
    assert (third.after, third.upto, third.planned_rows, third.source_rows) == ("k0002", "k0003", 100, 100)
    assert (third.status, third.epoch, third.start_delay_seconds) == (PartitionStatus.PENDING, 0, 120)
    assert partitions[0].after is None


def test_recording_the_lanes_again_leaves_those_that_have_begun_as_they_are(store, dynamodb):
    run = begin(store, lanes=2)
    begun = claim(dynamodb, store)
    store.note_query_rows(begun, query_id="q", rows=90, columns=COLUMNS, beat=BEAT)
    before = store.partitions(RUN)
    changed = a_lane(0, reads=SourceRange(after=None, upto="other", rows=1))
    store.create_partitions(run, [changed, a_lane(1), a_lane(2)])
    after = store.partitions(RUN)
    assert after[:2] == before
    assert [partition.partition for partition in after] == ["0000", "0001", "0002"]


def test_the_sweep_comes_last_and_is_claimed_like_a_lane(store, dynamodb):
    begin(store, lanes=2)
    sweep = store.save_sweep(RUN, None, KeptList(key="list", rows=5))
    assert (sweep.is_sweep, sweep.status, sweep.planned_rows, sweep.source_rows) == (
        True,
        PartitionStatus.PENDING,
        5,
        5,
    )
    assert store.partitions(RUN)[-1] == sweep
    assert claim(dynamodb, store, "sweep").epoch == 1


def test_a_sweep_that_grows_keeps_its_claim_and_its_counts(store, dynamodb):
    begin(store)
    store.save_sweep(RUN, None, KeptList(key="list", rows=5))
    claimed = claim(dynamodb, store, "sweep")
    store.complete_partition(claimed, BEAT)
    again = store.save_sweep(RUN, store.partition(RUN, "sweep"), KeptList(key="list", rows=9))
    assert (again.status, again.epoch, again.source_rows) == (PartitionStatus.PENDING, claimed.epoch, 9)
    assert again.api_requests == BEAT.api_requests


def test_a_sweep_at_work_is_not_taken_from_its_slice(store, dynamodb):
    begin(store)
    store.save_sweep(RUN, None, KeptList(key="list", rows=5))
    claimed = claim(dynamodb, store, "sweep")
    again = store.save_sweep(RUN, claimed, KeptList(key="list", rows=9))
    assert (again.status, again.epoch, again.source_rows) == (PartitionStatus.RUNNING, claimed.epoch, 9)


def test_a_sweep_that_has_changed_since_it_was_read_is_left_alone(store, dynamodb):
    begin(store)
    unclaimed = store.save_sweep(RUN, None, KeptList(key="list", rows=5))
    claimed = claim(dynamodb, store, "sweep")
    claim(dynamodb, store, "sweep")
    before = store.partition(RUN, "sweep")
    for seen in (None, unclaimed, claimed):
        with pytest.raises(StateChanged):
            store.save_sweep(RUN, seen, KeptList(key="list", rows=9))
    assert store.partition(RUN, "sweep") == before


def test_a_sweep_takes_no_list_that_was_made_of_an_older_one(store):
    begin(store)
    seen = store.save_sweep(RUN, None, KeptList(key="list", rows=5))
    longer = store.save_sweep(RUN, seen, KeptList(key="longer", rows=9))
    with pytest.raises(StateChanged):
        store.save_sweep(RUN, seen, KeptList(key="other", rows=7))
    assert store.partition(RUN, "sweep") == longer


def test_what_is_not_there_is_said_to_be_missing(store):
    begin(store)
    with pytest.raises(InternalError, match="Partition 0009"):
        store.partition(RUN, "0009")
    with pytest.raises(InternalError, match="Batch 3"):
        store.batch(lane(store), 3)
    assert store.batches(RUN, "0000") == []


def test_a_heartbeat_tells_when_and_until_when_and_counts_requests(store, dynamodb, clock):
    begin(store)
    claimed = claim(dynamodb, store)
    clock.move(5)
    store.record_heartbeat(claimed, Heartbeat(api_requests=3, wake_after_seconds=90))
    store.record_heartbeat(claimed, Heartbeat(api_requests=4, wake_after_seconds=30))
    found = lane(store)
    assert found.last_progress_at == STARTED_AT + timedelta(seconds=5)
    assert found.next_wake_at == STARTED_AT + timedelta(seconds=35)
    assert found.api_requests == 7


def test_a_query_is_remembered_then_its_rows_then_forgotten(store, dynamodb):
    begin(store)
    claimed = claim(dynamodb, store)
    store.note_query(claimed, query_id="q-1", columns=COLUMNS, beat=BEAT)
    assert (lane(store).query_id, lane(store).query_rows, lane(store).query_columns) == ("q-1", None, COLUMNS)
    assert lane(store).api_requests == BEAT.api_requests
    read = store.note_query_rows(lane(store), query_id="q-1", rows=90, columns=COLUMNS, beat=BEAT)
    assert (read.query_rows, read.query_offset, read.source_rows) == (90, 0, 90)
    beat = {"last_progress_at": None, "next_wake_at": None, "api_requests": 0}
    assert vars(lane(store)) | beat == vars(read) | beat
    forgotten = store.forget_query(read)
    assert (forgotten.query_id, forgotten.query_rows) == (None, None)
    assert lane(store).query_id is None


READINGS = {
    "note_query": lambda store, seen: store.note_query(seen, query_id="q-9", columns=COLUMNS, beat=BEAT),
    "note_query_rows": lambda store, seen: store.note_query_rows(
        seen, query_id="q-9", rows=90, columns=COLUMNS, beat=BEAT
    ),
    "forget_query": lambda store, seen: store.forget_query(seen),
    "plan_batch": lambda store, seen: store.plan_batch(seen, a_batch(), BEAT),
    "complete_partition": lambda store, seen: store.complete_partition(seen, BEAT),
}


@pytest.mark.parametrize("change", READINGS.values(), ids=READINGS)
@pytest.mark.parametrize("has_settled", [False, True])
def test_a_reading_that_was_overtaken_under_its_own_claim_changes_nothing(store, dynamodb, change, has_settled):
    if has_settled:
        seen = replace(settle_one(store, dynamodb), next_batch=0)
    else:
        begin(store)
        seen = claim(dynamodb, store)
        store.note_query(seen, query_id="q-1", columns=COLUMNS, beat=BEAT)
    before = lane(store)
    with pytest.raises(StateChanged):
        change(store, seen)
    assert lane(store) == before


def test_rows_of_a_new_query_are_counted_on_top_of_the_settled_ones(store, dynamodb):
    settle_one(store, dynamodb)
    read = store.note_query_rows(lane(store), query_id="q-2", rows=70, columns=COLUMNS, beat=BEAT)
    assert (read.source_rows, read.query_offset) == (80, 0)


WORK = JobWork(jobs=1, rows=10, seconds=40, processing_ms=38_000, contended_rows=3)


def settle_one(store: DynamoDbProgress, dynamodb: Any, *, notes: LaneNotes | None = None, **settled: Any) -> Partition:
    """A lane with one settled batch of ten rows."""
    begin(store)
    claimed = claim(dynamodb, store)
    store.plan_batch(claimed, a_batch(), BEAT)
    created = store.record_job(claimed, a_batch(), "750", BEAT)
    submitted = store.record_submitted(claimed, created, BEAT)
    counts = {"succeeded": 10} | settled
    done = replace(submitted, state=BatchState.SETTLED, **counts)
    store.settle_batch(claimed, submitted, done, notes=notes or replace(NOTES, job_seconds=4), beat=BEAT)
    return claimed


def test_the_life_of_a_batch_is_counted_in_its_partition(store, dynamodb):
    settle_one(store, dynamodb, succeeded=7, rejected=2, deferred=1, lock_errors=3, rejected_files=("r.csv",))
    found = lane(store)
    assert (found.settled_rows, found.succeeded, found.rejected, found.deferred) == (10, 7, 2, 1)
    assert (found.cursor, found.query_offset, found.open_batch, found.next_batch) == ("k0010", 10, None, 1)
    assert (found.batches, found.jobs, found.lock_errors, found.job_seconds) == (1, 1, 3, 4)
    assert found.api_requests == 4 * BEAT.api_requests, "of the plan, the job, the upload and the settling"
    assert (found.pace, found.hot_parents) == (PACE, {"ACC-1": 3})
    assert found.failures == FAILURES
    (batch,) = store.batches(RUN, "0000")
    assert batch == store.batch(found, 0)
    assert (batch.state, batch.job_id, batch.rejected_files) == (BatchState.SETTLED, "750", ("r.csv",))


def test_codes_and_keys_of_settled_batches_add_up_in_their_partition(store, dynamodb):
    first, second = KeyDigest.of(["a", "b"]), KeyDigest.of(["c"])
    claimed = settle_one(store, dynamodb, rejected_codes={"A": 1, "B": 2}, succeeded_keys=first)
    (batch,) = store.batches(RUN, "0000")
    assert (batch.rejected_codes, batch.succeeded_keys) == ({"A": 1, "B": 2}, first)
    claimed = lane(store)
    another = a_batch(number=1, keys=second)
    store.plan_batch(claimed, another, BEAT)
    submitted = store.record_submitted(claimed, store.record_job(claimed, another, "751", BEAT), BEAT)
    assert store.batch(claimed, 1).keys == second
    done = replace(submitted, state=BatchState.SETTLED, rejected_codes={"B": 5}, succeeded_keys=second)
    store.settle_batch(claimed, submitted, done, notes=LaneNotes(failures=LaneFailures(), pace=LanePace()), beat=BEAT)
    found = lane(store)
    assert (found.rejected_codes, found.succeeded_keys) == ({"A": 1, "B": 7}, KeyDigest.of(["c", "b", "a"]))


def test_a_lane_may_read_kept_rows_instead_of_a_range_of_keys(store):
    run = begin(store, lanes=0)
    store.create_partitions(run, [a_lane(0, reads=KeptList(key="list", rows=7))])
    found = lane(store)
    assert (found.kept_list, found.planned_rows, found.source_rows) == ("list", 7, 7)
    assert (found.after, found.upto) == (None, None)


def test_a_settled_batch_is_not_counted_twice(store, dynamodb):
    claimed = settle_one(store, dynamodb)
    before = lane(store)
    submitted = a_batch(state=BatchState.SUBMITTED, job_id="750")
    with pytest.raises(StateChanged):
        store.settle_batch(
            claimed,
            submitted,
            replace(submitted, state=BatchState.SETTLED, succeeded=10),
            notes=replace(NOTES, job_seconds=4),
            beat=BEAT,
        )
    assert lane(store) == before


def test_a_job_without_a_duration_leaves_the_prediction_as_it_is(store, dynamodb):
    begin(store)
    claimed = claim(dynamodb, store)
    store.plan_batch(claimed, a_batch(), BEAT)
    submitted = store.record_submitted(claimed, store.record_job(claimed, a_batch(), "750", BEAT), BEAT)
    store.settle_batch(
        claimed,
        submitted,
        replace(submitted, state=BatchState.SETTLED, succeeded=10),
        notes=NOTES,
        beat=BEAT,
    )
    assert lane(store).job_seconds is None


def test_first_attempts_add_up_in_the_transaction_that_settles_them_or_plans_the_next(store, dynamodb):
    settle_one(store, dynamodb, notes=replace(NOTES, work=WORK))
    claimed = lane(store)
    assert claimed.work == WORK
    another = a_batch(number=1)
    store.plan_batch(claimed, another, BEAT)
    submitted = store.record_submitted(claimed, store.record_job(claimed, another, "751", BEAT), BEAT)
    again = replace(submitted, state=BatchState.PLANNED, attempt=1, job_id=None, rows=3)
    more = JobWork(jobs=1, rows=10, seconds=5, processing_ms=4_000)
    store.plan_next_attempt(claimed, submitted, again, notes=replace(NOTES, work=more), beat=BEAT)
    both = JobWork(jobs=2, rows=20, seconds=45, processing_ms=42_000, contended_rows=3)
    assert lane(store).work == both
    with pytest.raises(StateChanged):
        store.plan_next_attempt(claimed, submitted, again, notes=replace(NOTES, work=more), beat=BEAT)
    assert lane(store).work == both, "a repetition adds nothing"


def test_a_lane_begins_with_what_is_expected_of_its_first_job(store):
    run = begin(store, lanes=0)
    store.create_partitions(run, [a_lane(0, job_seconds=150, job_rows=9_000), a_lane(1)])
    first, second = store.partitions(RUN)
    assert (first.job_seconds, first.job_rows) == (150, 9_000)
    assert (second.job_seconds, second.job_rows) == (None, None)


def test_a_second_batch_is_not_planned_while_one_is_open(store, dynamodb):
    begin(store)
    claimed = claim(dynamodb, store)
    store.plan_batch(claimed, a_batch(), BEAT)
    with pytest.raises(StateChanged):
        store.plan_batch(claimed, a_batch(number=1), BEAT)
    assert [batch.number for batch in store.batches(RUN, "0000")] == [0]
    assert lane(store).batches == 1


def test_a_further_attempt_keeps_what_the_first_has_settled(store, dynamodb):
    begin(store)
    claimed = claim(dynamodb, store)
    store.plan_batch(claimed, a_batch(), BEAT)
    submitted = store.record_submitted(claimed, store.record_job(claimed, a_batch(), "750", BEAT), BEAT)
    following = replace(
        submitted,
        state=BatchState.PLANNED,
        attempt=1,
        job_id=None,
        rows=3,
        file_key="staged/b.csv",
        succeeded=6,
        rejected=1,
        lock_errors=3,
        rejected_files=("r.csv",),
        halvings=1,
        waiting=(StagedRows(file_key="staged/c.csv", rows=2, size_bytes=90, sent_before=1),),
    )
    store.plan_next_attempt(claimed, submitted, following, notes=replace(NOTES, job_seconds=7), beat=BEAT)
    assert store.batch(claimed, 0) == following
    assert (lane(store).lock_errors, lane(store).open_batch) == (3, 0)
    assert lane(store).failures == FAILURES
    assert (lane(store).job_seconds, lane(store).api_requests) == (7, 4 * BEAT.api_requests)
    created = store.record_job(claimed, following, "751", BEAT)
    assert (created.job_id, lane(store).resent_rows) == ("751", 0), "until they are in a job that was closed"
    store.record_submitted(claimed, created, BEAT)
    assert lane(store).resent_rows == 3


def test_an_open_job_is_replaced_only_by_whoever_saw_it(store, dynamodb):
    begin(store)
    claimed = claim(dynamodb, store)
    store.plan_batch(claimed, a_batch(), BEAT)
    first = store.record_job(claimed, a_batch(), "750", BEAT)
    second = store.record_job(claimed, first, "751", BEAT)
    with pytest.raises(StateChanged):
        store.record_submitted(claimed, first, BEAT)
    assert store.record_submitted(claimed, second, BEAT).state is BatchState.SUBMITTED
    assert lane(store).jobs == 2


def test_what_was_sent_is_recorded_together_with_the_batch_ahead(store, dynamodb):
    begin(store)
    claimed = claim(dynamodb, store)
    store.plan_batch(claimed, a_batch(), BEAT)
    seen = lane(store)
    created = store.record_job(seen, a_batch(), "750", BEAT)
    ahead = a_batch(number=1)
    assert store.record_submitted(seen, created, BEAT, ahead=ahead).state is BatchState.SUBMITTED
    found = lane(store)
    assert (found.open_batch, found.ahead_batch, found.next_batch, found.batches) == (0, 1, 2, 2)
    assert store.batches(RUN, "0000") == [replace(created, state=BatchState.SUBMITTED), ahead]


@pytest.mark.parametrize(
    "moved_on",
    [
        lambda store, seen, created: store.record_submitted(seen, created, BEAT, ahead=a_batch(number=1)),
        lambda store, seen, created: store.record_submitted(seen, created, BEAT),
        lambda store, seen, created: store.note_query(seen, query_id="another", columns=COLUMNS, beat=BEAT),
    ],
    ids=["recorded with a batch ahead", "recorded", "another query"],
)
def test_nothing_is_recorded_with_a_batch_ahead_once_the_lane_has_moved_on(store, dynamodb, moved_on):
    begin(store)
    claimed = claim(dynamodb, store)
    store.plan_batch(claimed, a_batch(), BEAT)
    seen = lane(store)
    created = store.record_job(seen, a_batch(), "750", BEAT)
    moved_on(store, seen, created)
    before = (lane(store), store.batches(RUN, "0000"))
    with pytest.raises(StateChanged):
        store.record_submitted(seen, created, BEAT, ahead=a_batch(number=1, file_key="staged/other.csv"))
    assert (lane(store), store.batches(RUN, "0000")) == before


@pytest.mark.parametrize("likely", [None, 0, 1, 2])
def test_a_lane_is_read_with_the_batches_that_it_has_whichever_were_likely(store, dynamodb, likely):
    settle_one(store, dynamodb)
    is_open, ahead = a_batch(number=1), a_batch(number=2)
    store.plan_batch(lane(store), is_open, BEAT)
    seen = lane(store)
    assert store.lane(RUN, "0000", likely_batch=likely, with_ahead=True).ahead is None
    sent = store.record_submitted(seen, store.record_job(seen, is_open, "751", BEAT), BEAT, ahead=ahead)
    found = store.lane(RUN, "0000", likely_batch=likely, with_ahead=True)
    assert (found.partition, found.batch, found.ahead) == (lane(store), sent, ahead)


def test_who_takes_a_partition_over_finds_what_its_slice_did_until_then(store, dynamodb):
    begin(store)
    claimed = claim(dynamodb, store)
    read_before = lane(store)
    store.plan_batch(claimed, a_batch(), BEAT)
    taken = store.take_over_partition(read_before, execution_arn=ARN)
    assert (taken.epoch, taken.open_batch) == (claimed.epoch + 1, 0)
    assert taken == lane(store)


def test_a_partition_with_an_open_batch_cannot_be_completed(store, dynamodb):
    begin(store)
    claimed = claim(dynamodb, store)
    store.plan_batch(claimed, a_batch(), BEAT)
    with pytest.raises(StateChanged):
        store.complete_partition(claimed, BEAT)
    assert lane(store).status is PartitionStatus.RUNNING


def test_reopening_fences_out_and_forgets_the_query_but_not_the_cursor(store, dynamodb):
    claimed = settle_one(store, dynamodb)
    read = store.note_query_rows(lane(store), query_id="q", rows=90, columns=COLUMNS, beat=BEAT)
    store.reopen_partition(read, execution_arn=ARN)
    found = lane(store)
    assert (found.status, found.epoch, found.cursor) == (PartitionStatus.PENDING, claimed.epoch + 1, "k0010")
    assert (found.query_id, found.query_rows, found.next_wake_at) == (None, None, None)
    assert (found.settled_rows, found.reopened_by) == (10, ARN)
    assert found.failures == LaneFailures(), "its circuit breaker begins anew"


def test_an_execution_that_no_longer_carries_out_the_run_takes_no_partition_from_its_slice(store, dynamodb):
    run = begin(store)
    claim(dynamodb, store)
    store.reopen_run(run, execution_arn="arn:next", failures_before=RunFailures())
    before = lane(store)
    with pytest.raises(FencedOut):
        store.take_over_partition(before, execution_arn=ARN)
    with pytest.raises(StateChanged):
        store.reopen_partition(before, execution_arn=ARN)
    assert lane(store) == before


Change = Callable[[DynamoDbProgress, Partition], object]

CHANGES: dict[str, Change] = {
    "record_heartbeat": lambda store, stale: store.record_heartbeat(stale, BEAT),
    "note_query": lambda store, stale: store.note_query(stale, query_id="q", columns=COLUMNS, beat=BEAT),
    "note_query_rows": lambda store, stale: store.note_query_rows(
        stale, query_id="q", rows=1, columns=COLUMNS, beat=BEAT
    ),
    "forget_query": lambda store, stale: store.forget_query(stale),
    "complete_partition": lambda store, stale: store.complete_partition(stale, BEAT),
    "stop_partition": lambda store, stale: store.stop_partition(stale),
    "reopen_partition": lambda store, stale: store.reopen_partition(stale, execution_arn=ARN),
    "take_over_partition": lambda store, stale: store.take_over_partition(stale, execution_arn=ARN),
    "plan_batch": lambda store, stale: store.plan_batch(stale, a_batch(number=1), BEAT),
    "record_job": lambda store, stale: store.record_job(stale, a_batch(), "750", BEAT),
    "record_submitted": lambda store, stale: store.record_submitted(
        stale, a_batch(state=BatchState.CREATED, job_id="750"), BEAT
    ),
    "record_submitted with a batch ahead": lambda store, stale: store.record_submitted(
        stale, a_batch(state=BatchState.CREATED, job_id="750"), BEAT, ahead=a_batch(number=1)
    ),
    "plan_next_attempt": lambda store, stale: store.plan_next_attempt(
        stale,
        a_batch(state=BatchState.SUBMITTED),
        a_batch(attempt=1),
        notes=NOTES,
        beat=BEAT,
    ),
    "settle_batch": lambda store, stale: store.settle_batch(
        stale,
        a_batch(state=BatchState.SUBMITTED),
        a_batch(state=BatchState.SETTLED),
        notes=NOTES,
        beat=BEAT,
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whoever_was_fenced_out_changes_nothing(store, dynamodb, name):
    begin(store)
    stale = claim(dynamodb, store)
    store.plan_batch(stale, a_batch(), BEAT)
    claim(dynamodb, store)
    before = (store.partitions(RUN), store.batches(RUN, "0000"))
    with pytest.raises(FencedOut):
        CHANGES[name](store, stale)
    assert (store.partitions(RUN), store.batches(RUN, "0000")) == before


STATUS_CHANGES: dict[PartitionStatus, Change] = {
    PartitionStatus.PENDING: CHANGES["reopen_partition"],
    PartitionStatus.COMPLETED: CHANGES["complete_partition"],
    PartitionStatus.STOPPED: CHANGES["stop_partition"],
}


@pytest.mark.parametrize("target", STATUS_CHANGES)
@pytest.mark.parametrize("source", PartitionStatus)
def test_a_partition_changes_its_status_as_the_table_of_transitions_says(store, dynamodb, source, target):
    begin(store)
    force_partition(dynamodb, source)
    read = lane(store)
    if target in PARTITION_TRANSITIONS[source]:
        STATUS_CHANGES[target](store, read)
        assert lane(store).status is target
    else:
        with pytest.raises(StateChanged):
            STATUS_CHANGES[target](store, read)
        assert lane(store) == read


BATCH_CHANGES: dict[BatchState, Callable[[DynamoDbProgress, Partition, Batch], object]] = {
    BatchState.PLANNED: lambda store, claimed, read: store.plan_next_attempt(
        claimed,
        read,
        replace(read, state=BatchState.PLANNED, attempt=1),
        notes=NOTES,
        beat=BEAT,
    ),
    BatchState.CREATED: lambda store, claimed, read: store.record_job(claimed, read, "750", BEAT),
    BatchState.SUBMITTED: lambda store, claimed, read: store.record_submitted(claimed, read, BEAT),
    BatchState.SETTLED: lambda store, claimed, read: store.settle_batch(
        claimed, read, replace(read, state=BatchState.SETTLED), notes=NOTES, beat=BEAT
    ),
}


def note_aborted(store, claimed, read):
    store.note_aborted(claimed, read, BEAT)


@pytest.mark.parametrize("target", BatchState)
@pytest.mark.parametrize("source", BatchState)
def test_a_batch_changes_its_state_as_the_table_says_and_from_the_state_it_was_read_in(store, dynamodb, source, target):
    begin(store)
    claimed = claim(dynamodb, store)
    store.plan_batch(claimed, a_batch(), BEAT)
    read = a_batch(state=source)
    is_allowed = target in BATCH_TRANSITIONS[source]
    change = note_aborted if source is target is BatchState.SUBMITTED else BATCH_CHANGES[target]
    for found in BatchState:
        if found is not source:
            force_batch(dynamodb, found)
            with pytest.raises(StateChanged if is_allowed else InternalError):
                change(store, claimed, read)
            assert store.batch(claimed, 0).state is found
    force_batch(dynamodb, source)
    if is_allowed:
        change(store, claimed, read)
        assert store.batch(claimed, 0).state is target


def test_a_job_is_aborted_when_that_was_first_seen(store, dynamodb, clock):
    begin(store)
    claimed = claim(dynamodb, store)
    store.plan_batch(claimed, a_batch(), BEAT)
    force_batch(dynamodb, BatchState.SUBMITTED)
    seen_at = clock.now()
    for looks in (1, 2):
        store.note_aborted(claimed, store.batch(claimed, 0), BEAT)
        clock.move(30)
        noted = store.batch(claimed, 0)
        assert (noted.aborted_at, noted.aborted_looks) == (seen_at, looks)


def test_everything_but_the_lease_and_the_list_of_open_runs_expires(store, dynamodb):
    settle_one(store, dynamodb)
    store.save_sweep(RUN, None, KeptList(key="list", rows=1))
    expires_at = str(int((STARTED_AT + timedelta(days=STATE_KEPT_DAYS)).timestamp()))
    found = dynamodb.scan(TableName=TABLE)["Items"]
    expiring = {item["sk"]["S"] for item in found if item.get("expires_at", {}).get("N") == expires_at}
    begun = f"{STARTED_AT.isoformat(timespec='milliseconds')}#{RUN}"
    assert expiring == {"META", begun, "PART#0000", "PART#sweep", "BATCH#000000"}
