"""How thorough the tests of crash safety are: `make test` tries a part of the points, `make soak` all of them."""

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

IS_SOAK = "SOAK" in os.environ


def every(step: int, points: Sequence[T]) -> list[T]:
    """Every so-manieth of some points; all of them in a soak."""
    return list(points) if IS_SOAK else list(points[::step])
