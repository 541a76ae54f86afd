"""Rows of one parent are never in two jobs in flight, also where a lane or the sweep was left with its job."""

from typing import Any

import pytest

from local.org import generated_opportunities
from local.org.jobs import Job
from tests.integration.usecases.kept_rows import recorded_account
from tests.integration.usecases.world import RUN, World, open_world, paced

LANE = "0000"
RESUME = {"mode": "resume", "run_id": RUN}
FIRST_JOB_LOCKED = """
- match: {object: Opportunity, nth: 1}
  action: {row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}
"""


def one_parent() -> Any:
    """A lane of three batches whose rows have one parent; the first is left to the sweep, a job takes half a minute."""
    return open_world(
        source=generated_opportunities(30, accounts=1, rejected_share=0),
        load=paced(by="parent", retry_delays_seconds=()),
        faults=FIRST_JOB_LOCKED,
        row_ms=3_000,
    )


def watch(world: World) -> list[list[str]]:
    """The jobs that are in flight whenever one is closed, where these are several."""
    ingest = world.server.backend.ingest
    set_state = ingest.set_state
    together: list[list[str]] = []

    def watched(job_id: str, state: str) -> dict[str, Any]:
        answer = set_state(job_id, state)
        in_flight = [job.id for job in ingest.jobs() if _is_in_flight(job)]
        if state == "UploadComplete" and len(in_flight) > 1:
            together.append(in_flight)
        return answer

    ingest.set_state = watched  # type: ignore[method-assign]  # the one door by which jobs are closed
    return together


def _is_in_flight(job: Job) -> bool:
    return not job.state.is_terminal and job.state != "Open"


def begin(world: World, *, leave_before: str) -> None:
    """Plan the load, give up the lane's first batch, and leave the lane at its second one."""
    world.plan({"load": world.load.name})
    world.slices.run_slice(RUN, LANE, stop_before="SettleBatch")
    assert world.slices.at is not None
    world.slices.go_on(*world.slices.at, stop_before="UploadBatch")
    assert world.slices.at is not None
    if leave_before == "CheckJob":
        world.slices.run_slice(RUN, LANE, stop_before="CheckJob")


@pytest.mark.parametrize("is_finished", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_a_lane_that_is_resumed_does_not_meet_the_job_that_the_sweep_was_left_with(is_finished):
    """A person stops the execution and resumes the run at once, maybe before FinishRun has heard of it."""
    with one_parent() as world:
        together = watch(world)
        begin(world, leave_before="UploadBatch")
        assert world.plan_sweep().needed
        world.slices.run_slice(RUN, "sweep", stop_before="CheckJob")
        world.executions.end(RUN)
        if is_finished:
            world.finish({"input": {"run_id": RUN}}, ended="ABORTED")
        verdict = world.execute(RESUME, "again")
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        assert together == []


def test_the_sweep_leaves_out_the_rows_of_a_lane_that_was_left_with_its_job():
    with one_parent() as world:
        together = watch(world)
        begin(world, leave_before="CheckJob")
        world.fail_lane(LANE)
        assert not world.plan_sweep().needed
        failed = world.finish({"plan": {"run_id": RUN}})
        assert (failed.status, failed.error) == ("Failed", "PartitionsFailed")
        assert recorded_account(world).balances
        world.executions.end(RUN)
        verdict = world.execute(RESUME, "again")
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        assert together == []


def test_nor_does_a_sweep_that_has_listed_its_rows_already_go_on_with_them():
    """The lane failed between two jobs, was resumed before the sweep had sent anything, and failed within one."""
    with one_parent() as world:
        together = watch(world)
        begin(world, leave_before="UploadBatch")
        world.fail_lane(LANE)
        assert world.plan_sweep().needed
        world.finish({"plan": {"run_id": RUN}})
        world.executions.end(RUN)
        plan = world.plan(RESUME, "again")
        world.slices.run_slice(RUN, LANE, stop_before="CheckJob")
        world.fail_lane(LANE)
        assert not world.plan_sweep().needed
        world.finish({**RESUME, "plan": plan.model_dump(mode="json")}, "again")
        world.executions.end("again")
        verdict = world.execute(RESUME, "rest")
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        assert together == []
