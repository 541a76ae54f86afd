"""FinishRun: jobs in flight, the account, and that it may be called by anybody at any time."""

import json

import pytest

from local.org import Faults
from local.org.faults import FaultPlan
from massive_upload.contracts import FinishRunInput, Verdict
from massive_upload.domain.account import Account
from massive_upload.domain.file_keys import receipt_key
from massive_upload.domain.progress import PartitionStatus, RunStatus
from massive_upload.ports import Heartbeat
from massive_upload.usecases.finish_run import finish_run
from massive_upload.usecases.watch_runs import watch_runs
from tests.integration.usecases.world import RUN, World, WorldClock, execution, open_world, paced

START = {"load": "opportunity"}
RESUME = {"mode": "resume", "run_id": RUN}
DEAF = "- match: {path: /jobs/ingest/}\n  action: {status: 503, code: SERVER_UNAVAILABLE}"


def account(world: World) -> Account:
    return Account(**json.loads(world.files.read(receipt_key(RUN)))["account"])


def left_in_flight(world: World) -> None:
    """A lane left with a job that was submitted and not looked at."""
    world.plan(START)
    world.slices.run_slice(RUN, "0000", stop_before="CheckJob")


@pytest.mark.parametrize("seconds", [0, 1000])
def test_a_job_in_flight_is_aborted_or_settled_and_resume_sends_the_rest(seconds):
    with open_world(load=paced()) as world:
        left_in_flight(world)
        world.wait(seconds)
        verdict = world.abort()
        assert (verdict.next, verdict.status, verdict.error) == ("Fail", "Stopped", "ExecutionAborted")
        assert verdict.unsettled == 0
        assert verdict.succeeded == len(world.loaded_keys)
        assert account(world).balances
        assert set(world.jobs) <= {"JobComplete", "Aborted"}
        resumed = world.execute(RESUME, "again")
        assert resumed is not None
        assert (resumed.status, resumed.succeeded) == ("Completed", 30)
        assert world.loaded_keys == world.keys_of()


def test_a_job_that_was_created_and_not_closed_is_aborted():
    with open_world(load=paced()) as world:
        task = world.start_lane()
        world.slices.run_slice(RUN, "0000", stop_before="UploadBatch")
        assert task.partition == "0000"
        world.server.backend.faults = FaultPlan(Faults.parse("- match: {method: PUT}\n  action: {reset: after}"), 1)
        world.slices.run_slice(RUN, "0000", stop_before="CheckPatience")
        assert world.jobs["Open"] == 1
        verdict = world.abort()
        assert (verdict.not_sent, verdict.unsettled) == (30, 0)
        assert "Open" not in world.jobs


def test_rows_of_an_org_that_cannot_be_reached_at_the_end_are_unsettled_until_resume():
    with open_world(load=paced()) as world:
        left_in_flight(world)
        world.wait(1000)
        world.server.backend.faults = FaultPlan(Faults.parse(DEAF), 1)
        verdict = world.abort()
        assert (verdict.next, verdict.unsettled, verdict.not_sent) == ("Fail", 10, 20)
        assert account(world).balances
        world.mend_org()
        resumed = world.execute(RESUME, "again")
        assert resumed is not None
        assert (resumed.succeeded, resumed.unsettled) == (30, 0)
        assert world.jobs == {"JobComplete": 3}, "no row was sent twice"


def test_finishing_again_changes_nothing_and_says_the_same():
    with open_world(load=paced()) as world:
        first = world.execute()
        run, partitions = world.run(), world.store.partitions(RUN)
        assert world.finish({}) == first
        assert world.finish({}, ended="FAILED") == first
        assert (world.run(), world.store.partitions(RUN)) == (run, partitions)


def test_an_execution_that_does_not_carry_out_the_run_changes_nothing():
    with open_world(load=paced()) as world:
        left_in_flight(world)
        before = (world.run(), world.store.partitions(RUN), world.jobs)
        verdict = world.finish({"input": {"run_id": RUN}}, "foreign", ended="ABORTED")
        assert (verdict.next, verdict.source_rows) == ("Succeed", 0)
        assert (world.run(), world.store.partitions(RUN), world.jobs) == before
        assert world.store.lease(world.run().lease_key or "") is not None


