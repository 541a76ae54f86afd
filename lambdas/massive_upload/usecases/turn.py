"""Whether a lane may begin its next batch now: in the load's window, and within its budget of the org's day.

The org's allowances are counted in one item of the table, which all lanes of all runs take from on a condition. So no
two lanes take the same rest, whoever crashes; what a lane takes twice, or for a batch that it does not send, comes back
with the next look at the org.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from massive_upload.constants import LONG_WAIT_SECONDS
from massive_upload.domain.progress import Partition
from massive_upload.domain.quota import OrgQuota, need_of_a_batch, requests_of_a_batch
from massive_upload.errors import CredentialsRejected, LoadError, PassingError, QuotaExhausted
from massive_upload.observability import Event, Marker, log
from massive_upload.usecases.org import Org
from massive_upload.usecases.org_usage import tell_quota
from massive_upload.usecases.run_config import RunConfig
from massive_upload.usecases.slice_tasks import SliceServices

_FIRST_WAIT_SECONDS = 60
_LOOK_WAIT_SECONDS = 3
"""For the org's answer to another lane."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Whether a lane may begin its next batch.

    Attributes:
        wait_seconds: how long it has to wait before it asks again; 0 where it may begin now.
        looked_at: when the org had been looked at, where that is what it has to wait for.
        waited_seconds: how long it has waited on that look, this wait included.
    """

    wait_seconds: int = 0
    looked_at: datetime | None = None
    waited_seconds: int = 0

    @property
    def has_come(self) -> bool:
        """Whether it may begin now."""
        return self.wait_seconds == 0

    def waited_on(self, quota: OrgQuota) -> int:
        """How long the lane has waited on what the org told at its last look, in seconds."""
        return self.waited_seconds if self.looked_at == quota.looked_at else 0


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
    """
    config, before = services.configs.of(partition.run_id), before or Turn()
    wait_seconds = _seconds_until_open(config, services)
    if wait_seconds:
        log(Marker.WAITING, Event.WAITING_FOR_WINDOW, wait_seconds=wait_seconds)
        return Turn(wait_seconds=wait_seconds)
    known = _known_quota(config, services, quota or services.store.quota(config.org_id), before)
    if known is None:
        return _waiting_for_quota(Turn(wait_seconds=_LOOK_WAIT_SECONDS))
    if _take(partition, config, services, batches, known):
        return Turn()
    wait_seconds = min(max(_FIRST_WAIT_SECONDS, 2 * before.wait_seconds), LONG_WAIT_SECONDS)
    waited_seconds = before.waited_on(known) + wait_seconds
    return _waiting_for_quota(Turn(wait_seconds=wait_seconds, looked_at=known.looked_at, waited_seconds=waited_seconds))


def _waiting_for_quota(turn: Turn) -> Turn:
    log(Marker.WAITING, Event.WAITING_FOR_QUOTA, wait_seconds=turn.wait_seconds)
    return turn


def _seconds_until_open(config: RunConfig, services: SliceServices) -> int:
    schedule = config.load.schedule
    if not config.keeps_window or schedule is None or schedule.hours is None:
        return 0
    return schedule.hours.seconds_until_open(services.clock.now(), most=LONG_WAIT_SECONDS)


def _known_quota(config: RunConfig, services: SliceServices, seen: OrgQuota | None, before: Turn) -> OrgQuota | None:
    """What is known of the org's day, once the org was asked where that is due; None where one has to wait for that.

    Until the org has answered another lane, what is out of date stays out of date: nobody takes from it, whether the
    lane that asks is slow or has died.
    """
    now = services.clock.now()
    waited = timedelta(seconds=before.waited_on(seen) if seen else 0)
    is_usable = seen is not None and not seen.is_out_of_date(started_at=config.started_at, now=now, waited=waited)
    usable = seen if is_usable else None
    if usable is not None and not usable.has_served:
        return usable
    if seen is not None and seen.is_being_looked_at(now=now):
        return usable
    if not services.store.begin_look(config.org_id, seen, now):
        return usable
    return services.store.end_look(config.org_id, now, _look(seen, services.org))


def _look(seen: OrgQuota | None, org: Org) -> dict[str, int] | None:
    """What the org tells of its allowances; None where it may tell another time."""
    try:
        return tell_quota(org.metadata.limits(), org.api_usage)
    except CredentialsRejected:  # says nothing of the org, and ends the lane
        raise
    except QuotaExhausted:
        requests_max = seen.requests_max if seen else None
        return {"requests_max": requests_max or 1, "requests_left": 0}
    except LoadError as error:  # a load that cannot know is not held up; what the org refuses it refuses later
        log(Marker.WARNING, Event.LIMITS_UNKNOWN, error=type(error).__name__, code=error.code)
        return None if isinstance(error, PassingError) else {}


def _take(partition: Partition, config: RunConfig, services: SliceServices, batches: int, quota: OrgQuota) -> bool:
    """Take what a batch needs from the rest of the org's day, if that leaves the reserve."""
    requests = requests_of_a_batch(taken=partition.api_requests, jobs=partition.jobs)
    need = need_of_a_batch(quota, config.load.budget, requests=requests, batches=batches)
    return services.store.take_quota(config.org_id, need)
