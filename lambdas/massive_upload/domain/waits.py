"""How long a slice waits, and how many history events it may use."""

from dataclasses import dataclass

from massive_upload.constants import JOB_ROWS_PER_BATCH, LONG_WAIT_SECONDS, ORG_WAITS_SECONDS, RETRY_WAITS_SECONDS
from massive_upload.domain.presets import CHUNK_ROWS, PAIR_BATCHES

# History events of one visit (Step Functions: a Task has 5, a Choice or Wait 2; a retry adds 3 each).
FETCH_EVENTS = 7
"""FetchPage, BatchReady?"""
WAIT_EVENTS = 2
"""WaitForQuery, WaitForTurn"""
UPLOAD_EVENTS = 7
"""UploadBatch, JobInFlight?"""
POLL_EVENTS = 9
"""WaitForJob, CheckJob, JobEnded?"""
SETTLE_EVENTS = 9
"""SettleBatch, NextStep?, Pace or BackOff"""
PATIENCE_EVENTS = 40
"""A task with its retries, CheckPatience, Patient?, WaitForOrg"""
PAUSE_EVENTS = 9
"""WaitLonger, CheckPatience, Patient?"""

SHORTEST_POLL_SECONDS = 1
_MARGIN_PART = 100
"""The first look is a little later than the job is expected to end: a lane is idle for as long, while a look that comes
too early costs one more request."""
_REST_MARGIN_PART = 20
"""A later look is later by this part of what the rest of the job is expected to take, which the rows written so far
tell roughly: where chunks of 200 rows take up to 40 % more or less each, ten of them tell of the other forty within
5 % every other time. Not where batches share a parent: their lane decides how long the load takes."""
FAST_ROW_MS = 5
"""Milliseconds that the org takes for a row of one batch of an object with little automation. An assumption; Salesforce
publishes none."""
_OVERHEAD_SECONDS = 2
"""Of a job whose time is a guess, in the org's queue."""
_MOST_TIMES_ROWS = 20
"""Of the rows of a job whose time is known, for which another one's is reckoned from it, as those of a paired lane are
from a sample of 1,000. Seconds in the queue and for calls are multiplied too, and those of a sample of ten rows would
become minutes."""
ALL_AT_ONCE_PART = 0.9
"""Of a job's time the org works on it at least so long where it need not wait: the queue takes a second and the look at
its end comes a little late."""
_LITTLE_PART = 10
"""A lane that is idle for this part of a job's time, as the look at its end comes late, loses little."""
_QUEUE_LOOKS = 4
"""At a job that waits for many others each time, rather than one whenever one of these ends."""
_FEW_CHUNKS = 15
"""The org counts whole chunks of rows, and may have worked on nearly one more. A pace taken from fewer without it could
be so low that, with the margin of a later look, a lane of one job of 4,000 rows or more is idle for a tenth of its
time: another look is cheaper."""
_UPLOAD_SECONDS = 5
"""At most, of a job's life from its creation until it was closed."""


