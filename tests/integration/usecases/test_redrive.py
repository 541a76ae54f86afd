"""Every task of a whole load is entered twice with the same input: at once, as a redrive does it, or late."""

import pytest

from massive_upload.contracts import Plan, SliceInput
from tests.integration.usecases.fuse import Killed
from tests.integration.usecases.troubled import assert_complete, effects_of_a_load, troubled_world
from tests.integration.usecases.world import RUN
from tests.thoroughness import every


@pytest.mark.parametrize("lag", every(3, range(6)))
def test_entering_every_task_of_a_load_twice_is_harmless(lag):
    with troubled_world() as world:
        world.slices.repetition.lag = lag
        verdict = world.execute()
        world.slices.repetition.flush()
        assert verdict is not None
        assert (verdict.status, verdict.error) == ("Completed", "SuccessRateBelowCriterion")
        assert world.slices.repetition.repeated > 15
        assert_complete(world)


@pytest.mark.parametrize("lag", every(3, range(1, 6)))
def test_entering_every_task_of_a_resumed_run_twice_is_harmless(lag):
    effects = effects_of_a_load()
    with troubled_world() as world:
        world.after(effects // 3)
        world.fuse.error = Killed
        with pytest.raises(Killed):
            world.execute()
        world.executions.end(RUN)
        world.slices.repetition.lag = lag
        verdict = world.execute({"mode": "resume", "run_id": RUN}, "again")
        world.slices.repetition.flush()
        assert verdict is not None
        assert verdict.status == "Completed"
        assert_complete(world)


def test_an_old_execution_that_is_finished_late_takes_no_lane_from_the_one_that_goes_on():
    effects = effects_of_a_load() // 3
    with troubled_world() as world:
        world.after(effects)
        world.fuse.error = Killed
        with pytest.raises(Killed):
            world.execute()
        world.executions.end(RUN)
        plan = world.plan({"mode": "resume", "run_id": RUN}, "again")
        claimed = world.slices.claim(RUN, "0000")
        late = world.finish({"input": {"run_id": RUN}}, ended="ABORTED")
        assert late.next == "Succeed"
        assert world.partition().epoch == claimed.step.epoch
        assert world.go_on_after(plan, "again").status == "Completed"
        assert_complete(world)


@pytest.mark.parametrize("calls", every(4, range(1, 15)))
def test_an_execution_that_is_finished_while_another_resumes_its_run_holds_nobody_up(calls):
    """FinishRun, told of the end by an event, stands still before one of its calls while a lane is resumed."""
    effects = effects_of_a_load() // 3
    with troubled_world() as world:
        world.after(effects)
        world.fuse.error = Killed
        with pytest.raises(Killed):
            world.execute()
        world.executions.end(RUN)
        plans: list[Plan] = []
        claims: list[SliceInput] = []

        def resume() -> None:
            plans.append(world.plan({"mode": "resume", "run_id": RUN}, "again"))
            claims.append(world.slices.claim(RUN, plans[0].lanes[0].partition))

        world.stall.holds = world.stall.calls + calls
        world.stall.happening = resume
        world.finish({"input": {"run_id": RUN}}, ended="ABORTED")
        (claim,) = claims
        assert world.partition(claim.partition).epoch == claim.step.epoch
        assert world.go_on_after(plans[0], "again").status == "Completed"
        assert_complete(world)