def test_the_error_of_the_machine_is_the_runs():
    with open_world(load=paced()) as world:
        world.plan(START)
        cause = json.dumps({"errorMessage": "The message.", "stackTrace": ["..."]})
        verdict = world.finish({"error": {"Error": "States.Timeout", "Cause": cause}})
        assert (verdict.next, verdict.error, verdict.cause) == ("Fail", "States.Timeout", "The message.")
        assert (world.run().status, world.run().cause) == (RunStatus.FAILED, "The message.")


@pytest.mark.parametrize(
    ("ended", "status", "error"),
    [
        ("ABORTED", RunStatus.STOPPED, "ExecutionAborted"),
        ("TIMED_OUT", RunStatus.FAILED, "ExecutionTimedOut"),
        ("FAILED", RunStatus.FAILED, "ExecutionFailed"),
    ],
)
def test_an_execution_that_ended_by_itself_says_how_to_go_on(ended, status, error):
    with open_world(load=paced()) as world:
        world.plan(START)
        verdict = world.finish({}, ended=ended)
        assert (verdict.status, verdict.error) == (status, error)
        assert f'"run_id": "{RUN}"' in verdict.cause


def test_too_few_successes_fail_the_execution_but_complete_the_run():
    faults = "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 1, code: STRING_TOO_LONG}}"
    with open_world(load=paced(), faults=faults) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.next, verdict.status, verdict.error) == ("Fail", "Completed", "SuccessRateBelowCriterion")
        assert "66.67 %" in verdict.cause


def test_an_org_that_stays_away_for_longer_than_the_loads_patience_ends_the_lane():
    with open_world(load=paced(patience_seconds=500)) as world:
        world.plan(START)
        world.server.backend.faults = FaultPlan(Faults.parse(DEAF.replace("/ingest/", "/ingest")), 1)
        world.slices.run_lane(RUN, "0000")
        lane = world.partition()
        assert (lane.status, lane.error) == (PartitionStatus.FAILED, "OrgUnreachable")
        assert world.slices.visited.count("WaitForOrg") == 3, "60, 300 and what is left of 500 seconds"
        world.mend_org()
        resumed = world.abort()
        assert resumed.not_sent == 30
        verdict = world.execute(RESUME, "again")
        assert verdict is not None
        assert verdict.succeeded == 30


def test_a_lane_that_waits_for_the_org_stops_when_it_is_asked_to():
    with open_world(load=paced(), faults=DEAF.replace("/ingest/", "/ingest")) as world:
        world.plan(START)
        world.slices.run_slice(RUN, "0000", stop_before="CheckPatience")
        world.store.request_stop(RUN, "by hand")
        world.slices.run_slice(RUN, "0000")
        assert world.partition().status is PartitionStatus.STOPPED


def test_the_watchdog_finishes_runs_whose_execution_ended_and_counts_lanes_that_stand_still():
    with open_world(load=paced()) as world:
        task = world.start_lane()
        world.store.record_heartbeat(world.partition(), Heartbeat(wake_after_seconds=3600))
        asked: list[str] = []

        def look() -> tuple[int, int]:
            report = watch_runs(
                world.store, world.executions, WorldClock(world.clock), lambda run: asked.append(run.run_id)
            )
            assert report.open_runs == 1
            return report.finished_runs, report.stuck_partitions

        assert task.step.epoch == 1
        assert look() == (0, 0)
        world.wait(3600 + 1800)
        assert look() == (0, 0)
        world.wait(1)
        assert look() == (0, 1)
        assert asked == []
        world.executions.ended.add(execution(RUN).arn)
        assert look() == (1, 0)
        assert asked == [RUN]


def test_drains_come_to_an_end():
    with open_world(load=paced()) as world:
        left_in_flight(world)
        world.server.backend.faults = FaultPlan(Faults.parse(DEAF), 1)
        verdicts: list[Verdict] = []
        state: dict[str, object] = {}
        while not verdicts or verdicts[-1].next == "Drain":
            task = FinishRunInput(execution=execution(RUN), state=state, ended="ABORTED")
            verdicts.append(finish_run(task, world.services, WorldClock(world.clock)))
            state["verdict"] = verdicts[-1].model_dump(mode="json")
        assert [verdict.drains for verdict in verdicts[:-1]] == list(range(1, len(verdicts)))
        assert len(verdicts) == 11
