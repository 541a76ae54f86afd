"""The lock benchmark answers for what it says: every row is written once, and no bound is beaten."""

from dataclasses import replace

import pytest

from benchmarks.locks import (
    GUIDE,
    ONE_JOB,
    ONE_SORTED_JOB,
    Case,
    Strategy,
    by_parent,
    default,
    key_ranges,
    landed_table,
    lanes_table,
    parent_lanes,
    rows_of,
    rows_with_giant,
    simulate,
)

CASES = {
    "many parents": Case(rows=rows_of(rows=30_000, parents=900, skew=0.6, seed=3), workers=4),
    "a giant": Case(rows=rows_with_giant(rows=30_000, parents=900, giant_part=0.3, seed=3), workers=8),
}
ONE_JOB_AND_AGAIN = replace(ONE_JOB, is_sent_again=True)
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


def test_by_lot_the_same_seed_comes_to_the_same_end_and_every_row_is_accounted_for() -> None:
    case = replace(CASES["a giant"], lottery_seed=1)
    outcome = simulate(case, key_ranges(8))
    assert outcome.written + outcome.left == len(case.rows)
    assert simulate(case, key_ranges(8)) == outcome
    assert simulate(replace(case, lottery_seed=2), key_ranges(8)) != outcome


def test_a_careful_person_sends_failed_rows_until_all_have_landed() -> None:
    case = replace(CASES["a giant"], row_ms=60)
    once, again = simulate(case, ONE_JOB), simulate(case, ONE_JOB_AND_AGAIN)
    assert once.left == once.failed_at_first == again.failed_at_first > 0
    assert (again.left, again.written) == (0, len(case.rows))
    assert again.seconds > once.seconds


def test_the_default_is_ahead_once_the_other_pages_take_what_it_is_behind() -> None:
    rows = landed_table(60_000, 1_000, 7, giant_parts=[0.4]).splitlines()[2:]
    found = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if "first come" in row]
    behind = [float(cells[7].removesuffix(" s")) - float(cells[5].removesuffix(" s")) for cells in found]
    assert len(found) == 3
    assert any(seconds > 1 for seconds in behind)
    for cells, seconds in zip(found, behind, strict=True):
        page_seconds = 0.0 if cells[8] == "any time" else float(cells[8].removesuffix(" s"))
        assert page_seconds == pytest.approx(max(0, seconds) / 4, abs=0.26)  # times are shown as whole seconds


def test_the_table_of_lanes_marks_what_a_plan_chooses() -> None:
    (row,) = [line for line in lanes_table(0.6, 7, 15.0, sizes=[20_000]).splitlines() if "| 8 |" in line]
    assert [cell.startswith("**") for cell in row.split(" | ")[3:]] == [False, False, True, False]
    assert default(20_000).name == "the default: 10 lanes of parents"


def test_key_ranges_share_parents_and_fail_on_their_locks() -> None:
    outcome = simulate(CASES["a giant"], key_ranges(8))
    assert outcome.shared_parents > 800
    assert outcome.failed_at_first > 0
