"""A lane's pace: how it follows what the org answers. Pure: outcomes in, the next pace and a reason out.

The thresholds and the bounds are the guide's ("Configuration Tuning Guide", "Parameter Tuning"), which gives them for a
person who tunes by hand: below 90 % smaller batches and longer delays, from 90 to 95 % longer retry delays, above 98 %
faster again. What it says of stagger and partitions cannot be changed in the middle of a run: that is advice.

A lane's speed goes down by halves and up by steps (additive increase, multiplicative decrease). It remembers the speed
at which it was last too fast and stays a step below it; it tries that speed again only after a long quiet time, and
after a longer one each time this proves wrong, so that it does not swing to and fro about the org's limit. It forgets
this once it has been quiet at full speed for as long.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum, unique

from massive_upload.constants import LONG_WAIT_SECONDS

JUDGED_ROWS = 2_000
"""Rows that a decision goes by, in whole batches: four of the guide's batches of 500."""

SLOWER_BELOW_PERCENT = 90
PATIENT_BELOW_PERCENT = 95
FASTER_ABOVE_PERCENT = 98
"""The guide's thresholds, of rows that their first job did not fail for a passing reason."""

FULL_SPEED_PERCENT = 100
_STEP_PERCENT = 10
_QUIET_DECISIONS = 8
_LONGER_TIMES = 8
"""How much longer a lane stays below a speed that has proved too fast once more. A try that fails turns the lane round
twice, so tries become rare soon: after 8, 64 and 512 decisions; a lane of a million rows makes 500 at most."""


@unique
class PaceReason(StrEnum):
    """Why a lane changes its pace."""

    CONTENDED = "fewer than 90 % of the rows passed at their first try"
    RETRIES_COLLIDE = "90 to 95 % of the rows passed at their first try"
    QUIET = "more than 98 % of the rows passed at their first try"


@dataclass(frozen=True, kw_only=True)
class LanePace:
    """Where a lane stands between its slowest and its fastest pace.

    Attributes:
        speed_percent: 100 is the load's pace, 0 the slowest that its preset allows.
        is_patient: whether rows are sent again after longer delays.
        judged_rows: rows since the last decision, of batches that were staged at this speed.
        failed_rows: of these, rows that failed at their first try for a passing reason.
        limit_percent: the speed that was last too fast; None where none was.
        quiet_decisions: decisions in a row that found more than 98 %; at full speed, of those made there.
        quiet_needed: how many of them it takes to try that speed again, and at full speed to forget it.
    """

    speed_percent: int = FULL_SPEED_PERCENT
    is_patient: bool = False
    judged_rows: int = 0
    failed_rows: int = 0
    limit_percent: int | None = None
    quiet_decisions: int = 0
    quiet_needed: int = _QUIET_DECISIONS

    def between(self, slowest: int, fastest: int) -> int:
        """The value at this speed of something that is ``slowest`` at 0 % and ``fastest`` at 100 %."""
        return slowest + (fastest - slowest) * self.speed_percent // FULL_SPEED_PERCENT


def next_pace(pace: LanePace, *, speed_percent: int, rows: int, failed_rows: int) -> tuple[LanePace, PaceReason | None]:
    """A lane's pace after one more batch was tried for the first time.

    A lane stages the next batch while one is in flight, so that the first batch after a change still has the speed
    from before it. What becomes of that one says nothing of the speed that the lane has now.

    Args:
        pace: up to now.
        speed_percent: the speed that the batch was staged at.
        rows: of the batch.
        failed_rows: of these, rows that failed for a reason that may pass; rejected rows say nothing about the pace.

    Returns:
        The pace, and why it changed; None where it goes on as before.
    """
    if speed_percent != pace.speed_percent:
        return pace, None
    judged_rows, failed_rows = pace.judged_rows + rows, pace.failed_rows + failed_rows
    if judged_rows < JUDGED_ROWS:
        return replace(pace, judged_rows=judged_rows, failed_rows=failed_rows), None
    passed_percent = 100 * (judged_rows - failed_rows) / judged_rows
    fresh = replace(pace, judged_rows=0, failed_rows=0)
    if passed_percent > FASTER_ABOVE_PERCENT:
        following, reason = _after_quiet(fresh), PaceReason.QUIET
    elif passed_percent < SLOWER_BELOW_PERCENT:
        following, reason = _slower(fresh), PaceReason.CONTENDED
    else:
        is_patient = pace.is_patient or passed_percent < PATIENT_BELOW_PERCENT
        following, reason = replace(fresh, is_patient=is_patient, quiet_decisions=0), PaceReason.RETRIES_COLLIDE
    is_changed = (following.speed_percent, following.is_patient) != (pace.speed_percent, pace.is_patient)
    return following, reason if is_changed else None


def _slower(pace: LanePace) -> LanePace:
    if pace.speed_percent == 0:
        return replace(pace, is_patient=True, quiet_decisions=0)
    has_tried_again = pace.limit_percent is not None and pace.speed_percent >= pace.limit_percent
    return replace(
        pace,
        speed_percent=pace.speed_percent // 2 // _STEP_PERCENT * _STEP_PERCENT,
        is_patient=True,
        limit_percent=pace.speed_percent,
        quiet_decisions=0,
        quiet_needed=pace.quiet_needed * (_LONGER_TIMES if has_tried_again else 1),
    )


def _after_quiet(pace: LanePace) -> LanePace:
    quiet = replace(pace, quiet_decisions=pace.quiet_decisions + 1)
    has_waited = quiet.quiet_decisions >= quiet.quiet_needed
    if quiet.speed_percent == FULL_SPEED_PERCENT:
        calm = replace(quiet, is_patient=False)
        return replace(calm, limit_percent=None, quiet_needed=_QUIET_DECISIONS) if has_waited else calm
    limit_percent = quiet.limit_percent
    most_percent = FULL_SPEED_PERCENT if limit_percent is None or has_waited else limit_percent - _STEP_PERCENT
    faster_percent = max(quiet.speed_percent, min(quiet.speed_percent + _STEP_PERCENT, most_percent))
    has_arrived = faster_percent == FULL_SPEED_PERCENT
    return replace(quiet, speed_percent=faster_percent, quiet_decisions=0 if has_arrived else quiet.quiet_decisions)


def longer_delays(delays_seconds: tuple[int, ...]) -> tuple[int, ...]:
    """Retry delays half as long again: the guide's 2, 5 and 10 s become its 3, 7 and 15 s."""
    return tuple(min(seconds + seconds // 2, LONG_WAIT_SECONDS) for seconds in delays_seconds)
