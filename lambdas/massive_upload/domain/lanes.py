"""Cutting the source into lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from massive_upload.constants import JOB_ROWS_PER_BATCH
from massive_upload.domain.progress import LaneKind, SourceRange


@dataclass(frozen=True)
class Bucket:
    """Some neighbouring rows, in the server's order of their keys or parents.

    Attributes:
        last: the last of the keys, or parents.
        rows: how many rows they have.
        parents: how many parents these rows have; 0 where the bucket is one of keys.
    """

    last: str
    rows: int
    kind: LaneKind = LaneKind.KEY
    parents: int = 0


@dataclass(frozen=True)
class SourceCount:
    """What the plan's one statement tells of the source."""

    buckets: tuple[Bucket, ...]
    all_rows: int
    keyed_rows: int
    distinct_keys: int
    distinct_parents: int = 0

    @property
    def null_keys(self) -> int:
        """Rows that no run can load, as their key is NULL or blank."""
        return self.all_rows - self.keyed_rows

    @property
    def duplicates(self) -> int:
        """Rows beyond the first of their key."""
        return self.keyed_rows - self.distinct_keys

    @property
    def loadable_rows(self) -> int:
        """Rows in the buckets: one of each key, or every row where duplicates stop the run."""
        return sum(bucket.rows for bucket in self.buckets)

    @property
    def adds_up(self) -> bool:
        """Whether each row is in one bucket, and no parent in two of them."""
        is_each_row_there = self.loadable_rows in (self.keyed_rows, self.distinct_keys)
        return is_each_row_there and sum(bucket.parents for bucket in self.buckets) == self.distinct_parents


def cut_lanes(buckets: Sequence[Bucket], count: int) -> list[SourceRange]:
    """Put neighbouring buckets together to ``count`` ranges, the heaviest of them as light as can be.

    The ranges cover every bucket once. Those of keys are in the order of the keys. Ranges of parents come heaviest
    first, so that the one that takes longest starts first; rows without a parent are in ranges of their own, of which
    there are as many as is their part of the rows. Where that is none, they have one more range than was asked for:
    the parents' would be heavier with one less.
    """
    without = [bucket for bucket in buckets if bucket.kind is LaneKind.NO_PARENT]
    others = [bucket for bucket in buckets if bucket.kind is not LaneKind.NO_PARENT]
    if not without or not others:
        return _heaviest_first(_ranges(buckets, count))
    part = sum(bucket.rows for bucket in without) / sum(bucket.rows for bucket in buckets)
    count_without = round(count * part)
    return _heaviest_first(_ranges(others, max(1, count - count_without)) + _ranges(without, max(1, count_without)))


def _heaviest_first(ranges: list[SourceRange]) -> list[SourceRange]:
    has_parents = any(each.kind is LaneKind.PARENT for each in ranges)
    return sorted(ranges, key=lambda each: -each.rows) if has_parents else ranges


def paired(lanes: Sequence[SourceRange], *, org_batches: int) -> frozenset[SourceRange]:
    """The lanes of a single parent whose jobs are to have two of Salesforce's batches.

    Such a lane's rows can only be written one after the other, however they are sent. Where a job has two batches, one
    is written while the other waits for the parent, for a chunk of 200 rows, and there is a gap after every second
    batch alone. But a batch that waits keeps others out of the org. So lanes are paired where the org has time for
    that, as the heaviest lane alone decides how long the load takes: all of them, or none.

    Args:
        lanes: all ranges of the plan.
        org_batches: batches that the org works on at the same time.
    """
    heavy = [lane for lane in lanes if lane.has_one_parent and lane.rows > JOB_ROWS_PER_BATCH]
    if not heavy:
        return frozenset()
    rows_and_waits = sum(lane.rows for lane in lanes) + sum(lane.rows for lane in heavy)
    fits = rows_and_waits <= org_batches * max(lane.rows for lane in lanes)
    return frozenset(heavy) if fits else frozenset()


def _ranges(buckets: Sequence[Bucket], count: int) -> list[SourceRange]:
    return [
        SourceRange(
            kind=buckets[cut.start].kind,
            after=buckets[cut.start - 1].last if cut.start else None,
            upto=buckets[cut.stop - 1].last,
            rows=sum(bucket.rows for bucket in buckets[cut.start : cut.stop]),
            has_one_parent=sum(bucket.parents for bucket in buckets[cut.start : cut.stop]) == 1,
        )
        for cut in cut_evenly([bucket.rows for bucket in buckets], count)
    ]


def cut_evenly(weights: Sequence[int], count: int) -> list[range]:
    """Put neighbours together to ``count`` ranges of positions, in order, the heaviest as light as can be.

    What alone is heavier than the others' ranges makes a range of its own. There are fewer than ``count`` ranges where
    there are fewer weights.
    """
    if not weights or count < 1:
        return []
    least, enough = 0, sum(weights)
    while enough - least > 1:
        middle = (least + enough) // 2
        if len(_filled(weights, middle)) <= count:
            enough = middle
        else:
            least = middle
    ranges = _filled(weights, enough)
    while len(ranges) < min(count, len(weights)):
        heaviest = max(
            (each for each in ranges if len(each) > 1), key=lambda each: sum(weights[each.start : each.stop])
        )
        middle = (heaviest.start + heaviest.stop) // 2
        place = ranges.index(heaviest)
        ranges[place : place + 1] = [range(heaviest.start, middle), range(middle, heaviest.stop)]
    return ranges


def _filled(weights: Sequence[int], capacity: int) -> list[range]:
    """Ranges that are filled one after the other up to a capacity; what is heavier than it stays alone."""
    ranges: list[range] = []
    start = filled = 0
    for index, weight in enumerate(weights):
        if index > start and filled + weight > capacity:
            ranges.append(range(start, index))
            start, filled = index, 0
        filled += weight
    ranges.append(range(start, len(weights)))
    return ranges
