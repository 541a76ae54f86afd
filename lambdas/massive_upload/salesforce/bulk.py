"""Upsert jobs of Bulk API 2.0 (Bulk API 2.0 and Bulk API Developer Guide: Ingest)."""

from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Self
from urllib.parse import quote

from massive_upload.errors import LoadError, RequestRefused, SalesforceUnavailable, StateChanged, TargetRejected
from massive_upload.salesforce.answers import (
    Answer,
    as_integer,
    as_moment,
    as_text,
    normalised_word,
    read_object,
    unexpected,
)
from massive_upload.salesforce.connection import Connection
from massive_upload.salesforce.error_codes import NOT_FOUND_STATUSES, error_for, is_gone
from massive_upload.salesforce.transport import TRANSFER_TIMEOUT, Response

INGEST_PATH = "/jobs/ingest"

_TARGET_REFUSED = (400, 404)
"""How a new job is refused: there is no job yet, so the object or the external id is at fault."""


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
        """Whether the job has ended. JobComplete does not mean that every row was saved."""
        return self in (JobState.JOB_COMPLETE, JobState.FAILED, JobState.ABORTED)

    @classmethod
    def parse(cls, asked: str, word: object) -> Self:
        """Read a state word in any letter case.

        Raises:
            RequestRefused: the word is none of the documented states.
        """
        for state in cls:
            if normalised_word(state) == normalised_word(word):
                return state
        raise unexpected(asked, "the job's state is not a documented one")


class JobGone(LoadError):
    """The org no longer knows the job: it was deleted, or is more than seven days old.

    A signal to the caller, hence neither passing nor final.
    """


@dataclass(frozen=True)
class Job:
    """What the org says about an ingest job.

    Attributes:
        id: the job's id, as the org spells it.
        state: where it is.
        processed: rows that were tried so far, the failed ones included; None where the org does not tell.
        failed: rows that were tried and failed; None where the org does not tell.
        total_processing_ms: time to process the job.
        api_active_processing_ms: of that, time spent on the rows themselves, reading and writing their texts left out.
        apex_processing_ms: of that, time spent in triggers and other automation.
        life_seconds: of a job that has ended, from its creation to its end by the org's clock, the upload and the
            time in its queue included; None where the org does not tell.
        error_message: why the whole job failed; may quote values, so it goes to reject files only.
    """

    id: str
    state: JobState
    processed: int | None = None
    failed: int | None = None
    total_processing_ms: int = 0
    api_active_processing_ms: int = 0
    apex_processing_ms: int = 0
    life_seconds: int | None = None
    error_message: str | None = field(default=None, repr=False)

    def may_write(self, rows: int) -> bool:
        """Whether some of its rows may still be written: it has not ended, or was aborted before it had tried all."""
        if self.state is JobState.ABORTED:
            return self.processed is None or self.processed < rows
        return not self.state.is_terminal

    @property
    def worked_ms(self) -> int:
        """How long the org has worked on the rows tried, in milliseconds; 0 where it does not say.

        A job of which less than half of the time was spent on rows has waited for something else meanwhile.
        """
        active_ms = self.api_active_processing_ms
        return self.total_processing_ms if active_ms <= self.total_processing_ms <= 2 * active_ms else active_ms


