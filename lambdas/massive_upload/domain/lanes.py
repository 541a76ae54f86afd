"""Cutting the source into lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from massive_upload.domain.progress import KeyRange


@dataclass(frozen=True)
class Bucket:
    """Some neighbouring keys, in the server's order: the last of them, and how many rows they have."""

    last_key: str
    rows: int


@dataclass(frozen=True)
class SourceCount:
    """What the plan's one statement tells of the source."""

    buckets: tuple[Bucket, ...]
    all_rows: int
    keyed_rows: int
    distinct_keys: int

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
        """Rows in the buckets: one of each key."""
        return sum(bucket.rows for bucket in self.buckets)


def cut_lanes(buckets: Sequence[Bucket], count: int) -> list[KeyRange]:
    """Put neighbouring buckets together to at most ``count`` ranges of even weight.

    The ranges cover every bucket once and in order. There are fewer than ``count`` where there are fewer buckets.
    """
    return [
        KeyRange(
            after=buckets[cut.start - 1].last_key if cut.start else None,
            upto=buckets[cut.stop - 1].last_key,
            rows=sum(bucket.rows for bucket in buckets[cut.start : cut.stop]),
        )
        for cut in cut_evenly([bucket.rows for bucket in buckets], count)
    ]


def cut_evenly(weights: Sequence[int], count: int) -> list[range]:
    """Put neighbours together to at most ``count`` ranges of positions of even weight, in order."""
    total = sum(weights)
    ranges: list[range] = []
    start = done = 0
    for index, weight in enumerate(weights):
        done += weight
        is_last = index == len(weights) - 1
        if is_last or done * count >= total * (len(ranges) + 1):
            ranges.append(range(start, index + 1))
            start = index + 1
    return ranges
