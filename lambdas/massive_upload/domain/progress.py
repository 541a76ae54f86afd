"""Run, partition and batch: what is known of them, and which changes of state are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum, unique
from typing import Self, TypeVar

from massive_upload.constants import SWEEP_PARTITION
from massive_upload.domain.identity import Identity
from massive_upload.domain.key_digest import NO_KEYS, KeyDigest
from massive_upload.domain.pace import FULL_SPEED_PERCENT, LanePace

S = TypeVar("S", bound=StrEnum)


@unique
class RunStatus(StrEnum):
    """Where a run stands."""

    PLANNING = "Planning"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"
    PAUSED = "Paused"


@unique
class PartitionStatus(StrEnum):
    """Where a partition stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"


@unique
class BatchState(StrEnum):
    """Where a batch stands: rows staged, job recorded, job closed, every outcome recorded."""

    PLANNED = "Planned"
    CREATED = "Created"
    SUBMITTED = "Submitted"
    SETTLED = "Settled"


RUN_TRANSITIONS: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PLANNING: frozenset({RunStatus.RUNNING, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED}),
    RunStatus.RUNNING: frozenset(
        {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED, RunStatus.PAUSED, RunStatus.RUNNING}
    ),
    RunStatus.FAILED: frozenset({RunStatus.RUNNING}),
    RunStatus.STOPPED: frozenset({RunStatus.RUNNING}),
    RunStatus.PAUSED: frozenset({RunStatus.RUNNING}),
    RunStatus.COMPLETED: frozenset(),
}
"""Only resume leads back to Running; a completed run is locked. A run that is paused before its plan counts has nothing
to go on with: it is Stopped."""

UNFINISHED_RUN_STATUSES = (RunStatus.PLANNING, RunStatus.RUNNING)

PARTITION_TRANSITIONS: Mapping[PartitionStatus, frozenset[PartitionStatus]] = {
    PartitionStatus.PENDING: frozenset({PartitionStatus.RUNNING, PartitionStatus.FAILED, PartitionStatus.PENDING}),
    PartitionStatus.RUNNING: frozenset(PartitionStatus),
    PartitionStatus.FAILED: frozenset({PartitionStatus.PENDING}),
    PartitionStatus.STOPPED: frozenset({PartitionStatus.PENDING}),
    PartitionStatus.COMPLETED: frozenset({PartitionStatus.PENDING}),
}
"""Only resume leads back to Pending; a completed partition goes back only where the sweep finds new rows for it."""

BATCH_TRANSITIONS: Mapping[BatchState, frozenset[BatchState]] = {
    BatchState.PLANNED: frozenset({BatchState.CREATED, BatchState.SETTLED}),
    BatchState.CREATED: frozenset({BatchState.CREATED, BatchState.SUBMITTED, BatchState.PLANNED}),
    BatchState.SUBMITTED: frozenset({BatchState.SUBMITTED, BatchState.PLANNED, BatchState.SETTLED}),
    BatchState.SETTLED: frozenset(),
}
"""Created to Created: an Open job was given up for another. Submitted to Submitted: its job was aborted and may still
write. To Planned: one more attempt, or a job that is gone. Planned to Settled: none of the batch's rows can be sent."""


def sources_of(transitions: Mapping[S, frozenset[S]], target: S) -> list[S]:
    """The states from which ``target`` may be reached: what a conditional write puts into its condition."""
    return [state for state, targets in transitions.items() if target in targets]


@unique
class Halt(StrEnum):
    """How an operator asks a run to end before its rows do."""

    STOP = "stop"
    PAUSE = "pause"


@dataclass(frozen=True, kw_only=True)
class LaneFailures:
    """What a lane's circuit breaker goes by; forgotten when the lane is resumed.

    Attributes:
        failed_jobs: jobs in a row, up to now, that failed as a whole, were aborted or were deleted.
        judged_rows: rows settled since the lane was last judged.
        failed_rows: of these, the rejected and given-up ones.
        code: the error of most rows that failed last.
    """

    failed_jobs: int = 0
    judged_rows: int = 0
    failed_rows: int = 0
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobWork:
    """First attempts of jobs that completed, added up; nothing where there were none.

    Attributes:
        jobs, rows: how many, and how many rows they had.
        seconds: how long they took from our side.
        processing_ms: how long the org says that it worked on them, in milliseconds.
        contended_rows: of their rows, those that failed for a passing reason.
    """

    jobs: int = 0
    rows: int = 0
    seconds: int = 0
    processing_ms: int = 0
    contended_rows: int = 0


