"""How thorough the tests of crash safety are: `make test` tries part of the points, `make soak` all of them."""

import os
from collections.abc import Mapping, Sequence
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet

T = TypeVar("T")

IS_SOAK = "SOAK" in os.environ
IS_ONE_FAILURE_ENOUGH = "ONE_FAILURE" in os.environ
"""Set for seeded bugs: that an example fails is all that matters, and making it small takes minutes."""


def stride(step: int) -> int:
    """From one point that is tried to the next: ``step``, or 1 where all are."""
    return 1 if IS_SOAK or IS_ONE_FAILURE_ENOUGH else step


def every(step: int, points: Sequence[T], *, offset: int = 0) -> list[T]:
    """One in ``step`` of some points, from the one with number ``offset`` on.

    All of them in a soak, and where the first that fails ends the test.
    """
    return list(points) if stride(step) == 1 else list(points[offset::step])


def some_of(cases: Mapping[str, object], *names: str) -> list[ParameterSet]:
    """All cases by their names; those that are not among ``names`` are left to a soak."""
    assert set(names) <= cases.keys(), "each of them is a case"
    return [
        pytest.param(case, id=name, marks=() if name in names else pytest.mark.soak) for name, case in cases.items()
    ]
