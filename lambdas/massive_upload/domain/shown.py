"""What a run showed of the org, and how the next run of its load plans by that. Pure.

Only first attempts of the lanes' jobs count, and of these the ones that completed and whose time is known: rows that
are sent again come in small jobs after waits of their own, and the sweep has no lane beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from massive_upload.constants import JOB_ROWS_PER_BATCH
from massive_upload.domain import presets
from massive_upload.domain.pace import FASTER_ABOVE_PERCENT
from massive_upload.domain.progress import JobWork, Partition
from massive_upload.domain.waits import ALL_AT_ONCE_PART, unqueued_seconds

LEAST_JOB_SECONDS = 30
"""In shorter jobs those seconds look like a queue."""

_LEAST_IN_FLIGHT_PART = 0.5
"""Of the time of all lanes; a lane without a job in flight is in nobody's queue."""

_MOST_STEP_UP, _MOST_STEP_DOWN = 1.5, 0.5
"""One night is one night: other loads may have taken the org's time, or left it all."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the last run of a load that had enough rows has shown.

    Attributes:
        load: the load's name.
        target: the org and the object, as a lease's key has them: another org's times say nothing.
        run_id, began_at, ended_at: of the run.
        lanes: lanes that loaded at the same time.
        batch_rows: most rows of a job.
        jobs, rows: first attempts that completed, and their rows.
        job_seconds: how long these took from our side, one added to the other.
        processing_ms: how long the org worked on them, in milliseconds; 0 where it does not tell.
        contended_rows: of their rows, those that failed for a passing reason, such as a lock.
        org_batches: batches at the same time that the run was planned for.
        org_took: batches that the org worked on at the same time, as many as there were lanes where none had to wait;
            None where the run does not tell.
        pairs_met: whether a row of a paired lane failed on a lock, in this run or in one before it: the org may let one
            batch of a job take the parent again and again before the other.
    """

    load: str
    target: str
    run_id: str
    began_at: datetime
    ended_at: datetime
    lanes: int
    batch_rows: int
    jobs: int
    rows: int
    job_seconds: int
    processing_ms: int
    contended_rows: int
    org_batches: int
    org_took: int | None = None
    pairs_met: bool = False

    @property
    def row_ms(self) -> float:
        """What a row takes the org in a job, in milliseconds; from our side where the org does not tell."""
        return (self.processing_ms or 1000 * self.job_seconds) / self.rows

    @property
    def is_contended(self) -> bool:
        """Whether so many rows failed for a passing reason that times say little of the org itself."""
        return _is_contended(self.rows, self.contended_rows)

    @property
    def typical_job_seconds(self) -> int:
        """How long a job takes on average, its wait in the org's queue left out as `unqueued_seconds` does."""
        return max(1, unqueued_seconds(round(self.job_seconds / self.jobs), self.processing_ms // self.jobs))

    @property
    def typical_job_rows(self) -> int:
        """How many rows a job had, on average."""
        return max(1, round(self.rows / self.jobs))

    @property
    def has_met_no_queue(self) -> bool:
        """Whether the org took the jobs of all lanes at once."""
        return self.org_took is not None and self.org_took >= self.lanes

    def may_replace(self, known: Shown | None) -> bool:
        """Whether the next run is to go by this one: never by an older one, nor by a much smaller one.

        A run of a few rows tells little of a job of 10,000; so many rows always count, and half of what the known run
        had, as a source may shrink.
        """
        known = shown_of(self.target, known)
        if known is None:
            return True
        return self.began_at >= known.began_at and 2 * self.rows >= min(known.rows, JOB_ROWS_PER_BATCH)


def shown_of(target: str, known: Shown | None) -> Shown | None:
    """What is known of a target; what another org or object has shown says nothing of it."""
    return known if known is not None and known.target == target else None


@dataclass(frozen=True, kw_only=True)
class OrgBatches:
    """How many batches a plan takes the org to work on at the same time, and why."""

    number: int
    reason: str


def work_of(lanes: Sequence[Partition]) -> JobWork:
    """The first attempts of all lanes, added up."""
    works = [lane.work for lane in lanes if not lane.is_sweep]
    return JobWork(
        jobs=sum(work.jobs for work in works),
        rows=sum(work.rows for work in works),
        seconds=sum(work.seconds for work in works),
        processing_ms=sum(work.processing_ms for work in works),
        contended_rows=sum(work.contended_rows for work in works),
    )


def _is_contended(rows: int, contended_rows: int) -> bool:
    return 100 * contended_rows > (100 - FASTER_ABOVE_PERCENT) * rows


def org_took(work: JobWork, *, lanes: int, batch_rows: int, ramp_seconds: int, run_seconds: float) -> int | None:
    """How many batches the org worked on at the same time.

    Where it works on fewer than there are lanes, jobs wait in its queue: where there are three lanes for each of its
    batches, for twice as long as it works on one. The first job of a lane waits for half of that, as all lanes begin
    with an empty queue.

    Args:
        work: first attempts of the run's jobs.
        lanes: that loaded at the same time, one job of each in flight.
        batch_rows: most rows of a job, where rows do not share a parent.
        ramp_seconds: from the start of the first of these lanes to that of the last.
        run_seconds: how long the run went on.

    Returns:
        As many as the lanes where no job had to wait: the org may take more. None where the run proves nothing: the
        org does not tell its time, jobs had several of its batches, waited for locks, were short, or so few, or waited
        so long for their turn, that lanes had no job in flight for most of the time.
    """
    if not lanes or work.jobs < lanes or not work.processing_ms or batch_rows > JOB_ROWS_PER_BATCH:
        return None
    if work.seconds < LEAST_JOB_SECONDS * work.jobs or work.seconds < 2 * ramp_seconds * lanes:
        return None
    if work.seconds < _LEAST_IN_FLIGHT_PART * lanes * run_seconds:
        return None
    if _is_contended(work.rows, work.contended_rows):
        return None
    part = work.processing_ms / (1000 * work.seconds)
    if part >= ALL_AT_ONCE_PART:
        return lanes
    waits_of_a_job = 1 - lanes / (2 * work.jobs)
    lanes_for_a_batch = 1 + (1 / part - 1) / waits_of_a_job
    return max(1, round(lanes / lanes_for_a_batch))


def plan_org_batches(given: int | None, known: Shown | None) -> OrgBatches:
    """How many batches at the same time a plan counts on.

    Args:
        given: what the load says, if it does.
        known: what the last run showed, if there was one.
    """
    if given is not None:
        return OrgBatches(number=given, reason="the load says so")
    if known is None:
        return OrgBatches(number=presets.ORG_BATCHES, reason="no run of the load has shown how many the org works on")
    if known.org_took is None:
        return OrgBatches(number=known.org_batches, reason=f"as before: run {known.run_id} does not tell")
    if not known.has_met_no_queue:
        return OrgBatches(
            number=following_org_batches(known),
            reason=f"of {known.lanes} jobs at a time of run {known.run_id} the org worked on about {known.org_took}, "
            "the others waited in its queue",
        )
    return OrgBatches(
        number=following_org_batches(known),
        reason=f"the org worked on all {known.lanes} jobs at a time of run {known.run_id}"
        + (", so it may take more" if known.lanes >= known.org_batches else ""),
    )


def following_org_batches(known: Shown) -> int:
    """What the run after this one counts on: a step towards what was shown, up by half or down by half at most."""
    most = min(math.ceil(known.org_batches * _MOST_STEP_UP), max(presets.MOST_ORG_BATCHES, known.org_batches))
    least = math.ceil(known.org_batches * _MOST_STEP_DOWN)
    if known.org_took is None:
        return known.org_batches
    if known.has_met_no_queue:
        return most if known.lanes >= known.org_batches else known.org_batches
    return max(least, min(known.org_took, most))
