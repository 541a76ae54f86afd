"""What travels between states: ids and small numbers only, one model for each shape.

Step Functions refuses a payload over 256 KiB, and shows every payload in its console; so neither records nor texts
of Salesforce are ever part of one.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum, unique
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from massive_upload.domain.load import PaceOverrides, PartitioningOverrides, SampleOverrides
from massive_upload.domain.quota import RequestsTold
from massive_upload.errors import InvalidInput, message_of

PartitionId = Annotated[str, StringConstraints(pattern=r"^(\d{4}|sweep)$")]
RUN_ID_PATTERN = r"^[A-Za-z0-9._-]{1,121}$"
RunId = Annotated[str, StringConstraints(pattern=RUN_ID_PATTERN)]
"""An execution's name, of up to 80 characters (StartExecution, API reference); in a sequence, a dot and the load's name
of up to 40 more. EventBridge Scheduler's own names leave less than that room."""


class Contract(BaseModel):
    """Frozen, and strict about names: an unknown key is a mistake of the sender."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@unique
class Mode(StrEnum):
    """What an execution of ``load`` is asked to do."""

    FULL = "full"
    INCREMENTAL = "incremental"
    SAMPLE = "sample"
    PLAN = "plan"
    RESUME = "resume"
    RETRY_FAILED = "retry_failed"


_OF_ONE_MODE = {"partitions": Mode.RESUME, "of": Mode.RETRY_FAILED, "only": Mode.RETRY_FAILED}


class StartInput(Contract):
    """The input of an execution of ``load``, as a person or a schedule writes it.

    Attributes:
        of: with mode retry_failed, the run whose rejected rows are sent once more.
        only: with mode retry_failed, the code of the errors that are taken up; all where it is left out.
        start_with: of a sequence, the load to begin with; the first where it is left out.

    Raises:
        InvalidInput: a value is given that only another mode has.
    """

    load: str | None = None
    mode: Mode = Mode.FULL
    run_id: RunId | None = None
    of: RunId | None = None
    only: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    partitions: tuple[Annotated[int, Field(ge=0, le=9999)], ...] | None = None
    start_with: str | None = None
    scheduled: bool = False
    pace: PaceOverrides | None = None
    partitioning: PartitioningOverrides | None = None
    sample: SampleOverrides | None = None

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        for name in self.given(*_OF_ONE_MODE):
            mode = _OF_ONE_MODE[name]
            if self.mode is not mode:
                raise InvalidInput(
                    f"{name} can be given with mode {mode} only.", next_step=f'Add "mode": "{mode}", or leave it out.'
                )
        return self

    def given(self, *names: str) -> list[str]:
        """Which of these the input gives, of those that may be left out."""
        return [name for name in names if getattr(self, name) is not None]


class ExecutionContext(Contract):
    """Which execution of ``load`` asks, from Step Functions' context object."""

    arn: str
    name: str
    started_at: datetime


class PlanSoFar(Contract):
    """What one PlanRun of an execution hands on to the next.

    Attributes:
        sequence: the loads of its sequence, as its first PlanRun found them: a deployment may change them meanwhile.
        position: how many of these the execution has completed.
        org_waits, org_waited_seconds: how often in a row, and for how long in all, it has waited for an org that does
            not answer, or has not ended the jobs of the run before.
        sessions_refused: how often in a row the org has refused a token that it had just given out.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    sequence: tuple[str, ...] = ()
    position: int = Field(default=0, ge=0)
    org_waits: int = Field(default=0, ge=0)
    org_waited_seconds: int = Field(default=0, ge=0)
    sessions_refused: int = Field(default=0, ge=0)


class PlanRunInput(Contract):
    """Task input of PlanRun.

    ``input`` is validated by the use case, so that its errors read well. ``plan`` is the answer of the PlanRun before
    this one.
    """

    execution: ExecutionContext
    input: dict[str, Any]
    plan: PlanSoFar = PlanSoFar()


class Lane(Contract):
    """One item of the Distributed Map.

    ``long_waits`` times LONG_WAIT_SECONDS and then ``short_wait_seconds`` make up the lane's stagger.
    """

    partition: PartitionId
    short_wait_seconds: int = Field(ge=0)
    long_waits: int = Field(ge=0)


class Plan(PlanSoFar):
    """Result of PlanRun."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    next: Literal["Wait", "Load", "Finish", "Skip"]
    run_id: str
    wait_seconds: int = 0
    max_concurrency: int = 1
    lanes: tuple[Lane, ...] = ()


