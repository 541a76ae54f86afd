import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massive_upload.domain.lanes import Bucket, SourceCount, cut_evenly, cut_lanes, paired
from massive_upload.domain.progress import LaneKind, SourceRange


def as_buckets(sizes: list[int]) -> list[Bucket]:
    return [Bucket(last=f"k{index:04d}", rows=rows) for index, rows in enumerate(sizes)]


bucket_sizes = st.lists(st.integers(1, 1000), min_size=1, max_size=60)


@given(bucket_sizes, st.integers(1, 80))
def test_lanes_cover_every_bucket_once_and_in_order(sizes, count):
    buckets = as_buckets(sizes)
    lanes = cut_lanes(buckets, count)
    assert 1 <= len(lanes) <= min(count, len(buckets))
    assert lanes[0].after is None
    assert lanes[-1].upto == buckets[-1].last
    for left, right in itertools.pairwise(lanes):
        assert right.after == left.upto
        assert right.upto > left.upto
    held = [sum(b.rows for b in buckets if (lane.after or "") < b.last <= lane.upto) for lane in lanes]
    assert [lane.rows for lane in lanes] == held
    assert sum(held) == sum(sizes)


@given(bucket_sizes, st.integers(1, 80))
def test_no_lane_is_heavier_than_an_even_share_by_more_than_its_last_bucket(sizes, count):
    lanes = cut_lanes(as_buckets(sizes), count)
    assert all(lane.rows < sum(sizes) / count + max(sizes) for lane in lanes)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=7), st.integers(1, 8))
def test_the_heaviest_range_is_as_light_as_can_be(weights, count):
    ranges = cut_evenly(weights, count)
    assert len(ranges) == min(count, len(weights))
    cuts = itertools.combinations(range(1, len(weights)), len(ranges) - 1)
    lightest = min(
        max(sum(weights[start:stop]) for start, stop in itertools.pairwise([0, *cut, len(weights)])) for cut in cuts
    )
    assert max(sum(weights[each.start : each.stop]) for each in ranges) == lightest


@given(st.integers(2, 100), st.integers(1, 50))
def test_even_buckets_make_as_many_lanes_as_asked_for(bucket_count, count):
    lanes = cut_lanes(as_buckets([7] * bucket_count), min(count, bucket_count))
    assert len(lanes) == min(count, bucket_count)


@pytest.mark.parametrize(
    ("rows", "rows_without", "count", "lanes", "lanes_without"),
    [
        (500, 500, 1, 1, 1),
        (500, 500, 3, 1, 2),
        (500, 500, 5, 3, 2),
        (900, 3, 100, 100, 1),
        (10, 90, 20, 2, 18),
        (1, 900, 100, 1, 100),
        (0, 900, 100, 0, 100),
    ],
)
def test_rows_without_a_parent_have_their_part_of_the_lanes_or_one_beside_them(
    rows, rows_without, count, lanes, lanes_without
):
    buckets = [Bucket(last=f"p{index:04d}", rows=1, kind=LaneKind.PARENT, parents=1) for index in range(rows)]
    buckets += [Bucket(last=f"k{index:04d}", rows=1, kind=LaneKind.NO_PARENT) for index in range(rows_without)]
    kinds = Counter(lane.kind for lane in cut_lanes(buckets, count))
    assert (kinds[LaneKind.PARENT], kinds[LaneKind.NO_PARENT]) == (lanes, lanes_without)


def test_a_source_without_rows_has_no_lanes():
    assert cut_lanes([], 5) == []


def test_the_count_tells_what_cannot_be_loaded():
    count = SourceCount(buckets=tuple(as_buckets([3, 4])), all_rows=12, keyed_rows=10, distinct_keys=7)
    assert (count.null_keys, count.duplicates, count.loadable_rows) == (2, 3, 7)


@pytest.mark.parametrize(
    ("changes", "adds_up"),
    [
        ({}, True),
        ({"keyed_rows": 9}, True),
        ({"keyed_rows": 9, "distinct_keys": 8}, False),
        ({"keyed_rows": 6, "distinct_keys": 6}, False),
        ({"distinct_parents": 2}, False),
        ({"distinct_parents": 4}, False),
    ],
    ids=["one of each key", "every row", "a row too few", "a row too many", "a parent twice", "a parent too few"],
)
def test_a_count_adds_up_where_each_row_and_each_parent_is_in_one_bucket(changes, adds_up):
    buckets = (Bucket(last="p1", rows=3, parents=1), Bucket(last="p2", rows=4, parents=2))
    count = SourceCount(buckets=buckets, all_rows=9, keyed_rows=8, distinct_keys=7, distinct_parents=3)
    assert replace(count, **changes).adds_up is adds_up


def test_ranges_of_parents_come_heaviest_first_with_those_without_one_among_them():
    buckets = [Bucket(last=f"p{rows}", rows=rows, kind=LaneKind.PARENT, parents=1) for rows in (20, 90, 40)] + [
        Bucket(last="k", rows=50, kind=LaneKind.NO_PARENT)
    ]
    assert [lane.rows for lane in cut_lanes(buckets, 4)] == [90, 50, 40, 20]
    assert [lane.rows for lane in cut_lanes(as_buckets([20, 90, 40]), 3)] == [20, 90, 40]


def test_a_lane_knows_whether_all_of_its_rows_have_one_parent():
    sizes = [(3, 1), (90, 1), (3, 2), (2, 1)]
    buckets = [
        Bucket(last=f"p{index}", rows=rows, kind=LaneKind.PARENT, parents=parents)
        for index, (rows, parents) in enumerate(sizes)
    ]
    buckets += as_buckets([40])
    told = {lane.upto: lane.has_one_parent for lane in cut_lanes(buckets, 4)}
    assert told == {"p0": True, "p1": True, "p3": False, "k0000": False}


def parents(*sizes: int) -> list[SourceRange]:
    """A lane for each parent."""
    return [
        SourceRange(after=None, upto=f"p{place}", rows=rows, kind=LaneKind.PARENT, has_one_parent=True)
        for place, rows in enumerate(sizes)
    ]


EVEN = [SourceRange(after=None, upto=f"l{place}", rows=9_000, kind=LaneKind.PARENT) for place in range(20)]
"""Lanes of many parents each."""


@pytest.mark.parametrize(
    ("lanes", "org_batches", "pairs"),
    [
        ([*parents(20_000), *EVEN], 20, 1),
        ([*parents(20_000), *EVEN], 10, 0),
        ([*parents(10_000), *EVEN], 20, 0),
        ([*parents(200_000, 11_000), *EVEN], 20, 2),
        (parents(*[50_000] * 10), 20, 10),
        (parents(*[50_000] * 11), 20, 0),
        (parents(40_000), 2, 1),
        (parents(40_000), 1, 0),
        (EVEN, 20, 0),
        ([replace(EVEN[0], rows=40_000)], 20, 0),
        ([], 20, 0),
    ],
)
def test_lanes_are_paired_where_the_org_has_time_for_the_batches_that_wait(lanes, org_batches, pairs):
    found = paired(lanes, org_batches=org_batches)
    assert len(found) == pairs
    assert all(lane.has_one_parent and lane.rows > 10_000 for lane in found)
