"""The circuit breaker: whether so much fails that going on is of no use. Pure: outcomes in, a reason or None out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from massive_upload.domain.load import LaneBreaker, RunBreaker
from massive_upload.domain.progress import LaneFailures, Partition, PartitionStatus, RunFailures


def after_job(failures: LaneFailures, *, is_failed: bool, code: str | None) -> LaneFailures:
    """A lane's failures after one more of its jobs has ended.

    Args:
        failures: up to now.
        is_failed: whether the job failed as a whole, was aborted, or is gone.
        code: the error of most rows that failed in it.
    """
    return replace(failures, failed_jobs=failures.failed_jobs + 1 if is_failed else 0, code=code or failures.code)


def after_batch(failures: LaneFailures, limits: LaneBreaker, *, rows: int, failed_rows: int) -> LaneFailures:
    """A lane's failures after one more batch is settled. Rows that were judged, and let the lane go on, are done with.

    Args:
        failures: up to now.
        limits: the load's.
        rows: of the batch.
        failed_rows: of these, the rejected and given-up ones.
    """
    if failures.judged_rows >= limits.judged_rows:
        failures = replace(failures, judged_rows=0, failed_rows=0)
    return replace(failures, judged_rows=failures.judged_rows + rows, failed_rows=failures.failed_rows + failed_rows)


def why_lane_ends(failures: LaneFailures, limits: LaneBreaker) -> str | None:
    """Why a lane is given up, in counts and codes; None where it goes on."""
    last = f", most of the last ones with {failures.code}" if failures.code else ""
    if failures.failed_jobs >= limits.failed_jobs:
        return f"{failures.failed_jobs} jobs in a row failed as a whole, were aborted or were deleted{last}."
    if _is_judged(failures, limits):
        return f"{failures.failed_rows} of {failures.judged_rows} rows in a row failed{last}."
    return None


def run_failures(partitions: Sequence[Partition]) -> RunFailures:
    """What of a run's lanes has failed. Rows that were given up count as failed, whatever the sweep makes of them."""
    lanes = [partition for partition in partitions if not partition.is_sweep]
    return RunFailures(
        failed_lanes=sum(lane.status is PartitionStatus.FAILED for lane in lanes),
        judged_rows=sum(lane.settled_rows for lane in lanes),
        failed_rows=sum(lane.rejected + lane.deferred for lane in lanes),
    )


def why_run_ends(failures: RunFailures, limits: RunBreaker, *, before: RunFailures) -> str | None:
    """Why a run is stopped, in counts; None where it goes on.

    Args:
        failures: of the run's lanes.
        limits: the load's.
        before: what had failed when the run was last resumed.
    """
    since = RunFailures(
        failed_lanes=failures.failed_lanes - before.failed_lanes,
        judged_rows=failures.judged_rows - before.judged_rows,
        failed_rows=failures.failed_rows - before.failed_rows,
    )
    if since.failed_lanes >= limits.failed_lanes:
        return f"{since.failed_lanes} lanes failed."
    if _is_judged(since, limits):
        return f"{since.failed_rows} of {since.judged_rows} rows failed."
    return None


def _is_judged(failures: LaneFailures | RunFailures, limits: LaneBreaker | RunBreaker) -> bool:
    """Whether enough rows are settled, and too many of them failed."""
    has_failed = 100 * failures.failed_rows >= limits.failed_percent * failures.judged_rows
    return failures.judged_rows >= limits.judged_rows and has_failed