@dataclass(frozen=True, kw_only=True)
class LaneNotes:
    """What a lane has learnt from a job that has ended, and goes by from then on.

    Attributes:
        failures: what its circuit breaker goes by.
        pace: where it stands between its slowest and its fastest pace.
        hot_parents: lock errors by parent, of the parents that cost most of them.
        job_seconds: how long the job took, its wait in the org's queue left out; None where that does not help to
            predict the next.
        work: what the job adds to the lane's first attempts.
    """

    failures: LaneFailures
    pace: LanePace
    hot_parents: Mapping[str, int] = field(default_factory=dict)
    job_seconds: int | None = None
    work: JobWork = JobWork()


@dataclass(frozen=True, kw_only=True)
class RunFailures:
    """What a run's circuit breaker goes by: lanes that failed, settled rows, and how many of these failed."""

    failed_lanes: int = 0
    judged_rows: int = 0
    failed_rows: int = 0


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution of a load, and what was planned for it.

    Attributes:
        question_sha256: digest of what the run began to ask its source.
        retry_of: the run whose rejected rows this one sends once more.
        retry_only: the code of the errors that it takes up; None for all.
        plan_query_id: the query that counts its source, while it runs.
        plan_queries: how many were begun; more than one where they came to no end.
        stop_requested, pause_requested: the flags that the lanes look at.
        stop_reason: why the product itself raised stop_requested; None where an operator did.
        stop_error: the name of the error that the run then ends with.
        modified_after: the beginning of an incremental run's window; None where there is none to begin with.
        as_of: up to when the plan knew the source; None where no row tells.
        undated_rows: rows of which nobody knows when they were modified.
        loads_after: the loads of its sequence that come after this one, in order.
        leases_after: the targets of those, which its execution has taken too.
        failures_before: what had failed when it was last resumed; its circuit breaker does not count that again.
    """

    run_id: str
    load: str
    mode: str
    status: RunStatus
    execution_arn: str
    started_at: datetime
    ended_at: datetime | None = None
    lease_key: str | None = None
    question_sha256: str | None = None
    retry_of: str | None = None
    retry_only: str | None = None
    plan_name: str | None = None
    plan_query_id: str | None = None
    plan_queries: int = 0
    case_sensitive_key: bool | None = None
    parent_is_id: bool = False
    source_rows: int = 0
    skipped_null_key: int = 0
    duplicates_dropped: int = 0
    modified_after: datetime | None = None
    as_of: datetime | None = None
    undated_rows: int = 0
    loads_after: tuple[str, ...] = ()
    leases_after: tuple[str, ...] = ()
    api_requests: int = 0
    stop_requested: bool = False
    pause_requested: bool = False
    stop_reason: str | None = None
    stop_error: str | None = None
    failures_before: RunFailures = RunFailures()
    drains: int = 0
    error: str | None = None
    cause: str | None = None

    @property
    def identity(self) -> Identity | None:
        """What the target takes for the same record, as it was asked when the plan's query began; else None."""
        if self.case_sensitive_key is None:
            return None
        return Identity(case_sensitive_key=self.case_sensitive_key, parent_is_id=self.parent_is_id)

    @property
    def is_halting(self) -> bool:
        """Whether the run's lanes are to end at their next batch edge."""
        return self.stop_requested or self.pause_requested

    @property
    def is_unfinished(self) -> bool:
        """Whether the run is being carried out, as far as is recorded."""
        return self.status in UNFINISHED_RUN_STATUSES

    @property
    def asked_to(self) -> Halt | None:
        """What an operator has asked for while the run goes on."""
        return self.halt_asked_for if self.is_unfinished else None

    @property
    def halt_asked_for(self) -> Halt | None:
        """What an operator has asked for; a run that the product itself has stopped did not end by that."""
        if self.stop_reason is not None or not self.is_halting:
            return None
        return Halt.STOP if self.stop_requested else Halt.PAUSE


