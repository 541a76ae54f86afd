"""What the tasks of a slice have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from math import ceil

from massive_upload.contracts import SliceInput, Step
from massive_upload.domain.progress import Batch, Partition, PartitionStatus, Run, RunStatus
from massive_upload.errors import FencedOut, InternalError, RunHalted, SalesforceBusy
from massive_upload.observability import Event, Marker, log
from massive_upload.ports import Clock, Files, LaneView, ProgressStore
from massive_upload.usecases.org import Org
from massive_upload.usecases.run_config import RunConfigs


@dataclass(frozen=True)
class SliceServices:
    """What the tasks of a slice work with."""

    store: ProgressStore
    files: Files
    configs: RunConfigs
    org: Org
    clock: Clock


SliceWork = Callable[[SliceInput, SliceServices], Step]


def slice_task(work: SliceWork) -> SliceWork:
    """Let a task ask the run's org alone, and let others know of what it meets there.

    Where the org is too busy, the pause that it asks for is remembered: CheckPatience is told of errors by their name
    and a text for people alone; the number goes by the partition's item. What every lane would meet stops the run.
    """

    @wraps(work)
    def of_run(task: SliceInput, services: SliceServices) -> Step:
        try:
            with services.org.only_to(services.configs.of(task.run_id).org_id):
                return work(task, services)
        except SalesforceBusy as busy:
            asked_seconds = None if busy.retry_after_seconds is None else ceil(busy.retry_after_seconds)
            partition = claimed_partition(services.store, task)
            if partition.retry_after_seconds != asked_seconds:
                services.store.note_retry_after(partition, asked_seconds)
            raise
        except RunHalted as halted:
            partition = claimed_partition(services.store, task)
            services.store.request_stop(partition, halted.code or str(halted), error=RunHalted.__name__)
            raise

    return of_run


def claimed_partition(store: ProgressStore, task: SliceInput) -> Partition:
    """The partition that this slice has claimed.

    Raises:
        FencedOut: a newer slice has claimed it, or it is no longer to be worked on.
    """
    return _claimed(store.partition(task.run_id, task.partition), task)


def claimed_lane(
    store: ProgressStore,
    task: SliceInput,
    *,
    with_ahead: bool = False,
    lease_key: str | None = None,
    org_id: str | None = None,
    with_run: bool = False,
) -> LaneView:
    """The partition that this slice has claimed, its open batch, and what else the task asks `ProgressStore.lane` for.

    Raises:
        FencedOut: a newer slice has claimed it, or it is no longer to be worked on.
    """
    view = store.lane(
        task.run_id,
        task.partition,
        likely_batch=task.step.batch,
        with_ahead=with_ahead,
        lease_key=lease_key,
        org_id=org_id,
        with_run=with_run,
    )
    _claimed(view.partition, task)
    return view


def _claimed(partition: Partition, task: SliceInput) -> Partition:
    if partition.epoch != task.step.epoch or partition.status is not PartitionStatus.RUNNING:
        raise FencedOut(
            f"Partition {task.partition} of run {task.run_id} is {partition.status} under claim {partition.epoch}; "
            f"this slice has claim {task.step.epoch}.",
            next_step="Nothing to do: this slice ends, and whoever has taken over goes on.",
        )
    return partition


def stop_lane(store: ProgressStore, partition: Partition) -> None:
    """Let a lane end whose run was asked to stop or pause, or has ended."""
    store.stop_partition(partition)
    log(Marker.STOP, Event.PARTITION_STOPPED)


def is_halting(store: ProgressStore, run_id: str) -> bool:
    """Whether the run's lanes are to end: it was stopped, paused, or has ended already.

    Raises:
        InternalError: there is no such run.
    """
    return has_to_halt(store.run(run_id), run_id)


def has_to_halt(run: Run | None, run_id: str) -> bool:
    """What `is_halting` says, of a run that was read."""
    if run is None:
        raise InternalError(f"Run {run_id} is not in the progress table.")
    return run.is_halting or run.status is not RunStatus.RUNNING


def open_batch(store: ProgressStore, partition: Partition) -> Batch | None:
    """The partition's batch that is worked on and not settled."""
    return None if partition.open_batch is None else store.batch(partition, partition.open_batch)


def unsettled_batches(store: ProgressStore, partitions: Iterable[Partition]) -> list[Batch]:
    """The batches of some partitions that are not settled: those that are worked on, and those staged ahead."""
    return [
        store.batch(partition, number)
        for partition in partitions
        for number in (partition.open_batch, partition.ahead_batch)
        if number is not None
    ]
