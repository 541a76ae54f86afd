"""How long a slice waits, and how many history events it may use."""

from massive_upload.constants import LONG_WAIT_SECONDS, ORG_WAITS_SECONDS, RETRY_WAITS_SECONDS

# History events of one visit (Step Functions: a Task has 5, a Choice or Wait 2; a retry adds 3 each).
FETCH_EVENTS = 7
"""FetchPage, BatchReady?"""
WAIT_FOR_QUERY_EVENTS = 2
UPLOAD_EVENTS = 5
"""UploadBatch"""
POLL_EVENTS = 9
"""WaitForJob, CheckJob, JobEnded?"""
SETTLE_EVENTS = 9
"""SettleBatch, NextStep?, Pace or BackOff"""
PATIENCE_EVENTS = 40
"""A task with its retries, CheckPatience, Patient?, WaitForOrg"""

_SHORTEST_POLL_SECONDS = 1
_MARGIN_PART = 4
"""The first look is a quarter later than the last job took, so that one look is enough for most jobs."""
_ROWS_PER_SECOND_AT_FIRST = 1_000
"""A guess until a job has ended. An order of magnitude below the rates that are published (3.3 million rows an hour
in one job, salesforcecli/plugin-data#1098), as triggers make real objects slower."""


def first_poll_seconds(rows: int, last_job_seconds: int | None) -> int:
    """How long to wait for a job before looking for the first time.

    Args:
        rows: rows of the job.
        last_job_seconds: how long the lane's job before took, if there was one.
    """
    if last_job_seconds is None:
        return _within(2 + rows // _ROWS_PER_SECOND_AT_FIRST)
    return _within(last_job_seconds + -(-last_job_seconds // _MARGIN_PART))


def next_poll_seconds(waited_seconds: int) -> int:
    """How long to wait for a job that has not ended: as long again as it has taken so far.

    Looking costs a request of the org's day; waiting somewhat longer costs nothing but time of this lane.
    """
    return _within(max(2, waited_seconds))


def job_seconds(waited_seconds: int, processing_ms: int) -> int:
    """How long a job took, as far as that can be known from when it was found ended.

    Where the org says how long it worked, the truth lies between that and the time waited; the middle lets a
    prediction that was too long come down over a few jobs, and one that was too short go up at once.
    """
    if processing_ms <= 0:
        return max(_SHORTEST_POLL_SECONDS, waited_seconds)
    worked_seconds = -(-processing_ms // 1000)
    if worked_seconds >= waited_seconds:
        return worked_seconds
    return max(_SHORTEST_POLL_SECONDS, (worked_seconds + waited_seconds + 1) // 2)


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


def _within(seconds: int) -> int:
    return max(_SHORTEST_POLL_SECONDS, min(seconds, LONG_WAIT_SECONDS))
