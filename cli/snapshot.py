"""How far a run has come, as it is recorded in the progress table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from massive_upload.domain.progress import Batch, BatchState, Partition, PartitionStatus
from massive_upload.ports import ProgressStore

MOST_ACTIVE_LANES = 16
"""Lanes whose open batch is looked at; a display shows no more of them."""

_LONG_WAIT = timedelta(minutes=1)
"""No lane without a job in flight waits for so long, but for its turn, the source or an org that does not answer."""

_GETTING_ON = (BatchState.SUBMITTED, BatchState.SETTLED)
"""Of an open batch: it has a job in flight, or was settled after its lane was read."""


@dataclass(frozen=True, kw_only=True)
class LaneProgress:
    """How far a lane has come; rows of its open batch count once their own outcome is known.

    Attributes:
        is_waiting: whether it cannot go on, as the org, or the window of its schedule, does not let it.
    """

    name: str
    status: PartitionStatus
    rows: int
    settled: int
    succeeded: int
    rejected: int
    is_waiting: bool = False

    @property
    def success_rate_percent(self) -> float | None:
        """Succeeded among succeeded and rejected; None before there are any."""
        known = self.succeeded + self.rejected
        return 100.0 * self.succeeded / known if known else None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All lanes at one moment.

    Attributes:
        run_id: whose they are; empty where there are none.
        lanes: those that read the source, in order.
        sweep: the lane that sends given-up rows once more, if there is one.
    """

    run_id: str = ""
    lanes: tuple[LaneProgress, ...] = ()
    sweep: LaneProgress | None = None

    @property
    def all_lanes(self) -> tuple[LaneProgress, ...]:
        """The lanes, and the sweep where there is one."""
        return (*self.lanes, self.sweep) if self.sweep else self.lanes

    @property
    def total(self) -> LaneProgress:
        """The lanes together. The sweep's rows are theirs and are not counted twice."""
        return LaneProgress(
            name="all",
            status=PartitionStatus.RUNNING,
            rows=sum(lane.rows for lane in self.lanes),
            settled=sum(lane.settled for lane in self.lanes),
            succeeded=sum(lane.succeeded for lane in self.all_lanes),
            rejected=sum(lane.rejected for lane in self.all_lanes),
        )

    @property
    def is_waiting(self) -> bool:
        """Whether no lane at work can go on for the moment."""
        at_work = [lane for lane in self.all_lanes if lane.status is PartitionStatus.RUNNING]
        return bool(at_work) and all(lane.is_waiting for lane in at_work)

    def with_status(self, status: PartitionStatus) -> tuple[LaneProgress, ...]:
        """The lanes in one status."""
        return tuple(lane for lane in self.lanes if lane.status is status)

    def not_behind(self, earlier: Snapshot) -> Snapshot:
        """The same, where a lane that seems to have gone back is as far as an earlier snapshot of the run has seen it.

        A row whose outcome was known stays settled; but a lane whose open batch was looked at need not be among those
        that are looked at now.
        """
        if earlier.run_id != self.run_id:
            return self
        seen = {lane.name: lane for lane in earlier.all_lanes}
        return replace(
            self,
            lanes=tuple(_further(lane, seen.get(lane.name, lane)) for lane in self.lanes),
            sweep=_further(self.sweep, seen.get(self.sweep.name, self.sweep)) if self.sweep else None,
        )


def take_snapshot(store: ProgressStore, run_id: str) -> Snapshot:
    """Read a run's partitions, and the open batches of the first lanes at work."""
    partitions = store.partitions(run_id)
    at_work = [p for p in partitions if p.status is PartitionStatus.RUNNING and p.open_batch is not None]
    batches = {p.partition: store.batch(p, p.open_batch or 0) for p in at_work[:MOST_ACTIVE_LANES]}
    return snapshot_of(partitions, batches)


def snapshot_of(partitions: Sequence[Partition], open_batches: dict[str, Batch]) -> Snapshot:
    """A snapshot of partitions and, by partition id, of batches that are not settled."""
    progress = {p.partition: _lane_progress(p, open_batches.get(p.partition)) for p in partitions}
    sweeps = [progress[p.partition] for p in partitions if p.is_sweep]
    return Snapshot(
        run_id=partitions[0].run_id if partitions else "",
        lanes=tuple(progress[p.partition] for p in partitions if not p.is_sweep),
        sweep=sweeps[0] if sweeps else None,
    )


def _lane_progress(partition: Partition, batch: Batch | None) -> LaneProgress:
    succeeded, rejected, deferred = (batch.succeeded, batch.rejected, batch.deferred) if batch else (0, 0, 0)
    return LaneProgress(
        name=partition.partition,
        status=partition.status,
        rows=partition.source_rows,
        settled=partition.settled_rows + succeeded + rejected + deferred,
        succeeded=partition.succeeded + succeeded,
        rejected=partition.rejected + rejected,
        is_waiting=_is_waiting(partition, batch),
    )


def _is_waiting(partition: Partition, batch: Batch | None) -> bool:
    gets_on = batch is not None and batch.state in _GETTING_ON
    if partition.status is not PartitionStatus.RUNNING or gets_on:
        return False
    since, until = partition.last_progress_at, partition.next_wake_at
    return since is not None and until is not None and until - since >= _LONG_WAIT


def _further(now: LaneProgress, before: LaneProgress) -> LaneProgress:
    if now.settled >= before.settled:
        return now
    return replace(now, settled=before.settled, succeeded=before.succeeded, rejected=before.rejected)
