"""How thorough the tests of crash safety are: `make test` tries part of the points, `make soak` all of them."""

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

IS_SOAK = "SOAK" in os.environ
IS_ONE_FAILURE_ENOUGH = "ONE_FAILURE" in os.environ
"""Set for seeded bugs: that an example fails is all that matters, and making it small takes minutes."""


def every(step: int, points: Sequence[T], *, offset: int = 0) -> list[T]:
    """One in ``step`` of some points, from the one with number ``offset`` on.

    All of them in a soak, and where the first that fails ends the test.
    """
    return list(points) if IS_SOAK or IS_ONE_FAILURE_ENOUGH else list(points[offset::step])
