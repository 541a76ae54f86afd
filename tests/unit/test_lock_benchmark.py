"""The lock benchmark answers for what it says: every row is written once, and no bound is beaten."""

import pytest

from benchmarks.locks import (
    GUIDE,
    ONE_JOB,
    ONE_SORTED_JOB,
    Case,
    Strategy,
    by_parent,
    key_ranges,
    parent_lanes,
    rows_of,
    rows_with_giant,
    simulate,
)

CASES = {
    "many parents": Case(rows=rows_of(rows=30_000, parents=900, skew=0.6, seed=3), workers=4),
    "a giant": Case(rows=rows_with_giant(rows=30_000, parents=900, giant_part=0.3, seed=3), workers=8),
}
STRATEGIES = [
    GUIDE,
    key_ranges(4),
    ONE_JOB,
    ONE_SORTED_JOB,
    parent_lanes(4),
    parent_lanes(9),
    parent_lanes(2, batches=2),
]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_every_row_is_written_or_left_and_the_lower_bound_holds(case: Case, strategy: Strategy) -> None:
    outcome = simulate(case, strategy)
    assert outcome.written + outcome.left == len(case.rows)
    assert outcome.seconds >= case.least_seconds
    assert simulate(case, strategy) == outcome, "the same case comes to the same end"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_lanes_of_parents_share_none_and_none_of_their_rows_fails(case: Case) -> None:
    outcome = simulate(case, parent_lanes(4))
    assert (outcome.shared_parents, outcome.failed_at_first, outcome.left) == (0, 0, 0)
    assert sorted(parent for lane in by_parent(4)(case) for parent in lane) == sorted(case.rows)


def test_key_ranges_share_parents_and_fail_on_their_locks() -> None:
    outcome = simulate(CASES["a giant"], key_ranges(8))
    assert outcome.shared_parents > 800
    assert outcome.failed_at_first > 0
