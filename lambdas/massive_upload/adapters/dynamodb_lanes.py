"""Partitions and their batches: a change of a batch is one of its partition, too, in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from massive_upload.adapters import dynamodb_items as items
from massive_upload.adapters.dynamodb_items import Item
from massive_upload.adapters.dynamodb_store import DynamoDbStore, fenced, missing
from massive_upload.adapters.dynamodb_table import ConditionFailed
from massive_upload.adapters.dynamodb_writes import (
    Change,
    Condition,
    check,
    equals,
    has,
    is_absent,
    is_new,
    is_one_of,
    known,
    put,
    update,
)
from massive_upload.constants import SWEEP_PARTITION
from massive_upload.domain.error_counts import add_counts
from massive_upload.domain.progress import (
    BATCH_TRANSITIONS,
    PARTITION_TRANSITIONS,
    Batch,
    BatchState,
    JobWork,
    KeptList,
    LaneKind,
    LaneNotes,
    Partition,
    PartitionStatus,
    Run,
    SourceRange,
    sources_of,
)
from massive_upload.errors import InternalError, LoadError, StateChanged
from massive_upload.ports import Heartbeat, LaneView, PlannedLane

T = TypeVar("T")

_TRANSACTION_ITEMS = 100
"""TransactWriteItems takes no more (DynamoDB API reference)."""

_OF_ONE_GO = ("query_id", "query_rows", "next_wake_at", "failures", "error", "cause")
"""What a lane that is resumed begins without."""


class DynamoDbLanes(DynamoDbStore):
    """The partitions and batches of `massive_upload.ports.ProgressStore`."""

    def create_partitions(self, run: Run, lanes: Iterable[PlannedLane], *, max_concurrency: int = 0) -> None:
        remaining = (
            self._creation(run, lane, due_after_seconds=lane.start_delay_seconds if index < max_concurrency else None)
            for index, lane in enumerate(lanes)
        )
        while group := list(islice(remaining, _TRANSACTION_ITEMS)):
            self._table.transact(*group)

    def partitions(self, run_id: str) -> list[Partition]:
        return [items.partition_from(item) for item in self._table.query(f"RUN#{run_id}", "PART#")]

    def partition(self, run_id: str, partition: str) -> Partition:
        item = self._table.get(items.partition_key(run_id, partition))
        if item is None:
            raise missing(f"Partition {partition} of run {run_id}")
        return items.partition_from(item)

    def lane(
        self,
        run_id: str,
        partition: str,
        *,
        likely_batch: int | None = None,
        with_ahead: bool = False,
        lease_key: str | None = None,
        org_id: str | None = None,
        with_run: bool = False,
    ) -> LaneView:
        keys = {"partition": items.partition_key(run_id, partition)}
        if likely_batch is not None:
            keys["batch"] = items.batch_key(run_id, partition, likely_batch)
            if with_ahead:
                keys["ahead"] = items.batch_key(run_id, partition, likely_batch + 1)
        if lease_key is not None:
            keys["lease"] = items.lease_key(lease_key)
        if org_id is not None:
            keys["quota"] = items.quota_key(org_id)
        if with_run:
            keys["run"] = items.run_key(run_id)
        found = dict(zip(keys, self._table.get_all(list(keys.values())), strict=True))
        if found["partition"] is None:
            raise missing(f"Partition {partition} of run {run_id}")
        lane = items.partition_from(found["partition"])
        return LaneView(
            partition=lane,
            batch=self._batch_of(lane, lane.open_batch, found.get("batch")),
            ahead=self._batch_of(lane, lane.ahead_batch, found.get("ahead")) if with_ahead else None,
            lease=_read(items.lease_from, found.get("lease")),
            run=_read(items.run_from, found.get("run")),
            quota=_read(items.quota_from, found.get("quota")),
        )

    def _batch_of(self, partition: Partition, number: int | None, likely: Item | None) -> Batch | None:
        """A partition's batch of this number, if it has one: the one that was read beside it, if that is it."""
        if number is None:
            return None
        batch = _read(items.batch_from, likely)
        return batch if batch is not None and batch.number == number else self.batch(partition, number)

    def save_sweep(self, run_id: str, sweep: Partition | None, kept: KeptList) -> Partition:
        is_at_work = sweep is not None and sweep.status is PartitionStatus.RUNNING
        change = Change(
            put={
                "run_id": run_id,
                "partition": SWEEP_PARTITION,
                "status": PartitionStatus.RUNNING if is_at_work else PartitionStatus.PENDING,
                "kept_list": kept.key,
                "planned_rows": kept.rows,
                "source_rows": kept.rows,
            },
            put_once={"epoch": 0, "next_batch": 0, "expires_at": self._expires_at()},
            remove=("error", "cause", "failures"),
        )
        is_as_seen = is_new()
        if sweep is not None:
            has_that_list = has("kept_list", sweep.kept_list)
            is_as_seen = equals("epoch", sweep.epoch) & equals("status", sweep.status) & has_that_list
        key = items.partition_key(run_id, SWEEP_PARTITION)
        try:
            self._table.transact(update(self._table.name, key, change, is_as_seen))
        except ConditionFailed as failure:
            raise StateChanged(
                f"The sweep of run {run_id} was changed in between.", next_step="It is read again by itself."
            ) from failure
        return self.partition(run_id, SWEEP_PARTITION)

    def take_over_partition(self, partition: Partition, *, execution_arn: str) -> Partition:
        change = Change(add={"epoch": 1}, remove=("due_at",))
        try:
            self._change_partition(partition, change, also=[self._is_carried_out_by(partition.run_id, execution_arn)])
        except StateChanged as error:
            raise fenced(f"Run {partition.run_id}") from error
        taken = self.partition(partition.run_id, partition.partition)
        if taken.epoch != partition.epoch + 1:
            raise fenced(f"Partition {partition.partition} of run {partition.run_id}")
        return taken

    def reopen_partition(
        self, partition: Partition, *, execution_arn: str, due_after_seconds: int | None = None
    ) -> None:
        due_at = self._after(due_after_seconds)
        change = Change(
            put={"status": PartitionStatus.PENDING, "reopened_by": execution_arn, **known(due_at=due_at)},
            add={"epoch": 1},
            remove=(*_OF_ONE_GO, *(() if due_at else ("due_at",))),
        )
        allowed = sources_of(PARTITION_TRANSITIONS, PartitionStatus.PENDING)
        is_ours = self._is_carried_out_by(partition.run_id, execution_arn)
        self._change_partition(partition, change, is_one_of("status", allowed), also=[is_ours])

    def record_heartbeat(self, partition: Partition, beat: Heartbeat) -> None:
        self._change_partition(partition, self._beat(beat), equals("status", partition.status))

    def note_retry_after(self, partition: Partition, seconds: int | None) -> None:
        name = "retry_after_seconds"
        self._change_partition(partition, Change(remove=(name,)) if seconds is None else Change(put={name: seconds}))

    def note_query(self, partition: Partition, *, query_id: str, columns: tuple[str, ...], beat: Heartbeat) -> None:
        noted = {"query_id": query_id, "query_columns": columns, "query_offset": 0}
        change = Change(put=noted, remove=("query_rows",))
        self._change_partition(partition, change | self._beat(beat), _reads_as(partition))

    def note_query_rows(
        self, partition: Partition, *, query_id: str, rows: int, columns: tuple[str, ...], beat: Heartbeat
    ) -> Partition:
        read = replace(
            partition,
            query_id=query_id,
            query_rows=rows,
            query_columns=columns,
            query_offset=0,
            source_rows=partition.settled_rows + rows,
        )
        names = ("query_id", "query_rows", "query_columns", "query_offset", "source_rows")
        change = Change(put={name: getattr(read, name) for name in names})
        self._change_partition(partition, change | self._beat(beat), _reads_as(partition))
        return read

    def forget_query(self, partition: Partition) -> Partition:
        self._change_partition(partition, Change(remove=("query_id", "query_rows")), _reads_as(partition))
        return replace(partition, query_id=None, query_rows=None)

    def complete_partition(self, partition: Partition, beat: Heartbeat) -> None:
        change = Change(put={"status": PartitionStatus.COMPLETED}, remove=("next_wake_at",))
        allowed = sources_of(PARTITION_TRANSITIONS, PartitionStatus.COMPLETED)
        has_settled_all = is_one_of("status", allowed) & is_absent("open_batch") & _reads_as(partition)
        self._change_partition(partition, change | self._beat(beat), has_settled_all)

    def stop_partition(self, partition: Partition) -> None:
        change = Change(put={"status": PartitionStatus.STOPPED}, remove=("next_wake_at",))
        allowed = sources_of(PARTITION_TRANSITIONS, PartitionStatus.STOPPED)
        self._change_partition(partition, change, is_one_of("status", allowed))

    # -- batches

    def batch(self, partition: Partition, number: int) -> Batch:
        item = self._table.get(items.batch_key(partition.run_id, partition.partition, number))
        if item is None:
            raise missing(f"Batch {number} of partition {partition.partition}")
        return items.batch_from(item)

    def batches(self, run_id: str, partition: str) -> list[Batch]:
        return [items.batch_from(item) for item in self._table.query(f"RUN#{run_id}#PART#{partition}", "BATCH#")]

    def plan_batch(self, partition: Partition, batch: Batch, beat: Heartbeat) -> None:
        change = _taking("open_batch", batch) | self._beat(beat)
        has_none = is_absent("open_batch") & _has_ahead(None) & _reads_as(partition)
        self._change_partition(partition, change, has_none, also=[self._new_batch(batch)])

    def record_job(self, partition: Partition, batch: Batch, job_id: str, beat: Heartbeat) -> Batch:
        created = replace(batch, state=BatchState.CREATED, job_id=job_id)
        change = Change(add={"jobs": 1}) | self._beat(beat)
        self._change_partition(partition, change, also=[self._batch_change(batch, created)])
        return created

    def record_submitted(
        self, partition: Partition, batch: Batch, beat: Heartbeat, *, ahead: Batch | None = None
    ) -> Batch:
        submitted = replace(batch, state=BatchState.SUBMITTED)
        also = [self._batch_change(batch, submitted)]
        change = self._beat(beat)
        if batch.attempt or partition.is_sweep:
            change |= Change(add={"resent_rows": batch.rows})
        if ahead is None:
            self._change_partition(partition, change, also=also)
            return submitted
        has_none_ahead = equals("open_batch", batch.number) & _has_ahead(None) & _reads_as(partition)
        change |= _taking("ahead_batch", ahead)
        self._change_partition(partition, change, has_none_ahead, also=[*also, self._new_batch(ahead)])
        return submitted

    def note_aborted(self, partition: Partition, batch: Batch, beat: Heartbeat) -> None:
        aborted_at = batch.aborted_at or self._clock.now()
        noted = replace(batch, aborted_at=aborted_at, aborted_looks=batch.aborted_looks + 1)
        self._change_partition(partition, self._beat(beat), also=[self._batch_change(batch, noted)])

    def plan_next_attempt(
        self,
        partition: Partition,
        batch: Batch,
        following: Batch,
        *,
        notes: LaneNotes,
        beat: Heartbeat,
    ) -> None:
        change = Change(
            put=_noted(notes, batch),
            add=_tried(batch, following, notes.work),
        )
        self._change_partition(partition, change | self._beat(beat), also=[self._batch_change(batch, following)])

    def settle_batch(
        self,
        partition: Partition,
        batch: Batch,
        settled: Batch,
        *,
        notes: LaneNotes,
        beat: Heartbeat,
    ) -> None:
        change = Change(
            put={
                "cursor": settled.next_cursor,
                "query_offset": settled.next_offset,
                # Sums of a partition that cannot have changed: only settling changes them, and it closes the batch.
                "rejected_codes": add_counts(partition.rejected_codes, settled.rejected_codes),
                "succeeded_keys": partition.succeeded_keys + settled.succeeded_keys,
                **_noted(notes, batch),
                **known(cursor_parent=settled.next_parent, open_batch=partition.ahead_batch),
            },
            add={
                "settled_rows": settled.first_rows,
                "succeeded": settled.succeeded,
                "rejected": settled.rejected,
                "deferred": settled.deferred,
                **_tried(batch, settled, notes.work),
            },
            remove=("open_batch",) if partition.ahead_batch is None else ("ahead_batch",),
        )
        self._change_partition(
            partition,
            change | self._beat(beat),
            equals("open_batch", batch.number) & _has_ahead(partition.ahead_batch),
            also=[self._batch_change(batch, settled)],
        )

    # -- writes

    def _creation(self, run: Run, lane: PlannedLane, *, due_after_seconds: int | None) -> Item:
        """An update and not a put, as a repeated PlanRun must leave alone what has begun."""
        source = lane.reads if isinstance(lane.reads, SourceRange) else None
        fresh = Partition(
            run_id=run.run_id,
            partition=lane.partition,
            status=PartitionStatus.PENDING,
            epoch=0,
            planned_rows=lane.reads.rows,
            source_rows=lane.reads.rows,
            kind=source.kind if source else LaneKind.KEY,
            after=source.after if source else None,
            upto=source.upto if source else None,
            kept_list=lane.reads.key if isinstance(lane.reads, KeptList) else None,
            start_delay_seconds=lane.start_delay_seconds,
            is_paired=lane.is_paired,
            job_seconds=lane.job_seconds,
            job_rows=lane.job_rows,
            due_at=self._after(due_after_seconds),
        )
        values = {name: value for name, value in items.fields_of(fresh).items() if value is not None}
        change = Change(put_once=values | {"expires_at": self._expires_at()})
        return update(self._table.name, items.partition_key(run.run_id, lane.partition), change)

    def _change_partition(
        self,
        partition: Partition,
        change: Change,
        condition: Condition | None = None,
        *,
        also: Sequence[Item] = (),
    ) -> None:
        """Change a partition, and other items with it, under the epoch that it was read with."""
        is_this_claim = equals("epoch", partition.epoch)
        all_of_it = is_this_claim & condition if condition else is_this_claim
        key = items.partition_key(partition.run_id, partition.partition)
        try:
            self._table.transact(update(self._table.name, key, change, all_of_it), *also)
        except ConditionFailed as failure:
            raise self._overtaken(partition, failure) from failure

    def _overtaken(self, partition: Partition, failure: ConditionFailed) -> LoadError:
        """Whether a newer claim has fenced the caller out, or a repetition of its own task was faster."""
        item = failure.items_found[0]
        found = items.partition_from(item) if item else partition
        what = f"Partition {partition.partition} of run {partition.run_id}"
        if found.epoch != partition.epoch or found.status is not partition.status:
            return fenced(what)
        return StateChanged(
            f"{what} was changed by a repetition of this task.", next_step="It is read again by itself."
        )

    def _beat(self, beat: Heartbeat) -> Change:
        now = self._clock.now()
        return Change(
            put={"last_progress_at": now, "next_wake_at": now + timedelta(seconds=beat.wake_after_seconds)},
            add={"api_requests": beat.api_requests},
        )

    def _new_batch(self, batch: Batch) -> Item:
        key = items.batch_key(batch.run_id, batch.partition, batch.number)
        return put(self._table.name, key | self._expiring(items.fields_of(batch)), is_new())

    def _batch_change(self, batch: Batch, changed: Batch) -> Item:
        """Write a batch's next state, if it is still in the state, attempt and job that it was read with."""
        if changed.state not in BATCH_TRANSITIONS[batch.state]:
            raise InternalError(f"A batch cannot go from {batch.state} to {changed.state}.")
        before, after = items.fields_of(batch), items.fields_of(changed)
        different = {name: value for name, value in after.items() if value != before[name]}
        change = Change(
            put={name: value for name, value in different.items() if value is not None},
            remove=[name for name, value in different.items() if value is None],
        )
        condition = equals("state", batch.state) & equals("attempt", batch.attempt) & has("job_id", batch.job_id)
        key = items.batch_key(batch.run_id, batch.partition, batch.number)
        return update(self._table.name, key, change, condition)

    def _is_carried_out_by(self, run_id: str, execution_arn: str) -> Item:
        """Only the execution that carries out a run takes its partitions from their slices."""
        return check(self._table.name, items.run_key(run_id), equals("execution_arn", execution_arn))

    def _after(self, seconds: int | None) -> datetime | None:
        return None if seconds is None else self._clock.now() + timedelta(seconds=seconds)


