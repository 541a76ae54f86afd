"""What the use cases need of the world; the adapters provide it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from massive_upload.domain.identity import Identity
from massive_upload.domain.incremental import Watermark
from massive_upload.domain.progress import (
    Batch,
    Halt,
    KeptList,
    LaneNotes,
    Lease,
    Partition,
    Run,
    RunFailures,
    RunStatus,
    SourceRange,
)
from massive_upload.domain.quota import Need, OrgQuota
from massive_upload.domain.shown import Shown


@dataclass(frozen=True, kw_only=True)
class PlannedLane:
    """A lane as the plan has it.

    Attributes:
        is_paired: as `Partition` has it.
        job_seconds, job_rows: what its first job is expected to be like; None where nothing is known.
    """

    partition: str
    reads: SourceRange | KeptList
    start_delay_seconds: int
    is_paired: bool = False
    job_seconds: int | None = None
    job_rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """What every write of a slice says besides its change.

    Attributes:
        api_requests: requests to the org since the last heartbeat.
        wake_after_seconds: how long the slice is going to wait on purpose.
    """

    api_requests: int = 0
    wake_after_seconds: int = 0


@dataclass(frozen=True, kw_only=True)
class LaneView:
    """What a task of a slice begins with.

    Attributes:
        batch: the partition's open batch, if it has one.
        ahead, lease, run, quota: None where they were not asked for, or where there is none.
    """

    partition: Partition
    batch: Batch | None
    ahead: Batch | None = None
    lease: Lease | None = None
    run: Run | None = None
    quota: OrgQuota | None = None


class ProgressStore(Protocol):
    """Runs, leases, partitions and batches: one method for each change of state, each on a condition.

    Every method that changes a partition or one of its batches takes the partition as it was read, and raises
    FencedOut where another slice has claimed it since. Any method may raise StorageUnavailable.
    """

    # -- leases

    def lease(self, key: str) -> Lease | None:
        """The holder of a target."""

    def acquire_lease(self, lease: Lease, *, instead_of: Lease | None = None) -> Lease | None:
        """Take a target that is free, or held by ``instead_of`` or by the same execution.

        Returns:
            Who holds the target, where somebody else does.
        """

    def release_lease(self, lease: Lease) -> None:
        """Give a target back, if this very lease still holds it."""

    def last_writer(self, key: str) -> str | None:
        """The id of the run that was planned last to write the source's rows to a target, if that is known."""

    # -- the org's allowances

    def quota(self, org_id: str) -> OrgQuota | None:
        """What is known to be left of the org's day."""

    def begin_look(self, org_id: str, seen: OrgQuota | None, begun_at: datetime) -> bool:
        """Announce a look at the org's allowances, so that only one lane asks. What is known of them stays as it is.

        Args:
            org_id: the org's.
            seen: what was known of them when they were read.
            begun_at: when the look begins.

        Returns:
            False where another lane has announced one, or has had its answer, since they were read.
        """

    def end_look(self, org_id: str, seen: OrgQuota | None, begun_at: datetime, found: Mapping[str, int]) -> OrgQuota:
        """Record what a look has found, less what batches have taken since, unless a later look has been answered.

        Args:
            org_id: the org's.
            seen: what was known when the look began.
            begun_at: when that was.
            found: what the org told, which is all that is known from then on.

        Returns:
            What is known from then on.
        """

    def give_up_look(self, org_id: str, begun_at: datetime) -> None:
        """Record that the org has not answered the look that began then; what is known stays as it is."""

    def look_again(self, org_id: str) -> None:
        """What is known of the org's day is out of date from now on, as a plan took requests that are not counted."""

    def take_quota(self, org_id: str, need: Need) -> bool:
        """Take what a batch needs, if as much as it needs is left; otherwise count one more refusal.

        Returns:
            Whether it was taken.
        """

    # -- runs

    def run(self, run_id: str) -> Run | None:
        """The run, if there is one."""

    def open_runs(self) -> Sequence[str]:
        """The ids of the runs that have begun and not finished."""

    def newest_runs(self, most: int) -> Sequence[str]:
        """The ids of the runs that have begun last, the newest first."""

    def begin_run(self, run: Run) -> Run:
        """Record a run that begins; the same execution may do so again.

        Returns:
            The run as it is recorded.

        Raises:
            InvalidInput: another execution has begun a run of this id.
        """

    def note_plan_query(self, run: Run, query_id: str, identity: Identity) -> None:
        """Remember the query that counts the source, and what it takes for the same key."""

    def commit_plan(self, run: Run, *, voids: Watermark | None = None, writes_to: str | None = None) -> Run:
        """Turn a planned run to Running; its plan's name and counts are the given run's.

        From the same moment on it is the last writer of the target whose lease's key ``writes_to`` is, where it is
        going to write rows of the source; and a retry of the run whose rejected rows it sends. ``voids`` is the load's
        watermark, where it is going to write by another mapping than that one's.

        Returns:
            The run as it is recorded: where a repeated PlanRun was faster, with the plan of that one.

        Raises:
            StateChanged: the watermark was set by another run since it was read.
        """

    def retries_of(self, run_id: str) -> Sequence[str]:
        """The ids of the planned runs that send a run's rejected rows once more."""

    def reopen_run(self, run: Run, *, execution_arn: str, failures_before: RunFailures) -> Run:
        """Let another execution go on with a run that has ended, its flags lowered and what failed noted."""

    def request_stop(self, partition: Partition, reason: str, *, error: str) -> None:
        """Ask all lanes of a run to stop at their next batch edge, for a reason that one of them has met.

        Args:
            partition: the lane, under its claim: what it met before the run was resumed is no reason any more.
            reason: for people.
            error: the name of the error that the run then ends with.

        Raises:
            FencedOut: a newer claim has the lane.
        """

    def ask_to_halt(self, run_id: str, halt: Halt) -> bool:
        """Let an operator ask all lanes of a run to end at their next batch edge.

        Returns:
            False where the run has ended.
        """

    def count_run_requests(self, run_id: str, api_requests: int) -> None:
        """Count requests to the org that belong to no partition."""

    def count_drain(self, run: Run, *, api_requests: int) -> None:
        """Remember that FinishRun has found jobs in flight that did not end, and the requests that this took."""

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
        """End a run, and record what it leaves to the load's next run from the same moment on, where there is any.

        Args:
            run: as it was read.
            status: what it came to.
            ended_at: when.
            error: the name of the error that its execution ends with.
            cause: what that error says.
            watermark: to be set.
            instead_of: the watermark as it was read; None where there was none.
            shown: what the run has shown, to be recorded.
            shown_before: what there was of that, as it was read; None where there was nothing.

        Returns:
            False where it had ended before.

        Raises:
            StateChanged: another run has recorded the like since it was read, or somebody has asked this one to end;
                the run has not ended.
        """

    def watermark(self, load: str) -> Watermark | None:
        """Up to when the complete runs of a load have read the source, if any has."""

    def shown(self, load: str) -> Shown | None:
        """What the last run of a load has shown, if any has."""

    # -- partitions

    def create_partitions(self, run: Run, lanes: Iterable[PlannedLane], *, max_concurrency: int = 0) -> None:
        """Record the plan's partitions; those that are there stay as they are.

        The first ``max_concurrency`` of them are due after their start delay; the others when one of those has ended.
        """

    def partitions(self, run_id: str) -> list[Partition]:
        """All partitions of a run, in order, the sweep last."""

    def partition(self, run_id: str, partition: str) -> Partition:
        """One partition, read consistently."""

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
        """A partition and its open batch, each read consistently, and what else is asked for; in one request.

        Another request is made where the open batch is not ``likely_batch``.

        Args:
            run_id: the run's.
            partition: the partition's.
            likely_batch: the number of the batch that its open one will be, as far as is known.
            with_ahead: whether to read the batch that is staged ahead.
            lease_key: of the lease to read.
            org_id: of the org whose allowances to read.
            with_run: whether to read the run.
        """

    def save_sweep(self, run_id: str, sweep: Partition | None, kept: KeptList) -> Partition:
        """Make the sweep's partition ready to claim, with all the rows that wait for it.

        ``sweep`` is the partition as it was read, if there is one; one that is being worked on stays so.

        Raises:
            StateChanged: it is otherwise by now.
        """

    def take_over_partition(self, partition: Partition, *, execution_arn: str) -> Partition:
        """Fence out whoever works on a partition; it is no longer due, and else stays as it is.

        Returns:
            The partition as it is now: until then its slice may have gone on.

        Raises:
            FencedOut: also where another execution carries out the run by now.
        """

    def reopen_partition(
        self, partition: Partition, *, execution_arn: str, due_after_seconds: int | None = None
    ) -> None:
        """Make a partition that has not completed ready to claim, its frozen query forgotten.

        Args:
            partition: as it was read.
            execution_arn: who resumes the run.
            due_after_seconds: when its lane is to begin, where that is known.

        Raises:
            FencedOut: the partition was claimed since it was read.
            StateChanged: another execution carries out the run by now.
        """

    def record_heartbeat(self, partition: Partition, beat: Heartbeat) -> None:
        """Tell that a slice is alive."""

    def note_retry_after(self, partition: Partition, seconds: int | None) -> None:
        """Remember the pause that the org has just asked for; None where it was too busy and did not say."""

    def note_query(self, partition: Partition, *, query_id: str, columns: tuple[str, ...], beat: Heartbeat) -> None:
        """Remember the frozen query that a lane reads, before its result is known; and its columns, as below."""

    def note_query_rows(
        self, partition: Partition, *, query_id: str, rows: int, columns: tuple[str, ...], beat: Heartbeat
    ) -> Partition:
        """Remember how many rows the frozen query has, and its columns in order, where they are known."""

    def forget_query(self, partition: Partition) -> Partition:
        """Drop a query whose result has expired; the next one starts from the cursor."""

    def complete_partition(self, partition: Partition, beat: Heartbeat) -> None:
        """All rows of the partition are settled."""

    def stop_partition(self, partition: Partition) -> None:
        """The lane ended at a batch edge, as its run was asked to."""

    # -- batches

    def batch(self, partition: Partition, number: int) -> Batch:
        """One batch, read consistently."""

    def batches(self, run_id: str, partition: str) -> list[Batch]:
        """All batches of a partition, in order."""

    def plan_batch(self, partition: Partition, batch: Batch, beat: Heartbeat) -> None:
        """Record a batch whose rows are staged: the partition's open batch."""

    def record_job(self, partition: Partition, batch: Batch, job_id: str, beat: Heartbeat) -> Batch:
        """Record the job that is to carry the batch, before anything is sent to it."""

    def record_submitted(
        self, partition: Partition, batch: Batch, beat: Heartbeat, *, ahead: Batch | None = None
    ) -> Batch:
        """The batch's job is uploaded and closed; the batch after it is recorded in the same transaction.

        Args:
            partition: the lane's.
            batch: as it was when its job was recorded.
            beat: of the slice.
            ahead: whose rows were staged meanwhile, to be the partition's batch ahead; None where none were.
        """

    def note_aborted(self, partition: Partition, batch: Batch, beat: Heartbeat) -> None:
        """The batch's job was found aborted once more, and may still write rows."""

    def plan_next_attempt(
        self,
        partition: Partition,
        batch: Batch,
        following: Batch,
        *,
        notes: LaneNotes,
        beat: Heartbeat,
    ) -> None:
        """An attempt has ended and some rows are to be sent again: ``following`` is the batch from then on."""

    def settle_batch(
        self,
        partition: Partition,
        batch: Batch,
        settled: Batch,
        *,
        notes: LaneNotes,
        beat: Heartbeat,
    ) -> None:
        """Every row's outcome is known: settle the batch, advance the cursor and count, all at once."""


class Files(Protocol):
    """Whole objects by key. Any method may raise StorageUnavailable."""

    def read(self, key: str) -> bytes:
        """The object's content."""

    def write(self, key: str, content: bytes, *, content_type: str = "text/csv") -> None:
        """Write the object, replacing what was there."""


class Executions(Protocol):
    """What is known of executions of the state machines."""

    def ended_as(self, execution_arn: str) -> str | None:
        """The status of an execution that no longer runs (FAILED, ABORTED, ...); None while it runs.

        One that is no longer known has been ABORTED, as far as anybody can tell.
        """


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """The time, in UTC."""
