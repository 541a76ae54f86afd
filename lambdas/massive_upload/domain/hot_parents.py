"""The parents that cost most lock errors: which records to look at when lanes meet other users of the org."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from massive_upload.domain.identity import Identity

KEPT_OF_A_LANE = 20
"""A lane remembers no more, as they are part of an item of 400 KB that is written for every job."""

NAMED = 10


def hottest(counts: Iterable[Mapping[str, int]], most: int, identity: Identity) -> dict[str, int]:
    """The parents with most lock errors, most first.

    The spelling of a parent is that of its first mention. Where more parents than are kept take turns, a count may be
    too low.

    Args:
        counts: lock errors by parent, of several jobs or lanes.
        most: how many parents are kept.
        identity: tells which spellings are of the same parent.
    """
    spelt: dict[str, str] = {}
    total: Counter[str] = Counter()
    for each in counts:
        for parent, lock_errors in each.items():
            total[spelt.setdefault(identity.spelt_alike(parent), parent)] += lock_errors
    return dict(total.most_common(most))
