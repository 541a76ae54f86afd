"""What a person might change for a load's next run, from what this one showed. Pure: figures in, sentences out.

The thresholds are those by which a lane changes its pace (`pace`), the guide's ("Configuration Tuning Guide"). What it
says there of stagger and of the number of partitions cannot be changed in the middle of a run.
"""

from __future__ import annotations

from dataclasses import dataclass

from massive_upload.constants import MAX_LANES
from massive_upload.domain.load import Load
from massive_upload.domain.pace import FASTER_ABOVE_PERCENT, JUDGED_ROWS, PATIENT_BELOW_PERCENT, SLOWER_BELOW_PERCENT
from massive_upload.domain.shown import Shown, following_org_batches

_LONGEST_STAGGER_SECONDS = 7_200
_SHORTEST_STAGGER_SECONDS = 1_800
"""The guide's range of stagger, over all risks of locks: 30 minutes to 2 hours."""

_NEAR_PART = 0.2
"""A number of batches this near to what the org showed is left alone."""


@dataclass(frozen=True, kw_only=True)
class _Passed:
    """How many rows passed at their first try, of lanes of keys."""

    percent: float

    @classmethod
    def of(cls, shown: Shown) -> _Passed:
        return cls(percent=100 * (shown.rows - shown.contended_rows) / shown.rows)

    def __str__(self) -> str:
        return f"{self.percent:.1f} % of the rows passed at their first try"


def advice_for(load: Load, shown: Shown | None, *, partitions: int, changed_lanes: int = 0) -> tuple[str, ...]:
    """Advice with its reason; none where the run showed too little, or gives no cause.

    Args:
        load: as the run was planned.
        shown: what the run has shown.
        partitions: how many it had, of which ``max_concurrency`` load at the same time.
        changed_lanes: how many of them found more or fewer rows than the plan had counted, where no later run sees to
            that by itself.
    """
    advice = (_for_changes(load, changed_lanes), _for_pace(load, shown, partitions))
    return tuple(each for each in advice if each)


def _for_changes(load: Load, changed_lanes: int) -> str | None:
    """A row's key stays, and with it its lane of keys; its parent may change between the queries of two lanes."""
    if not load.lanes_by_parent or not changed_lanes:
        return None
    how = "with mode incremental" if load.source.modified is not None else "again"
    return (
        f"Run the load {how}: {changed_lanes} of its lanes found more or fewer rows than were planned, so the source "
        "changed during the run. Rows that got another parent meanwhile may be missing, counted twice, or as they were "
        "before."
    )


def _for_pace(load: Load, shown: Shown | None, partitions: int) -> str | None:
    if shown is None or shown.rows < JUDGED_ROWS:
        return None
    return _for_lanes_of_keys(load, shown, partitions) if load.lanes_meet else _for_lanes_apart(load, shown)


def _for_lanes_apart(load: Load, shown: Shown) -> str | None:
    passed = _Passed.of(shown)
    if load.lanes_by_parent or passed.percent >= PATIENT_BELOW_PERCENT:
        return _for_org_batches(load, shown)
    if load.source.parent is not None:
        return _by_parent(passed)
    return f"Say lock_risk: medium, or name source.parent: {passed}, so rows do wait for one another."


def _by_parent(passed: _Passed) -> str:
    return f"Say partitioning: {{by: parent}}: {passed}, and lanes of parents do not meet each other's locks."


def _for_org_batches(load: Load, shown: Shown) -> str | None:
    """A load that sets no number finds it by itself."""
    given = load.partitioning.org_batches
    if given is None or shown.org_took is None:
        return None
    following = following_org_batches(shown)
    if abs(following - given) <= _NEAR_PART * given:
        return None
    if shown.has_met_no_queue:
        return (
            f"Say partitioning: {{org_batches: {following}}}, or leave it out: the org worked on all {shown.lanes} "
            f"jobs at a time, so it may take more than {given}."
        )
    return (
        f"Say partitioning: {{org_batches: {following}}}, or leave it out: of {shown.lanes} jobs at a time the org "
        f"worked on about {shown.org_took}."
    )


def _for_lanes_of_keys(load: Load, shown: Shown, partitions: int) -> str | None:
    """One lane alone meets no other of its own load."""
    if shown.lanes < 2:
        return None
    passed = _Passed.of(shown)
    if passed.percent > FASTER_ABOVE_PERCENT:
        return _faster(load, partitions, passed)
    if passed.percent >= PATIENT_BELOW_PERCENT:
        return None
    if load.source.parent is not None:
        return _by_parent(passed)
    if passed.percent < SLOWER_BELOW_PERCENT:
        return _slower(load, partitions, passed)
    return f"Say partitioning: {{count: {_more(partitions, 1)}}}: {passed}, and smaller partitions collide less."


def _slower(load: Load, partitions: int, passed: _Passed) -> str:
    stagger_seconds = load.effective_pace.stagger_seconds
    if stagger_seconds >= _LONGEST_STAGGER_SECONDS:
        more = _more(partitions, partitions)
        return f"Say partitioning: {{count: {more}}}: {passed}, although lanes start {stagger_seconds} s apart."
    longer = min(max(stagger_seconds * 4 // 3, _SHORTEST_STAGGER_SECONDS), _LONGEST_STAGGER_SECONDS)
    return f"Say pace: {{stagger_seconds: {longer}}}: {passed} with lanes that start {stagger_seconds} s apart."


def _faster(load: Load, partitions: int, passed: _Passed) -> str | None:
    stagger_seconds = load.effective_pace.stagger_seconds
    shorter = max(stagger_seconds * 2 // 3, _SHORTEST_STAGGER_SECONDS)
    if shorter >= stagger_seconds:
        return None
    return (
        f"To be faster, say pace: {{stagger_seconds: {shorter}}} and partitioning: {{count: {partitions - 1}}}: "
        f"{passed} in {partitions} lanes that start {stagger_seconds} s apart."
    )


def _more(partitions: int, further: int) -> int:
    return min(partitions + further, MAX_LANES)
