"""Runs, and what a run leaves to the next one of its load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime

from massive_upload.adapters import dynamodb_items as items
from massive_upload.adapters.dynamodb_items import Item
from massive_upload.adapters.dynamodb_store import DynamoDbStore, fenced, missing
from massive_upload.adapters.dynamodb_table import ConditionFailed
from massive_upload.adapters.dynamodb_writes import (
    Change,
    Condition,
    delete,
    equals,
    exists,
    is_new,
    is_one_of,
    known,
    put,
    update,
)
from massive_upload.domain.identity import Identity
from massive_upload.domain.incremental import NO_MAPPING, Watermark
from massive_upload.domain.progress import (
    RUN_TRANSITIONS,
    UNFINISHED_RUN_STATUSES,
    Halt,
    Partition,
    Run,
    RunFailures,
    RunStatus,
    sources_of,
)
from massive_upload.domain.shown import Shown
from massive_upload.errors import InvalidInput, RunNotResumable, StateChanged

_OF_THE_PLAN = (
    "status",
    "plan_name",
    "source_rows",
    "skipped_null_key",
    "duplicates_dropped",
    "as_of",
    "undated_rows",
)

_FLAGS = {Halt.STOP: "stop_requested", Halt.PAUSE: "pause_requested"}


class DynamoDbRuns(DynamoDbStore):
    """The runs of `massive_upload.ports.ProgressStore`."""

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
        change = Change(put={"plan_query_id": query_id, "plan_queries": run.plan_queries + 1, **asdict(identity)})
        try:
            self._change_run(run, change, only_from=[RunStatus.PLANNING])
        except ConditionFailed as failure:
            raise fenced(f"Run {run.run_id}") from failure

    def commit_plan(self, run: Run, *, voids: Watermark | None = None, writes_to: str | None = None) -> Run:
        planned = replace(run, status=RunStatus.RUNNING)
        change = Change(put=known(**{name: getattr(planned, name) for name in _OF_THE_PLAN}))
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
            raise fenced(f"Run {run.run_id}") from failure
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

    def request_stop(self, partition: Partition, reason: str, *, error: str) -> None:
        change = Change(put={"stop_requested": True}, put_once={"stop_reason": reason, "stop_error": error})
        lane_key = items.partition_key(partition.run_id, partition.partition)
        sign_of_life = Change(put={"last_progress_at": self._clock.now()})
        of_this_claim = update(self._table.name, lane_key, sign_of_life, equals("epoch", partition.epoch))
        try:
            self._change_existing_run(partition.run_id, change, also=[of_this_claim])
        except ConditionFailed as failure:
            raise fenced(f"Partition {partition.partition} of run {partition.run_id}") from failure

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
        if api_requests:
            self._change_existing_run(run_id, Change(add={"api_requests": api_requests}))

    def count_drain(self, run: Run, *, api_requests: int) -> None:
        self._change_existing_run(run.run_id, Change(add={"drains": 1, "api_requests": api_requests}))

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
        change = Change(put=known(status=status, ended_at=ended_at, error=error, cause=cause))
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

    def _retry_link(self, run: Run, first_run_id: str) -> Item:
        key = items.retry_key(first_run_id, run.run_id)
        return put(self._table.name, key | self._expiring({}))

    def _mark_open(self, run_id: str) -> Item:
        return put(self._table.name, items.open_run_key(run_id))

    def _change_existing_run(self, run_id: str, change: Change, *, also: Sequence[Item] = ()) -> None:
        """Change a run whatever its status, and whichever execution carries it out.

        Raises:
            ConditionFailed: the run is there; what else was to hold does not.
        """
        try:
            self._table.transact(update(self._table.name, items.run_key(run_id), change, exists()), *also)
        except ConditionFailed as failure:
            self._run_found(failure, run_id)
            raise

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

    def _run_found(self, failure: ConditionFailed, run_id: str) -> Run:
        item = failure.items_found[0]
        run = items.run_from(item) if item else self.run(run_id)
        if run is None:
            raise missing(f"Run {run_id}")
        return run


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
