"""The engine benchmark answers for what it says: what it scales, foresees and prices."""

from dataclasses import replace

import pytest

from benchmarks.engine import (
    Case,
    Counts,
    Model,
    buckets,
    counts_table,
    growth_table,
    idle_percent,
    jobs_of,
    model_of,
    payload_bytes,
    per_million,
    planned,
    services_table,
    usd,
)
from massive_upload.constants import MAX_LANES

MODEL = Model(of_run=9, of_lane=11, of_job=5)


def counts(*, lanes: int, jobs: int, looks: int, rows: int = 10_000) -> Counts:
    return Counts(
        rows=rows,
        lanes=lanes,
        jobs=jobs,
        looks=looks,
        transitions=9 + 11 * lanes + 5 * jobs + 3 * looks,
        executions=1 + 2 * lanes,
        max_events=300,
        invocations={"PlanRun": 1, "CheckJob": looks},
        org_requests=6 * jobs,
        org_batches=jobs,
        service_requests={"s3.PUT": 2 * jobs, "dynamodb.Query": 7},
        staged_bytes=rows * 100,
    )


SMALL, LARGE, WIDE = (
    counts(lanes=4, jobs=8, looks=9),
    counts(lanes=4, jobs=80, looks=100),
    counts(lanes=12, jobs=12, looks=12),
)


def test_three_runs_tell_what_a_run_a_lane_and_a_job_take() -> None:
    assert model_of(SMALL, LARGE, WIDE) == MODEL


@pytest.mark.parametrize(
    ("small", "large", "wide"),
    [(SMALL, WIDE, WIDE), (SMALL, replace(LARGE, jobs=8), WIDE), (SMALL, LARGE, LARGE)],
)
def test_runs_that_do_not_differ_as_they_must_tell_nothing(small: Counts, large: Counts, wide: Counts) -> None:
    with pytest.raises(ValueError, match="needs more jobs"):
        model_of(small, large, wide)


def test_looks_count_besides_jobs() -> None:
    assert MODEL.transitions(lanes=20, jobs=10_000, looks=10_000) == 80_229
    assert MODEL.transitions(lanes=20, jobs=10_000, looks=20_000) == 110_229


@pytest.mark.parametrize(
    ("rows", "batch_rows", "lanes", "jobs"),
    [(10_000, 500, 1, 20), (10_001, 500, 1, 21), (100_000, 10_000, 20, 20), (100_000_000, 10_000, 20, 10_000)],
)
def test_each_lane_has_whole_jobs(rows: int, batch_rows: int, lanes: int, jobs: int) -> None:
    assert jobs_of(rows, batch_rows=batch_rows, lanes=lanes) == jobs


def test_transitions_are_priced_by_the_thousand() -> None:
    assert usd(80_000) == pytest.approx(2.0)
    assert per_million(500, 250_000) == 2_000


@pytest.mark.parametrize(
    ("jobs", "until", "percent"),
    [
        ([(10.0, 20.0)], 20.0, 0.0),
        ([(10.0, 20.0), (25.0, 30.0)], 30.0, 25.0),
        ([(25.0, 30.0), (10.0, 20.0)], 50.0, 62.5),
        ([(0.0, 10.0), (5.0, 10.0), (6.0, 20.0)], 20.0, 0.0),
    ],
    ids=["always busy", "a gap", "any order, and a rest", "overlapping jobs count once"],
)
def test_a_lane_is_idle_while_the_org_has_none_of_its_jobs(
    jobs: list[tuple[float, float]], until: float, percent: float
) -> None:
    assert idle_percent(jobs, until=until) == pytest.approx(percent)


@pytest.mark.parametrize("lanes", [1, 20, MAX_LANES])
def test_the_planner_is_given_every_row(lanes: int) -> None:
    assert sum(bucket.rows for bucket in buckets(100_001)) == 100_001
    found = planned(100_001, lanes)
    assert len(found) == lanes
    assert sum(lane.reads.rows for lane in found) == 100_001


def test_the_plan_of_most_lanes_fits_step_functions_payload() -> None:
    assert payload_bytes(planned(10_000_000, MAX_LANES)) < 262_144 / 2


def test_tables_tell_what_was_counted_and_foreseen() -> None:
    line = counts_table([(Case(rows=10_000, batch_rows=500), SMALL)], {500: MODEL}).splitlines()[2]
    assert line == "| 10,000 | 500 | parent | 4 | 8 | 1.12 | 120 | 120 | 300 | 9 | 48 | 8 |"
    assert growth_table({10_000: MODEL}).splitlines()[5] == "| 100,000,000 | 10,000 | 10,000 | 80,229 | 2.01 | 802 |"


def test_only_what_grows_with_jobs_is_told_for_each() -> None:
    assert services_table(SMALL, LARGE).splitlines()[2:] == ["| CheckJob | 1.26 |", "| s3.PUT | 2.00 |"]
