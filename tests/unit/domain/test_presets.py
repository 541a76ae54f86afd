"""The tables of the implementation guide: "Partition Sizing Guidelines" and "Parameter Tuning"."""

import pytest

from massive_upload.domain.presets import (
    CHUNK_ROWS,
    LANE_ROWS,
    MOST_PAIR_ROW_MS,
    PACE,
    LockRisk,
    filling_lanes_for,
    lanes_for,
    start_delay_seconds,
)


@pytest.mark.parametrize(
    ("rows", "low", "medium", "high"),
    [
        (1, 1, 1, 1),
        (99_999, 1, 1, 1),
        (100_000, 1, 2, 2),
        (500_000, 1, 2, 2),
        (500_001, 2, 3, 3),
        (1_000_000, 2, 3, 3),
        (1_000_001, 3, 4, 5),
        (2_000_000, 3, 4, 5),
        (2_000_001, 5, 8, 10),
        (5_000_000, 5, 8, 10),
        (5_000_001, 10, 15, 20),
        (10_000_000, 10, 15, 20),
    ],
)
def test_the_number_of_lanes_is_the_guides_with_its_upper_bounds_inclusive(rows, low, medium, high):
    assert [lanes_for(rows, risk) for risk in (LockRisk.LOW, LockRisk.MEDIUM, LockRisk.HIGH)] == [low, medium, high]


@pytest.mark.parametrize("risk", [LockRisk.LOW, LockRisk.MEDIUM, LockRisk.HIGH])
def test_above_the_tables_end_lanes_are_cut_by_size(risk):
    assert lanes_for(10_000_001, risk) == 10_000_001 // LANE_ROWS + 1
    assert lanes_for(100_000_000, risk) == 200
    assert lanes_for(100_000_000, risk, lane_rows=1_000_000) == 100


@pytest.mark.parametrize(
    ("risk", "batch_rows", "delay_seconds", "stagger_seconds"),
    [
        (LockRisk.NONE, 50_000, 0, 0),
        (LockRisk.LOW, 1000, 15, 3600),
        (LockRisk.MEDIUM, 750, 20, 5400),
        (LockRisk.HIGH, 500, 30, 7200),
    ],
)
def test_the_pace_follows_the_lock_risk(risk, batch_rows, delay_seconds, stagger_seconds):
    assert PACE[risk] == {
        "batch_rows": batch_rows,
        "delay_seconds": delay_seconds,
        "stagger_seconds": stagger_seconds,
        "retry_delays_seconds": (2, 5, 10),
    }


@pytest.mark.parametrize(
    ("rows", "org_batches", "batch_rows", "lanes"),
    [
        (0, 20, 10_000, 1),
        (3_999, 20, 10_000, 1),
        (10_000, 20, 10_000, 5),
        (40_000, 20, 10_000, 20),
        (399_999, 20, 10_000, 20),
        (400_000, 20, 10_000, 40),
        (100_000_000, 20, 10_000, 40),
        (159_999, 8, 10_000, 8),
        (160_000, 8, 10_000, 16),
        (79_999, 20, 500, 20),
        (80_000, 20, 500, 40),
        (100_000_000, 1_000, 10_000, 1_000),
        (39_999, 20, 50_000, 19),
        (199_999, 20, 50_000, 20),
        (200_000, 20, 50_000, 4),
        (399_999, 20, 50_000, 4),
        (400_000, 20, 50_000, 8),
        (10_000_000, 21, 50_000, 10),
    ],
)
def test_lanes_that_do_not_meet_are_as_many_as_fill_the_org_or_twice_as_many_of_a_full_job(
    rows, org_batches, batch_rows, lanes
):
    assert filling_lanes_for(rows, org_batches=org_batches, batch_rows=batch_rows) == lanes


def test_at_most_two_lanes_begin_in_the_same_second_and_a_stagger_is_kept():
    delays = [start_delay_seconds(index, 0, max_concurrency=6) for index in range(8)]
    assert delays == [0, 0, 1, 1, 2, 2, 0, 0], "what comes after begins as others end"
    staggered = [start_delay_seconds(index, 60, max_concurrency=2) for index in range(4)]
    assert staggered == [0, 60, 0, 0], "who waits for another to end does not wait for its stagger as well"


@pytest.mark.parametrize(
    ("begun", "delays"), [(0, [0, 60, 120, 180]), (1, [0, 60, 120, 180]), (3, [0, 0, 1, 60]), (4, [0, 0, 1, 1])]
)
def test_lanes_that_have_had_their_stagger_wait_for_none(begun, delays):
    assert [start_delay_seconds(index, 60, max_concurrency=9, begun=begun) for index in range(4)] == delays


def test_the_chunk_that_a_paired_batch_waits_for_is_written_before_its_rows_give_up():
    assert MOST_PAIR_ROW_MS * CHUNK_ROWS / 1000 == 7, "of the 10 s that a row waits for a lock"
