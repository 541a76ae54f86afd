"""What is done about the rows of an attempt that did not succeed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from massive_upload.domain.halving import most_halvings
from massive_upload.domain.progress import Batch
from massive_upload.domain.staged_file import RowError
from massive_upload.usecases.job_outcome import JobOutcome


@dataclass(frozen=True, kw_only=True)
class RowPlan:
    """The rows that did not succeed, by their number in the staged file; each is in one of three places.

    Attributes:
        rejected: kept with their reason.
        deferred: given up by the lane for a passing reason; the sweep sends them once more.
        again: sent again, in two jobs where ``is_halved``.
    """

    rejected: Mapping[int, RowError] = field(default_factory=dict)
    deferred: Mapping[int, RowError] = field(default_factory=dict)
    again: frozenset[int] = frozenset()
    is_halved: bool = False


def plan_rows(outcome: JobOutcome, batch: Batch, *, retries: int, is_sweep: bool) -> RowPlan:
    """Decide what becomes of the rows of an attempt.

    Rows of a job that failed as a whole go into two smaller jobs, together with those that failed for a passing reason,
    as long as the batch may be cut. After that they are rejected and not left to the sweep, where they would take other
    rows down with them. A row alone in its job can only be retried. Where the org takes no rows for now it is waited
    for, and that is none of the retries.

    Args:
        outcome: what became of the attempt's rows.
        batch: with the attempt that has ended.
        retries: how many retries the load allows.
        is_sweep: what the sweep cannot save is rejected.
    """
    passing, untried = outcome.passing, outcome.untried
    if outcome.halting_code is not None:
        return _given_up(outcome.rejected, {**passing, **untried}, is_sweep=is_sweep)
    again = frozenset({*passing, *untried})
    if outcome.waiting_code is not None:
        return RowPlan(rejected=outcome.rejected, again=again)
    if untried and len(again) > 1:
        if batch.halvings < most_halvings(batch.first_rows):
            return RowPlan(rejected=outcome.rejected, again=again, is_halved=True)
        return plan_rows(outcome.without_untried(), batch, retries=retries, is_sweep=is_sweep)
    if batch.retries < retries:
        return RowPlan(rejected=outcome.rejected, again=again)
    return _given_up(outcome.without_untried().rejected, passing, is_sweep=is_sweep)


def _given_up(rejected: Mapping[int, RowError], passing: Mapping[int, RowError], *, is_sweep: bool) -> RowPlan:
    if is_sweep:
        return RowPlan(rejected={**rejected, **passing})
    return RowPlan(rejected=rejected, deferred=passing)