def _read(entity_from: Callable[[Item], T], item: Item | None) -> T | None:
    return None if item is None else entity_from(item)


def _taking(place: str, batch: Batch) -> Change:
    """A partition takes a new batch as its open one, or as the one ahead."""
    return Change(put={place: batch.number, "next_batch": batch.number + 1}, add={"batches": 1})


def _noted(notes: LaneNotes, batch: Batch) -> dict[str, object]:
    """What a lane has learnt from the job of a batch."""
    duration = {} if notes.job_seconds is None else {"job_seconds": notes.job_seconds, "job_rows": batch.rows}
    return {"failures": notes.failures, "pace": notes.pace, "hot_parents": notes.hot_parents, **duration}


def _tried(batch: Batch, after: Batch, work: JobWork) -> dict[str, int]:
    """What an attempt of a batch adds to its lane."""
    added = {
        "lock_errors": after.lock_errors - batch.lock_errors,
        "timed_jobs": work.jobs,
        "timed_rows": work.rows,
        "timed_seconds": work.seconds,
        "timed_ms": work.processing_ms,
        "contended_rows": work.contended_rows,
    }
    return {name: number for name, number in added.items() if number}


def _has_ahead(number: int | None) -> Condition:
    """The partition has that batch staged ahead, or none."""
    return has("ahead_batch", number)


def _reads_as(partition: Partition) -> Condition:
    """The partition reads the query that it was seen with, and nothing was staged since.

    Else a task that was tried again while it lived on would start a lane that has got on from its beginning.
    """
    return has("query_id", partition.query_id) & equals("next_batch", partition.next_batch)