class JobCounters(Contract):
    """What a job in a final state reported (Bulk API 2.0 guide, "Get Job Info"), and how long it took.

    Attributes:
        job_id: which job; a task that is repeated late must not take them for those of the next one.
        processed, failed: rows; None where the org did not tell, which proves nothing.
        seconds: how long it took from our side; 0 where that is not known.
        processing_ms: how long the org worked on it; 0 where it does not tell.
        apex_ms: of that, the time in triggers and other automation.
        api_requests: requests to the org that are not counted yet; whoever settles the job's rows counts them.
        requests_told: what the org then told of its day's API requests; None where it did not.
    """

    job_id: str
    state: str
    processed: int | None
    failed: int | None
    seconds: int = 0
    processing_ms: int = 0
    apex_ms: int = 0
    api_requests: int = 0
    requests_told: RequestsTold | None = None


@unique
class Next(StrEnum):
    """Where a slice goes after a task; the Choice states compare with these words."""

    UPLOAD = "Upload"
    WAIT_FOR_QUERY = "WaitForQuery"
    WAIT_FOR_JOB = "WaitForJob"
    WAIT_FOR_TURN = "WaitForTurn"
    WAIT_FOR_ORG = "WaitForOrg"
    WAIT_LONGER = "WaitLonger"
    SETTLE = "Settle"
    FETCH = "Fetch"
    BACK_OFF = "BackOff"
    MORE = "More"
    DONE = "Done"


class Step(Contract):
    """The one thing that a slice's tasks hand on, at ``$.step``.

    While a stack is deployed, a task of one version may be given what one of another version answered.

    Attributes:
        epoch: the claim under which this slice writes; a newer claim fences it out.
        next: where the slice goes.
        batch: the number of the batch that is worked on, as far as the task before knew, to read it in one request.
        job_id: the job in flight, as far as the task before knew, to look at it before anything else is read.
        wait_seconds: how long the Wait state before it waits.
        events: an estimate of the history events that this slice has used.
        org_waits: how many times in a row the slice has waited for an org that does not answer, or takes no rows.
        org_waited_seconds: the sum of those waits.
        org_asked_seconds: what will be left, after the next wait, of a pause that the org has asked for, or that lets
            its allowances come back.
        allowances_waited_seconds: how long the slice has waited for these, since the lane last got on.
        queries_failed: how many of the lane's queries have failed after they were taken, since the lane last got on.
        requests_told: what the org told of its day's API requests as the lane's job ended, until the lane has asked
            for its next turn; None where it did not tell.
        turn_looked_at: when the look at the org's allowances began that the lane waits on for its turn.
        turn_waited_seconds: how long the slice has waited on that look.
        turn_unanswered_seconds: how long it has waited for the org to answer, whatever it was asked, since the org last
            told what it has left, or the lane got on.
        job_waited_seconds: how long this slice has waited for the job in flight: until it last looked, or, before the
            first look, while UploadBatch read the next rows.
        job_is_adopted: whether that job had been closed before this slice began to wait for it: it has run for longer.
        job_processed: rows of that job that had been tried when the slice last looked.
        job_seen: how far that job was then.
        job_still_seconds: for how long it has not got any further.
        job: the counters of a job that has ended, for SettleBatch.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    epoch: int
    next: Next = Next.FETCH
    batch: int | None = Field(default=None, ge=0)
    job_id: str | None = None
    wait_seconds: int = Field(default=0, ge=0)
    events: int = Field(default=0, ge=0)
    org_waits: int = Field(default=0, ge=0)
    org_waited_seconds: int = Field(default=0, ge=0)
    org_asked_seconds: int = Field(default=0, ge=0)
    allowances_waited_seconds: int = Field(default=0, ge=0)
    queries_failed: int = Field(default=0, ge=0)
    requests_told: RequestsTold | None = None
    turn_looked_at: datetime | None = None
    turn_waited_seconds: int = Field(default=0, ge=0)
    turn_unanswered_seconds: int = Field(default=0, ge=0)
    job_waited_seconds: int = Field(default=0, ge=0)
    job_is_adopted: bool = False
    job_processed: int = Field(default=0, ge=0)
    job_seen: str = ""
    job_still_seconds: int = Field(default=0, ge=0)
    job: JobCounters | None = None

    def then(
        self,
        following: Next,
        *,
        events: int,
        wait_seconds: int = 0,
        batch: int | None = None,
        job_id: str | None = None,
        job_waited_seconds: int = 0,
        job_is_adopted: bool = False,
        job: JobCounters | None = None,
        requests_told: RequestsTold | None = None,
        is_progress: bool = False,
    ) -> Step:
        """The step after this one.

        Args:
            following: where the slice goes.
            events: history events that this task and what follows it use.
            wait_seconds: how long the Wait state before ``following`` waits.
            batch: the number of the batch that is worked on then; where it is left out, that of this step.
            job_id: the job in flight.
            job_waited_seconds: how long the slice has waited for it.
            job_is_adopted: whether it was closed before that.
            job: the counters of a job that has ended.
            requests_told: what the org told then of its day's API requests.
            is_progress: whether the lane has got on. Only then the waits for the org begin anew; a lane whose tasks
                succeed in part must come to the end of its patience too.
        """
        return Step(
            epoch=self.epoch,
            next=following,
            batch=self.batch if batch is None else batch,
            job_id=job_id,
            wait_seconds=wait_seconds,
            events=self.events + events,
            org_waits=0 if is_progress else self.org_waits,
            org_waited_seconds=0 if is_progress else self.org_waited_seconds,
            allowances_waited_seconds=0 if is_progress else self.allowances_waited_seconds,
            queries_failed=0 if is_progress else self.queries_failed,
            job_waited_seconds=job_waited_seconds,
            job_is_adopted=job_is_adopted,
            job=job,
            requests_told=requests_told,
        )


class SliceInput(Contract):
    """Task input of FetchPage, UploadBatch, CheckJob and SettleBatch: the slice's whole payload."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: RunId
    partition: PartitionId
    step: Step


