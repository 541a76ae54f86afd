"""A task dies after any of its side effects and is tried again: no row is lost, none is counted twice."""

import pytest

from tests.integration.usecases.troubled import assert_complete, effects_of_a_load, troubled_world
from tests.thoroughness import every


@pytest.mark.timeout(900)
def test_a_task_that_died_after_any_of_its_effects_is_tried_again():
    for effects in every(29, range(1, effects_of_a_load() + 1)):
        with troubled_world() as world:
            world.after(effects)
            world.execute()
            assert world.fuse.has_blown
            assert_complete(world)
