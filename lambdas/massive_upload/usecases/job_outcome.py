"""What became of every row of a job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from massive_upload.contracts import JobCounters
from massive_upload.domain.progress import Batch
from massive_upload.domain.staged_file import RowError, StagedFile
from massive_upload.domain.stored_text import stored, stored_texts
from massive_upload.errors import InternalError, SalesforceUnavailable
from massive_upload.salesforce.bulk import BulkIngest, Job, JobState
from massive_upload.salesforce.error_codes import JobVerdict, RowVerdict, is_lock_error, job_verdict, row_verdict
from massive_upload.salesforce.results import FailedRow, is_whole, parse_failed, parse_keys, split_row_error

UNPROCESSED = "UNPROCESSED"
"""Our code for rows that their job never tried, where the org does not say why."""


@dataclass(frozen=True)
class JobOutcome:
    """The rows of a job that did not succeed, by key; the others did.

    Attributes:
        passing: failed for a reason that may pass.
        rejected: failed for good.
        untried: never tried by a job that failed as a whole for a passing reason, which is each row's error.
        named_rows: how many rows those are; more than keys where a key was sent more than once.
        locked: the keys of the rows that failed on a lock.
        halting_code: the code of an error that would repeat for every row of the run.
        refused_code: why the org refused the job as a whole, where that is a matter of configuration.
    """

    passing: Mapping[str, RowError] = field(default_factory=dict)
    rejected: Mapping[str, RowError] = field(default_factory=dict)
    untried: Mapping[str, RowError] = field(default_factory=dict)
    named_rows: int = 0
    locked: tuple[str, ...] = ()
    halting_code: str | None = None
    refused_code: str | None = None

    @property
    def lock_errors(self) -> int:
        """Rows that failed on a lock."""
        return len(self.locked)

    @property
    def contended_rows(self) -> int:
        """Rows that failed for a reason that going slower may spare them."""
        passing = sum(error.code != UNPROCESSED for error in self.passing.values())
        return passing + len(self.untried)

    @property
    def main_code(self) -> str | None:
        """The code that most rows failed with."""
        errors = [*self.passing.values(), *self.rejected.values(), *self.untried.values()]
        return Counter(error.code for error in errors).most_common(1)[0][0] if errors else None

    def without_untried(self) -> JobOutcome:
        """The same outcome with the untried rows given up for good."""
        return replace(self, rejected={**self.rejected, **self.untried}, untried={})


def counters_of(job: Job, *, seconds: int = 0, api_requests: int = 0) -> JobCounters:
    """What a job that has ended reported; how long it took, where that is known; and requests to be counted with it."""
    return JobCounters(
        job_id=job.id,
        state=job.state,
        processed=job.processed,
        failed=job.failed,
        seconds=seconds,
        processing_ms=job.total_processing_ms,
        apex_ms=job.apex_processing_ms,
        api_requests=api_requests,
    )


def read_outcome(bulk: BulkIngest, batch: Batch, counters: JobCounters, content: StagedFile | None) -> JobOutcome:
    """Read what became of a job's rows, by the cheapest proof there is.

    Args:
        bulk: the org.
        batch: whose job has ended.
        counters: what the job reported in its final state.
        content: the batch's staged file; needed, and given, unless `is_proven_clean`.

    Raises:
        SalesforceUnavailable: the result files contradict the counters or what was sent; they are not believed.
    """
    if is_proven_clean(batch, counters):
        return JobOutcome()
    if content is None or batch.job_id is None:
        raise InternalError("The outcome of a job with failed rows cannot be told without its staged file.")
    lists = _Lists(bulk, batch.job_id, content)
    if counters.failed != 0:
        lists.read_failed()
    if counters.processed != batch.rows:
        lists.read_unprocessed()
    if not lists.agree_with(counters, batch.rows):
        lists.read_succeeded()
        if lists.unlisted and counters.failed not in (None, len(lists.failed)):
            raise lists.unbelieved(f"{counters.failed} rows were reported as failed, {len(lists.failed)} are listed")
        # Whoever is on no list is sent again: only what the job lists as succeeded has succeeded.
        lists.unprocessed += lists.unlisted.elements()
    outcome = _judge(lists.failed)
    return _with_unprocessed(outcome, lists.unprocessed, bulk, batch, counters) if lists.unprocessed else outcome


def is_proven_clean(batch: Batch, counters: JobCounters) -> bool:
    """Whether the job's counters alone prove that every row succeeded."""
    return counters.state == JobState.JOB_COMPLETE and counters.processed == batch.rows and counters.failed == 0


