"""Advice for the next run: by the guide's thresholds, and none where there is no cause."""

from typing import Any

import pytest

from massive_upload.domain.advice import advice_for
from massive_upload.domain.load import Load
from massive_upload.domain.shown import Shown
from tests.unit.domain.loads import a_load
from tests.unit.domain.shown_runs import a_shown


def by_key(**changes: Any) -> Load:
    return a_load(partitioning={"by": "key"}, **changes)


def contended(percent: float, **changes: Any) -> Shown:
    """A run of lanes of keys in which so many rows failed at their first try for a passing reason."""
    rows = 100_000
    return a_shown(**({"lanes": 5, "rows": rows, "contended_rows": round(rows * percent / 100)} | changes))


def advised(load: Load, shown: Shown | None, partitions: int | None = None) -> tuple[str, ...]:
    """The advice after a run, all of whose partitions loaded at the same time unless told otherwise."""
    return advice_for(load, shown, partitions=partitions or (shown.lanes if shown else 1))


@pytest.mark.parametrize(
    ("passed_percent", "says"),
    [
        (89.9, "stagger_seconds: 7200"),
        (90.0, "count: 6"),
        (94.9, "count: 6"),
        (95.0, None),
        (98.0, None),
        (98.1, "stagger_seconds: 3600} and partitioning: {count: 4}"),
        (100.0, "stagger_seconds: 3600} and partitioning: {count: 4}"),
    ],
)
def test_lanes_of_keys_are_advised_by_the_guides_thresholds(passed_percent, says):
    advice = advised(by_key(pace={"stagger_seconds": 5_400}), contended(100 - passed_percent))
    if says is None:
        assert advice == ()
        return
    (told,) = advice
    assert says in told
    assert f"{passed_percent:.1f} %" in told, "the reason"


@pytest.mark.parametrize("passed_percent", [60, 89.9, 94.9])
def test_where_a_parent_is_known_lanes_of_parents_are_advised(passed_percent):
    (told,) = advised(by_key(source={"parent": "Account"}), contended(100 - passed_percent))
    assert "by: parent" in told


def test_a_stagger_that_is_at_its_longest_makes_way_for_more_partitions():
    load = by_key(pace={"stagger_seconds": 7_200})
    (told,) = advised(load, contended(20))
    assert "count: 10" in told
    (told,) = advised(load, contended(20), partitions=700)
    assert "count: 1000}" in told, "a load has no more"


@pytest.mark.parametrize(("stagger_seconds", "longer_seconds"), [(1_800, 2_400), (6_000, 7_200)])
def test_a_stagger_grows_by_a_third_up_to_its_longest(stagger_seconds, longer_seconds):
    (told,) = advised(by_key(pace={"stagger_seconds": stagger_seconds}), contended(20, lanes=2))
    assert f"stagger_seconds: {longer_seconds}}}" in told


def test_lanes_of_parents_that_meet_locks_are_not_advised_to_be_lanes_of_parents():
    assert advised(by_parent(), contended(20)) == ()


def test_lanes_that_start_all_at_once_are_advised_to_start_half_an_hour_apart():
    (told,) = advised(by_key(pace={"stagger_seconds": 0}), contended(20))
    assert "stagger_seconds: 1800" in told


@pytest.mark.parametrize("stagger_seconds", [0, 60, 1_800])
def test_a_short_stagger_is_not_made_shorter(stagger_seconds):
    assert advised(by_key(pace={"stagger_seconds": stagger_seconds}), contended(0)) == ()


@pytest.mark.parametrize("percent", [0, 20])
def test_one_lane_or_few_rows_give_no_cause(percent):
    load = by_key(pace={"stagger_seconds": 5_400})
    assert advised(load, contended(percent, lanes=1)) == ()
    assert advised(load, contended(percent, rows=1_999, contended_rows=0)) == ()
    assert advised(load, None) == ()


@pytest.mark.parametrize(
    ("passed_percent", "stagger_seconds", "says"),
    [(80, 7_200, "count: 40"), (92, 5_400, "count: 21"), (99, 5_400, "count: 19}: 99.0 % of the rows")],
)
def test_the_partitions_that_are_advised_are_counted_from_all_of_them(passed_percent, stagger_seconds, says):
    load = by_key(pace={"stagger_seconds": stagger_seconds})
    (told,) = advised(load, contended(100 - passed_percent, lanes=5), partitions=20)
    assert says in told
    assert "in 5 lanes" not in told


def by_parent(**partitioning: Any) -> Load:
    return a_load(source={"parent": "Account"}, partitioning=partitioning)


@pytest.mark.parametrize(
    ("given", "lanes", "took", "says"),
    [
        (20, 40, 12, "org_batches: 12}, or leave it out: of 40 jobs at a time the org worked on about 12."),
        (20, 40, 5, "org_batches: 10"),
        (20, 40, 40, "org_batches: 30}, or leave it out: the org worked on all 40 jobs at a time"),
        (20, 40, 18, None),
        (20, 40, 22, None),
        (20, 10, 10, None),
        (20, 40, None, None),
        (None, 40, 12, None),
    ],
)
def test_lanes_of_parents_are_advised_of_another_number_where_the_load_sets_one(given, lanes, took, says):
    partitioning = {} if given is None else {"org_batches": given}
    advice = advised(by_parent(**partitioning), a_shown(lanes=lanes, org_took=took))
    assert advice == () if says is None else says in advice[0]


@pytest.mark.parametrize("by", [{"lock_risk": "none"}, {"lock_risk": "none", "partitioning": {"org_batches": 20}}])
def test_rows_that_were_said_not_to_lock_and_do_are_advised_a_slower_pace(by):
    assert advised(a_load(**by), contended(5)) == ()
    (told,) = advised(a_load(**by), contended(5.1))
    assert "lock_risk: medium" in told
    assert "94.9 %" in told


def test_rows_that_were_said_not_to_lock_and_have_a_parent_are_advised_lanes_of_parents():
    (told,) = advised(by_key(lock_risk="none", source={"parent": "Account"}), contended(20))
    assert "by: parent" in told


@pytest.mark.parametrize(
    ("source", "how"), [({}, "again"), ({"modified": "Changed__c"}, "with mode incremental")], ids=["full", "dated"]
)
def test_a_source_that_changed_during_a_run_of_lanes_of_parents_is_loaded_once_more(source, how):
    load = a_load(source={"parent": "Account"} | source)
    (told,) = advice_for(load, None, partitions=5, changed_lanes=2)
    assert told.startswith(f"Run the load {how}: 2 of its lanes found more or fewer rows")
    assert advice_for(load, None, partitions=5) == ()
    assert advice_for(by_key(), None, partitions=5, changed_lanes=2) == (), "a row's key stays"
