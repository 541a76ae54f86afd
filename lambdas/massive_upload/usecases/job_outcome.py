"""What became of every row of a job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from massive_upload.contracts import JobCounters
from massive_upload.domain.progress import Batch
from massive_upload.domain.staged_file import RowError, StagedFile
from massive_upload.errors import InternalError, SalesforceUnavailable
from massive_upload.salesforce.bulk import BulkIngest, Job, JobState
from massive_upload.salesforce.error_codes import JobVerdict, RowVerdict, is_lock_error, job_verdict, row_verdict
from massive_upload.salesforce.results import FailedRow, parse_failed, parse_keys, split_row_error

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
        lock_errors: rows that failed on a lock.
        halting_code: the code of an error that would repeat for every row of the run.
        refused_code: why the org refused the job as a whole, where that is a matter of configuration.
    """

    passing: Mapping[str, RowError] = field(default_factory=dict)
    rejected: Mapping[str, RowError] = field(default_factory=dict)
    untried: Mapping[str, RowError] = field(default_factory=dict)
    named_rows: int = 0
    lock_errors: int = 0
    halting_code: str | None = None
    refused_code: str | None = None

    @property
    def is_clean(self) -> bool:
        """Whether every row succeeded."""
        return not self.passing and not self.rejected and not self.untried

    @property
    def main_code(self) -> str | None:
        """The code that most rows failed with."""
        errors = [*self.passing.values(), *self.rejected.values(), *self.untried.values()]
        return Counter(error.code for error in errors).most_common(1)[0][0] if errors else None

    def without_untried(self) -> JobOutcome:
        """The same outcome with the untried rows given up for good."""
        return replace(self, rejected={**self.rejected, **self.untried}, untried={})


def counters_of(job: Job, *, seconds: int = 0) -> JobCounters:
    """What a job that has ended reported; ``seconds`` is how long it took, where that is known."""
    return JobCounters(
        state=job.state,
        processed=job.processed,
        failed=job.failed,
        seconds=seconds,
        processing_ms=job.total_processing_ms,
        apex_ms=job.apex_processing_ms,
    )


def read_outcome(bulk: BulkIngest, batch: Batch, counters: JobCounters, content: StagedFile | None) -> JobOutcome:
    """Read what became of a job's rows, by the cheapest proof there is.

    Args:
        bulk: the org.
        batch: whose job has ended.
        counters: what the job reported in its final state.
        content: the batch's staged file; needed, and given, unless `is_proven_clean`.

    Raises:
        SalesforceUnavailable: a result file has other rows than the job reported; it is not believed.
    """
    if is_proven_clean(batch, counters):
        return JobOutcome()
    if content is None or batch.job_id is None:
        raise InternalError("The outcome of a job with failed rows cannot be told without its staged file.")
    failed = _failed_rows(bulk, batch, counters, content.key_column) if counters.failed else []
    unprocessed = _unprocessed_keys(bulk, batch, counters, content, {row.key.strip() for row in failed})
    outcome = _judge(failed)
    return _with_unprocessed(outcome, unprocessed, bulk, batch, counters) if unprocessed else outcome


def is_proven_clean(batch: Batch, counters: JobCounters) -> bool:
    """Whether the job's counters alone prove that every row succeeded."""
    return counters.state == JobState.JOB_COMPLETE and counters.processed == batch.rows and counters.failed == 0


def _failed_rows(bulk: BulkIngest, batch: Batch, counters: JobCounters, key_column: str) -> list[FailedRow]:
    failed = parse_failed(bulk.failed_rows(batch.job_id or ""), key_column=key_column)
    if len(failed) != counters.failed:
        raise SalesforceUnavailable(
            f"Job {batch.job_id} reported {counters.failed} failed rows, its result file has {len(failed)}.",
            next_step="It is read again by itself.",
        )
    return failed


def _unprocessed_keys(
    bulk: BulkIngest, batch: Batch, counters: JobCounters, content: StagedFile, failed: set[str]
) -> list[str]:
    """The key of every row that the job never tried.

    Where its counters and the list of unprocessed records do not add up to what was sent, only rows that the job
    lists as succeeded have succeeded.
    """
    if counters.processed == batch.rows:
        return []
    unprocessed = parse_keys(bulk.unprocessed_rows(batch.job_id or ""), key_column=content.key_column)
    if counters.processed + len(unprocessed) == batch.rows:
        return [key.strip() for key in unprocessed]
    succeeded = parse_keys(bulk.successful_rows(batch.job_id or ""), key_column=content.key_column)
    known = failed | {key.strip() for key in succeeded}
    return [key for key in content.row_keys() if key not in known]


def _judge(failed: list[FailedRow]) -> JobOutcome:
    passing: dict[str, RowError] = {}
    rejected: dict[str, RowError] = {}
    lock_errors = 0
    halting_code: str | None = None
    for row in failed:
        error = RowError(code=row.code, message=row.message, fields=" ".join(row.fields))
        verdict = row_verdict(row.code, row.message)
        lock_errors += is_lock_error(row.code, row.message)
        if verdict is RowVerdict.RUN_STOPPING:
            halting_code = row.code
        (passing if verdict is RowVerdict.PASSING else rejected)[row.key.strip()] = error
    return JobOutcome(
        passing=passing,
        rejected=rejected,
        named_rows=len(failed),
        lock_errors=lock_errors,
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
