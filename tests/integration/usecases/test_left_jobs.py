"""A run that ends while a job of its own is in flight: the next run of the target waits until that job has ended."""

import itertools
from contextlib import suppress

import pytest

from massive_upload.constants import STATE_KEPT_DAYS
from massive_upload.contracts import Plan, PlanSoFar
from massive_upload.domain.file_keys import config_key
from massive_upload.domain.load import LoadSequence
from massive_upload.domain.progress import BatchState, RunStatus
from massive_upload.errors import OrgUnreachable
from tests.integration.adapters.stack import BUCKET
from tests.integration.usecases.kept_rows import receipt, recorded_account, rejected_rows
from tests.integration.usecases.slice_driver import Crash
from tests.integration.usecases.world import RUN, World, WorldClock, open_world, paced
from tests.thoroughness import stride

START = {"load": "opportunity"}
NEXT = "next"
DAY_SECONDS = 86_400
DEAF = "- match: {path: /jobs/ingest}\n  action: {status: 503, code: SERVER_UNAVAILABLE}"
STUBBORN = "- match: {method: PATCH}\n  action: {status: 400, code: INVALIDJOBSTATE}"
UNREADABLE = "- match: {path: failedResults}\n  action: {status: 503, code: SERVER_UNAVAILABLE}"
HALF_REFUSED = "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 0.5, code: STRING_TOO_LONG}}"


def leave_a_job(world: World) -> str:
    """A run whose execution is aborted with a job in flight, while the org does not answer: the job's id."""
    world.plan(START)
    world.slices.run_slice(RUN, "0000", stop_before="CheckJob")
    job_id = world.open_batch().job_id or ""
    world.break_org(DEAF)
    verdict = world.abort()
    assert (verdict.unsettled, verdict.not_sent) == (10, 20)
    world.mend_org()
    return job_id


def until_planned(world: World, name: str = NEXT) -> tuple[Plan, list[int]]:
    """The plan of the next run, of which nothing has begun while it waits, and its waits."""
    waits: list[int] = []
    plan = world.plan_once(START, name)
    while plan.next == "Wait":
        assert world.store.run(name) is None
        waits.append(plan.wait_seconds)
        world.wait(plan.wait_seconds)
        plan = world.plan_once(START, name, PlanSoFar(**plan.model_dump()))
    return plan, waits


def assert_loads_all(world: World, plan: Plan, name: str = NEXT) -> None:
    verdict = world.go_on_after(plan, name)
    assert (verdict.status, verdict.succeeded) == ("Completed", 30)
    assert world.loaded_keys == world.keys_of()
    assert world.store.lease(world.run().lease_key or "") is None


def assert_account(world: World, **rows: int) -> None:
    """The run has ended as before, and its receipt says what its partitions say."""
    account = recorded_account(world)
    assert account.balances
    assert {name: getattr(account, name) for name in rows} == rows
    kept = receipt(world)
    assert (world.run().status, kept["status"], kept["error"]) == (RunStatus.STOPPED, "Stopped", "ExecutionAborted")
    assert kept["partitions"][0]["succeeded"] == world.partition().succeeded


def test_a_job_that_the_org_does_not_abort_is_waited_for_and_its_rows_are_settled():
    with open_world(load=paced(), queue_seconds=500.0) as world:
        leave_a_job(world)
        world.break_org(STUBBORN)
        plan, waits = until_planned(world)
        assert (plan.next, world.jobs) == ("Load", {"JobComplete": 1})
        assert len(waits) > 1
        assert_account(world, succeeded=10, not_sent=20, unsettled=0)
        world.mend_org()
        assert_loads_all(world, plan)


def test_a_job_that_the_org_aborts_is_waited_for_as_long_as_a_batch_that_has_begun_may_go_on():
    with open_world(load=paced(), queue_seconds=1e9) as world:
        leave_a_job(world)
        plan, waits = until_planned(world)
        assert (plan.next, waits, world.jobs) == ("Load", [2, 5, 10, 60, 300], {"Aborted": 1})
        assert_account(world, succeeded=0, not_sent=30, unsettled=0)
        again = world.store.batch(world.partition(), 0)
        assert (again.state, again.aborted_at, again.aborted_looks) == (BatchState.PLANNED, None, 0)


