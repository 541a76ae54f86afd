"""An execution ends after any of its side effects, as StopExecution ends it: a second one brings the run to its end."""

import pytest

from massive_upload.domain.progress import RunStatus
from tests.integration.usecases.fuse import Killed
from tests.integration.usecases.kept_rows import account_of
from tests.integration.usecases.troubled import (
    ROWS,
    assert_complete,
    assert_no_job_in_flight,
    effects_of_a_load,
    troubled_world,
)
from tests.integration.usecases.world import RUN, World
from tests.thoroughness import every

pytestmark = pytest.mark.timeout(900)
RESUME = {"mode": "resume", "run_id": RUN}


def kill(world: World, effects: int) -> None:
    world.after(effects)
    world.fuse.error = Killed
    with pytest.raises(Killed):
        world.execute()


def test_an_execution_that_ended_after_any_effect_is_finished_and_resumed():
    for effects in every(29, range(1, effects_of_a_load() + 1)):
        with troubled_world() as world:
            kill(world, effects)
            verdict = world.abort()
            run = world.store.run(RUN)
            assert_no_job_in_flight(world)
            if run is None or run.plan_name is None:
                assert verdict.source_rows == 0
                assert run is None or run.error == "RunNotPlanned"
                assert world.jobs == {}
                continue
            account = account_of(verdict)
            assert account.balances
            assert (account.source_rows, account.unsettled) == (ROWS, 0)
            if run.status is not RunStatus.COMPLETED:
                world.execute(RESUME, "again")
            assert_complete(world)


def test_an_execution_that_ended_after_any_effect_is_resumed_before_anyone_has_finished_it():
    for effects in every(29, range(2, effects_of_a_load() + 1)):
        with troubled_world() as world:
            kill(world, effects)
            world.executions.end(RUN)
            run = world.store.run(RUN)
            if run is None or run.plan_name is None:
                continue  # there is nothing to resume
            if run.status is not RunStatus.COMPLETED:
                world.execute(RESUME, "again")
            assert_complete(world)


@pytest.mark.parametrize("eighth", every(3, range(8)))
def test_another_run_takes_over_from_an_execution_that_ended(eighth):
    effects = 2 + effects_of_a_load() * eighth // 8
    with troubled_world() as world:
        kill(world, effects)
        world.executions.end(RUN)
        world.execute(name="next")
        assert_complete(world, "next")
