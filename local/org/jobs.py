from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from typing import Any

from local.org.errors import RowError
from local.org.faults import JobBreaks, JobFaults
from local.org.records import Saved, Upserter
from local.org.results import Outcome

CHUNK_ROWS = 200
"""Bulk API 2.0 guide: work proceeds in chunks of 200 records, each a transaction of its own."""

BATCH_ROWS = 10_000
"""Bulk API 2.0 guide: a batch is each 10,000 records of a job."""


@unique
class JobState(StrEnum):
    """The states of an ingest job."""

    OPEN = "Open"
    UPLOAD_COMPLETE = "UploadComplete"
    IN_PROGRESS = "InProgress"
    JOB_COMPLETE = "JobComplete"
    FAILED = "Failed"
    ABORTED = "Aborted"

    @property
    def is_terminal(self) -> bool:
        """Nothing happens to the job any more."""
        return self in {JobState.JOB_COMPLETE, JobState.FAILED, JobState.ABORTED}


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """What the client asked for when it created the job."""

    object_name: str
    external_id: str
    line_ending: str = "LF"
    delimiter: str = "COMMA"
    api_version: str = "66.0"


@dataclass(kw_only=True)
class Job:
    """An ingest job: what was asked, what was uploaded, and what became of each row."""

    id: str
    spec: JobSpec
    created_by: str
    created_at: float
    changed_at: float
    state: JobState = JobState.OPEN
    content: bytes | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    processed: int = 0
    failed: int = 0
    error_message: str | None = None
    is_deleted: bool = False
    is_cut_off: bool = False
    reports: Mapping[str, int | str | None] = field(default_factory=dict)
    started_at: float | None = None
    active_seconds: float = 0.0

    def move(self, state: JobState, at: float) -> None:
        """Enter a state at a simulated moment."""
        self.state = state
        self.changed_at = at

    def cut_off(self, at: float) -> None:
        """Abort the job together with the batches that have begun."""
        self.is_cut_off = True
        self.move(JobState.ABORTED, at)

    @property
    def may_write(self) -> bool:
        """Whether a batch of it that has begun goes on: that of an aborted job does, to its end."""
        return not self.state.is_terminal or (self.state is JobState.ABORTED and not self.is_cut_off)

    def fail(self, message: str, at: float) -> None:
        """End the job; rows already written stay written."""
        self.error_message = message
        self.move(JobState.FAILED, at)

    def begin(self, at: float) -> None:
        """The first batch reached a worker."""
        if self.state is JobState.UPLOAD_COMPLETE:
            self.started_at = at
            self.move(JobState.IN_PROGRESS, at)

    def record(self, rows: range, outcomes: Sequence[Saved | RowError]) -> None:
        """Keep the outcomes of one chunk; processed counts the failed ones too."""
        self.outcomes[rows.start : rows.stop] = outcomes
        self.processed += len(rows)
        self.failed += sum(isinstance(each, RowError) for each in outcomes)

    def complete_when_done(self, at: float) -> None:
        """JobComplete once every row has an outcome, be it a failure."""
        if self.state is JobState.IN_PROGRESS and self.processed == len(self.outcomes):
            self.move(JobState.JOB_COMPLETE, at)

    def describe(self, moment: Callable[[float], datetime], *, details: bool) -> dict[str, Any]:
        """The job as the API shows it; with `details`, which creating and closing leave out, its counters too."""
        version = self.spec.api_version
        shown: dict[str, Any] = {
            "id": self.id,
            "operation": "upsert",
            "object": self.spec.object_name,
            "createdById": self.created_by,
            "createdDate": _timestamp(moment(self.created_at)),
            "systemModstamp": _timestamp(moment(self.changed_at)),
            "state": self.state.value,
            "externalIdFieldName": self.spec.external_id,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(version),
            "contentUrl": f"services/data/v{version}/jobs/ingest/{self.id}/batches",
            "lineEnding": self.spec.line_ending,
            "columnDelimiter": self.spec.delimiter,
        }
        if details:
            shown |= {**self._progress(), **self.reports}
        return {key: value for key, value in shown.items() if value is not None}

    def _progress(self) -> dict[str, Any]:
        total_seconds = 0.0 if self.started_at is None else self.changed_at - self.started_at
        shown: dict[str, Any] = {
            "jobType": "V2Ingest",
            "numberRecordsProcessed": self.processed,
            "numberRecordsFailed": self.failed,
            "retries": 0,
            "totalProcessingTime": round(total_seconds * 1000),
            "apiActiveProcessingTime": round(self.active_seconds * 1000),
            "apexProcessingTime": 0,
        }
        if self.error_message is not None:
            shown["errorMessage"] = self.error_message
        return shown


