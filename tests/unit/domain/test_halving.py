from collections import deque

import pytest

from massive_upload.domain.halving import most_halvings


@pytest.mark.parametrize(("rows", "halvings"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (500, 9), (10_000, 14)])
def test_there_are_as_many_cuts_as_it_takes_to_be_down_to_one_row(rows, halvings):
    assert most_halvings(rows) == halvings


def rejected_rows(rows: int, fatal: set[int]) -> tuple[list[int], int]:
    """Cut in the order in which halves were made: the rows that are given up, and the jobs that it takes."""
    waiting, rejected, jobs, halvings = deque([list(range(rows))]), list[int](), 0, 0
    while waiting:
        part = waiting.popleft()
        jobs += 1
        if not fatal & set(part):
            continue
        if len(part) == 1 or halvings == most_halvings(rows):
            rejected += part
            continue
        halvings += 1
        waiting += [part[: len(part) // 2], part[len(part) // 2 :]]
    return rejected, jobs


@pytest.mark.parametrize("rows", [1, 2, 7, 64, 100])
def test_any_one_row_is_found_alone(rows):
    for fatal in range(rows):
        rejected, jobs = rejected_rows(rows, {fatal})
        assert rejected == [fatal]
        assert jobs <= 1 + 2 * most_halvings(rows)


def test_two_rows_among_many_take_few_others_down():
    for other in range(1, 500, 7):
        rejected, jobs = rejected_rows(500, {0, other})
        assert {0, other} <= set(rejected)
        assert len(rejected) <= 2 * 32
        assert jobs <= 1 + 2 * most_halvings(500)