def first_poll_seconds(rows: int, job_seconds: int | None, job_rows: int | None, *, is_paired: bool = False) -> int:
    """How long to wait for a job before looking for the first time.

    Args:
        rows: rows of the job.
        job_seconds: how long the lane's job before took, or a typical one of the last run; None where nothing is known.
            Then a fast org has just ended: a slower one has shown enough of its pace to foresee the end well.
        job_rows: how many rows that one had; where they were far fewer, nothing is known.
        is_paired: whether its batches share a parent; else the org works on all of them side by side.
    """
    most_in_turn = JOB_ROWS_PER_BATCH * (PAIR_BATCHES if is_paired else 1)
    in_turn = min(rows, most_in_turn)
    if job_seconds is None or not job_rows or in_turn > _MOST_TIMES_ROWS * job_rows:
        return _within(_OVERHEAD_SECONDS + in_turn * FAST_ROW_MS // 1000)
    if rows > job_rows:
        rows, job_rows = in_turn, min(job_rows, most_in_turn)
    expected_seconds = -(-job_seconds * rows // job_rows)
    return _within(expected_seconds + _margin_seconds(expected_seconds))


def unbegun_poll_seconds(rows: int, job_seconds: int | None, job_rows: int | None, *, is_paired: bool = False) -> int:
    """How long to wait at most for a job that has not begun: as long as it takes once it has, as it cannot end before.

    A small one is given more, as others before it in the queue are like the lane's job before. The arguments are those
    of `first_poll_seconds`.
    """
    first_seconds = first_poll_seconds(rows, job_seconds, job_rows, is_paired=is_paired)
    return max(first_seconds, (job_seconds or 0) // _LITTLE_PART)


@dataclass(frozen=True)
class Look:
    """What a look at a job in flight has shown.

    Attributes:
        waited_seconds: how long it had been waited for.
        processed: rows that the org had tried.
    """

    waited_seconds: int = 0
    processed: int = 0


def next_poll_seconds(
    look: Look,
    before: Look,
    *,
    rows: int,
    worked_ms: int = 0,
    unbegun_seconds: int,
    is_overdue: bool = False,
    is_paired: bool = False,
) -> int:
    """How long to wait for a job that has not ended: a little longer than the rest of its rows take at its latest pace.

    Where nothing tells when a job ends, it is given a part of the time waited so far. One that has not begun is given
    as long again, up to the time that it takes once it has; one that is overdue, as long as it has been overdue. One
    that had not begun at the look before may have been in the org's queue for most of the time: its pace is what the
    org says that it has worked, or, where it does not say, that of the lane's job before at least. Looking costs a
    request of the org's day.

    Args:
        look: at the job, just now.
        before: the look before, when the job may still have been in the org's queue; of the first one, `Look()`.
        rows: rows of the job.
        worked_ms: how long the org says that it has worked on the rows tried, in milliseconds; 0 where it does not say.
        unbegun_seconds: how long it is given at most while it has not begun, and expected to take once it has:
            `unbegun_poll_seconds`.
        is_overdue: whether the org works on it and was expected to have ended it by now; it need not tell of any row
            before the last one.
        is_paired: whether its batches share a parent.
    """
    little_seconds = max(2, look.waited_seconds // _LITTLE_PART)
    if look.processed == 0:
        again_seconds = look.waited_seconds - (unbegun_seconds if is_overdue else 0)
        return _within(max(little_seconds, min(unbegun_seconds, again_seconds)))
    gained = look.processed - before.processed
    if gained <= 0 or look.processed >= rows:
        return _within(little_seconds)
    rows_left = rows - look.processed
    left_seconds = -(-(look.waited_seconds - before.waited_seconds) * rows_left // gained)
    if before.processed == 0:
        worked_on = look.processed + (CHUNK_ROWS if look.processed < _FEW_CHUNKS * CHUNK_ROWS else 0)
        by_work = -(-worked_ms * rows_left // (1000 * worked_on))
        left_seconds = min(left_seconds, by_work or -(-unbegun_seconds * rows_left // rows))
    margin_seconds = 0 if is_paired else left_seconds // _REST_MARGIN_PART
    return _within(left_seconds + max(1, margin_seconds))


def job_seconds(
    before_seconds: int, waited_seconds: int, processing_ms: int, *, life_seconds: int | None = None, batches: int = 1
) -> int:
    """How long a job took, as far as that can be known from when it was found ended.

    It had not ended at the look before, nor before the org had worked on it for as long as it says; the truth lies
    between the later of these and the time waited, or its life, and nearer to the former, as the wait is meant to be a
    little long.
    A job that has been in the org's queue for long is told by its life. An org may add up what it has done side by
    side: work that is longer than the job's life, or than anybody has waited for it, says nothing. Where nothing else
    tells either, a job that was found ended is taken to have ended a little before: else the next one is expected to
    take as long as this one was waited for, and is waited for a little longer, and so on.

    Args:
        before_seconds: how long it had been waited for at the look before; 0 at the first.
        waited_seconds: how long until it was found ended.
        processing_ms: how long the org says that it worked on it; 0 where it does not say.
        life_seconds: from its creation to its end by the org's clock; None where it does not say. One that was over
            before the job was, or before it can have been uploaded, is none.
        batches: of Salesforce's; of several, nobody says how their times are added up.
    """
    if life_seconds is not None and life_seconds <= max(before_seconds, _UPLOAD_SECONDS):
        life_seconds = None
    worked_seconds = -(-processing_ms // 1000) if batches == 1 else 0
    a_little_before = waited_seconds - 2 * _margin_seconds(waited_seconds)
    lived_seconds = 0 if life_seconds is None else min(a_little_before, life_seconds - _UPLOAD_SECONDS)
    most_seconds = waited_seconds + waited_seconds // _LITTLE_PART if life_seconds is None else life_seconds
    if 0 < worked_seconds <= most_seconds + _OVERHEAD_SECONDS:
        least_seconds = max(before_seconds, worked_seconds)
        latest_seconds = waited_seconds if life_seconds is None else min(waited_seconds, life_seconds)
        likely_seconds = least_seconds + max(0, latest_seconds - least_seconds) // 8
        return max(SHORTEST_POLL_SECONDS, likely_seconds, lived_seconds)
    return max(SHORTEST_POLL_SECONDS, before_seconds, lived_seconds or a_little_before)


def unqueued_seconds(seconds: int, processing_ms: int, *, before_seconds: int | None = None) -> int:
    """How long a job would have taken if it had not had to wait in the org's queue.

    The next one cannot end sooner, and need not wait as long: the queue empties as lanes come to their end, or as
    another load of the org does. But a lane whose jobs wait for many others each time comes to look at each four times
    or so: it is no less than a quarter of the job's time, up to four times as much as for the job before, or as the org
    worked on this one.

    Args:
        seconds: how long the job took.
        processing_ms: how long the org says that it worked on it; 0 where it does not say.
        before_seconds: what this said of the lane's job before; None where nothing is known.
    """
    if processing_ms <= 0:
        return seconds
    processing_seconds = -(-processing_ms // 1000)
    if processing_seconds >= ALL_AT_ONCE_PART * seconds:
        return seconds
    alone_seconds = processing_seconds + _OVERHEAD_SECONDS
    most_seconds = _QUEUE_LOOKS * max(alone_seconds, before_seconds or 0)
    return min(seconds, max(alone_seconds, min(seconds // _QUEUE_LOOKS, most_seconds)))


def longest_wait_seconds(*wanted_seconds: int, patience_left_seconds: int) -> int:
    """The longest of some waits, as far as patience goes, and never longer than flags may go unseen."""
    return min(max(wanted_seconds), patience_left_seconds, LONG_WAIT_SECONDS)


def org_wait_seconds(waits_so_far: int) -> int:
    """How long to wait for an org that does not answer, after so many such waits in a row."""
    return ORG_WAITS_SECONDS[min(waits_so_far, len(ORG_WAITS_SECONDS) - 1)]


def plan_wait_seconds(waits_so_far: int) -> int:
    """How long PlanRun waits for an org that does not answer: as long as a task's retries, then as a slice does."""
    waits = (*RETRY_WAITS_SECONDS, *ORG_WAITS_SECONDS)
    return waits[min(waits_so_far, len(waits) - 1)]


def split_stagger(start_delay_seconds: int) -> tuple[int, int]:
    """A lane's start delay as a short wait and a number of long ones."""
    return start_delay_seconds % LONG_WAIT_SECONDS, start_delay_seconds // LONG_WAIT_SECONDS


def _margin_seconds(expected_seconds: int) -> int:
    return max(1, expected_seconds // _MARGIN_PART)


def _within(seconds: int) -> int:
    return max(SHORTEST_POLL_SECONDS, min(seconds, LONG_WAIT_SECONDS))