def _timestamp(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}+0000"


class JobBatch:
    """One internal batch of a job, as the scheduler's worker sees it."""

    def __init__(
        self, job: Job, rows: range, upserter: Upserter | str, faults: JobFaults, statistics: Counter[str]
    ) -> None:
        self.job = job
        self.upserter = upserter
        self.faults = faults
        self.statistics = statistics
        self._chunks = iter([rows[at : at + CHUNK_ROWS] for at in range(0, len(rows), CHUNK_ROWS)])
        self._has_begun = False
        job.reports = faults.reports

    def next_chunk(self, at: float) -> "JobChunk | None":
        """The next rows; None at the end, and as soon as the job ended otherwise."""
        self.job.begin(at)
        if isinstance(self.upserter, str):
            self.job.fail(self.upserter, at)
        self._break(at)
        if self._is_due(self.faults.stalls):
            return None
        self.job.complete_when_done(at)
        goes_on = self.job.may_write if self._has_begun else not self.job.state.is_terminal
        self._has_begun = True
        rows = next(self._chunks, None) if goes_on else None
        if rows is None or isinstance(self.upserter, str) or self._is_killed(rows, at):
            return None
        return JobChunk(self, self.upserter, rows)

    def _is_killed(self, rows: range, at: float) -> bool:
        """End the job where one of the rows that come is fatal."""
        messages = [message for row, message in self.faults.fatal_rows.items() if row in rows]
        if messages:
            self.job.fail(messages[0], at)
        return bool(messages)

    def _break(self, at: float) -> None:
        """End the job before its time, where the faults say so."""
        job, faults = self.job, self.faults
        if job.state.is_terminal:
            return
        if faults.fails and self._is_due(faults.fails):
            job.fail(faults.fails.message, at)
        elif self._is_due(faults.aborted):
            job.cut_off(at)
        elif self._is_due(faults.deleted):
            job.cut_off(at)
            job.is_deleted = True

    def _is_due(self, breaks: JobBreaks | None) -> bool:
        return breaks is not None and self.job.processed >= breaks.after_rows


class JobChunk:
    """200 rows of a job on their way into the records."""

    def __init__(self, batch: JobBatch, upserter: Upserter, rows: range) -> None:
        self._batch = batch
        self._upserter = upserter
        self._rows = rows
        self.parents = upserter.parents(rows)

    def finish(self, *, at: float, running_seconds: float, locked_out: Mapping[int, tuple[str, ...]]) -> None:
        """Write the rows and note their outcomes, unless the job was ended meanwhile."""
        job, faults = self._batch.job, self._batch.faults
        if not job.may_write:
            return
        refused = {row: error for row in self._rows if (error := faults.row_errors.get(row))}
        for place, ids in locked_out.items():
            refused[self._rows[place]] = unable_to_lock_row(ids)
        outcomes = self._upserter.write(self._rows, refused, at=at)
        job.record(self._rows, outcomes)
        job.active_seconds += running_seconds
        job.changed_at = at
        self._batch.statistics["rows_locked_out"] += len(locked_out)


def unable_to_lock_row(ids: Sequence[str]) -> RowError:
    """The parents of a row stayed locked for too long."""
    message = f"unable to obtain exclusive access to this record or {len(ids)} records: {','.join(ids)}"
    return RowError("UNABLE_TO_LOCK_ROW", message)