@unique
class LaneKind(StrEnum):
    """What a lane that reads the source has a range of: keys, parents, or keys of rows that have no parent."""

    KEY = "key"
    PARENT = "parent"
    NO_PARENT = "no_parent"


@dataclass(frozen=True, kw_only=True)
class SourceRange:
    """The keys, or parents, above ``after`` up to and including ``upto``; no lower bound for the first range.

    Attributes:
        has_one_parent: whether all of its rows have the same parent.
    """

    after: str | None
    upto: str
    rows: int
    kind: LaneKind = LaneKind.KEY
    has_one_parent: bool = False


@dataclass(frozen=True, kw_only=True)
class KeptList:
    """Rows that were kept when they failed: the key of a list of files, and how many rows it names."""

    key: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A range of the source, or a list of kept rows, and how far its lane has come.

    Attributes:
        kind, after, upto: its range, as `SourceRange` has it.
        kept_list: key of the list of kept rows that the lane reads instead of the source.
        cursor: the last settled key; of a lane that reads kept rows, how many entries of its list are settled.
        cursor_parent: that key's parent, where the range is one of parents.
        source_rows: rows of the query or list that the lane reads; until it has read a query, the planned rows.
        query_rows, query_columns: of the frozen query alone; query_offset is the first of them that is not staged.
        open_batch: the number of the batch that is worked on and not settled.
        ahead_batch: the number of the batch after it, which is staged while the job of that one is in flight.
        is_paired: whether its jobs have two of Salesforce's batches, as all of its rows share a parent.
        job_seconds, job_rows: how long the last job took, its wait in the org's queue left out, and of how many rows,
            for predicting the next; until one has ended, a typical job of the load's last run, where that is known.
        timed_jobs, timed_rows, timed_seconds, timed_ms, contended_rows: the lane's `work`.
        due_at: when its lane is to begin; None where that is not known, as it waits for another lane to end.
        settled_rows, succeeded, rejected, deferred, rejected_codes, succeeded_keys: of settled batches only.
        rejected_codes: rows by the code of their error.
        succeeded_keys: the digest of the keys of the rows that succeeded.
        reopened_by: the execution that resumed the run and has made this partition ready for it.
        failures, pace, hot_parents: what `LaneNotes` says of them.
        retry_after_seconds: the pause that the org asked for when it was last too busy, if it did.
    """

    run_id: str
    partition: str
    status: PartitionStatus
    epoch: int
    planned_rows: int
    source_rows: int
    kind: LaneKind = LaneKind.KEY
    after: str | None = None
    upto: str | None = None
    kept_list: str | None = None
    start_delay_seconds: int = 0
    is_paired: bool = False
    due_at: datetime | None = None
    cursor: str | None = None
    cursor_parent: str | None = None
    query_id: str | None = None
    query_rows: int | None = None
    query_columns: tuple[str, ...] = ()
    query_offset: int = 0
    next_batch: int = 0
    open_batch: int | None = None
    ahead_batch: int | None = None
    job_seconds: int | None = None
    job_rows: int | None = None
    timed_jobs: int = 0
    timed_rows: int = 0
    timed_seconds: int = 0
    timed_ms: int = 0
    contended_rows: int = 0
    settled_rows: int = 0
    succeeded: int = 0
    rejected: int = 0
    deferred: int = 0
    rejected_codes: Mapping[str, int] = field(default_factory=dict)
    succeeded_keys: KeyDigest = NO_KEYS
    batches: int = 0
    jobs: int = 0
    resent_rows: int = 0
    lock_errors: int = 0
    failures: LaneFailures = LaneFailures()
    pace: LanePace = field(default_factory=LanePace)
    hot_parents: Mapping[str, int] = field(default_factory=dict)
    retry_after_seconds: int | None = None
    api_requests: int = 0
    last_progress_at: datetime | None = None
    next_wake_at: datetime | None = None
    reopened_by: str | None = None
    error: str | None = None
    cause: str | None = None

    @property
    def has_begun(self) -> bool:
        """Whether its lane has staged rows, in whichever execution."""
        return self.next_batch > 0

    @property
    def notes(self) -> LaneNotes:
        """What the lane goes by so far."""
        return LaneNotes(failures=self.failures, pace=self.pace, hot_parents=self.hot_parents)

    @property
    def has_pairs_that_met(self) -> bool:
        """Whether a row of a paired lane failed on a lock, which the other batch of its job may have held."""
        return self.is_paired and self.lock_errors > 0

    @property
    def work(self) -> JobWork:
        """First attempts of the lane's jobs."""
        return JobWork(
            jobs=self.timed_jobs,
            rows=self.timed_rows,
            seconds=self.timed_seconds,
            processing_ms=self.timed_ms,
            contended_rows=self.contended_rows,
        )

    @property
    def is_sweep(self) -> bool:
        """Whether this partition sends given-up rows once more instead of reading the source."""
        return self.partition == SWEEP_PARTITION


