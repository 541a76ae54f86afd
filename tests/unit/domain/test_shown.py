"""What a run shows of the org, and what the next one plans with."""

import heapq
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massive_upload.domain.presets import MOST_ORG_BATCHES, ORG_BATCHES
from massive_upload.domain.progress import JobWork, Partition, PartitionStatus
from massive_upload.domain.shown import Shown, following_org_batches, org_took, plan_org_batches, work_of
from tests.unit.domain.shown_runs import BEGAN_AT, a_shown

JOB_SECONDS = 150
JOB_ROWS = 10_000


def loaded(*, lanes: int, workers: int, jobs_of_a_lane: int = 5, job_seconds: int = JOB_SECONDS) -> JobWork:
    """What the jobs of a run come to, by an org that works on so many at a time, first come, first served."""
    free_at = [0.0] * workers
    ready = [(float(lane), lane, jobs_of_a_lane) for lane in range(lanes)]
    total_seconds = 0.0
    while ready:
        sent_at, lane, left = heapq.heappop(ready)
        ended_at = max(heapq.heappop(free_at), sent_at + 1) + job_seconds
        heapq.heappush(free_at, ended_at)
        total_seconds += ended_at - sent_at
        if left > 1:
            heapq.heappush(ready, (ended_at + 4, lane, left - 1))
    jobs = lanes * jobs_of_a_lane
    return JobWork(
        jobs=jobs, rows=jobs * JOB_ROWS, seconds=round(total_seconds), processing_ms=jobs * job_seconds * 1000
    )


def shown_by(work: JobWork, *, lanes: int) -> int | None:
    """What a run whose lanes began a second apart shows."""
    return org_took(work, lanes=lanes, batch_rows=JOB_ROWS, ramp_seconds=lanes - 1, run_seconds=60)


@pytest.mark.parametrize("jobs_of_a_lane", [1, 2, 5])
@pytest.mark.parametrize(
    ("lanes", "workers"), [(20, 8), (40, 8), (40, 20), (40, 30), (16, 8), (60, 40), (9, 3), (4, 1)]
)
def test_where_jobs_wait_in_the_queue_the_org_shows_how_many_it_works_on(lanes, workers, jobs_of_a_lane):
    """The first jobs of all lanes come to an empty queue, and the org begins with some of them at once."""
    work = loaded(lanes=lanes, workers=workers, jobs_of_a_lane=jobs_of_a_lane)
    assert shown_by(work, lanes=lanes) == pytest.approx(workers, rel=0.15, abs=0.6)


@pytest.mark.parametrize(("lanes", "workers"), [(20, 20), (20, 40), (40, 40), (5, 8), (1, 1)])
def test_an_org_that_takes_all_at_once_shows_as_many_as_there_are_lanes(lanes, workers):
    assert (
        org_took(
            loaded(lanes=lanes, workers=workers),
            lanes=lanes,
            batch_rows=JOB_ROWS,
            ramp_seconds=lanes - 1,
            run_seconds=60,
        )
        == lanes
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"processing_ms": 0}, "the org does not tell how long it worked"),
        ({"contended_rows": 20_001}, "rows waited for locks"),
        ({"jobs": 19}, "a lane had no job"),
        ({"jobs": 0, "rows": 0, "seconds": 0, "processing_ms": 0}, "nothing was sent"),
        ({"seconds": 100 * 29, "processing_ms": 100 * 29_000}, "jobs were so short that a second counts"),
    ],
)
def test_a_run_that_proves_nothing_says_nothing(changes, why):
    work = replace(loaded(lanes=20, workers=8), **changes)
    assert org_took(work, lanes=20, batch_rows=JOB_ROWS, ramp_seconds=19, run_seconds=60) is None, why


