"""What became of every row of a job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from massive_upload.contracts import JobCounters
from massive_upload.domain.progress import Batch
from massive_upload.domain.quota import RequestsTold
from massive_upload.domain.staged_file import RowError, StagedFile
from massive_upload.domain.stored_text import stored, stored_texts
from massive_upload.errors import InternalError, SalesforceUnavailable
from massive_upload.salesforce.bulk import BulkIngest, Job, JobState
from massive_upload.salesforce.error_codes import (
    JobVerdict,
    RowVerdict,
    is_lock_error,
    job_verdict,
    row_verdict,
    takes_no_rows,
)
from massive_upload.salesforce.results import (
    DamagedFile,
    FailedRow,
    is_whole,
    parse_failed,
    parse_keys,
    split_row_error,
)

T = TypeVar("T")

UNPROCESSED = "UNPROCESSED"
"""Our code for rows that their job did not try, or does not tell of, where the org does not say why."""


@dataclass(frozen=True)
class JobOutcome:
    """The rows of a job that did not succeed, by their number in its staged file; the others did.

    Attributes:
        passing: failed for a reason that may pass.
        rejected: failed for good.
        untried: never tried by a job that failed as a whole, though not for its configuration; why is each row's error.
        locked: the rows that were tried and failed on a lock.
        halting_code: the code of an error that would repeat for every row of the run.
        refused_code: why the org refused the job as a whole, where that is a matter of configuration.
    """

    passing: Mapping[int, RowError] = field(default_factory=dict)
    rejected: Mapping[int, RowError] = field(default_factory=dict)
    untried: Mapping[int, RowError] = field(default_factory=dict)
    locked: tuple[int, ...] = ()
    halting_code: str | None = None
    refused_code: str | None = None

    @cached_property
    def waiting_code(self) -> str | None:
        """The code for which the org is waited for, as it takes no rows for now; None where it takes them."""
        codes = {error.code for error in (*self.passing.values(), *self.untried.values())}
        return next(filter(takes_no_rows, sorted(codes)), None)

    @property
    def lock_errors(self) -> int:
        """Rows that failed on a lock, those included whose whole job did."""
        return len(self.locked) + sum(is_lock_error(error.code, error.message) for error in self.untried.values())

    @property
    def contended_rows(self) -> int:
        """Rows that failed for a reason that going slower may spare them; what a row holds is none."""
        passing = sum(error.code != UNPROCESSED for error in self.passing.values())
        codes = Counter(error.code for error in self.untried.values())
        return passing + sum(rows for code, rows in codes.items() if job_verdict(code) is not JobVerdict.CONTENT)

    @property
    def main_code(self) -> str | None:
        """The code that most rows failed with."""
        errors = [*self.passing.values(), *self.rejected.values(), *self.untried.values()]
        return Counter(error.code for error in errors).most_common(1)[0][0] if errors else None

    def without_untried(self) -> JobOutcome:
        """The same outcome with the untried rows given up for good."""
        return replace(self, rejected={**self.rejected, **self.untried}, untried={})


def counters_of(
    job: Job, *, seconds: int = 0, api_requests: int = 0, requests_told: RequestsTold | None = None
) -> JobCounters:
    """What a job that has ended reported; the other arguments are what `JobCounters` says besides."""
    return JobCounters(
        job_id=job.id,
        state=job.state,
        processed=job.processed,
        failed=job.failed,
        seconds=seconds,
        processing_ms=job.total_processing_ms,
        apex_ms=job.apex_processing_ms,
        api_requests=api_requests,
        requests_told=requests_told,
    )


def read_outcome(
    bulk: BulkIngest, batch: Batch, counters: JobCounters, content: StagedFile | None, *, are_lists_final: bool = False
) -> JobOutcome:
    """Read what became of a job's rows, by the cheapest proof there is.

    Args:
        bulk: the org.
        batch: whose job has ended.
        counters: what the job reported in its final state.
        content: the batch's staged file; needed, and given, unless `is_proven_clean`.
        are_lists_final: whether the org was waited for long enough; what the result files lack is then taken as not to
            come. Salesforce keeps none of batches beyond the day's allowance (Bulk API 2.0 guide, "Get Job Failed
            Record Results").

    Raises:
        SalesforceUnavailable: the result files contradict the counters or what was sent; they are not believed.
    """
    if is_proven_clean(batch, counters):
        return JobOutcome()
    if content is None or batch.job_id is None:
        raise InternalError("The outcome of a job with failed rows cannot be told without its staged file.")
    keys = content.row_keys()
    lists = _Lists(bulk, batch.job_id, content.key_column, keys)
    # Counters may not have been brought up to date where a batch has failed entirely (forcedotcom/dataloader#1033).
    has_tried_all = _has_tried_all(batch, counters)
    if not has_tried_all or counters.failed != 0:
        lists.read_failed()
    if not has_tried_all:
        lists.read_unprocessed()
    if not lists.agree_with(counters, batch.rows):
        lists.read_succeeded()
        if lists.are_to_be_read_again(counters) and not are_lists_final:
            raise lists.unbelieved(f"they do not tell what became of {lists.unlisted.total()} rows")
        # Whoever is on no list is sent again: only what the job lists as succeeded has succeeded.
        lists.unprocessed += lists.unlisted.elements()
    numbers = _RowNumbers(keys)
    outcome = _judge(lists.failed, numbers)
    if not lists.unprocessed:
        return outcome
    return _with_unprocessed(outcome, numbers.take(lists.unprocessed), bulk, batch, counters)


def is_proven_clean(batch: Batch, counters: JobCounters) -> bool:
    """Whether the job's counters alone prove that every row succeeded."""
    return _has_tried_all(batch, counters) and counters.failed == 0


