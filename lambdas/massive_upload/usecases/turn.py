"""Whether a lane may begin its next batch now: in the load's window, and within its budget of the org's day.

The org's allowances are counted in one item of the table, which all lanes of all runs take from on a condition. So no
two lanes take the same rest, whoever crashes; what a lane takes twice, or for a batch that it does not send, comes back
with the next look at the org.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from massive_upload.constants import LONG_WAIT_SECONDS
from massive_upload.domain.progress import Partition
from massive_upload.domain.quota import OrgQuota, RequestsTold, is_denied, need_of_a_batch, requests_of_a_batch
from massive_upload.errors import CredentialsRejected, LoadError, PassingError, QuotaExhausted
from massive_upload.observability import Event, Marker, log
from massive_upload.usecases.org import Org
from massive_upload.usecases.org_usage import tell_quota, tell_used_up
from massive_upload.usecases.run_config import RunConfig
from massive_upload.usecases.slice_tasks import SliceServices

_FIRST_WAIT_SECONDS = 60
_LOOK_WAITS_SECONDS = (3, 15)
"""The shortest and the longest wait for the org's answer to another lane, in which it is waited for as long again."""
_PATIENCE_SECONDS = 600
"""For an org that answers, but not when it is asked for its limits."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Whether a lane may begin its next batch.

    Attributes:
        wait_seconds: how long it has to wait before it asks again; 0 where it may begin now.
        looked_at: when the look at the org began that it waits on: until that is answered, or until there is a later
            one, as this has found too little left.
        waited_seconds: how long it has waited on that look, this wait included.
        unanswered_seconds: how long the slice has waited for the org to answer, whatever it was asked, since the org
            last told what it has left.
        requests_told: what it told of its API requests as it answered something else, before the lane asked.
    """

    wait_seconds: int = 0
    looked_at: datetime | None = None
    waited_seconds: int = 0
    unanswered_seconds: int = 0
    requests_told: RequestsTold | None = None

    @property
    def has_come(self) -> bool:
        """Whether it may begin now."""
        return self.wait_seconds == 0

    def waited_on(self, looked_at: datetime | None) -> timedelta:
        """How long the lane has waited on the look at the org that began then."""
        is_that_look = looked_at is not None and looked_at == self.looked_at
        return timedelta(seconds=self.waited_seconds if is_that_look else 0)

    def waiting_for_answer(self, look_begun_at: datetime | None) -> Turn:
        """What the lane is told next where another lane's look has not been answered."""
        least_seconds, most_seconds = _LOOK_WAITS_SECONDS
        wait_seconds = min(max(least_seconds, int(self.waited_on(look_begun_at).total_seconds())), most_seconds)
        unanswered_seconds = self.unanswered_seconds + wait_seconds
        return replace(self._waiting_on(look_begun_at, wait_seconds), unanswered_seconds=unanswered_seconds)

    def waiting_for_more(self, looked_at: datetime | None) -> Turn:
        """What the lane is told next where the latest look has found too little left."""
        wait_seconds = min(max(_FIRST_WAIT_SECONDS, 2 * self.wait_seconds), LONG_WAIT_SECONDS)
        return replace(self._waiting_on(looked_at, wait_seconds), unanswered_seconds=0, requests_told=None)

    def _waiting_on(self, looked_at: datetime | None, wait_seconds: int) -> Turn:
        waited = self.waited_on(looked_at) + timedelta(seconds=wait_seconds)
        log(Marker.WAITING, Event.WAITING_FOR_QUOTA, wait_seconds=wait_seconds)
        waited_seconds = int(waited.total_seconds())
        return replace(self, wait_seconds=wait_seconds, looked_at=looked_at, waited_seconds=waited_seconds)


