"""The progress table: every change of state is one conditional write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from massive_upload.adapters import dynamodb_items as items
from massive_upload.adapters.dynamodb_items import Item
from massive_upload.adapters.dynamodb_table import ConditionFailed, Table
from massive_upload.adapters.dynamodb_writes import (
    Change,
    Condition,
    at_least,
    check,
    delete,
    equals,
    exists,
    is_absent,
    is_before,
    is_new,
    is_one_of,
    put,
    update,
)
from massive_upload.constants import STATE_KEPT_DAYS, SWEEP_PARTITION
from massive_upload.domain.error_counts import add_counts
from massive_upload.domain.identity import Identity
from massive_upload.domain.incremental import NO_MAPPING, Watermark
from massive_upload.domain.progress import (
    BATCH_TRANSITIONS,
    PARTITION_TRANSITIONS,
    RUN_TRANSITIONS,
    UNFINISHED_RUN_STATUSES,
    Batch,
    BatchState,
    Halt,
    JobWork,
    KeptList,
    LaneKind,
    LaneNotes,
    Lease,
    Partition,
    PartitionStatus,
    Run,
    RunFailures,
    RunStatus,
    SourceRange,
    sources_of,
)
from massive_upload.domain.quota import Need, OrgQuota
from massive_upload.domain.shown import Shown
from massive_upload.errors import FencedOut, InternalError, InvalidInput, LoadError, RunNotResumable, StateChanged
from massive_upload.ports import Clock, Heartbeat, LaneView, PlannedLane

T = TypeVar("T")

_TRANSACTION_ITEMS = 100
"""TransactWriteItems takes no more (DynamoDB API reference)."""


class DynamoDbProgress:
    """`massive_upload.ports.ProgressStore` on one DynamoDB table."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    # -- leases

    def lease(self, key: str) -> Lease | None:
        item = self._table.get(items.lease_key(key))
        return items.lease_from(item) if item else None

    def acquire_lease(self, lease: Lease, *, instead_of: Lease | None = None) -> Lease | None:
        holders = [lease.execution_arn, *([instead_of.execution_arn] if instead_of else [])]
        is_held_by_one_of_us = is_one_of("execution_arn", holders)
        free_or_ours = Condition(
            clauses=[f"{is_new().expression} OR {is_held_by_one_of_us.expression}"],
            names=is_held_by_one_of_us.names,
            values=is_held_by_one_of_us.values,
        )
        item = items.lease_key(lease.key) | items.to_item(items.fields_of(lease))
        try:
            self._table.transact(put(self._table.name, item, free_or_ours))
        except ConditionFailed as failure:
            found = failure.items_found[0]
            return items.lease_from(found) if found else self.lease(lease.key)
        return None

    def release_lease(self, lease: Lease) -> None:
        is_ours = equals("execution_arn", lease.execution_arn)
        try:
            self._table.transact(delete(self._table.name, items.lease_key(lease.key), is_ours))
        except ConditionFailed:
            return  # released before or taken over: in either case it is no longer ours to give back

    def last_writer(self, key: str) -> str | None:
        item = self._table.get(items.writer_key(key))
        return str(item["run_id"]["S"]) if item else None

    # -- the org's allowances

    def quota(self, org_id: str) -> OrgQuota | None:
        item = self._table.get(items.quota_key(org_id))
        return items.quota_from(item) if item else None

    def begin_look(self, org_id: str, seen: OrgQuota | None, begun_at: datetime) -> bool:
        change = Change(put={"look_begun_at": begun_at})
        is_as_seen = is_new()
        if seen is not None:
            is_as_seen = _has("looked_at", seen.looked_at) & _has("look_begun_at", seen.look_begun_at)
        try:
            self._table.transact(update(self._table.name, items.quota_key(org_id), change, is_as_seen))
        except ConditionFailed:
            return False
        return True

    def end_look(self, org_id: str, begun_at: datetime, found: Mapping[str, int] | None) -> OrgQuota:
        change = Change(put={"looked_at": begun_at, "begun": 0, "refused": 0}, remove=("look_begun_at",))
        if found is not None:
            known = {name: found.get(name) for name in items.ALLOWANCES}
            change |= Change(put=_known(**known), remove=[name for name, figure in known.items() if figure is None])
        is_the_latest = is_before("looked_at", begun_at)
        with suppress(ConditionFailed):  # a later look knows better
            self._table.transact(update(self._table.name, items.quota_key(org_id), change, is_the_latest))
        return self.quota(org_id) or OrgQuota()

    def take_quota(self, org_id: str, need: Need) -> bool:
        taken = {"begun": 1}
        is_enough = exists()
        for name, least, part in (
            ("requests_left", need.requests_left, need.requests),
            ("batches_left", need.batches_left, need.batches),
        ):
            if least is not None:
                taken[name] = -part
                is_enough &= at_least(name, least)
        key = items.quota_key(org_id)
        try:
            self._table.transact(update(self._table.name, key, Change(put={"refused": 0}, add=taken), is_enough))
        except ConditionFailed:
            with suppress(ConditionFailed):
                self._table.transact(update(self._table.name, key, Change(add={"refused": 1}), exists()))
            return False
        return True

    # -- runs

    def run(self, run_id: str) -> Run | None:
        item = self._table.get(items.run_key(run_id))
        return items.run_from(item) if item else None

    def open_runs(self) -> Sequence[str]:
        found = self._table.query(items.OPEN_RUNS_KEY, "RUN#")
        return [str(item["sk"]["S"]).removeprefix("RUN#") for item in found]

    def newest_runs(self, most: int) -> Sequence[str]:
        found = self._table.query_newest(items.BEGUN_RUNS_KEY, most)
        return [str(item["sk"]["S"]).partition("#")[2] for item in found]

    def begin_run(self, run: Run) -> Run:
        item = items.run_key(run.run_id) | self._expiring(items.fields_of(run))
        begun = put(self._table.name, items.begun_run_key(run) | self._expiring({}))
        try:
            self._table.transact(put(self._table.name, item, is_new()), self._mark_open(run.run_id), begun)
        except ConditionFailed as failure:
            recorded = self._run_found(failure, run.run_id)
            if recorded.execution_arn != run.execution_arn:
                raise InvalidInput(
                    f"There is already a run {run.run_id!r}.",
                    next_step="Resume it with mode resume, or leave run_id out to start a new run.",
                ) from failure
            return recorded
        return run

    def note_plan_query(self, run: Run, query_id: str, identity: Identity) -> None:
        change = Change(put={"plan_query_id": query_id, **asdict(identity)})
        try:
            self._change_run(run, change, only_from=[RunStatus.PLANNING])
        except ConditionFailed as failure:
            raise _fenced(f"Run {run.run_id}") from failure

    def commit_plan(self, run: Run, *, voids: Watermark | None = None, writes_to: str | None = None) -> Run:
        planned = replace(run, status=RunStatus.RUNNING)
        change = Change(put=_known(**{name: getattr(planned, name) for name in _OF_THE_PLAN}))
        also = [self._retry_link(run, run.retry_of)] if run.retry_of is not None else []
        if writes_to is not None:
            also.append(put(self._table.name, items.writer_key(writes_to) | self._expiring({"run_id": run.run_id})))
        if voids is not None:
            void = Change(put={"mapping_sha256": NO_MAPPING})
            also.append(update(self._table.name, items.watermark_key(run.load), void, _is_set_by(voids)))
        try:
            self._change_run(run, change, only_from=[RunStatus.PLANNING], also=also)
        except ConditionFailed as failure:
            recorded = self._run_found(failure, run.run_id)
            if recorded.execution_arn == run.execution_arn and recorded.status is RunStatus.RUNNING:
                return recorded
            if recorded.execution_arn == run.execution_arn and recorded.status is RunStatus.PLANNING:
                raise _changed_meanwhile(run) from failure
            raise _fenced(f"Run {run.run_id}") from failure
        return planned

    def retries_of(self, run_id: str) -> Sequence[str]:
        found = self._table.query(items.run_key(run_id)["pk"]["S"], items.RETRY_PREFIX)
        return [str(item["sk"]["S"]).removeprefix(items.RETRY_PREFIX) for item in found]

    def reopen_run(self, run: Run, *, execution_arn: str, failures_before: RunFailures) -> Run:
        reopened = replace(
            run,
            status=RunStatus.RUNNING,
            execution_arn=execution_arn,
            stop_requested=False,
            pause_requested=False,
            stop_reason=None,
            stop_error=None,
            failures_before=failures_before,
            drains=0,
            ended_at=None,
            error=None,
            cause=None,
        )
        names = ("status", "execution_arn", "stop_requested", "pause_requested", "failures_before")
        change = Change(
            put={name: getattr(reopened, name) for name in names},
            remove=("stop_reason", "stop_error", "ended_at", "error", "cause", "drains"),
        )
        resumable = sources_of(RUN_TRANSITIONS, RunStatus.RUNNING)
        resumable.remove(RunStatus.PLANNING)
        try:
            self._change_run(run, change, only_from=resumable, also=[self._mark_open(run.run_id)])
        except ConditionFailed as failure:
            raise RunNotResumable(
                f"Run {run.run_id} is {run.status}, or somebody else has just resumed it.",
                next_step="A completed run cannot be resumed; start a new one.",
            ) from failure
        return reopened

    def request_stop(self, run_id: str, reason: str, *, error: str) -> None:
        change = Change(put={"stop_requested": True}, put_once={"stop_reason": reason, "stop_error": error})
        self._change_existing_run(run_id, change)

    def ask_to_halt(self, run_id: str, halt: Halt) -> bool:
        is_unfinished = is_one_of("status", UNFINISHED_RUN_STATUSES)
        change = Change(put={_FLAGS[halt]: True})
        try:
            self._table.transact(update(self._table.name, items.run_key(run_id), change, is_unfinished))
        except ConditionFailed as failure:
            self._run_found(failure, run_id)
            return False
        return True

    def count_run_requests(self, run_id: str, api_requests: int) -> None:
        self._change_existing_run(run_id, Change(add={"api_requests": api_requests}))

    def count_drain(self, run: Run) -> None:
        self._change_existing_run(run.run_id, Change(add={"drains": 1}))

    def finish_run(
        self,
        run: Run,
        *,
        status: RunStatus,
        ended_at: datetime,
        error: str | None,
        cause: str | None,
        watermark: Watermark | None = None,
        instead_of: Watermark | None = None,
        shown: Shown | None = None,
        shown_before: Shown | None = None,
    ) -> bool:
        change = Change(put=_known(status=status, ended_at=ended_at, error=error, cause=cause))
        also = [delete(self._table.name, items.open_run_key(run.run_id))]
        if watermark is not None:
            item = items.watermark_key(watermark.load) | items.to_item(items.fields_of(watermark))
            also.append(put(self._table.name, item, _is_set_by(instead_of) if instead_of else is_new()))
        if shown is not None:
            item = items.shown_key(shown.load) | items.to_item(items.fields_of(shown))
            also.append(put(self._table.name, item, _is_shown_by(shown_before) if shown_before else is_new()))
        allowed = [source for source in sources_of(RUN_TRANSITIONS, status) if source in UNFINISHED_RUN_STATUSES]
        try:
            self._change_run(run, change, only_from=allowed, condition=_is_asked_as_read(run), also=also)
        except ConditionFailed as failure:
            recorded = self._run_found(failure, run.run_id)
            if recorded.execution_arn == run.execution_arn and recorded.status in allowed:
                raise _changed_meanwhile(run) from failure
            return False
        return True

    def watermark(self, load: str) -> Watermark | None:
        item = self._table.get(items.watermark_key(load))
        return items.watermark_from(item) if item else None

    def shown(self, load: str) -> Shown | None:
        item = self._table.get(items.shown_key(load))
        return items.shown_from(item) if item else None

    # -- partitions

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
            raise _missing(f"Partition {partition} of run {run_id}")
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
            raise _missing(f"Partition {partition} of run {run_id}")
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
            has_that_list = _has("kept_list", sweep.kept_list)
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
            raise _fenced(f"Run {partition.run_id}") from error
        taken = self.partition(partition.run_id, partition.partition)
        if taken.epoch != partition.epoch + 1:
            raise _fenced(f"Partition {partition.partition} of run {partition.run_id}")
        return taken

    def reopen_partition(
        self, partition: Partition, *, execution_arn: str, due_after_seconds: int | None = None
    ) -> None:
        due_at = self._after(due_after_seconds)
        change = Change(
            put={"status": PartitionStatus.PENDING, "reopened_by": execution_arn, **_known(due_at=due_at)},
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

    def note_query(self, partition: Partition, query_id: str, beat: Heartbeat) -> None:
        change = Change(put={"query_id": query_id, "query_offset": 0}, remove=("query_rows",))
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
            raise _missing(f"Batch {number} of partition {partition.partition}")
        return items.batch_from(item)

    def batches(self, run_id: str, partition: str) -> list[Batch]:
        return [items.batch_from(item) for item in self._table.query(f"RUN#{run_id}#PART#{partition}", "BATCH#")]

    def plan_batch(self, partition: Partition, batch: Batch, beat: Heartbeat) -> None:
        change = _taking("open_batch", batch) | self._beat(beat)
        if partition.is_sweep:
            change |= Change(add={"resent_rows": batch.rows})
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
        if ahead is None:
            self._change_partition(partition, self._beat(beat), also=also)
            return submitted
        has_none_ahead = equals("open_batch", batch.number) & _has_ahead(None) & _reads_as(partition)
        change = _taking("ahead_batch", ahead) | self._beat(beat)
        self._change_partition(partition, change, has_none_ahead, also=[*also, self._new_batch(ahead)])
        return submitted

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
            add={
                "resent_rows": following.rows,
                "lock_errors": following.lock_errors - batch.lock_errors,
                **_worked(notes.work),
            },
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
                **_known(cursor_parent=settled.next_parent, open_batch=partition.ahead_batch),
            },
            add={
                "settled_rows": settled.first_rows,
                "succeeded": settled.succeeded,
                "rejected": settled.rejected,
                "deferred": settled.deferred,
                "lock_errors": settled.lock_errors - batch.lock_errors,
                **_worked(notes.work),
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

    def _retry_link(self, run: Run, first_run_id: str) -> Item:
        key = items.retry_key(first_run_id, run.run_id)
        return put(self._table.name, key | self._expiring({}))

    def _mark_open(self, run_id: str) -> Item:
        return put(self._table.name, items.open_run_key(run_id))

    def _change_existing_run(self, run_id: str, change: Change) -> None:
        """Change a run whatever its status, and whichever execution carries it out."""
        try:
            self._table.transact(update(self._table.name, items.run_key(run_id), change, exists()))
        except ConditionFailed as failure:
            raise _missing(f"Run {run_id}") from failure

    def _change_run(
        self,
        run: Run,
        change: Change,
        *,
        only_from: Sequence[RunStatus],
        condition: Condition | None = None,
        also: Sequence[Item] = (),
    ) -> None:
        """Change a run, if the execution that it was read with still carries it out."""
        is_this_execution = equals("execution_arn", run.execution_arn) & is_one_of("status", only_from)
        all_of_it = is_this_execution & condition if condition else is_this_execution
        self._table.transact(update(self._table.name, items.run_key(run.run_id), change, all_of_it), *also)

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
            return _fenced(what)
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
        is_same_job = equals("job_id", batch.job_id) if batch.job_id else is_absent("job_id")
        condition = equals("state", batch.state) & equals("attempt", batch.attempt) & is_same_job
        key = items.batch_key(batch.run_id, batch.partition, batch.number)
        return update(self._table.name, key, change, condition)

    def _is_carried_out_by(self, run_id: str, execution_arn: str) -> Item:
        """Only the execution that carries out a run takes its partitions from their slices."""
        return check(self._table.name, items.run_key(run_id), equals("execution_arn", execution_arn))

    def _expiring(self, values: Mapping[str, object]) -> Item:
        return items.to_item({**values, "expires_at": self._expires_at()})

    def _after(self, seconds: int | None) -> datetime | None:
        return None if seconds is None else self._clock.now() + timedelta(seconds=seconds)

    def _expires_at(self) -> int:
        return int((self._clock.now() + timedelta(days=STATE_KEPT_DAYS)).timestamp())

    def _run_found(self, failure: ConditionFailed, run_id: str) -> Run:
        item = failure.items_found[0]
        run = items.run_from(item) if item else self.run(run_id)
        if run is None:
            raise _missing(f"Run {run_id}")
        return run


_OF_THE_PLAN = (
    "status",
    "plan_name",
    "source_rows",
    "skipped_null_key",
    "duplicates_dropped",
    "as_of",
    "undated_rows",
)
_OF_ONE_GO = ("query_id", "query_rows", "next_wake_at", "failures", "error", "cause")
"""What a lane that is resumed begins without."""
_FLAGS = {Halt.STOP: "stop_requested", Halt.PAUSE: "pause_requested"}


def _read(entity_from: Callable[[Item], T], item: Item | None) -> T | None:
    return None if item is None else entity_from(item)


def _known(**values: object) -> dict[str, object]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _taking(place: str, batch: Batch) -> Change:
    """A partition takes a new batch as its open one, or as the one ahead."""
    return Change(put={place: batch.number, "next_batch": batch.number + 1}, add={"batches": 1})


def _noted(notes: LaneNotes, batch: Batch) -> dict[str, object]:
    """What a lane has learnt from the job of a batch."""
    duration = {} if notes.job_seconds is None else {"job_seconds": notes.job_seconds, "job_rows": batch.rows}
    return {"failures": notes.failures, "pace": notes.pace, "hot_parents": notes.hot_parents, **duration}


def _worked(work: JobWork) -> dict[str, int]:
    """What an attempt adds to its lane's first attempts."""
    added = {
        "timed_jobs": work.jobs,
        "timed_rows": work.rows,
        "timed_seconds": work.seconds,
        "timed_ms": work.processing_ms,
        "contended_rows": work.contended_rows,
    }
    return {name: number for name, number in added.items() if number}


def _has(name: str, value: object) -> Condition:
    """An attribute has a value; where that is None, the item lacks the attribute."""
    return is_absent(name) if value is None else equals(name, value)


def _has_ahead(number: int | None) -> Condition:
    """The partition has that batch staged ahead, or none."""
    return _has("ahead_batch", number)


def _is_set_by(watermark: Watermark) -> Condition:
    """The watermark is the one that was read."""
    return equals("run_id", watermark.run_id) & equals("mapping_sha256", watermark.mapping_sha256)


def _is_shown_by(shown: Shown) -> Condition:
    """What runs have shown is as it was read."""
    return equals("run_id", shown.run_id) & equals("ended_at", shown.ended_at)


def _is_asked_as_read(run: Run) -> Condition:
    """Nobody has asked the run to end since it was read."""
    return equals("stop_requested", run.stop_requested) & equals("pause_requested", run.pause_requested)


def _changed_meanwhile(run: Run) -> StateChanged:
    return StateChanged(
        f"The watermark of {run.load}, what its last run showed, or what {run.run_id} is asked for was changed.",
        next_step="It is read again by itself.",
    )


def _reads_as(partition: Partition) -> Condition:
    """The partition reads the query that it was seen with, and nothing was staged since.

    Else a task that was tried again while it lived on would start a lane that has got on from its beginning.
    """
    has_that_query = equals("query_id", partition.query_id) if partition.query_id else is_absent("query_id")
    return has_that_query & equals("next_batch", partition.next_batch)


def _fenced(what: str) -> FencedOut:
    return FencedOut(
        f"{what} has been taken over or has moved on.",
        next_step="Nothing to do: whoever has taken over goes on from what is recorded.",
    )


def _missing(what: str) -> InternalError:
    return InternalError(
        f"{what} is not in the progress table.",
        next_step="See whether the run has been cleaned up meanwhile.",
    )
