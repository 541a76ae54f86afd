"""What all tests have in common."""

import os

import pytest
from hypothesis import settings

from tests.thoroughness import IS_ONE_FAILURE_ENOUGH, IS_SOAK

settings.register_profile("any machine", deadline=None)  # a busy one takes longer for one example than for the next
settings.load_profile("any machine")


def pytest_xdist_auto_num_workers() -> int | None:
    """Two workers for a processor: tests against the embedded AWS spend half of their time waiting."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked ``soak``, unless it is wanted: by `make soak`, by a seeded bug, or by its name."""
    is_named = config.option.markexpr or any("::" in argument for argument in config.args)
    if IS_SOAK or IS_ONE_FAILURE_ENOUGH or is_named:
        return
    tried: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        (left if item.get_closest_marker("soak") else tried).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = tried
