"""What is left of the org's day, and whether a batch may still be begun. Pure: figures in, a decision out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from massive_upload.constants import BATCHES_BETWEEN_LOOKS
from massive_upload.domain.load import Budget

MOST_LOOKS = 7
"""At a job, as far as is counted on: two or three where nothing is known of it, and more where it waits in the queue.
One that waits there for long, or stands still, takes more."""

_SEND_REQUESTS = 4
"""Create, upload and close a job, and a page of rows."""

_RESULT_REQUESTS = 2
"""Where the job has rejected rows."""

BATCH_REQUESTS = _SEND_REQUESTS + MOST_LOOKS + _RESULT_REQUESTS
"""API requests of a batch whose rows come in one page."""

MOST_BATCH_REQUESTS = 100
"""No batch is counted as more: 100 MB come in some fifty pages of 2 MB. What takes a lane more requests than that, a
long wait or an org that is down, says nothing of its next batch."""

LOOK_AGE = timedelta(minutes=10)
"""Others use the org too: what was seen longer ago is seen again."""

REFUSED_LOOK_AGE = timedelta(hours=1)
"""The same where a lane was refused its batch and none has begun since. Those that wait see the day roll on, but a look
costs a request of the very reserve that they wait for."""

LOOK_LASTS = timedelta(seconds=30)
"""The org answers within a second or two. A look without an answer for so long has died, or is as good as dead."""

LOOKS_OF_A_DAY = 24
"""Requests that a wait of a day takes, which are therefore kept besides the reserve."""


@dataclass(frozen=True, kw_only=True)
class OrgQuota:
    """What the org had left when it was last looked at, less what batches have taken since; None where it is not told.

    An answer may come late: what batches have taken since its look began is taken off it.

    Attributes:
        looked_at: when that look began; None before the org has answered one, and once it has to be asked anew.
        look_begun_at: when a look began that it has not answered yet; None where there is none.
        requests_max, batches_max: the allowances of 24 hours.
        requests_left, batches_left: what is left of them.
        requests_taken, batches_taken: what batches have taken in all, whatever was told.
        begun: batches that were begun since the look.
        refused: how often a lane was refused one since the last was begun.
    """

    looked_at: datetime | None = None
    look_begun_at: datetime | None = None
    requests_max: int | None = None
    requests_left: int | None = None
    batches_max: int | None = None
    batches_left: int | None = None
    requests_taken: int = 0
    batches_taken: int = 0
    begun: int = 0
    refused: int = 0

    def is_out_of_date(self, *, now: datetime, waited: timedelta = timedelta()) -> bool:
        """Whether no batch may be begun before somebody has looked again, whichever run has looked before.

        Args:
            now: the time.
            waited: for how long a lane has waited on this look, which is no younger than that, also where waits pass
                faster than the clock shows.
        """
        if self.looked_at is None:
            return True
        return max(now - self.looked_at, waited) >= (REFUSED_LOOK_AGE if self.refused else LOOK_AGE)

    @property
    def is_untold(self) -> bool:
        """Whether the org was asked and told nothing."""
        return self.looked_at is not None and self.requests_left is None and self.batches_left is None

    @property
    def has_served(self) -> bool:
        """Whether so many batches were begun since the look that somebody is to look again; others go on meanwhile."""
        return self.begun >= BATCHES_BETWEEN_LOOKS

    def is_being_looked_at(self, *, now: datetime, waited: timedelta = timedelta()) -> bool:
        """Whether an answer of the org is to be expected any moment.

        Args:
            now: the time.
            waited: for how long a lane has waited for it.
        """
        return self.look_begun_at is not None and max(now - self.look_begun_at, waited) < LOOK_LASTS


@dataclass(frozen=True, kw_only=True)
class RequestsTold:
    """What any answer of the org tells of its API requests.

    Attributes:
        allowed: of 24 hours.
        left: of these.
        at: when it answered.
    """

    allowed: int
    left: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Need:
    """What must be left so that a batch may begin, and what it takes; None where the org does not tell an allowance."""

    requests_left: int | None
    batches_left: int | None
    requests: int
    batches: int


def requests_of_a_batch(*, taken: int, jobs: int) -> int:
    """API requests that a lane's next batch is counted as until the next look.

    As many as each of its jobs has taken so far, with all that the lane has done besides, and two more as the next may
    have rejected rows. A lane's first batch cannot know how many pages its rows come in: what it takes beyond
    `BATCH_REQUESTS` is seen by the next look.

    Args:
        taken: API requests of the lane up to now.
        jobs: its jobs up to now.
    """
    usual = -(-taken // jobs) + _RESULT_REQUESTS if jobs else 0
    return min(max(BATCH_REQUESTS, usual), MOST_BATCH_REQUESTS)


def need_of_a_batch(quota: OrgQuota, budget: Budget, *, requests: int, batches: int) -> Need:
    """What a batch needs.

    Args:
        quota: what is known of the org's allowances.
        budget: how much of them the load leaves to others.
        requests: how many API requests it is counted as.
        batches: how many of Salesforce's batches, of 10,000 rows each, it makes.
    """
    return Need(
        requests_left=_least(quota.requests_max, budget.api_requests_reserve_percent, requests + LOOKS_OF_A_DAY),
        batches_left=_least(quota.batches_max, budget.bulk_batches_reserve_percent, batches),
        requests=requests,
        batches=batches,
    )


def is_denied(quota: OrgQuota, budget: Budget, *, requests: int, told: RequestsTold | None) -> bool:
    """Whether a batch may begin by what is known of the org's API requests, and may not by what it has told since.

    Others have used them meanwhile. Where both say that too little is left, nobody need look again for that; and what
    tells of another allowance than the look did is not to be compared with it.

    Args:
        quota: what is known.
        budget: how much of it the load leaves to others.
        requests: how many API requests the batch is counted as.
        told: what the org told as it answered something else; None where it did not.
    """
    needed = need_of_a_batch(quota, budget, requests=requests, batches=0).requests_left
    if needed is None or quota.requests_left is None or quota.looked_at is None or told is None:
        return False
    is_news = told.at > quota.looked_at and told.allowed == quota.requests_max
    return is_news and told.left < needed <= quota.requests_left


def beside_reserve(quota: OrgQuota, budget: Budget) -> tuple[int | None, int | None]:
    """API requests and Bulk batches that the org has left for a load's batches; None where it does not tell."""
    return (
        _left_beside(
            quota.requests_left, _least(quota.requests_max, budget.api_requests_reserve_percent, LOOKS_OF_A_DAY)
        ),
        _left_beside(quota.batches_left, _least(quota.batches_max, budget.bulk_batches_reserve_percent, 0)),
    )


def _left_beside(left: int | None, reserve: int | None) -> int | None:
    return None if left is None or reserve is None else max(0, left - reserve)


def _least(allowed: int | None, reserve_percent: int, needed: int) -> int | None:
    return None if allowed is None else -(-allowed * reserve_percent // 100) + needed
