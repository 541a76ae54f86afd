"""When the circuit breaker trips, and when it does not."""

import random
from dataclasses import replace

import pytest

from massive_upload.domain.breaker import after_batch, after_job, run_failures, why_lane_ends, why_run_ends
from massive_upload.domain.load import LaneBreaker, Pace, RunBreaker
from massive_upload.domain.presets import LANE_FAILED_JOBS
from massive_upload.domain.progress import LaneFailures, Partition, PartitionStatus, RunFailures

LANE = LaneBreaker(failed_jobs=3, failed_percent=75, judged_rows=100)
RUN = RunBreaker(failed_lanes=2, failed_percent=50, judged_rows=100)
NOTHING = RunFailures()


def a_lane(name: str = "0000", **changes: object) -> Partition:
    lane = Partition(
        run_id="r", partition=name, status=PartitionStatus.RUNNING, epoch=1, planned_rows=100, source_rows=100
    )
    return replace(lane, **changes)  # type: ignore[arg-type]  # fields of a partition


def test_jobs_that_fail_in_a_row_end_a_lane_and_one_that_does_not_begins_anew():
    failures = LaneFailures()
    for _ in range(2):
        failures = after_job(failures, is_failed=True, code="InternalServerError")
    assert why_lane_ends(failures, LANE) is None
    assert after_job(failures, is_failed=False, code=None).failed_jobs == 0
    reason = why_lane_ends(after_job(failures, is_failed=True, code=None), LANE)
    assert reason is not None
    assert "3 jobs in a row" in reason
    assert "InternalServerError" in reason
    unnamed = why_lane_ends(LaneFailures(failed_jobs=3), LANE)
    assert unnamed == "3 jobs in a row failed as a whole, were aborted or were deleted."


def test_rows_that_were_judged_are_done_with():
    judged = LaneFailures(judged_rows=100, failed_rows=60)
    assert after_batch(judged, LANE, rows=5, failed_rows=2) == LaneFailures(judged_rows=5, failed_rows=2)


@pytest.mark.parametrize(
    ("batches", "is_given_up"),
    [
        ([(99, 99)], False),  # too few rows to judge
        ([(100, 74)], False),
        ([(100, 75)], True),
        ([(1_000, 749)], False),
        ([(50, 50), (50, 25)], True),
        ([(50, 50), (50, 24), (50, 50)], False),  # judged, and begun anew
        ([(100, 0), (100, 75)], True),  # what was well before does not count
    ],
)
def test_rows_are_judged_so_many_at_a_time(batches, is_given_up):
    failures = LaneFailures()
    for rows, failed_rows in batches:
        assert why_lane_ends(failures, LANE) is None
        failures = after_batch(failures, LANE, rows=rows, failed_rows=failed_rows)
    assert (why_lane_ends(failures, LANE) is not None) is is_given_up


def test_a_source_with_a_third_of_bad_rows_does_not_trip_the_default_whatever_the_size_of_a_batch():
    chance = random.Random(7)
    for batch_rows in (1, 10, 500, 10_000):
        failures = LaneFailures()
        for _ in range(60_000 // batch_rows):
            failed_rows = sum(chance.random() < 0.33 for _ in range(batch_rows))
            failures = after_batch(failures, LaneBreaker(), rows=batch_rows, failed_rows=failed_rows)
            assert why_lane_ends(failures, LaneBreaker()) is None
    assert why_run_ends(RunFailures(judged_rows=10**6, failed_rows=330_000), RunBreaker(), before=NOTHING) is None


def test_the_default_lets_a_row_alone_use_all_the_retries_that_a_load_can_have():
    longest = Pace.model_json_schema()["properties"]["retry_delays_seconds"]["maxItems"]
    assert longest + 1 < LANE_FAILED_JOBS


@pytest.mark.parametrize(
    ("failures", "before", "reason"),
    [
        (RunFailures(failed_lanes=1), NOTHING, None),
        (RunFailures(failed_lanes=2), NOTHING, "2 lanes failed."),
        (RunFailures(failed_lanes=2), RunFailures(failed_lanes=1), None),
        (RunFailures(judged_rows=99, failed_rows=99), NOTHING, None),
        (RunFailures(judged_rows=100, failed_rows=49), NOTHING, None),
        (RunFailures(judged_rows=100, failed_rows=50), NOTHING, "50 of 100 rows failed."),
        (RunFailures(judged_rows=199, failed_rows=199), RunFailures(judged_rows=100, failed_rows=100), None),
        (
            RunFailures(judged_rows=200, failed_rows=160),
            RunFailures(judged_rows=100, failed_rows=100),
            "60 of 100 rows failed.",
        ),
    ],
)
def test_a_run_ends_for_what_has_failed_since_it_was_last_resumed(failures, before, reason):
    assert why_run_ends(failures, RUN, before=before) == reason


def test_the_sweep_is_none_of_the_runs_lanes():
    lanes = [
        a_lane(settled_rows=10, rejected=2, deferred=3),
        a_lane("0001", status=PartitionStatus.FAILED, settled_rows=5),
        a_lane("0002"),
        a_lane("sweep", status=PartitionStatus.FAILED, settled_rows=3, rejected=3),
    ]
    assert run_failures(lanes) == RunFailures(failed_lanes=1, judged_rows=15, failed_rows=5)