class CaughtError(Contract):
    """An error as a Catch of Step Functions puts it into the payload; its ``Cause`` is shown to people, and no more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(alias="Error")
    cause: str = Field(default="", alias="Cause")

    @property
    def message(self) -> str:
        """The error with what it said."""
        said = message_of(self.cause)
        return f"{self.name}: {said}" if said else self.name


class CheckPatienceInput(SliceInput):
    """Task input of CheckPatience: the slice's payload, with the error that a task gave up with."""

    error: CaughtError


class PlanSweepInput(Contract):
    """Task input of PlanSweep."""

    run_id: RunId


class Sweep(Contract):
    """Result of PlanSweep: whether rows wait for one more try."""

    needed: bool
    rows: int = 0


class FinishRunInput(Contract):
    """Task input of FinishRun: from the machine, or from whoever found an execution that ended without it.

    ``state`` is the machine's state as far as it came: it may hold ``plan`` and ``error``. ``ended`` is the status of
    an execution that ended by itself (ABORTED, TIMED_OUT, FAILED).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    execution: ExecutionContext
    state: dict[str, Any]
    ended: str | None = None


class Verdict(Contract):
    """Result of FinishRun; ``error`` and ``cause`` are what the Fail state shows."""

    next: Literal["Drain", "More", "Succeed", "Fail"]
    run_id: str
    status: str
    wait_seconds: int = 0
    error: str = ""
    cause: str = ""
    source_rows: int = 0
    succeeded: int = 0
    rejected: int = 0
    not_sent: int = 0
    skipped_null_key: int = 0
    duplicates_dropped: int = 0
    unsettled: int = 0


class WatchdogInput(Contract):
    """The schedule's event; nothing of it matters."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class WatchdogReport(Contract):
    """Result of the watchdog: what it found."""

    open_runs: int
    finished_runs: int
    stuck_partitions: int
    never_started_partitions: int