def ask_for_turn(
    partition: Partition,
    services: SliceServices,
    *,
    batches: int,
    before: Turn | None = None,
    quota: OrgQuota | None = None,
) -> Turn:
    """Ask whether a lane may begin its next batch now; it may once, if so.

    Args:
        partition: the lane's.
        services: what the task works with.
        batches: how many of Salesforce's batches the lane's next one makes.
        before: what it was told when it asked before, and has waited for since.
        quota: what is known to be left of the org's day, where that was just read.

    Raises:
        PassingError: the org, or AWS, did not answer, and what is known of the org's day is out of date.
    """
    config, before = services.configs.of(partition.run_id), before or Turn()
    wait_seconds = _seconds_until_open(config, services)
    if wait_seconds:
        log(Marker.WAITING, Event.WAITING_FOR_WINDOW, wait_seconds=wait_seconds)
        return Turn(wait_seconds=wait_seconds, unanswered_seconds=before.unanswered_seconds)
    seen = quota or services.store.quota(config.org_id)
    requests = requests_of_a_batch(taken=partition.api_requests, jobs=partition.jobs)
    known = _known_quota(config, services, seen, before, requests=requests)
    if known is None:
        return before.waiting_for_answer(seen.look_begun_at if seen else None)
    need = need_of_a_batch(known, config.load.budget, requests=requests, batches=batches)
    if services.store.take_quota(config.org_id, need):
        return Turn()
    return before.waiting_for_more(known.looked_at)


def _seconds_until_open(config: RunConfig, services: SliceServices) -> int:
    schedule = config.load.schedule
    if not config.keeps_window or schedule is None or schedule.hours is None:
        return 0
    return schedule.hours.seconds_until_open(services.clock.now(), most=LONG_WAIT_SECONDS)


def _known_quota(
    config: RunConfig, services: SliceServices, seen: OrgQuota | None, before: Turn, *, requests: int
) -> OrgQuota | None:
    """What is known of the org's day, once the org was asked where that is due; None where one has to wait for that.

    Until the org has answered, what is out of date stays out of date: nobody takes from it, whether the lane that asks
    is slow, has died, or was told to come back. So does what an answer of the org has denied since.
    """
    now = services.clock.now()
    is_usable = (
        seen is not None
        and not seen.is_out_of_date(now=now, waited=before.waited_on(seen.looked_at))
        and not is_denied(seen, config.load.budget, requests=requests, told=before.requests_told)
    )
    usable = seen if is_usable else None
    if _is_look_due(seen, usable, before, now) and services.store.begin_look(config.org_id, seen, now):
        return _look_for_all(config, services, seen, usable, before, now)
    return usable


def _is_look_due(seen: OrgQuota | None, usable: OrgQuota | None, before: Turn, now: datetime) -> bool:
    """Whether nothing usable is known, or it has served for its number of batches; and nobody is at a look."""
    if seen is None:
        return True
    is_needed = usable is None or usable.has_served
    return is_needed and not seen.is_being_looked_at(now=now, waited=before.waited_on(seen.look_begun_at))


def _look_for_all(
    config: RunConfig,
    services: SliceServices,
    seen: OrgQuota | None,
    usable: OrgQuota | None,
    before: Turn,
    begun_at: datetime,
) -> OrgQuota:
    """Carry out the look that was begun; where it fails, what is usable serves on.

    Raises:
        PassingError: the org did not answer, and nothing usable is known.
    """
    store, org_id = services.store, config.org_id
    try:
        found = _look(seen, services.org)
    except PassingError:
        if usable is None and _tells_nothing(config, seen, before):
            return store.end_look(org_id, seen, begun_at, {})
        store.give_up_look(org_id, begun_at)
        if usable is None:
            raise
        return usable
    return store.end_look(org_id, seen, begun_at, found)


def _look(seen: OrgQuota | None, org: Org) -> dict[str, int]:
    """What the org tells of its allowances.

    Raises:
        PassingError: it may tell another time.
    """
    try:
        return tell_quota(org.metadata.limits())
    except CredentialsRejected:  # says nothing of the org, and ends the lane
        raise
    except QuotaExhausted as error:
        tell_used_up(type(error).__name__)
        requests_max = seen.requests_max if seen else None
        return {"requests_max": requests_max or 1, "requests_left": 0}
    except LoadError as error:
        log(Marker.WARNING, Event.LIMITS_UNKNOWN, error=type(error).__name__, code=error.code)
        if isinstance(error, PassingError):
            raise
        return {}  # a load that cannot know is not held up; what the org refuses it refuses later


def _tells_nothing(config: RunConfig, seen: OrgQuota | None, before: Turn) -> bool:
    """Whether an org that does not answer is held to be one that does not tell its limits."""
    patience_seconds = min(_PATIENCE_SECONDS, config.load.effective_pace.patience_seconds)
    return (seen is not None and seen.is_untold) or before.unanswered_seconds >= patience_seconds