def _has_tried_all(batch: Batch, counters: JobCounters) -> bool:
    return counters.state == JobState.JOB_COMPLETE and counters.processed == batch.rows


class _Lists:
    """What a job's result files list, by the keys of the rows that were sent.

    A file is damaged where it lists a row that was not sent, or one more often than it was sent.
    """

    def __init__(self, bulk: BulkIngest, job_id: str, key_column: str, keys: Sequence[str]) -> None:
        self._bulk = bulk
        self._job_id = job_id
        self._key_column = key_column
        self.unlisted = Counter(keys)
        self.failed: list[FailedRow] = []
        self.unprocessed: list[str] = []
        self._are_whole = True

    def read_failed(self) -> None:
        """Read the rows that were tried and failed."""
        data = self._bulk.failed_rows(self._job_id)
        self.failed = self._read(parse_failed, data)
        self._take_off(data, stored_texts(row.key for row in self.failed))

    def read_unprocessed(self) -> None:
        """Read the rows that were not tried."""
        data = self._bulk.unprocessed_rows(self._job_id)
        self.unprocessed = stored_texts(self._read(parse_keys, data))
        self._take_off(data, self.unprocessed)

    def read_succeeded(self) -> None:
        """Read the rows that were saved."""
        data = self._bulk.successful_rows(self._job_id)
        self._take_off(data, stored_texts(self._read(parse_keys, data)))

    def agree_with(self, counters: JobCounters, rows: int) -> bool:
        """Whether the lists are what the counters say, so that every row which is on neither list has succeeded."""
        return (
            self._are_whole
            and len(self.failed) == counters.failed
            and len(self.unprocessed) == rows - (counters.processed or 0)
        )

    def are_to_be_read_again(self, counters: JobCounters) -> bool:
        """Whether rows are on no list that should be on one.

        Any of a complete job; of another one as long as fewer are listed as failed than it reported.
        """
        is_complete = counters.state == JobState.JOB_COMPLETE
        return bool(self.unlisted) and (is_complete or len(self.failed) < (counters.failed or 0))

    def unbelieved(self, problem: str) -> SalesforceUnavailable:
        """The error for result files that contradict what is known."""
        return SalesforceUnavailable(
            f"The results of job {self._job_id} are not believed: {problem}.",
            next_step="They are read again by themselves; if it stays so, delete the job (DELETE jobs/ingest/ID of the "
            "org's API): its rows are then sent again.",
        )

    def _read(self, parse: Callable[..., list[T]], data: bytes) -> list[T]:
        try:
            return parse(data, key_column=self._key_column)
        except DamagedFile as damaged:
            raise self.unbelieved(f"a file is damaged, {damaged}") from damaged

    def _take_off(self, data: bytes, keys: list[str]) -> None:
        self._are_whole = self._are_whole and is_whole(data)
        self.unlisted.subtract(keys)
        if min(self.unlisted.values(), default=0) < 0:
            raise self.unbelieved("they list rows that were not sent, or a row twice")
        self.unlisted += Counter()  # drops what is listed


