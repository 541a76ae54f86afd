"""What a plan will take, before anything is written. Pure: lanes and counts in, figures and warnings out.

Every figure is a range. Its least is a load without any failure on a fast org; its most is one on a slow org in which
each batch is sent once more. What a row takes the org is known from the load's last run, if there was one, and guessed
otherwise: a sample tells more.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from massive_upload.constants import JOB_ROWS_PER_BATCH, LONG_WAIT_SECONDS, SLICE_EVENTS
from massive_upload.domain.bulk_batches import bulk_batches_of
from massive_upload.domain.load import Budget, Load
from massive_upload.domain.pace import LanePace
from massive_upload.domain.quota import BATCH_REQUESTS, MOST_LOOKS, OrgQuota, beside_reserve
from massive_upload.domain.shown import OrgBatches, Shown, plan_org_batches
from massive_upload.domain.waits import FAST_ROW_MS, FETCH_EVENTS, POLL_EVENTS, SETTLE_EVENTS, UPLOAD_EVENTS

SLOW_ROW_MS = 30
"""Milliseconds that the org takes for a row of one batch of an object with much automation, an assumption as
`FAST_ROW_MS` is."""

_LEAST_OF_LAST, _MOST_OF_LAST = 0.75, 1.5
"""What a row may take, as a part of what it took in the last run: an org has quiet nights and busy ones."""

JOB_OVERHEAD_SECONDS = 4
"""From the end of a lane's job until the org works on its next one, besides the work itself: the queue and the calls,
as `benchmarks/locks.py` has them."""

LEAST_BATCH_REQUESTS = 5
"""Create, upload and close a job, one look at it, one page of rows, the first of which comes with the lane's query
(benchmarks/data_path.py counts 5.1 a batch)."""

_LANE_REQUESTS = 2
"""A login of its function, which may still have one, and a query whose first page comes by itself."""
_RUN_REQUESTS = 8
"""Login, description of the target, the count and its result, the allowances, the target's own count."""

_RUN_TRANSITIONS = 7
"""NothingPlannedYet, PlanRun, PlanReady?, FinishRun, RunFinished?, MoreLoads?, RunSucceeded"""
_MAP_TRANSITIONS = 3
"""LoadPartitions, PlanSweep, SweepNeeded?, where there is something to load"""
_LANE_TRANSITIONS = 5
"""LookAtRun, RunStopped?, StaggerLonger?, Stagger, LaneDone"""
_LONG_WAIT_TRANSITIONS = 5
"""StaggerMore, CountStagger, LookAtRun, RunStopped?, StaggerLonger?"""
_SLICE_TRANSITIONS = 6
"""RunSlice, PartitionDone?, ClaimPartition, FetchPage, BatchReady?, SliceDone"""
_JOB_TRANSITIONS = 7
"""UploadBatch, JobInFlight?, WaitForJob, CheckJob, JobEnded?, SettleBatch, NextStep?"""
_PAUSE_TRANSITIONS = 3
"""Pace or BackOff, FetchPage, BatchReady?"""
_LOOK_TRANSITIONS = 3
"""WaitForJob, CheckJob, JobEnded?"""

_JOB_EVENTS = UPLOAD_EVENTS + POLL_EVENTS + SETTLE_EVENTS
"""By which a slice reckons when it is full, without pauses."""

USD_PER_TRANSITION = 0.000025
"""Standard workflows in us-east-1 (https://aws.amazon.com/step-functions/pricing/, a copy read on 23 November 2026)."""

EXPOSED_RANGES = (5, 20)
"""Numbers of key ranges, the guide's own and many, for which a plan counts the parents that two ranges would share."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Least and most of a figure."""

    least: int
    most: int