class BulkIngest:
    """Calls of Bulk API 2.0 ingest. None waits, and none is repeated by itself after a doubtful end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, *, object_name: str, external_id: str) -> Job:
        """Open an upsert job for comma-separated values whose lines end with LF.

        Raises:
            TargetRejected: the object or the external id cannot be used.
            QuotaExhausted: the org's daily batches or requests are used up.
        """
        asked = f"POST {INGEST_PATH}"
        response = self._connection.request(
            "POST",
            INGEST_PATH,
            json={
                "object": object_name,
                "operation": "upsert",
                "externalIdFieldName": external_id,
                "contentType": "CSV",
                "columnDelimiter": "COMMA",
                "lineEnding": "LF",
            },
            expect=_TARGET_REFUSED,
        )
        if not response.is_success:
            raise _refusal(asked, response, f"{object_name} by {external_id}")
        answer = read_object(asked, response)
        job_id = as_text(answer.get("id"))
        if not job_id:
            raise unexpected(asked, "the job has no id")
        return _job(asked, answer, job_id=job_id)

    def upload(self, job_id: str, data: bytes) -> None:
        """Upload the rows of an open job, once: a job takes one upload, and a doubtful one is never repeated.

        Args:
            job_id: an open job.
            data: UTF-8 CSV of at most 100 MB, as the limit of 150 MB holds for its base64 form.

        Raises:
            StateChanged: the job is not open any more, or gone.
            SalesforceUnavailable: it was not the org that took the rows.
        """
        path = f"{_path(job_id)}/batches"
        response = self._connection.request(
            "PUT",
            path,
            body=data,
            headers={"Content-Type": "text/csv; charset=UTF-8"},
            expect=NOT_FOUND_STATUSES,
            timeout=TRANSFER_TIMEOUT,
        )
        if is_gone(f"PUT {path}", response):
            raise _gone(f"PUT {path}", response)
        if response.status != HTTPStatus.CREATED and response.body:  # the org says 201, and nothing more
            raise SalesforceUnavailable(
                f"PUT {path} was answered with {response.status} and a text, where the org says 201.",
                next_step="It is tried again by itself; if it stays so, look for a proxy between here and the org.",
                code=str(response.status),
            )

    def close(self, job_id: str) -> Job:
        """Tell the org that the upload is complete, so that it starts.

        Raises:
            StateChanged: the job is not open any more, or gone.
        """
        return self._change_state(job_id, JobState.UPLOAD_COMPLETE)

    def abort(self, job_id: str) -> Job:
        """Stop a job; rows that it has saved stay saved.

        Raises:
            StateChanged: the job has ended, or is gone.
        """
        return self._change_state(job_id, JobState.ABORTED)

    def get(self, job_id: str) -> Job | None:
        """What the org says about the job; None where it knows no such job (any more)."""
        path = _path(job_id)
        asked = f"GET {path}"
        response = self._connection.request("GET", path, expect=NOT_FOUND_STATUSES)
        if is_gone(asked, response):
            return None
        return _job(asked, read_object(asked, response), job_id=job_id)

    def failed_rows(self, job_id: str) -> bytes:
        """The rows that were tried and failed, as CSV with their errors."""
        return self._result(job_id, "failedResults")

    def unprocessed_rows(self, job_id: str) -> bytes:
        """The rows of a failed or aborted job that were not tried, as CSV."""
        return self._result(job_id, "unprocessedrecords")

    def successful_rows(self, job_id: str) -> bytes:
        """The rows that were saved, as CSV with their record ids."""
        return self._result(job_id, "successfulResults")

    def _change_state(self, job_id: str, state: JobState) -> Job:
        path = _path(job_id)
        asked = f"PATCH {path}"
        response = self._connection.request("PATCH", path, json={"state": state.value}, expect=NOT_FOUND_STATUSES)
        if is_gone(asked, response):
            raise _gone(asked, response)
        return _job(asked, read_object(asked, response), job_id=job_id)

    def _result(self, job_id: str, name: str) -> bytes:
        path = f"{_path(job_id)}/{name}"
        response = self._connection.request(
            "GET", path, headers={"Accept": "text/csv"}, expect=NOT_FOUND_STATUSES, timeout=TRANSFER_TIMEOUT
        )
        if is_gone(f"GET {path}", response):
            raise JobGone(f"The org no longer has results of job {job_id}.")
        return response.body


def _path(job_id: str) -> str:
    return f"{INGEST_PATH}/{quote(job_id, safe='')}"


def _gone(asked: str, response: Response) -> StateChanged:
    return StateChanged(
        f"{asked} was answered with {response.status}: somebody has deleted the job.",
        next_step="Its rows are sent in another one.",
        code=str(response.status),
    )


def _refusal(asked: str, response: Response, target: str) -> LoadError:
    error = error_for(asked, response)
    if not isinstance(error, (RequestRefused, StateChanged, TargetRejected)):
        return error
    return TargetRejected(
        f"The org refused a job to upsert {target} with {response.status} {error.code}.",
        next_step="Check the target's object and external id in the load's file, and that the integration user "
        "may use them.",
        code=error.code,
    )


def _job(asked: str, answer: Answer, *, job_id: str) -> Job:
    """Read a job; the counters are missing while it is open, and `errorMessage` unless there is one."""

    def number(key: str) -> int | None:
        return as_integer(asked, key, answer.get(key))

    state = JobState.parse(asked, answer.get("state"))
    return Job(
        id=job_id,
        state=state,
        processed=number("numberRecordsProcessed"),
        failed=number("numberRecordsFailed"),
        total_processing_ms=number("totalProcessingTime") or 0,
        api_active_processing_ms=number("apiActiveProcessingTime") or 0,
        apex_processing_ms=number("apexProcessingTime") or 0,
        life_seconds=_life_seconds(answer) if state.is_terminal else None,
        error_message=as_text(answer.get("errorMessage")) or None,
    )


def _life_seconds(answer: Answer) -> int | None:
    """`systemModstamp` of a job that has ended is when it did (Bulk API 2.0 guide, Get Job Info)."""
    created, ended = as_moment(answer.get("createdDate")), as_moment(answer.get("systemModstamp"))
    return None if created is None or ended is None else max(0, round((ended - created).total_seconds()))
