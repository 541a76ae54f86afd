"""Leases and runs in the progress table."""

from dataclasses import replace
from datetime import timedelta

import pytest

from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.domain.identity import Identity
from massive_upload.domain.incremental import NO_MAPPING, Watermark
from massive_upload.domain.progress import (
    RUN_TRANSITIONS,
    Halt,
    Partition,
    PartitionStatus,
    Run,
    RunFailures,
    RunStatus,
)
from massive_upload.domain.shown import Shown
from massive_upload.errors import FencedOut, InternalError, InvalidInput, RunNotResumable, StateChanged
from tests.integration.adapters.entities import (
    ARN,
    LEASE,
    OTHER_ARN,
    RUN,
    STARTED_AT,
    a_run,
    begin,
    claim,
    force_run,
)
from tests.integration.adapters.stack import TABLE
from tests.unit.domain.shown_runs import a_shown

RIVAL = replace(LEASE, run_id="run-2", execution_arn=OTHER_ARN)
ENDED_AT = STARTED_AT + timedelta(hours=1)
IDENTITY = Identity(case_sensitive_key=True, parent_is_id=True)
BEFORE = RunFailures(failed_lanes=1, judged_rows=30, failed_rows=20)


def test_a_lease_is_held_by_one_execution_until_it_is_released(store):
    assert store.lease(LEASE.key) is None
    assert store.acquire_lease(LEASE) is None
    assert store.acquire_lease(LEASE) is None, "the same execution may take it again"
    assert store.acquire_lease(RIVAL) == LEASE
    assert store.lease(LEASE.key) == LEASE
    store.release_lease(LEASE)
    assert store.acquire_lease(RIVAL) is None
    assert store.lease(LEASE.key) == RIVAL


def test_a_lease_is_taken_over_from_the_holder_that_was_named_and_no_other(store):
    store.acquire_lease(LEASE)
    third = replace(LEASE, run_id="run-3", execution_arn=ARN.replace("run-1", "run-3"))
    assert store.acquire_lease(RIVAL, instead_of=third) == LEASE
    assert store.acquire_lease(RIVAL, instead_of=LEASE) is None
    assert store.acquire_lease(third, instead_of=LEASE) == RIVAL


def test_a_lease_that_was_taken_over_is_not_released_by_the_one_before(store):
    store.acquire_lease(LEASE)
    store.acquire_lease(RIVAL, instead_of=LEASE)
    store.release_lease(LEASE)
    assert store.lease(LEASE.key) == RIVAL
    store.release_lease(RIVAL)
    store.release_lease(RIVAL)
    assert store.lease(LEASE.key) is None


def test_leases_of_different_targets_do_not_meet(store):
    other_target = replace(RIVAL, key="00D#Account")
    assert store.acquire_lease(LEASE) is None
    assert store.acquire_lease(other_target) is None


def test_a_run_is_read_as_it_was_begun(store):
    assert store.run(RUN) is None
    assert store.begin_run(a_run()) == a_run()
    assert store.run(RUN) == a_run()
    assert store.open_runs() == [RUN]


def test_the_same_execution_begins_a_run_again_and_gets_what_is_recorded(store):
    store.begin_run(a_run())
    store.note_plan_query(a_run(), "q-1", IDENTITY)
    recorded = store.begin_run(a_run())
    assert (recorded.plan_query_id, recorded.plan_queries, recorded.identity) == ("q-1", 1, IDENTITY)


def test_another_execution_cannot_begin_the_same_run(store):
    store.begin_run(a_run())
    with pytest.raises(InvalidInput, match="already a run"):
        store.begin_run(a_run(execution_arn=OTHER_ARN))


def test_the_first_of_two_plans_counts(store):
    store.begin_run(a_run())
    first = store.commit_plan(a_run(plan_name="first", source_rows=7, skipped_null_key=1, duplicates_dropped=2))
    second = store.commit_plan(a_run(plan_name="second", source_rows=8))
    assert second == first == store.run(RUN)
    assert (first.status, first.plan_name, first.source_rows) == (RunStatus.RUNNING, "first", 7)


