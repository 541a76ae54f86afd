"""Whether a lane may begin its next batch now: in the load's window, and within its budget of the org's day.

The org's allowances are counted in one item of the table, which all lanes of all runs take from on a condition. So no
two lanes take the same rest, whoever crashes; what a lane takes twice, or for a batch that it does not send, comes back
with the next look at the org.
"""

from __future__ import annotations

from massive_upload.constants import LONG_WAIT_SECONDS
from massive_upload.domain.progress import Partition, PartitionStatus
from massive_upload.domain.quota import OrgQuota, need_of_a_batch, requests_of_a_batch
from massive_upload.errors import LoadError, QuotaExhausted
from massive_upload.observability import Event, Marker, log
from massive_upload.usecases.org_usage import tell_quota
from massive_upload.usecases.run_config import RunConfig
from massive_upload.usecases.slice_tasks import SliceServices

_FIRST_WAIT_SECONDS = 60


def seconds_until_turn(
    partition: Partition,
    services: SliceServices,
    *,
    batches: int,
    waited_seconds: int = 0,
    quota: OrgQuota | None = None,
) -> int:
    """How long a lane has to wait before it asks again; 0 where it may begin its next batch now.

    Args:
        partition: the lane's.
        services: what the task works with.
        batches: how many of Salesforce's batches the lane's next one makes.
        waited_seconds: how long it has just waited for its turn.
        quota: what is known to be left of the org's day, where that was just read.
    """
    config = services.configs.of(partition.run_id)
    wait_seconds = _seconds_until_open(config, services)
    if wait_seconds:
        log(Marker.WAITING, Event.WAITING_FOR_WINDOW, wait_seconds=wait_seconds)
        return wait_seconds
    if _take(partition, config, services, batches, quota or services.store.quota(config.org_id)):
        return 0
    wait_seconds = min(max(_FIRST_WAIT_SECONDS, 2 * waited_seconds), LONG_WAIT_SECONDS)
    log(Marker.WAITING, Event.WAITING_FOR_QUOTA, wait_seconds=wait_seconds)
    return wait_seconds


def _seconds_until_open(config: RunConfig, services: SliceServices) -> int:
    schedule = config.load.schedule
    if not config.keeps_window or schedule is None or schedule.hours is None:
        return 0
    return schedule.hours.seconds_until_open(services.clock.now(), most=LONG_WAIT_SECONDS)


def _take(
    partition: Partition, config: RunConfig, services: SliceServices, batches: int, quota: OrgQuota | None
) -> bool:
    """Take what a batch needs from the rest of the org's day, if that leaves the reserve."""
    store, run_id, org_id = services.store, partition.run_id, config.org_id
    now = services.clock.now()
    if quota is None or quota.is_out_of_date(run_id=run_id, now=now) or _is_worth_a_look(quota, partition, services):
        quota = _look(org_id, quota, OrgQuota(looked_at=now, looked_by=run_id), services)
    requests = requests_of_a_batch(taken=partition.api_requests, jobs=partition.jobs)
    return store.take_quota(org_id, need_of_a_batch(quota, config.load.budget, requests=requests, batches=batches))


def _is_worth_a_look(quota: OrgQuota, partition: Partition, services: SliceServices) -> bool:
    if not quota.is_worth_a_look(lanes=1):
        return False
    lanes = services.store.partitions(partition.run_id)
    return quota.is_worth_a_look(lanes=sum(lane.status is PartitionStatus.RUNNING for lane in lanes))


def _look(org_id: str, seen: OrgQuota | None, fresh: OrgQuota, services: SliceServices) -> OrgQuota:
    """Ask the org what is left. Where another lane is just doing so, what was known before has to do."""
    store, org = services.store, services.org
    if not store.begin_look(org_id, seen, fresh):
        return store.quota(org_id) or fresh
    try:
        limits = org.metadata.limits()
    except QuotaExhausted:
        requests_max = seen.requests_max if seen else None
        found = {"requests_max": requests_max or 1, "requests_left": 0}
    except LoadError as error:  # a load that cannot know is not held up; what the org refuses it refuses later
        log(Marker.WARNING, Event.LIMITS_UNKNOWN, error=type(error).__name__, code=error.code)
        return store.quota(org_id) or fresh
    else:
        found = tell_quota(limits, org.api_usage)
    return store.note_quota(org_id, fresh, found)
