"""How many rows were rejected with which code: exact, and bounded, as an item of the table is."""

from __future__ import annotations

from collections.abc import Mapping

MOST_CODES = 50
"""Salesforce has some hundred status codes; a load meets a handful, and an item of the table holds 400 KB."""

OTHER_CODES = "OTHER"
"""Stands for all codes beyond the first `MOST_CODES`."""


def add_counts(known: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """Add rows by code. The first codes that are met are counted each, all further ones together."""
    counts = dict(known)
    for code, rows in more.items():
        listed = code if code in counts or len(counts.keys() - {OTHER_CODES}) < MOST_CODES else OTHER_CODES
        counts[listed] = counts.get(listed, 0) + rows
    return counts