def test_another_execution_gives_a_run_no_plan_and_takes_none_for_its_own(store):
    store.begin_run(a_run())
    foreign = a_run(execution_arn=OTHER_ARN, plan_name="other")
    with pytest.raises(FencedOut):
        store.commit_plan(foreign)
    planned = store.commit_plan(a_run(plan_name="plan"))
    with pytest.raises(FencedOut):
        store.commit_plan(foreign)
    assert store.run(RUN) == planned


def test_a_run_that_has_ended_takes_no_plan(store):
    run = store.begin_run(a_run())
    store.finish_run(run, status=RunStatus.FAILED, ended_at=ENDED_AT, error="E", cause="C")
    with pytest.raises(FencedOut):
        store.commit_plan(a_run(plan_name="late"))
    with pytest.raises(FencedOut):
        store.note_plan_query(run, "q-1", IDENTITY)


def test_a_run_is_finished_once(store):
    run = begin(store)
    assert store.finish_run(run, status=RunStatus.FAILED, ended_at=ENDED_AT, error="E", cause="C")
    ended = store.run(RUN)
    assert ended is not None
    assert (ended.status, ended.ended_at, ended.error, ended.cause) == (RunStatus.FAILED, ENDED_AT, "E", "C")
    assert store.open_runs() == []
    assert not store.finish_run(run, status=RunStatus.COMPLETED, ended_at=ENDED_AT, error=None, cause=None)
    assert store.run(RUN) == ended


def finish(store: DynamoDbProgress, run: Run, shown: Shown, before: Shown | None = None) -> bool:
    return store.finish_run(
        run,
        status=RunStatus.COMPLETED,
        ended_at=ENDED_AT,
        error=None,
        cause=None,
        shown=shown,
        shown_before=before,
    )


def test_what_a_run_showed_is_recorded_when_it_ends_and_kept_for_ever(store, dynamodb):
    shown = a_shown(load="opportunity", org_took=8)
    assert store.shown("opportunity") is None
    assert finish(store, begin(store), shown)
    assert store.shown("opportunity") == shown
    key = {"pk": {"S": "LOAD#opportunity"}, "sk": {"S": "SHOWN"}}
    assert "expires_at" not in dynamodb.get_item(TableName=TABLE, Key=key)["Item"]


def test_a_run_that_has_ended_before_records_nothing(store):
    run, shown = begin(store), a_shown(load="opportunity")
    finish(store, run, shown)
    assert not finish(store, run, replace(shown, lanes=1), shown)
    assert store.shown("opportunity") == shown


def test_what_another_run_showed_meanwhile_is_not_overwritten(store):
    run, shown = begin(store), a_shown(load="opportunity")
    other = store.begin_run(a_run(run_id="run-2"))
    finish(store, run, shown)
    with pytest.raises(StateChanged, match="its last run showed"):
        finish(store, other, replace(shown, run_id="run-2"))
    with pytest.raises(StateChanged):
        finish(store, other, replace(shown, run_id="run-2"), replace(shown, run_id="run-0"))
    with pytest.raises(StateChanged):  # the same run, before it was resumed
        finish(store, other, replace(shown, run_id="run-2"), replace(shown, ended_at=STARTED_AT))
    assert store.run("run-2") == other, "run and what it showed, or neither"
    assert finish(store, other, replace(shown, run_id="run-2"), shown)


def test_a_watermark_is_replaced_and_voided_by_who_has_read_it_alone(store):
    known = Watermark(
        load="opportunity",
        as_of=STARTED_AT,
        target=LEASE.key,
        mapping_sha256="mapping",
        run_id=RUN,
        set_at=ENDED_AT,
    )

    def complete(run: Run, before: Watermark | None) -> bool:
        done = RunStatus.COMPLETED
        own = replace(known, run_id=run.run_id)
        is_first: bool = store.finish_run(
            run, status=done, ended_at=ENDED_AT, error=None, cause=None, watermark=own, instead_of=before
        )
        return is_first

    assert complete(begin(store), None)
    begun = store.begin_run(a_run(run_id="run-2"))
    read_before = (replace(known, run_id="run-0"), replace(known, mapping_sha256="other"))
    for before in read_before:
        with pytest.raises(StateChanged, match="watermark of opportunity"):
            store.commit_plan(replace(begun, plan_name="plan"), voids=before)
    assert (store.run("run-2"), store.watermark("opportunity")) == (begun, known)
    planned = store.commit_plan(replace(begun, plan_name="plan"), voids=known)
    voided = replace(known, mapping_sha256=NO_MAPPING)
    for seen in (None, *read_before, known):
        with pytest.raises(StateChanged, match="watermark of opportunity"):
            complete(planned, seen)
    assert (store.run("run-2"), store.watermark("opportunity")) == (planned, voided)
    assert complete(planned, voided)