def test_a_batch_that_goes_on_although_its_job_was_aborted_writes_nothing_over_the_next_run():
    """It had begun, and the source changes before the next run reads it."""
    with open_world(load=paced(), queue_seconds=0.0, row_ms=1000.0) as world:
        world.plan(START)
        world.slices.run_slice(RUN, "0000", stop_before="CheckJob")
        world.wait(1)
        world.executions.end(RUN)
        plan, waits = until_planned(world)
        assert (plan.next, bool(waits), world.jobs) == ("Load", True, {"Aborted": 1})
        assert_account(world, succeeded=10, not_sent=20, unsettled=0)
        assert_loads_all(world, plan)


FULL = "{status: 400, code: STORAGE_LIMIT_EXCEEDED}"


@pytest.mark.parametrize(
    ("path", "wait_seconds", "left"), [("/jobs/ingest", 0, "job"), ("failedResults", 1000, "rows")]
)
def test_an_error_that_stops_runs_does_not_let_the_next_one_begin_unless_it_came_of_a_job(path, wait_seconds, left):
    with open_world(load=paced(), queue_seconds=500.0, faults=HALF_REFUSED) as world:
        leave_a_job(world)
        world.wait(wait_seconds)
        world.break_org(f"- match: {{path: {path}}}\n  action: {FULL}")
        assert world.plan_once(START, NEXT).next == "Wait", left
        assert_account(world, succeeded=0, not_sent=20, unsettled=10)
        world.mend_org()
        until_planned(world)
        assert_account(world, unsettled=0)


def test_a_run_whose_files_have_expired_holds_nobody_up():
    with open_world(load=paced()) as world:
        leave_a_job(world)
        world.wait((STATE_KEPT_DAYS + 1) * DAY_SECONDS)
        world.s3.delete_object(Bucket=BUCKET, Key=config_key(RUN))
        world.started_at = WorldClock(world.clock).now()
        plan, waits = until_planned(world)
        assert (plan.next, waits) == ("Load", [])


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_job_that_has_ended_or_is_gone_holds_nobody_up(is_gone):
    with open_world(load=paced()) as world:
        job_id = leave_a_job(world)
        world.wait(1000)
        if is_gone:
            world.server.backend.ingest.delete(job_id)
        plan, waits = until_planned(world)
        assert waits == []
        assert_account(world, succeeded=0 if is_gone else 10, not_sent=30 if is_gone else 20, unsettled=0)
        assert_loads_all(world, plan)


def test_a_run_that_the_next_one_has_to_finish_first_is_waited_for_as_long():
    """Nobody but PlanRun has called FinishRun for it, which gives up after some calls; PlanRun does not."""
    with open_world(load=paced(), queue_seconds=5_000.0) as world:
        world.plan(START)
        world.slices.run_slice(RUN, "0000", stop_before="CheckJob")
        world.executions.end(RUN)
        world.break_org(STUBBORN)
        plan, _ = until_planned(world)
        assert (plan.next, world.jobs) == ("Load", {"JobComplete": 1})
        assert_account(world, succeeded=10, not_sent=20, unsettled=0)


def test_a_job_that_does_not_end_within_the_loads_patience_ends_the_plan_and_the_next_one_still_knows_of_it():
    with open_world(load=paced(patience_seconds=500), queue_seconds=10_000.0) as world:
        job_id = leave_a_job(world)
        world.break_org(STUBBORN)
        for name in ("second", "third"):
            with pytest.raises(OrgUnreachable, match=rf"Run run-1 .* 1 jobs .*{job_id}.* 500 s.* Bulk Data Load Jobs"):
                until_planned(world, name)
            world.executions.end(name)
            assert world.store.run(name) is None
        assert_account(world, not_sent=20, unsettled=10)
        world.wait(10_000)
        plan, waits = until_planned(world)
        assert (plan.next, waits) == ("Load", [])
        assert_account(world, succeeded=10, not_sent=20, unsettled=0)