def test_lanes_that_were_hardly_side_by_side_prove_nothing():
    work = loaded(lanes=5, workers=8, jobs_of_a_lane=2)
    assert org_took(work, lanes=5, batch_rows=JOB_ROWS, ramp_seconds=4, run_seconds=60) == 5
    assert org_took(work, lanes=5, batch_rows=JOB_ROWS, ramp_seconds=4 * 5_400, run_seconds=60) is None


def test_lanes_that_had_no_job_in_flight_for_most_of_the_run_prove_nothing():
    """They waited for the org's allowances, or for the hours of the window, and not in its queue."""
    work = loaded(lanes=5, workers=8)
    assert org_took(work, lanes=5, batch_rows=JOB_ROWS, ramp_seconds=4, run_seconds=work.seconds / 5 + 100) == 5
    assert org_took(work, lanes=5, batch_rows=JOB_ROWS, ramp_seconds=4, run_seconds=3 * work.seconds / 5) is None


def test_jobs_of_several_batches_prove_nothing_as_nobody_says_how_their_times_are_added_up():
    work = loaded(lanes=5, workers=8)
    assert org_took(work, lanes=5, batch_rows=JOB_ROWS, ramp_seconds=4, run_seconds=60) == 5
    assert org_took(work, lanes=5, batch_rows=JOB_ROWS + 1, ramp_seconds=4, run_seconds=60) is None


def test_no_lanes_prove_nothing():
    assert org_took(JobWork(), lanes=0, batch_rows=JOB_ROWS, ramp_seconds=0, run_seconds=60) is None


@given(
    st.integers(1, 200),
    st.builds(
        JobWork,
        jobs=st.integers(0, 1_000),
        rows=st.integers(0, 10**7),
        seconds=st.integers(0, 10**6),
        processing_ms=st.integers(0, 10**10),
        contended_rows=st.integers(0, 1_000),
    ),
)
def test_the_org_never_shows_more_than_there_were_lanes(lanes, work):
    took = org_took(work, lanes=lanes, batch_rows=JOB_ROWS, ramp_seconds=0, run_seconds=0)
    assert took is None or 1 <= took <= lanes


def test_first_attempts_of_all_lanes_but_the_sweep_add_up():
    lane = Partition(
        run_id="run-1",
        partition="0000",
        status=PartitionStatus.COMPLETED,
        epoch=1,
        planned_rows=9,
        source_rows=9,
        timed_jobs=1,
        timed_rows=9,
        timed_seconds=30,
        timed_ms=28_000,
        contended_rows=2,
    )
    found = work_of([lane, lane, replace(lane, partition="sweep")])
    assert found == JobWork(jobs=2, rows=18, seconds=60, processing_ms=56_000, contended_rows=4)


# -- the next plan


def test_a_load_that_says_how_many_keeps_it():
    assert plan_org_batches(7, a_shown(org_took=20)).number == 7
    assert plan_org_batches(7, None).reason == "the load says so"


def test_without_a_run_the_org_is_taken_for_one_like_others():
    assert plan_org_batches(None, None).number == ORG_BATCHES


@pytest.mark.parametrize(
    ("changes", "number", "says"),
    [
        ({"org_took": None, "org_batches": 12}, 12, "does not tell"),
        ({"lanes": 20, "org_took": 12}, 12, "about 12"),
        ({"lanes": 40, "org_took": 20}, 20, "about 20"),
        ({"lanes": 40, "org_took": 8}, 10, "about 8"),
        ({"lanes": 40, "org_took": 36}, 30, "about 36"),
        ({"lanes": 40, "org_took": 40}, 30, "may take more"),
        ({"lanes": 20, "org_took": 20}, 30, "may take more"),
        ({"lanes": 5, "org_took": 5}, 20, "all 5 jobs"),
        ({"lanes": 180, "org_took": 180, "org_batches": 90}, MOST_ORG_BATCHES, "may take more"),
        ({"lanes": 300, "org_took": 300, "org_batches": 300}, 300, "may take more"),
        ({"lanes": 1, "org_took": 1, "org_batches": 1}, 2, "may take more"),
        ({"lanes": 2, "org_took": 1, "org_batches": 1}, 1, "about 1"),
    ],
)
def test_the_next_plan_takes_a_step_towards_what_the_last_run_showed(changes, number, says):
    found = plan_org_batches(None, a_shown(**changes))
    assert found.number == number
    assert says in found.reason
    assert "run-1" in found.reason