class _RowNumbers:
    """Finds the rows of a staged file by their keys, which is all that a result file tells them by.

    Where a key was sent more than once, nobody can tell which of its rows failed: as many as failed are taken, the last
    ones first. When these are sent again, the record ends as the last row says, as it does where all of them succeed.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._last = dict(zip(keys, range(len(keys)), strict=True))
        self._before: dict[str, list[int]] = {}
        if len(self._last) < len(keys):
            for number, key in enumerate(keys):
                if number != self._last[key]:
                    self._before.setdefault(key, []).append(number)

    def take(self, keys: Iterable[str]) -> list[int]:
        """A row for each key; no row is taken twice as long as no key is asked for more often than it was sent."""
        return [self._take(key) for key in keys]

    def _take(self, key: str) -> int:
        number = self._last[key]
        if before := self._before.get(key):
            self._last[key] = before.pop()
        return number


def _judge(failed: list[FailedRow], numbers: _RowNumbers) -> JobOutcome:
    """Tell passing failures from others. They take their rows first, so that the order of the list decides nothing."""
    passing: list[FailedRow] = []
    rejected: list[FailedRow] = []
    halting_code: str | None = None
    for row in failed:
        verdict = row_verdict(row.code, row.message)
        if verdict is RowVerdict.RUN_STOPPING:
            halting_code = row.code
        (passing if verdict is RowVerdict.PASSING else rejected).append(row)
    passing_errors, rejected_errors = (_by_number(rows, numbers) for rows in (passing, rejected))
    errors = [*passing_errors.items(), *rejected_errors.items()]
    return JobOutcome(
        passing=passing_errors,
        rejected=rejected_errors,
        locked=tuple(number for number, error in errors if is_lock_error(error.code, error.message)),
        halting_code=halting_code,
    )


def _by_number(failed: Sequence[FailedRow], numbers: _RowNumbers) -> dict[int, RowError]:
    errors = (RowError(code=row.code, message=row.message, fields=" ".join(row.fields)) for row in failed)
    return dict(zip(numbers.take(stored(row.key) for row in failed), errors, strict=True))


def _with_unprocessed(
    outcome: JobOutcome, unprocessed: Sequence[int], bulk: BulkIngest, batch: Batch, counters: JobCounters
) -> JobOutcome:
    """The outcome with the rows that the job never tried: it was refused, it failed, or it was aborted."""
    job = bulk.get(batch.job_id or "")
    text = job.error_message if job is not None else None
    if text is not None and job_verdict(text) is JobVerdict.CONFIGURATION:
        refused_code = text.partition(":")[0].strip()
        error = RowError(code=refused_code, message="The job was refused as a whole.", fields="")
        rejected = {**outcome.rejected, **dict.fromkeys(unprocessed, error)}
        return replace(outcome, rejected=rejected, refused_code=refused_code)
    if counters.state == JobState.FAILED:
        return replace(outcome, untried=dict.fromkeys(unprocessed, _job_error(text)))
    error = RowError(
        code=UNPROCESSED, message="The job ended without trying this row, or does not tell of it.", fields=""
    )
    return replace(outcome, passing={**outcome.passing, **dict.fromkeys(unprocessed, error)})


def _job_error(text: str | None) -> RowError:
    """Why a job failed as a whole, as the error of each row that it never tried."""
    if text is None:
        return RowError(code=UNPROCESSED, message="The job failed as a whole.", fields="")
    error = split_row_error(text)
    return RowError(code=error.code, message=f"The job failed as a whole: {error.message}", fields="")