@pytest.mark.parametrize("halt", Halt)
def test_a_run_that_is_asked_to_end_meanwhile_is_read_again_before_it_ends(store, halt):
    run = begin(store)
    assert store.ask_to_halt(RUN, halt)
    with pytest.raises(StateChanged, match="asked for"):
        store.finish_run(run, status=RunStatus.COMPLETED, ended_at=ENDED_AT, error=None, cause=None)
    asked = store.run(RUN)
    assert (asked.status, asked.is_halting) == (RunStatus.RUNNING, True)
    assert store.finish_run(asked, status=RunStatus.COMPLETED, ended_at=ENDED_AT, error=None, cause=None)


def test_another_execution_cannot_finish_a_run(store):
    run = begin(store)
    foreign = replace(run, execution_arn=OTHER_ARN)
    assert not store.finish_run(foreign, status=RunStatus.COMPLETED, ended_at=ENDED_AT, error=None, cause=None)
    assert store.run(RUN) == run


def test_a_run_that_has_ended_is_reopened_for_another_execution_with_its_flags_lowered(store):
    begin(store)
    store.request_stop(store.partition(RUN, "0000"), "a reason", error="RunHalted")
    store.ask_to_halt(RUN, Halt.PAUSE)
    store.count_drain(a_run(), api_requests=1)
    asked = store.run(RUN)
    assert asked is not None
    assert asked.drains == 1
    store.finish_run(asked, status=RunStatus.STOPPED, ended_at=ENDED_AT, error="E", cause="C")
    stopped = store.run(RUN)
    assert stopped is not None
    assert (stopped.is_halting, stopped.stop_reason, stopped.stop_error) == (True, "a reason", "RunHalted")
    reopened = store.reopen_run(stopped, execution_arn=OTHER_ARN, failures_before=BEFORE)
    assert reopened == store.run(RUN)
    assert (reopened.status, reopened.execution_arn, reopened.is_halting) == (RunStatus.RUNNING, OTHER_ARN, False)
    assert (reopened.stop_reason, reopened.stop_error, reopened.ended_at) == (None, None, None)
    assert (reopened.error, reopened.cause, reopened.failures_before) == (None, None, BEFORE)
    assert reopened.drains == 0, "it may wait for its jobs as often again"
    assert store.open_runs() == [RUN]
    with pytest.raises(RunNotResumable):
        store.reopen_run(stopped, execution_arn=ARN, failures_before=BEFORE)


def test_the_first_reason_to_stop_is_kept(store):
    begin(store)
    store.request_stop(store.partition(RUN, "0000"), "first", error="RunHalted")
    store.request_stop(store.partition(RUN, "0000"), "second", error="RunHalted")
    run = store.run(RUN)
    assert run is not None
    assert run.stop_reason == "first"


def test_a_lane_that_was_claimed_anew_no_longer_stops_its_run_for_what_it_met_before(store, dynamodb):
    begin(store)
    before = claim(dynamodb, store)
    claim(dynamodb, store)
    with pytest.raises(FencedOut, match="0000"):
        store.request_stop(before, "STORAGE_LIMIT_EXCEEDED", error="RunHalted")
    run = store.run(RUN)
    assert run is not None
    assert not run.is_halting