@dataclass(frozen=True, kw_only=True)
class SharedParents:
    """Lock exposure of even key ranges that load at the same time.

    Attributes:
        ranges: how many.
        parents: how many parents have rows in more than one range.
        rows: how many rows these have, any of which can wait for another lane's lock.
    """

    ranges: int
    parents: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class Parents:
    """How the rows are spread over their parents.

    Attributes:
        parents: how many there are.
        rows: rows that have one.
        most_rows: rows of the heaviest parent, which can only be written one after the other.
        heavy_rows: rows of the heaviest hundredth of the parents.
        shared: what key ranges would share. Lanes of parents share none.
    """

    parents: int
    rows: int
    most_rows: int
    heavy_rows: int
    shared: tuple[SharedParents, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LaneWork:
    """What one lane has to do, and when it begins.

    Attributes:
        is_paired: whether its jobs have two of Salesforce's batches, whose rows share a parent.
    """

    rows: int
    start_delay_seconds: int = 0
    is_paired: bool = False


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run will take; the fields are the keys of ``estimate`` in a plan and in a receipt.

    Attributes:
        rows: rows to send.
        lanes, heaviest_lane_rows: of the plan.
        by_parent: whether the lanes are ranges of parents.
        batches: of the lanes; jobs are these and what is sent again.
        bulk_batches: Salesforce's, of 10,000 rows, of which an org has an allowance for 24 hours.
        cost_usd_least, cost_usd_most: of the state transitions alone.
        api_requests_left, bulk_batches_left: what the org had left for this load, the reserve taken off; None where it
            was not asked, or does not tell.
        org_batches, org_batches_reason: how many batches at the same time the plan counts on, and why, where the number
            of lanes goes by it.
        row_ms_least, row_ms_most: what a row is taken to take the org, in milliseconds.
        last_run: the run that showed that; None where it is a guess.
        parents: None where it was not asked for, or no parent column is named.
        warnings: what is likely to go wrong, each with what to do about it.
    """

    rows: int
    lanes: int
    heaviest_lane_rows: int
    by_parent: bool
    batches: int
    jobs: Range
    bulk_batches: Range
    api_requests: Range
    state_transitions: Range
    cost_usd_least: float
    cost_usd_most: float
    duration_seconds: Range
    api_requests_left: int | None = None
    bulk_batches_left: int | None = None
    org_batches: int = 0
    org_batches_reason: str = ""
    row_ms_least: float = FAST_ROW_MS
    row_ms_most: float = SLOW_ROW_MS
    last_run: str | None = None
    parents: Parents | None = None
    warnings: tuple[str, ...] = ()


def estimate_of(
    load: Load,
    lanes: Sequence[LaneWork],
    *,
    parents: Parents | None,
    quota: OrgQuota | None,
    known: Shown | None = None,
) -> Estimate:
    """Reckon what a plan will take.

    Args:
        load: the load, with what the run's input changes.
        lanes: in the order in which they start.
        parents: what the source's count tells of them.
        quota: what the org has left; None where it was not asked.
        known: what the load's last run has shown.
    """
    pace = load.effective_pace
    org_batches = plan_org_batches(load.partitioning.org_batches, known)
    least_ms, most_ms = _row_ms(known)
    batches = [_batches_of(lane.rows, load.pace_at(LanePace(), is_paired=lane.is_paired).batch_rows) for lane in lanes]
    count = sum(len(each) for each in batches)
    bulk_batches = sum(bulk_batches_of(rows) for each in batches for rows in each)
    transitions = _transitions(lanes, batches, has_pauses=pace.delay_seconds > 0)
    left = beside_reserve(quota, load.budget) if quota else (None, None)
    figures = Estimate(
        rows=sum(lane.rows for lane in lanes),
        lanes=len(lanes),
        heaviest_lane_rows=max((lane.rows for lane in lanes), default=0),
        by_parent=load.lanes_by_parent,
        batches=count,
        jobs=Range(least=count, most=2 * count),
        bulk_batches=Range(least=bulk_batches, most=2 * bulk_batches),
        api_requests=Range(
            least=count * LEAST_BATCH_REQUESTS,
            most=2 * count * BATCH_REQUESTS + len(lanes) * _LANE_REQUESTS + _RUN_REQUESTS,
        ),
        state_transitions=transitions,
        cost_usd_least=round(transitions.least * USD_PER_TRANSITION, 2),
        cost_usd_most=round(transitions.most * USD_PER_TRANSITION, 2),
        duration_seconds=Range(
            least=_duration_seconds(load, lanes, batches, org_batches, row_ms=least_ms, are_retried=False),
            most=_duration_seconds(load, lanes, batches, org_batches, row_ms=most_ms, are_retried=True),
        ),
        org_batches=org_batches.number,
        org_batches_reason="" if load.lanes_meet else org_batches.reason,
        row_ms_least=least_ms,
        row_ms_most=most_ms,
        last_run=known.run_id if known else None,
        api_requests_left=left[0],
        bulk_batches_left=left[1],
        parents=parents,
    )
    return _with_warnings(figures, load, lanes, quota)


def _row_ms(known: Shown | None) -> tuple[float, float]:
    """Least and most milliseconds that a row takes the org."""
    if known is None:
        return FAST_ROW_MS, SLOW_ROW_MS
    return round(known.row_ms * _LEAST_OF_LAST, 2), round(known.row_ms * _MOST_OF_LAST, 2)


def _batches_of(rows: int, batch_rows: int) -> list[int]:
    full, rest = divmod(rows, batch_rows)
    return [batch_rows] * full + ([rest] if rest else [])


def _transitions(lanes: Sequence[LaneWork], batches: Sequence[Sequence[int]], *, has_pauses: bool) -> Range:
    least = most = _RUN_TRANSITIONS + (_MAP_TRANSITIONS if lanes else 0)
    last_pause = _PAUSE_TRANSITIONS if has_pauses else 0
    least_of_a_job = _JOB_TRANSITIONS + last_pause
    least_events = _JOB_EVENTS + (FETCH_EVENTS if has_pauses else 0)
    most_of_a_job = _JOB_TRANSITIONS + _PAUSE_TRANSITIONS + (MOST_LOOKS - 1) * _LOOK_TRANSITIONS
    most_events = _JOB_EVENTS + FETCH_EVENTS + (MOST_LOOKS - 1) * POLL_EVENTS
    for lane, jobs in zip(lanes, batches, strict=True):
        start = _LANE_TRANSITIONS + lane.start_delay_seconds // LONG_WAIT_SECONDS * _LONG_WAIT_TRANSITIONS
        least += start + _slice_transitions(len(jobs) * least_events) + len(jobs) * least_of_a_job - last_pause
        most += start + _slice_transitions(2 * len(jobs) * most_events) + 2 * len(jobs) * most_of_a_job
    return Range(least=least, most=most)


def _slice_transitions(events: int) -> int:
    return max(1, -(-events // SLICE_EVENTS)) * _SLICE_TRANSITIONS


def _duration_seconds(
    load: Load,
    lanes: Sequence[LaneWork],
    batches: Sequence[Sequence[int]],
    org_batches: OrgBatches,
    *,
    row_ms: float,
    are_retried: bool,
) -> int:
    """When the last lane ends, if the org takes batches in the order in which they come, so many at a time."""
    pace, concurrency = load.effective_pace, load.partitioning.max_concurrency
    gap_seconds = JOB_OVERHEAD_SECONDS
    if are_retried:
        gap_seconds += JOB_OVERHEAD_SECONDS + next(iter(pace.retry_delays_seconds), 0)
    org_free_at = [0.0] * org_batches.number
    to_begin = iter(enumerate(lanes))
    ready = [(float(lane.start_delay_seconds), index, 0) for index, lane in islice(to_begin, concurrency)]
    heapq.heapify(ready)
    ended_at = 0.0
    while ready:
        at, index, job = heapq.heappop(ready)
        rows_in_turn = _rows_in_turn(batches[index][job], is_paired=lanes[index].is_paired)
        ends_at = gap_seconds + max(_work_off(at, rows, row_ms, org_free_at) for rows in rows_in_turn)
        if job + 1 < len(batches[index]):
            heapq.heappush(ready, (ends_at + pace.delay_seconds, index, job + 1))
            continue
        ended_at = max(ended_at, ends_at)
        for following, _ in islice(to_begin, 1):
            heapq.heappush(ready, (ends_at, following, 0))
    return round(ended_at)


def _rows_in_turn(rows: int, *, is_paired: bool) -> list[int]:
    """For each of a job's batches, how many rows are written one after the other until it ends.

    The org works on the batches side by side, unless their rows share a parent: then one waits for the other.
    """
    return [rows] * bulk_batches_of(rows) if is_paired else _batches_of(rows, JOB_ROWS_PER_BATCH)


def _work_off(at: float, rows: int, row_ms: float, org_free_at: list[float]) -> float:
    """When the org ends a batch that comes at a moment, which it takes as soon as it can; it is busy until then."""
    ends_at = max(at, org_free_at[0]) + rows * row_ms / 1000
    heapq.heapreplace(org_free_at, ends_at)
    return ends_at


def _with_warnings(plan: Estimate, load: Load, lanes: Sequence[LaneWork], quota: OrgQuota | None) -> Estimate:
    warnings = (
        *_quota_warnings(plan, load.budget, quota),
        *_parent_warnings(plan, load),
        *_time_warnings(plan, load, lanes),
    )
    return replace(plan, warnings=warnings)


def _quota_warnings(plan: Estimate, budget: Budget, quota: OrgQuota | None) -> list[str]:
    if quota is None:
        return []
    allowances = (
        ("API requests", plan.api_requests, plan.api_requests_left, budget.api_requests_reserve_percent),
        ("Bulk API batches", plan.bulk_batches, plan.bulk_batches_left, budget.bulk_batches_reserve_percent),
    )
    warnings = []
    for name, needed, left, reserve_percent in allowances:
        if left is None:
            warnings.append(f"The org does not tell how many {name} are left of its day; grant the user View Setup.")
        elif needed.most > left:
            certainty = "do not" if needed.least > left else "may not"
            warnings.append(
                f"{name}: {needed.least:,} to {needed.most:,} {certainty} fit into the {left:,} that are left of the "
                f"org's day beside the reserve of {reserve_percent} %. The load then waits until the org has more. "
                f"Raise pace.batch_rows where it is below {JOB_ROWS_PER_BATCH:,}, or leave it the time."
            )
    return warnings


def _parent_warnings(plan: Estimate, load: Load) -> list[str]:
    warnings = []
    if load.lanes_meet and load.source.parent is None and plan.lanes > 1:
        warnings.append(
            "No parent column is named, so nobody knows which lanes share parents and meet each other's locks. Where "
            "the object has a parent, name its column as source.parent."
        )
    if plan.parents is None or not plan.parents.parents:
        return warnings
    nearest = min(plan.parents.shared, key=lambda each: abs(each.ranges - plan.lanes), default=None)
    if not plan.by_parent and plan.lanes > 1 and nearest is not None and nearest.parents:
        warnings.append(
            f"Lanes of keys share parents: {nearest.parents:,} of {plan.parents.parents:,} with {nearest.rows:,} rows "
            f"in {nearest.ranges} ranges. Say partitioning: {{by: parent}}, or expect lock errors."
        )
    at_once = min(plan.lanes, plan.org_batches, load.partitioning.max_concurrency)
    even_rows = plan.rows / max(1, at_once)
    if plan.by_parent and plan.lanes > 1 and plan.parents.most_rows > even_rows:
        warnings.append(
            f"One parent has {plan.parents.most_rows:,} rows, more than the {even_rows:,.0f} of each of {at_once:,} "
            "lanes at a time if they were even: its lane alone decides how long the load takes. "
            "More lanes do not shorten that; leave it the time."
        )
    return warnings


def _time_warnings(plan: Estimate, load: Load, lanes: Sequence[LaneWork]) -> list[str]:
    warnings = []
    last_start = max((lane.start_delay_seconds for lane in lanes), default=0)
    if load.effective_pace.stagger_seconds and last_start * 2 > plan.duration_seconds.most:
        after = f"{last_start // 60:,} minutes" if last_start >= 2 * 60 else f"{last_start} s"
        warnings.append(
            f"The last lane that waits for its stagger starts after {after}, most of the time that the load takes. "
            "Lower pace.stagger_seconds where lanes do not share parents."
        )
    window = load.schedule.hours if load.schedule is not None else None
    at_work_seconds = plan.duration_seconds.least - last_start  # a stagger passes outside of the window, too
    if window is not None and at_work_seconds > window.length_seconds:
        nights = -(-at_work_seconds // window.length_seconds)
        warnings.append(
            f"The schedule's window is {window.length_seconds / 3600:g} h long: a run of {plan.rows:,} rows takes "
            f"at least {nights} of them, and waits in between. Widen schedule.window to have it end sooner."
        )
    return warnings
