"""CheckPatience: how long to wait for an org, or AWS, that does not answer, or has nothing left of its day."""

from __future__ import annotations

from massive_upload.constants import ALLOWANCE_PATIENCE_SECONDS, ALLOWANCE_WAITS_SECONDS, LONG_WAIT_SECONDS
from massive_upload.contracts import CheckPatienceInput, Next, Step
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Partition
from massive_upload.domain.waits import PATIENCE_EVENTS, PAUSE_EVENTS, longest_wait_seconds, org_wait_seconds
from massive_upload.errors import OrgUnreachable, QuotaExhausted, SalesforceBusy, error_names
from massive_upload.observability import Event, Marker, log
from massive_upload.ports import Heartbeat, ProgressStore
from massive_upload.usecases.org_usage import tell_used_up
from massive_upload.usecases.run_config import RunConfigs
from massive_upload.usecases.slice_tasks import claimed_partition, stop_lane


def check_patience(task: CheckPatienceInput, store: ProgressStore, configs: RunConfigs) -> Step:
    """The next wait for the org, after a task's retries are used up.

    A pause that the org asks for is kept as far as patience goes, in steps that let the run's flags be seen.

    Raises:
        OrgUnreachable: the slice has waited for as long as the load's patience lasts, or for allowances that had to
            come back within a day.
        FencedOut: another slice has claimed the partition.
    """
    partition = claimed_partition(store, task)
    run = store.run(task.run_id)
    if run is not None and run.is_halting:
        stop_lane(store, partition)
        return task.step.model_copy(update={"next": Next.DONE})
    if task.error.name in error_names(QuotaExhausted):
        tell_used_up(task.error.name)
        return _wait_for_allowances(task.step, partition, store)
    load = configs.of(task.run_id).load
    waited_seconds = task.step.org_waited_seconds
    left_seconds = patience_left_seconds(task.step, load, last_try=f"The last try said: {task.error.message}")
    goes_on = task.step.org_asked_seconds > 0
    asked_seconds = min(_asked_seconds(task, partition), left_seconds)
    usual_seconds = 0 if goes_on else org_wait_seconds(task.step.org_waits)
    wait_seconds = longest_wait_seconds(usual_seconds, asked_seconds, patience_left_seconds=left_seconds)
    still_asked_seconds = max(0, asked_seconds - wait_seconds)
    log(
        Marker.WAITING,
        Event.WAITING_FOR_ORG,
        wait_seconds=wait_seconds,
        waited_seconds=waited_seconds,
        still_asked_seconds=still_asked_seconds,
    )
    waiting = _wait(task.step, partition, store, wait_seconds=wait_seconds, left_seconds=still_asked_seconds)
    return waiting.model_copy(
        update={
            "org_waits": task.step.org_waits + (0 if goes_on else 1),
            "org_waited_seconds": waited_seconds + wait_seconds,
            "turn_unanswered_seconds": task.step.turn_unanswered_seconds + wait_seconds,
        }
    )


def patience_left_seconds(step: Step, load: Load, *, last_try: str) -> int:
    """How long a lane may still wait for the org, of the load's patience.

    Args:
        step: of its slice.
        load: the run's.
        last_try: a sentence on what the org did at the last try, for people.

    Raises:
        OrgUnreachable: no longer.
    """
    left_seconds = load.effective_pace.patience_seconds - step.org_waited_seconds
    if left_seconds <= 0:
        raise OrgUnreachable(
            f"The lane has waited for {step.org_waited_seconds} s, which is the load's patience. {last_try}",
            next_step="Resume the run when the org answers and takes rows; raise pace.patience_seconds for longer "
            "outages.",
        )
    return left_seconds


def _wait_for_allowances(step: Step, partition: Partition, store: ProgressStore) -> Step:
    """The next wait for an org that answers, but whose allowances of the day are used up.

    They come back as the day rolls on. So this takes nothing off the load's patience, and as each try costs requests of
    what everybody waits for, there are few.

    Raises:
        OrgUnreachable: they have not come back within a day, and the org was just asked again.
    """
    waited_seconds, pause_seconds = step.allowances_waited_seconds, step.org_asked_seconds
    if waited_seconds >= ALLOWANCE_PATIENCE_SECONDS and not pause_seconds:
        raise OrgUnreachable(
            f"For {waited_seconds} s the org has refused the lane, as its allowances of 24 hours are used up.",
            next_step="See in Setup, System Overview, who uses them; resume the run when there is something left.",
        )
    first_seconds, usual_seconds = ALLOWANCE_WAITS_SECONDS
    pause_seconds = pause_seconds or (usual_seconds if waited_seconds else first_seconds)
    wait_seconds = min(pause_seconds, LONG_WAIT_SECONDS)
    log(Marker.WAITING, Event.WAITING_FOR_QUOTA, wait_seconds=wait_seconds, waited_seconds=waited_seconds)
    waiting = _wait(step, partition, store, wait_seconds=wait_seconds, left_seconds=pause_seconds - wait_seconds)
    return waiting.model_copy(update={"allowances_waited_seconds": waited_seconds + wait_seconds})


def _wait(step: Step, partition: Partition, store: ProgressStore, *, wait_seconds: int, left_seconds: int) -> Step:
    """A wait that nobody takes for silence, before the org is asked again or the rest of a pause goes on."""
    store.record_heartbeat(partition, Heartbeat(wake_after_seconds=wait_seconds))
    goes_on = step.org_asked_seconds > 0  # then no task was tried before this wait
    return step.model_copy(
        update={
            "next": Next.WAIT_LONGER if left_seconds else Next.WAIT_FOR_ORG,
            "wait_seconds": wait_seconds,
            "events": step.events + (PAUSE_EVENTS if goes_on else PATIENCE_EVENTS),
            "org_asked_seconds": left_seconds,
            "job": None,
        }
    )


def _asked_seconds(task: CheckPatienceInput, partition: Partition) -> int:
    """The pause that the org has asked for: what is left of it, or all of it where the task has just been told."""
    if task.step.org_asked_seconds:
        return task.step.org_asked_seconds
    is_busy = task.error.name == SalesforceBusy.__name__
    return (partition.retry_after_seconds or 0) if is_busy else 0
