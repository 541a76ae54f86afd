"""Every task of a whole load is entered twice with the same input: at once, as a redrive does it, or late."""

import pytest

from tests.integration.usecases.troubled import assert_complete, expected_digest, troubled_world


@pytest.mark.parametrize("lag", range(6))
def test_entering_every_task_of_a_load_twice_is_harmless(lag):
    expected_digest()
    with troubled_world() as world:
        world.slices.repetition.lag = lag
        verdict = world.execute()
        world.slices.repetition.flush()
        assert verdict is not None
        assert (verdict.status, verdict.error) == ("Completed", "SuccessRateBelowCriterion")
        assert world.slices.repetition.repeated > 15
        assert_complete(world)
