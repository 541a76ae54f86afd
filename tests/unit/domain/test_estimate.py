"""What a plan is expected to take, and what it warns of."""

from datetime import UTC, datetime
from typing import Any

import pytest

from massive_upload.domain.estimate import (
    Estimate,
    LaneWork,
    Parents,
    Range,
    SharedParents,
    estimate_of,
)
from massive_upload.domain.load import Load
from massive_upload.domain.quota import LOOKS_OF_A_DAY, OrgQuota
from tests.unit.domain.loads import a_load
from tests.unit.domain.shown_runs import a_shown

PACE = {"batch_rows": 10_000, "delay_seconds": 0, "stagger_seconds": 0, "retry_delays_seconds": [2]}
NO_PARENTS_SHARED = Parents(parents=100, rows=1_000, most_rows=20, heavy_rows=20)


def a_plan(load: Load, *lanes: LaneWork, parents: Parents | None = None, quota: OrgQuota | None = None) -> Estimate:
    return estimate_of(load, lanes, parents=parents, quota=quota)


def by_parent(**changes: Any) -> Load:
    return a_load(source={"parent": "Account"}, **({"pace": PACE} | changes))


def test_batches_are_those_of_each_lane():
    plan = a_plan(a_load(pace=PACE), LaneWork(rows=10_001), LaneWork(rows=10_000), LaneWork(rows=1))
    assert (plan.rows, plan.lanes, plan.heaviest_lane_rows, plan.batches) == (20_002, 3, 10_001, 4)
    assert plan.jobs == plan.bulk_batches == Range(least=4, most=8)
    assert plan.api_requests == Range(least=4 * 5, most=8 * 13 + 3 * 2 + 8)


def test_the_most_of_a_plan_holds_where_jobs_wait_in_the_orgs_queue():
    """Each of 40 batches is sent twice, with seven looks at each job, and has rejected rows."""
    plan = a_plan(a_load(pace=PACE), *[LaneWork(rows=20_000)] * 20)
    create_upload_close_page, looks, results = 4, 7, 2
    assert plan.api_requests.most >= 80 * (create_upload_close_page + looks + results)
    assert plan.state_transitions.most >= 80 * (4 + 3 * looks)


def test_a_job_of_many_rows_is_charged_in_batches_of_10_000():
    plan = a_plan(a_load(pace=PACE | {"batch_rows": 150_000}), LaneWork(rows=150_000))
    assert (plan.jobs.least, plan.bulk_batches.least) == (1, 15)


@pytest.mark.parametrize("load", [by_parent(), a_load(lock_risk="none"), a_load(pace=PACE)])
def test_a_plan_whose_lanes_do_not_meet_says_why_there_are_so_many(load):
    plan = a_plan(load, LaneWork(rows=1))
    assert plan.org_batches == 20
    assert bool(plan.org_batches_reason) is not load.lanes_meet


def test_nothing_to_load_takes_nothing():
    plan = a_plan(a_load())
    assert (plan.rows, plan.batches, plan.duration_seconds) == (0, 0, Range(least=0, most=0))
    assert plan.state_transitions == Range(least=7, most=7), "FinishRun comes straight after the plan"
    assert plan.warnings == ()


def test_a_lane_takes_the_time_of_its_rows_and_of_its_jobs_one_after_the_other():
    plan = a_plan(a_load(pace=PACE | {"delay_seconds": 10}), LaneWork(rows=20_000, start_delay_seconds=60))
    assert plan.duration_seconds == Range(least=60 + 2 * (50 + 4) + 10, most=60 + 2 * (300 + 4 + 4 + 2) + 10)


def test_the_batches_of_a_job_whose_rows_share_a_parent_are_written_one_after_the_other():
    side_by_side = a_plan(a_load(pace=PACE | {"batch_rows": 20_000}), LaneWork(rows=40_000))
    in_turn = a_plan(by_parent(), LaneWork(rows=40_000, is_paired=True))
    assert (side_by_side.jobs.least, in_turn.jobs.least) == (2, 2)
    assert (side_by_side.bulk_batches.least, in_turn.bulk_batches.least) == (4, 4)
    assert side_by_side.duration_seconds.least == 2 * (50 + 4)
    uneven = a_plan(a_load(pace=PACE | {"batch_rows": 20_000}), LaneWork(rows=12_000))
    assert uneven.duration_seconds.least == 50 + 4, "the largest is the last to end"
    assert in_turn.duration_seconds.least == 2 * (100 + 4)