class _Lists:
    """What a job's result files list, by the keys of the rows that were sent.

    A file is damaged where it lists a row that was not sent, or one more often than it was sent.
    """

    def __init__(self, bulk: BulkIngest, job_id: str, content: StagedFile) -> None:
        self._bulk = bulk
        self._job_id = job_id
        self._key_column = content.key_column
        self.unlisted = Counter(content.row_keys())
        self.failed: list[FailedRow] = []
        self.unprocessed: list[str] = []
        self._are_whole = True

    def read_failed(self) -> None:
        """Read the rows that were tried and failed."""
        data = self._bulk.failed_rows(self._job_id)
        self.failed = parse_failed(data, key_column=self._key_column)
        self._take_off(data, stored_texts(row.key for row in self.failed))

    def read_unprocessed(self) -> None:
        """Read the rows that were not tried."""
        data = self._bulk.unprocessed_rows(self._job_id)
        self.unprocessed = stored_texts(parse_keys(data, key_column=self._key_column))
        self._take_off(data, self.unprocessed)

    def read_succeeded(self) -> None:
        """Read the rows that were saved."""
        data = self._bulk.successful_rows(self._job_id)
        self._take_off(data, stored_texts(parse_keys(data, key_column=self._key_column)))

    def agree_with(self, counters: JobCounters, rows: int) -> bool:
        """Whether the lists are what the counters say, so that every row which is on neither list has succeeded."""
        return (
            self._are_whole
            and len(self.failed) == counters.failed
            and len(self.unprocessed) == rows - (counters.processed or 0)
        )

    def unbelieved(self, problem: str) -> SalesforceUnavailable:
        """The error for result files that contradict what is known."""
        return SalesforceUnavailable(
            f"The results of job {self._job_id} are not believed: {problem}.",
            next_step="They are read again by themselves; if it stays so, open the job's results in the org's setup.",
        )

    def _take_off(self, data: bytes, keys: list[str]) -> None:
        self._are_whole = self._are_whole and is_whole(data)
        self.unlisted.subtract(keys)
        if min(self.unlisted.values(), default=0) < 0:
            raise self.unbelieved("they list rows that were not sent, or a row twice")
        self.unlisted += Counter()  # drops what is listed


def _judge(failed: list[FailedRow]) -> JobOutcome:
    passing: dict[str, RowError] = {}
    rejected: dict[str, RowError] = {}
    locked: list[str] = []
    halting_code: str | None = None
    for row in failed:
        error = RowError(code=row.code, message=row.message, fields=" ".join(row.fields))
        key, verdict = stored(row.key), row_verdict(row.code, row.message)
        if is_lock_error(row.code, row.message):
            locked.append(key)
        if verdict is RowVerdict.RUN_STOPPING:
            halting_code = row.code
        (passing if verdict is RowVerdict.PASSING else rejected)[key] = error
    return JobOutcome(
        passing=passing,
        rejected=rejected,
        named_rows=len(failed),
        locked=tuple(locked),
        halting_code=halting_code,
    )


def _with_unprocessed(
    outcome: JobOutcome, unprocessed: list[str], bulk: BulkIngest, batch: Batch, counters: JobCounters
) -> JobOutcome:
    """The outcome with the rows that the job never tried: it was refused, it failed, or it was aborted."""
    named_rows = outcome.named_rows + len(unprocessed)
    job = bulk.get(batch.job_id or "")
    text = job.error_message if job is not None else None
    if text is not None and job_verdict(text) is JobVerdict.CONFIGURATION:
        refused_code = text.partition(":")[0].strip()
        error = RowError(code=refused_code, message="The job was refused as a whole.", fields="")
        rejected = {**outcome.rejected, **dict.fromkeys(unprocessed, error)}
        return replace(outcome, rejected=rejected, named_rows=named_rows, refused_code=refused_code)
    if counters.state == JobState.FAILED:
        return replace(outcome, untried=dict.fromkeys(unprocessed, _job_error(text)), named_rows=named_rows)
    error = RowError(code=UNPROCESSED, message="The job ended without trying this row.", fields="")
    return replace(outcome, passing={**outcome.passing, **dict.fromkeys(unprocessed, error)}, named_rows=named_rows)


def _job_error(text: str | None) -> RowError:
    """Why a job failed as a whole, as the error of each row that it never tried."""
    if text is None:
        return RowError(code=UNPROCESSED, message="The job failed as a whole.", fields="")
    error = split_row_error(text)
    return RowError(code=error.code, message=f"The job failed as a whole: {error.message}", fields="")