def test_rows_of_which_the_org_does_not_tell_after_their_job_has_ended_hold_up_nobody_beyond_patience():
    with open_world(load=paced(patience_seconds=500), faults=HALF_REFUSED) as world:
        world.plan(START)
        world.slices.run_slice(RUN, "0000", stop_before="CheckJob")
        world.wait(1000)
        world.break_org(DEAF)
        world.abort()
        world.break_org(UNREADABLE)
        plan, waits = until_planned(world)
        assert (plan.next, sum(waits)) == ("Load", 500)
        assert_account(world, not_sent=20, unsettled=10)


def test_a_job_whose_results_are_gone_is_given_up():
    with open_world(load=paced(), faults=HALF_REFUSED) as world:
        world.plan(START)
        world.slices.run_slice(RUN, "0000", stop_before="CheckJob")
        world.wait(1000)
        world.break_org("- match: {path: failedResults}\n  action: {status: 404, code: NOT_FOUND}")
        verdict = world.abort()
        assert (verdict.unsettled, verdict.not_sent) == (0, 30)
        assert world.store.lease(world.run().lease_key or "") is None


def test_finishing_again_keeps_the_target_until_the_job_has_been_seen_ended():
    with open_world(load=paced(), queue_seconds=1e9) as world:
        leave_a_job(world)
        key = world.run().lease_key or ""
        held = world.store.lease(key)
        assert held is not None
        world.finish({"input": {"run_id": RUN}}, ended="ABORTED")
        assert world.store.lease(key) == held
        until_planned(world)
        world.finish({"input": {"run_id": RUN}}, ended="ABORTED")
        after = world.store.lease(key)
        assert after is not None
        assert after.run_id == NEXT


def test_the_run_itself_may_be_resumed_and_gives_the_target_back():
    with open_world(load=paced(), queue_seconds=100.0) as world:
        leave_a_job(world)
        verdict = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, world.jobs) == ("Completed", 30, {"JobComplete": 3})
        assert world.store.lease(world.run().lease_key or "") is None


def test_a_sequence_waits_for_the_jobs_left_in_the_targets_of_all_its_loads():
    with open_world(load=paced(), queue_seconds=500.0) as world:
        leave_a_job(world)
        world.break_org(STUBBORN)
        of_another_target = world.load.target.model_copy(update={"object": "Account"})
        world.loads = {"first": world.load.model_copy(update={"name": "first", "target": of_another_target})}
        world.sequences = {"nightly": LoadSequence(name="nightly", sequence=("first", "opportunity"))}
        plan = world.plan_once({"load": "nightly"}, NEXT)
        assert (plan.next, plan.org_waits) == ("Wait", 1)
        assert world.store.run(f"{NEXT}.first") is None


@pytest.mark.parametrize(
    ("queue_seconds", "succeeded"),
    [pytest.param(1_000.0, 0, id="aborted"), pytest.param(1.0, 5, id="ended", marks=pytest.mark.soak)],
)
def test_a_plan_that_dies_after_any_effect_goes_on_and_the_account_stays_true(queue_seconds, succeeded):
    for effects in itertools.count(1, stride(9)):
        with open_world(load=paced(), faults=HALF_REFUSED, queue_seconds=queue_seconds) as world:
            leave_a_job(world)
            world.after(effects)
            with suppress(Crash):
                until_planned(world)
            world.fuse.blows_after = None
            plan, _ = until_planned(world)
            assert_account(world, succeeded=succeeded, rejected=succeeded, not_sent=30 - 2 * succeeded, unsettled=0)
            assert len(rejected_rows(world)) == succeeded
            assert_loads_all(world, plan)
            if not world.fuse.has_blown:
                break
    assert effects > 5


def test_a_plan_that_dies_between_the_settling_and_the_receipt_writes_the_receipt_when_it_is_repeated():
    with open_world(load=paced()) as world:
        leave_a_job(world)
        world.wait(1000)
        world.after(3)  # the target is asked for, the lane taken over, its batch settled
        with pytest.raises(Crash):
            world.plan_once(START, NEXT)
        assert (world.partition().succeeded, recorded_account(world).unsettled) == (10, 10)
        world.plan_once(START, NEXT)
        assert_account(world, succeeded=10, not_sent=20, unsettled=0)