def test_lanes_beyond_those_that_may_load_at_once_wait_for_one_to_end():
    lanes = [LaneWork(rows=10_000)] * 3
    load = a_load(pace=PACE, partitioning={"max_concurrency": 2})
    assert a_plan(load, *lanes).duration_seconds.least == 2 * (50 + 4)


def test_a_lane_that_waits_for_another_begins_after_all_of_its_jobs():
    load = a_load(pace=PACE, partitioning={"max_concurrency": 1})
    assert a_plan(load, *[LaneWork(rows=20_000)] * 3).duration_seconds.least == 6 * (50 + 4)


def test_a_plan_takes_until_its_longest_lane_ends_whichever_begins_last():
    lanes = [LaneWork(rows=10_000), LaneWork(rows=200, start_delay_seconds=10)]
    assert a_plan(a_load(pace=PACE), *lanes).duration_seconds.least == 50 + 4


def test_more_lanes_than_the_org_works_on_do_not_make_it_faster():
    load = a_load(pace=PACE, partitioning={"org_batches": 2})
    assert a_plan(load, *[LaneWork(rows=10_000)] * 10).duration_seconds.least == 10 * 50 // 2 + 4


def test_the_last_of_more_lanes_than_the_org_works_on_may_have_it_for_themselves():
    load = a_load(pace=PACE, partitioning={"org_batches": 2})
    assert a_plan(load, *[LaneWork(rows=10_000)] * 3).duration_seconds.least == 2 * 50 + 4


def test_a_lane_whose_batches_wait_for_each_other_keeps_others_out():
    load = a_load(pace=PACE, partitioning={"org_batches": 2})
    lanes = [LaneWork(rows=20_000, is_paired=True), LaneWork(rows=10_000)]
    assert a_plan(load, *lanes).duration_seconds.least == 100 + 50 + 4


