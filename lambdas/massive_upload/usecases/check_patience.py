"""CheckPatience: how long to wait for an org, or AWS, that does not answer."""

from __future__ import annotations

from massive_upload.contracts import Next, SliceInput, Step
from massive_upload.domain.waits import PATIENCE_EVENTS, org_wait_seconds
from massive_upload.errors import OrgUnreachable
from massive_upload.observability import Event, Marker, log
from massive_upload.ports import Heartbeat, ProgressStore
from massive_upload.usecases.run_config import RunConfigs
from massive_upload.usecases.slice_tasks import claimed_partition


def check_patience(task: SliceInput, store: ProgressStore, configs: RunConfigs) -> Step:
    """The next wait for the org, after a task's retries are used up.

    Raises:
        OrgUnreachable: the slice has waited for as long as the load's patience lasts.
        FencedOut: another slice has claimed the partition.
    """
    partition = claimed_partition(store, task)
    run = store.run(task.run_id)
    if run is not None and run.is_halting:
        store.stop_partition(partition)
        log(Marker.STOP, Event.PARTITION_STOPPED)
        return task.step.model_copy(update={"next": Next.DONE})
    patience_seconds = configs.of(task.run_id).load.effective_pace.patience_seconds
    waited_seconds = task.step.org_waited_seconds
    if waited_seconds >= patience_seconds:
        raise OrgUnreachable(
            f"The org did not answer for {waited_seconds} s, which is the load's patience.",
            next_step="Resume the run when the org answers again; raise pace.patience_seconds for longer outages.",
        )
    wait_seconds = min(org_wait_seconds(task.step.org_waits), patience_seconds - waited_seconds)
    store.record_heartbeat(partition, Heartbeat(wake_after_seconds=wait_seconds))
    log(Marker.WAITING, Event.WAITING_FOR_ORG, wait_seconds=wait_seconds, waited_seconds=waited_seconds)
    return task.step.model_copy(
        update={
            "next": Next.WAIT_FOR_ORG,
            "wait_seconds": wait_seconds,
            "events": task.step.events + PATIENCE_EVENTS,
            "org_waits": task.step.org_waits + 1,
            "org_waited_seconds": waited_seconds + wait_seconds,
            "job": None,
        }
    )