@dataclass(frozen=True, kw_only=True)
class StagedRows:
    """A staged file, the digest of its rows' keys, and how often the rows were sent before."""

    file_key: str
    rows: int
    size_bytes: int
    keys: KeyDigest = NO_KEYS
    sent_before: int = 0


@dataclass(frozen=True, kw_only=True)
class DeferredRows:
    """A file of rows given up for a passing reason; the sweep settles whole files, of one Salesforce batch at most.

    Attributes:
        tries: how often each of its rows was sent.
    """

    file_key: str
    rows: int
    size_bytes: int
    tries: int


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The rows that one job carries, over all of its attempts.

    Attributes:
        rows, size_bytes, file_key, sent_before: of the current attempt's staged file.
        first_rows: rows of attempt 0.
        next_cursor, next_parent, next_offset: the partition's cursor and offset once the batch is settled.
        speed_percent: the lane's speed when attempt 0 was staged; the lane may have another when it is settled.
        aborted_at, aborted_looks: when the end of the run first found the job in flight aborted, and how often since.
        keys: digest of the keys that the current attempt sends; once it is settled, of those that it brought in.
        retries: how many of the load's retries the current rows have used.
        halvings: how often rows were cut in two as their job failed as a whole.
        waiting: rows that go into jobs of their own once the current ones have an outcome, in this order.
        succeeded, rejected, deferred: rows whose outcome earlier attempts have settled.
        rejected_codes, succeeded_keys: of those rows, what `Partition` says of them.
        rejected_files: keys of the files that hold the rejected rows.
        deferred_files: the files that hold the rows given up for a passing reason.
    """

    run_id: str
    partition: str
    number: int
    state: BatchState
    attempt: int
    rows: int
    first_rows: int
    size_bytes: int
    file_key: str
    next_cursor: str
    next_offset: int
    next_parent: str | None = None
    speed_percent: int = FULL_SPEED_PERCENT
    job_id: str | None = None
    aborted_at: datetime | None = None
    aborted_looks: int = 0
    keys: KeyDigest = NO_KEYS
    sent_before: int = 0
    retries: int = 0
    halvings: int = 0
    waiting: tuple[StagedRows, ...] = ()
    succeeded: int = 0
    rejected: int = 0
    rejected_codes: Mapping[str, int] = field(default_factory=dict)
    succeeded_keys: KeyDigest = NO_KEYS
    deferred: int = 0
    lock_errors: int = 0
    lost_jobs: int = 0
    rejected_files: tuple[str, ...] = ()
    deferred_files: tuple[DeferredRows, ...] = ()

    @property
    def has_job(self) -> bool:
        """Whether a job that is recorded may have the current attempt's rows, and their outcome is not known."""
        return self.state in (BatchState.CREATED, BatchState.SUBMITTED)

    def for_another_job(self) -> Self:
        """The batch with its next attempt planned, which knows nothing of the job that it had."""
        attempt = self.attempt + 1
        return replace(self, state=BatchState.PLANNED, attempt=attempt, job_id=None, aborted_at=None, aborted_looks=0)

    @property
    def rows_not_sent(self) -> int:
        """Rows without an outcome that no job has: those that wait, and those of an attempt that is only planned."""
        planned = self.rows if self.state is BatchState.PLANNED else 0
        return planned + sum(staged.rows for staged in self.waiting)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who may write to a target: one run, and the execution that carries it out.

    Once that has ended, the lease says that the run was not finished, or has left jobs behind: whoever takes the target
    sees to both.
    """

    key: str
    run_id: str
    execution_arn: str


def partition_id(index: int) -> str:
    """The id of the n-th lane: four digits, so that the table sorts them as people do."""
    return f"{index:04d}"