def test_fewer_jobs_than_batches_do_not_show_that_the_org_takes_more():
    assert "may take more" not in plan_org_batches(None, a_shown(lanes=5, org_took=5)).reason


@pytest.mark.parametrize(
    ("workers", "jobs_of_a_lane"),
    [*((workers, 5) for workers in (1, 3, 8, 20, 33, 60, 200)), *((workers, 1) for workers in (1, 3, 8, 20, 33, 60))],
)
def test_night_after_night_the_plan_comes_to_what_the_org_works_on(workers, jobs_of_a_lane):
    org_batches = ORG_BATCHES
    for _ in range(8):
        org_batches = _after_a_night(org_batches, workers, jobs_of_a_lane)
    expected = min(workers, MOST_ORG_BATCHES)
    assert org_batches == pytest.approx(expected, rel=0.15, abs=1)
    following = _after_a_night(org_batches, workers, jobs_of_a_lane)
    assert following == pytest.approx(org_batches, rel=0.15, abs=1), "and it stays there"


def _after_a_night(org_batches: int, workers: int, jobs_of_a_lane: int) -> int:
    lanes = 2 * org_batches
    took = shown_by(loaded(lanes=lanes, workers=workers, jobs_of_a_lane=jobs_of_a_lane), lanes=lanes)
    return following_org_batches(a_shown(lanes=lanes, org_batches=org_batches, org_took=took))


# -- which run counts


def later(**changes: Any) -> Shown:
    return a_shown(run_id="run-2", began_at=BEGAN_AT + timedelta(days=1), **changes)


def test_a_newer_run_replaces_an_older_one_and_never_the_other_way():
    assert later().may_replace(a_shown())
    assert not a_shown().may_replace(later())
    assert a_shown().may_replace(None)
    assert a_shown(rows=500_000).may_replace(a_shown()), "the same run, once it was resumed"


@pytest.mark.parametrize(
    ("rows", "known_rows", "counts"),
    [(1_000, 400_000, False), (5_000, 400_000, True), (4_000, 6_000, True), (2_000, 6_000, False), (1, 1, True)],
)
def test_a_much_smaller_run_does_not_replace_a_larger_one(rows, known_rows, counts):
    assert later(rows=rows).may_replace(a_shown(rows=known_rows)) is counts


def test_what_another_org_showed_is_replaced():
    assert later(rows=1).may_replace(a_shown(target="00E#deal__c"))


def test_a_row_takes_what_the_org_worked_on_it_and_our_time_where_it_does_not_tell():
    assert a_shown().row_ms == 15
    assert a_shown(processing_ms=0).row_ms == 15.2
    assert (a_shown().typical_job_seconds, a_shown().typical_job_rows) == (152, 10_000)


def test_a_wait_in_the_orgs_queue_is_left_out_of_a_typical_jobs_time():
    assert a_shown(job_seconds=3 * 6_080).typical_job_seconds == 152


def test_a_typical_job_has_whole_seconds_and_rows_and_one_at_least():
    uneven = a_shown(rows=400_001, job_seconds=6_081)
    assert [repr(each) for each in (uneven.typical_job_seconds, uneven.typical_job_rows)] == ["152", "10000"]
    tiny = a_shown(rows=10, job_seconds=10, processing_ms=0)
    assert (tiny.typical_job_seconds, tiny.typical_job_rows) == (1, 1)


def test_a_run_is_contended_where_more_than_two_of_a_hundred_rows_failed_for_a_passing_reason():
    assert not a_shown(contended_rows=8_000).is_contended
    assert a_shown(contended_rows=8_001).is_contended