@pytest.mark.parametrize(
    ("asked", "following"),
    [([Halt.STOP], Halt.STOP), ([Halt.PAUSE], Halt.PAUSE), ([Halt.STOP, Halt.PAUSE], Halt.STOP)],
)
def test_an_operator_asks_a_run_to_halt_and_a_stop_outweighs_a_pause(store, asked, following):
    begin(store)
    for halt in asked:
        assert store.ask_to_halt(RUN, halt)
    run = store.run(RUN)
    assert run is not None
    assert (run.is_halting, run.halt_asked_for) == (True, following)


def test_what_the_product_stops_was_not_asked_for(store):
    begin(store)
    store.ask_to_halt(RUN, Halt.PAUSE)
    store.request_stop(store.partition(RUN, "0000"), "STORAGE_LIMIT_EXCEEDED", error="RunHalted")
    run = store.run(RUN)
    assert run is not None
    assert (run.is_halting, run.halt_asked_for) == (True, None)


@pytest.mark.parametrize("status", RunStatus)
def test_only_an_unfinished_run_can_be_asked_to_halt(store, dynamodb, status):
    begin(store)
    force_run(dynamodb, status)
    is_unfinished = status in (RunStatus.PLANNING, RunStatus.RUNNING)
    assert store.ask_to_halt(RUN, Halt.PAUSE) is is_unfinished
    run = store.run(RUN)
    assert run is not None
    assert run.is_halting is is_unfinished


def test_the_newest_runs_are_those_that_began_last(store):
    for number in range(5):
        started_at = STARTED_AT + timedelta(milliseconds=number)
        store.begin_run(a_run(run_id=f"run-{number}", started_at=started_at))
    assert store.newest_runs(3) == ["run-4", "run-3", "run-2"]
    assert len(store.newest_runs(9)) == 5


def test_requests_of_a_run_add_up(store):
    begin(store)
    store.count_run_requests(RUN, 3)
    store.count_run_requests(RUN, 4)
    run = store.run(RUN)
    assert run is not None
    assert run.api_requests == 7


def test_a_run_that_is_not_there_cannot_be_stopped_or_counted_for(store):
    a_partition = Partition(
        run_id=RUN, partition="0000", status=PartitionStatus.RUNNING, epoch=1, planned_rows=9, source_rows=9
    )
    with pytest.raises(InternalError, match="not in the progress table"):
        store.request_stop(a_partition, "reason", error="RunHalted")
    with pytest.raises(InternalError, match="not in the progress table"):
        store.ask_to_halt(RUN, Halt.STOP)
    with pytest.raises(InternalError, match="not in the progress table"):
        store.count_run_requests(RUN, 1)


@pytest.mark.parametrize("target", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED, RunStatus.PAUSED])
@pytest.mark.parametrize("source", RunStatus)
def test_a_run_is_finished_from_the_states_that_allow_it_alone(store, dynamodb, source, target):
    run = begin(store)
    force_run(dynamodb, source)
    is_unfinished = source in (RunStatus.PLANNING, RunStatus.RUNNING)
    is_allowed = is_unfinished and target in RUN_TRANSITIONS[source]
    assert store.finish_run(run, status=target, ended_at=ENDED_AT, error=None, cause=None) is is_allowed
    found = store.run(RUN)
    assert found is not None
    assert found.status is (target if is_allowed else source)


@pytest.mark.parametrize("source", RunStatus)
def test_a_run_is_reopened_from_the_states_that_allow_it_alone(store, dynamodb, source):
    run = begin(store)
    force_run(dynamodb, source)
    if source in (RunStatus.PLANNING, RunStatus.COMPLETED):
        with pytest.raises(RunNotResumable):
            store.reopen_run(run, execution_arn=OTHER_ARN, failures_before=BEFORE)
    else:
        assert store.reopen_run(run, execution_arn=OTHER_ARN, failures_before=BEFORE).status is RunStatus.RUNNING


def test_a_retry_is_found_by_the_run_that_it_retries_once_its_plan_counts(store):
    run = store.begin_run(a_run(retry_of="first", retry_only="CODE"))
    assert store.retries_of("first") == []
    store.commit_plan(replace(run, plan_name="plan"))
    assert store.retries_of("first") == [RUN]
    assert store.retries_of(RUN) == []
    assert store.partitions("first") == []