def test_the_last_run_narrows_the_time_of_a_row_and_keeps_a_range():
    known = a_shown(rows=100_000, processing_ms=1_000_000, org_took=4, lanes=8, org_batches=8)
    plan = estimate_of(by_parent(), [LaneWork(rows=10_000)] * 8, parents=None, quota=None, known=known)
    assert (plan.row_ms_least, plan.row_ms_most, plan.last_run) == (7.5, 15, known.run_id)
    assert plan.duration_seconds == Range(least=8 * 75 // 4 + 4, most=8 * 150 // 4 + 10)
    assert plan.org_batches == 4
    assert "about 4" in plan.org_batches_reason


def test_without_a_last_run_the_time_of_a_row_is_a_guess():
    plan = a_plan(by_parent(), LaneWork(rows=10_000))
    assert (plan.row_ms_least, plan.row_ms_most, plan.last_run) == (5, 30, None)
    assert plan.org_batches == 20


def test_transitions_and_their_cost_grow_with_jobs_and_with_long_waits():
    small, staggered, large = (
        a_plan(a_load(pace=PACE), LaneWork(rows=rows, start_delay_seconds=delay_seconds))
        for rows, delay_seconds in ((10_000, 0), (10_000, 1_200), (10_000_000, 0))
    )
    assert staggered.state_transitions.least - small.state_transitions.least == 2 * 5
    assert large.state_transitions.least > 1_000 * 7
    assert large.cost_usd_least == round(large.state_transitions.least * 0.025 / 1_000, 2)


@pytest.mark.parametrize(
    ("delay_seconds", "batches", "transitions"),
    [
        (0, (2, 1), Range(least=7 + 3 + 2 * 5 + 2 * 6 + 3 * 7, most=7 + 3 + 2 * 5 + 2 * 6 + 6 * 28)),
        (9, (2, 1), Range(least=7 + 3 + 2 * 5 + 2 * 6 + 3 * 10 - 2 * 3, most=7 + 3 + 2 * 5 + 2 * 6 + 6 * 28)),
        (0, (1_000,), Range(least=7 + 3 + 5 + 3 * 6 + 1_000 * 7, most=7 + 3 + 5 + 18 * 6 + 2_000 * 28)),
        (9, (1_000,), Range(least=7 + 3 + 5 + 4 * 6 + 1_000 * 10 - 3, most=7 + 3 + 5 + 18 * 6 + 2_000 * 28)),
    ],
)
def test_transitions_are_those_of_the_run_of_each_lane_of_its_slices_and_of_its_jobs(
    delay_seconds, batches, transitions
):
    """A job of the least has 25 events, 32 with a pause, and one of the most 86: 10,000 fill a slice."""
    lanes = [LaneWork(rows=10_000 * count) for count in batches]
    plan = a_plan(a_load(pace=PACE | {"delay_seconds": delay_seconds}), *lanes)
    assert plan.state_transitions == transitions
    assert plan.cost_usd_most == round(transitions.most * 0.025 / 1_000, 2)


# -- warnings


def quota(**left: int) -> OrgQuota:
    known = {"requests_max": 100_000, "requests_left": 100_000, "batches_max": 15_000, "batches_left": 15_000}
    return OrgQuota(looked_at=datetime(2026, 1, 1, tzinfo=UTC), look_begun_at=None, **(known | left))


def test_an_org_with_enough_left_is_no_warning():
    plan = a_plan(a_load(pace=PACE), LaneWork(rows=100_000), quota=quota())
    assert (plan.api_requests_left, plan.bulk_batches_left) == (90_000 - LOOKS_OF_A_DAY, 13_500)
    assert plan.warnings == ()


@pytest.mark.parametrize(("left", "words"), [(10, None), (9, "may not"), (5, "may not"), (4, "do not")])
def test_what_does_not_fit_into_the_rest_of_the_day_is_told(left: int, words: str | None):
    """Five batches, and five to send again."""
    reserve = 1_500
    plan = a_plan(a_load(pace=PACE), LaneWork(rows=50_000), quota=quota(batches_left=reserve + left))
    expected = [f"Bulk API batches: 5 to 10 {words} fit into the {left} "] if words else []
    assert [warning[: len(expected[0])] for warning in plan.warnings] == expected
    assert all("Raise pace.batch_rows where it is below 10,000" in warning for warning in plan.warnings)


def test_an_allowance_that_the_org_does_not_tell_is_told():
    unknown = OrgQuota(looked_at=datetime(2026, 1, 1, tzinfo=UTC), requests_max=9, requests_left=9)
    (warning,) = a_plan(a_load(pace=PACE), LaneWork(rows=1), quota=unknown).warnings[1:]
    assert "does not tell how many Bulk API batches" in warning


def test_key_ranges_that_share_parents_are_told_with_the_nearest_number_of_lanes():
    shared = (SharedParents(ranges=5, parents=70, rows=700), SharedParents(ranges=20, parents=90, rows=900))
    parents = Parents(parents=100, rows=1_000, most_rows=20, heavy_rows=20, shared=shared)
    lanes = [LaneWork(rows=250)] * 4
    (warning,) = a_plan(by_parent(partitioning={"by": "key"}), *lanes, parents=parents).warnings
    assert "70 of 100 with 700 rows in 5 ranges" in warning
    many = [LaneWork(rows=50)] * 18
    (warning,) = a_plan(by_parent(partitioning={"by": "key"}), *many, parents=parents).warnings
    assert "90 of 100 with 900 rows in 20 ranges" in warning
    assert a_plan(by_parent(), *lanes, parents=parents).warnings == (), "lanes of parents share none"
    one = LaneWork(rows=1_000)
    assert a_plan(by_parent(partitioning={"by": "key"}), one, parents=parents).warnings == (), "nor does one lane"


def test_key_ranges_as_many_as_the_lanes_that_share_no_parent_are_not_told():
    shared = (SharedParents(ranges=5, parents=0, rows=0), SharedParents(ranges=20, parents=90, rows=900))
    parents = Parents(parents=100, rows=1_000, most_rows=20, heavy_rows=20, shared=shared)
    lanes = [LaneWork(rows=250)] * 4
    assert a_plan(by_parent(partitioning={"by": "key"}), *lanes, parents=parents).warnings == ()


def test_lanes_whose_parents_nobody_knows_are_told():
    (warning,) = a_plan(a_load(pace=PACE), LaneWork(rows=1), LaneWork(rows=1)).warnings
    assert "source.parent" in warning
    assert a_plan(a_load(lock_risk="none"), LaneWork(rows=1), LaneWork(rows=1)).warnings == ()


def test_a_parent_that_is_heavier_than_a_lane_is_told():
    heavy = Parents(parents=100, rows=1_000, most_rows=600, heavy_rows=600)
    lanes = [LaneWork(rows=600), LaneWork(rows=400)]
    (warning,) = a_plan(by_parent(), *lanes, parents=heavy).warnings
    assert "One parent has 600 rows" in warning
    assert warning.endswith("More lanes do not shorten that; leave it the time.")
    assert a_plan(by_parent(), *lanes, parents=NO_PARENTS_SHARED).warnings == ()
    assert a_plan(by_parent(partitioning={"by": "key"}), *lanes, parents=heavy).warnings == ()


def test_a_parent_does_not_decide_how_long_a_load_takes_where_lanes_are_heavier_than_it():
    lanes = [LaneWork(rows=2_000)] * 5
    parents = Parents(parents=100, rows=10_000, most_rows=600, heavy_rows=600)
    assert a_plan(by_parent(), *lanes, parents=parents).warnings == ()


def test_a_parent_that_is_lighter_than_a_lane_of_a_small_load_is_no_warning():
    """A few thousand rows make fewer lanes than the org works on batches at once."""
    lighter = Parents(parents=100, rows=5_000, most_rows=300, heavy_rows=300)
    lanes = [LaneWork(rows=2_500)] * 2
    assert a_plan(by_parent(), *lanes, parents=lighter).warnings == ()


def test_an_even_part_is_one_of_the_lanes_that_are_at_work_at_once():
    heavy = Parents(parents=100, rows=1_000, most_rows=300, heavy_rows=300)
    lanes = [LaneWork(rows=300), *[LaneWork(rows=175)] * 4]
    few, fewer = (by_parent(partitioning={name: 4}) for name in ("org_batches", "max_concurrency"))
    for load in (few, fewer):
        (warning,) = a_plan(load, *lanes, parents=heavy).warnings
        assert "more than the 250 of each of 4 lanes at a time" in warning


def test_a_stagger_that_takes_most_of_the_time_is_told():
    lanes = [LaneWork(rows=100), LaneWork(rows=100, start_delay_seconds=3_600)]
    plan = a_plan(by_parent(pace=PACE | {"stagger_seconds": 3_600}), *lanes)
    assert "starts after 60 minutes" in plan.warnings[0]
    soon = [LaneWork(rows=100), LaneWork(rows=100, start_delay_seconds=119)]
    assert "starts after 119 s" in a_plan(by_parent(pace=PACE | {"stagger_seconds": 119}), *soon).warnings[0]
    assert a_plan(by_parent(), *lanes).warnings == (), "there is no stagger to lower"


def test_a_load_that_is_longer_than_its_window_is_told():
    """The schedule's own runs may be incremental ones of fewer rows, which a plan does not count."""
    schedule = {"cron": "0 22 ? * * *", "window": "22:00-00:00", "mode": "incremental"}
    load = a_load(source={"parent": "Account", "modified": "Changed__c"}, pace=PACE, schedule=schedule)
    (warning,) = a_plan(load, LaneWork(rows=3_000_000)).warnings
    assert "2 h long" in warning
    assert "a run of 3,000,000 rows takes at least 3 of them" in warning
    assert warning.endswith("Widen schedule.window to have it end sooner.")
    assert a_plan(load, LaneWork(rows=1_000_000)).warnings == ()
    late = LaneWork(rows=1_000, start_delay_seconds=8 * 3600)
    (warning,) = a_plan(
        a_load(pace=PACE | {"stagger_seconds": 3600}, schedule=schedule | {"mode": "full"}), late
    ).warnings
    assert "stagger" in warning, "which passes outside of the window, too"
