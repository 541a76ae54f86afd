"""Bulk API 2.0 ingest: the life of jobs, from creation to their results."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any

from local.org.clock import OrgClock
from local.org.errors import ApiError, invalid_job, invalid_job_state, not_found
from local.org.faults import FaultPlan, JobFaults
from local.org.identity import USER_ID
from local.org.ids import IdSequence
from local.org.jobs import BATCH_ROWS, Job, JobBatch, JobSpec, JobState
from local.org.limits import DailyLimits
from local.org.locks import Scheduler
from local.org.records import ObjectTable, Upserter
from local.org.results import ResultFiles
from local.org.upload import DELIMITERS, LINE_ENDINGS, Upload, UploadError, read_upload

MAX_ENCODED_BYTES = 150_000_000
"""Bulk API 2.0 guide: a job's data may be 150 MB after base64 encoding, which is 112.5 MB as it is sent."""

LIST_PAGE_JOBS = 1000
"""Bulk API 2.0 guide: at most 1,000 jobs in one answer of the list."""


class IngestJobs:
    """All ingest jobs of the org. Whatever is asked, the simulation is first brought up to now.

    Args:
        clock: the org's clock.
        tables: the target objects by name.
        scheduler: writes the rows in simulated time.
        limits: counts batches.
        faults: what is to go wrong.
        queue_seconds: from closing a job to its first batch reaching the queue.
        seed: decides the order of rows in results.
    """

    def __init__(
        self,
        *,
        clock: OrgClock,
        tables: Mapping[str, ObjectTable],
        scheduler: Scheduler,
        limits: DailyLimits,
        faults: FaultPlan,
        queue_seconds: float,
        seed: int,
    ) -> None:
        self._clock = clock
        self._tables = tables
        self._schemas = {name: table.schema for name, table in tables.items()}
        self._scheduler = scheduler
        self._limits = limits
        self.faults = faults
        self._queue_seconds = queue_seconds
        self._seed = seed
        self._ids = IdSequence("750")
        self._jobs: dict[str, Job] = {}
        self._lock = RLock()
        self.statistics: Counter[str] = Counter()

    def create(self, wanted: Mapping[str, Any], api_version: str) -> dict[str, Any]:
        """Create a job in state Open.

        Raises:
            ApiError: the job is not possible as asked, or the day's batches are used up.
        """
        self._limits.check_batches()
        spec = self._specify(wanted, api_version)
        with self._lock:
            now = self._catch_up()
            job = Job(id=self._ids.next(), spec=spec, created_by=USER_ID, created_at=now, changed_at=now)
            self._jobs[job.id] = job
            return job.describe(self._clock.at, details=False)

    def upload(self, job_id: str, content: bytes) -> None:
        """Take the content of a job, once.

        Raises:
            ApiError: the job is not open, has content already, or the content is too long.
        """
        if _encoded_bytes(len(content)) > MAX_ENCODED_BYTES:
            message = f"Failed to read request. Exceeded max size limit of {MAX_ENCODED_BYTES}"
            raise ApiError(400, "ClientInputError", message)
        with self._lock:
            job = self._find(job_id)
            if job.state is not JobState.OPEN:
                raise invalid_job_state(f"Uploading data is not allowed for a job in state {job.state.value}")
            if job.content is not None:
                message = (
                    f"Found multiple contents for job: <{job.id}>, please 'Close' / 'Abort' / 'Delete' the "
                    "current Job then create a new Job and make sure you only do 'PUT' once on a given Job."
                )
                raise ApiError(400, "ClientInputError", message)
            job.content = content

    def set_state(self, job_id: str, state: str) -> dict[str, Any]:
        """Close (`UploadComplete`) or abort (`Aborted`) a job.

        Raises:
            ApiError: the job's state does not allow it.
        """
        if state == JobState.UPLOAD_COMPLETE:
            return self._close(job_id)
        if state == JobState.ABORTED:
            return self._abort(job_id)
        raise invalid_job(f"State {state} cannot be set: only UploadComplete and Aborted")

    def get(self, job_id: str) -> dict[str, Any]:
        """The job with its counters.

        Raises:
            ApiError: NOT_FOUND.
        """
        with self._lock:
            return self._find(job_id).describe(self._clock.at, details=True)

    def list(self, start: int) -> tuple[list[dict[str, Any]], int | None]:
        """A page of jobs, and where the next page starts, if there is one."""
        with self._lock:
            self._catch_up()
            known = self._known()
            jobs = known[start : start + LIST_PAGE_JOBS]
            end = start + LIST_PAGE_JOBS
            return (
                [job.describe(self._clock.at, details=False) for job in jobs],
                end if end < len(known) else None,
            )

    def delete(self, job_id: str) -> None:
        """Forget a job.

        Raises:
            ApiError: it is Open or InProgress.
        """
        with self._lock:
            job = self._find(job_id)
            if job.state in {JobState.OPEN, JobState.IN_PROGRESS}:
                raise invalid_job_state(f"Deleting a job in state {job.state.value} is not allowed")
            if job.state is JobState.UPLOAD_COMPLETE:
                job.move(JobState.ABORTED, self._clock.seconds())
            del self._jobs[job_id]

    def results(self, job_id: str) -> ResultFiles:
        """The result files of a job that ended.

        Raises:
            ApiError: it has not ended.
        """
        with self._lock:
            job = self._find(job_id)
            if not job.state.is_terminal:
                raise invalid_job_state(f"Results are not available for a job in state {job.state.value}")
            return ResultFiles(
                job.content or b"",
                job.outcomes,
                delimiter=job.spec.delimiter,
                line_ending=job.spec.line_ending,
                order_seed=f"{self._seed}:{job.id}",
            )

    def states(self) -> Counter[str]:
        """How many jobs are in which state."""
        with self._lock:
            self._catch_up()
            return Counter(job.state.value for job in self._known())

    def jobs(self) -> Sequence[Job]:
        """Every job as it is now, those that were deleted left out, in the order of their creation."""
        with self._lock:
            self._catch_up()
            return tuple(self._jobs.values())

    def catch_up(self) -> None:
        """Let everything happen that is due by now."""
        with self._lock:
            self._catch_up()

    def _catch_up(self) -> float:
        now = self._clock.seconds()
        self._scheduler.advance(now)
        return now

    def _known(self) -> Sequence[Job]:
        return [job for job in self._jobs.values() if not job.is_deleted]

    def _find(self, job_id: str) -> Job:
        self._catch_up()
        matches = [job_id] if job_id in self._jobs else [each for each in self._jobs if each[:15] == job_id]
        if not matches or self._jobs[matches[0]].is_deleted:
            raise not_found()
        return self._jobs[matches[0]]

    def _specify(self, wanted: Mapping[str, Any], api_version: str) -> JobSpec:
        name = next((each for each in self._schemas if each.lower() == str(wanted.get("object")).lower()), None)
        if name is None:
            raise ApiError(400, "INVALIDENTITY", f"InvalidEntity : Entity: {wanted.get('object')} is not supported")
        if wanted.get("operation") != "upsert":
            raise invalid_job(f"Operation {wanted.get('operation')} is not supported: this org only does upsert")
        external_id = str(wanted.get("externalIdFieldName") or "")
        field = self._schemas[name].find(external_id)
        if field is None or not field.external_id:
            raise invalid_job(
                f"Field name provided, {external_id} does not match an External ID, Salesforce Id, "
                f"or indexed field for {name}"
            )
        if wanted.get("contentType", "CSV") != "CSV":
            raise invalid_job(f"contentType {wanted['contentType']} is not supported: use CSV")
        return JobSpec(
            object_name=name,
            external_id=field.name,
            line_ending=_one_of(LINE_ENDINGS, wanted, "lineEnding", "LF"),
            delimiter=_one_of(DELIMITERS, wanted, "columnDelimiter", "COMMA"),
            api_version=api_version,
        )

    def _close(self, job_id: str) -> dict[str, Any]:
        with self._lock:
            job = self._find(job_id)
            if job.state is not JobState.OPEN:
                raise invalid_job_state(f"Closing already {_past(job.state)} Job not allowed")
            job.move(JobState.UPLOAD_COMPLETE, self._clock.seconds())
            described = job.describe(self._clock.at, details=False)
        upload = self._read(job)  # without the lock: it takes seconds for a large file
        with self._lock:
            self._submit(job, upload)
        return described

    def _read(self, job: Job) -> Upload | str:
        try:
            return read_upload(
                job.content or b"",
                schemas=self._schemas,
                object_name=job.spec.object_name,
                external_id=job.spec.external_id,
                delimiter=DELIMITERS[job.spec.delimiter],
                line_ending=job.spec.line_ending,
            )
        except UploadError as wrong:
            return str(wrong)

    def _submit(self, job: Job, upload: Upload | str) -> None:
        now = self._catch_up()
        upserter: Upserter | str = upload if isinstance(upload, str) else self._upserter(job, upload)
        faults = JobFaults()
        row_count = 0
        if not isinstance(upload, str):
            row_count = upload.row_count
            keys = [str(cell) for cell in upload.column(job.spec.external_id).cells]
            faults = self.faults.for_job(job.id, job.spec.object_name, keys)
        job.outcomes = [None] * row_count
        starts = range(0, row_count, BATCH_ROWS) or range(1)
        self._limits.count_batches(len(starts))
        for start in starts:
            rows = range(start, min(start + BATCH_ROWS, row_count))
            batch = JobBatch(job, rows, upserter, faults, self.statistics)
            self._scheduler.submit(batch, now + self._queue_seconds)

    def _upserter(self, job: Job, upload: Upload) -> Upserter:
        return Upserter(upload, self._tables, job.spec.object_name, job.spec.external_id)

    def _abort(self, job_id: str) -> dict[str, Any]:
        with self._lock:
            job = self._find(job_id)
            if job.state.is_terminal:
                raise invalid_job_state(f"Aborting already {_past(job.state)} Job not allowed")
            job.move(JobState.ABORTED, self._clock.seconds())
            return job.describe(self._clock.at, details=False)


def _encoded_bytes(raw_bytes: int) -> int:
    """How long so many bytes are in base64: four characters for three bytes, or for what is left of them."""
    return 4 * -(-raw_bytes // 3)


def _past(state: JobState) -> str:
    return "Completed" if state is JobState.JOB_COMPLETE else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", state.value)


def _one_of(known: Mapping[str, str], wanted: Mapping[str, Any], name: str, default: str) -> str:
    value = str(wanted.get(name) or default)
    if value not in known:
        raise invalid_job(f"{name} {value} is not supported: use one of {', '.join(known)}")
    return value
