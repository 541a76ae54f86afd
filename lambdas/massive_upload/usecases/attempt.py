"""An attempt that has ended: its rows put where they belong, and the batch as it is from then on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from massive_upload.constants import JOB_ROWS_PER_BATCH
from massive_upload.domain.error_counts import add_counts
from massive_upload.domain.file_keys import deferred_key, rejected_key, staged_key
from massive_upload.domain.key_digest import KeyDigest
from massive_upload.domain.progress import Batch, BatchState, DeferredRows, StagedRows
from massive_upload.domain.staged_file import Selection, StagedFile
from massive_upload.ports import Files
from massive_upload.usecases.job_outcome import JobOutcome
from massive_upload.usecases.row_plan import RowPlan


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """An attempt whose outcome is known, and what is to be done about its rows.

    Attributes:
        content: the attempt's staged file; None where every row succeeded.
        tries: how often its rows have been sent, this attempt included.
    """

    batch: Batch
    outcome: JobOutcome
    plan: RowPlan
    content: StagedFile | None
    files: Files
    tries: int

    def following(self) -> Batch:
        """Write the files that the batch then names.

        Returns:
            The batch with its next attempt Planned (the rows to send again, or those that wait), or Settled.
        """
        batch = replace(self.batch, lock_errors=self.batch.lock_errors + self.outcome.lock_errors)
        if self.content is None:
            return _next_in_line(_with_succeeded(batch, batch.rows, batch.keys))
        batch = self._with_deferred(self._with_rejected(batch, self.content), self.content)
        again = self._stage_again(self.content)
        failed_rows = (
            sum(staged.rows for staged in again)
            + (batch.rejected - self.batch.rejected)
            + (batch.deferred - self.batch.deferred)
        )
        keys = batch.keys
        for staged in again:
            keys -= staged.keys
        batch = _with_succeeded(batch, batch.rows - failed_rows, keys)
        if self.plan.is_halved:
            batch = replace(batch, halvings=batch.halvings + 1, waiting=(*batch.waiting, *again))
        elif again:
            return _attempt_with(batch, again[0], retries=batch.retries + (self.outcome.waiting_code is None))
        return _next_in_line(batch)

    def _with_rejected(self, batch: Batch, content: StagedFile) -> Batch:
        if not self.plan.rejected:
            return batch
        kept = content.with_errors(self.plan.rejected, tries=self.tries)
        key = rejected_key(batch.run_id, batch.partition, batch.number, batch.attempt)
        self.files.write(key, kept.content)
        return replace(
            batch,
            keys=batch.keys - kept.keys,
            rejected=batch.rejected + kept.rows,
            rejected_codes=add_counts(batch.rejected_codes, kept.codes),
            rejected_files=(*batch.rejected_files, key),
        )

    def _with_deferred(self, batch: Batch, content: StagedFile) -> Batch:
        """Rows of one Salesforce batch a file: the sweep settles whole files, and its jobs must not lock each other."""
        numbers = sorted(self.plan.deferred)
        for part, start in enumerate(range(0, len(numbers), JOB_ROWS_PER_BATCH)):
            errors = {number: self.plan.deferred[number] for number in numbers[start : start + JOB_ROWS_PER_BATCH]}
            kept = content.with_errors(errors, tries=self.tries)
            key = deferred_key(batch.run_id, batch.partition, batch.number, batch.attempt, part)
            self.files.write(key, kept.content)
            file = DeferredRows(file_key=key, rows=kept.rows, size_bytes=len(kept.content), tries=self.tries)
            batch = replace(
                batch,
                keys=batch.keys - kept.keys,
                deferred=batch.deferred + kept.rows,
                deferred_files=(*batch.deferred_files, file),
            )
        return batch

    def _stage_again(self, content: StagedFile) -> list[StagedRows]:
        again = self.plan.again
        if self.plan.is_halved:
            return [self._stage(half) for half in content.halves(again)]
        return [self._stage(content.select(again))] if again else []

    def _stage(self, rows: Selection) -> StagedRows:
        batch = self.batch
        key = staged_key(batch.run_id, batch.partition, batch.number, batch.attempt + 1)
        self.files.write(key, rows.content)
        return StagedRows(
            file_key=key,
            rows=rows.rows,
            size_bytes=len(rows.content),
            keys=rows.keys,
            sent_before=batch.sent_before + 1,
        )


def _with_succeeded(batch: Batch, rows: int, keys: KeyDigest) -> Batch:
    succeeded_keys = batch.succeeded_keys + keys
    return replace(batch, keys=keys, succeeded=batch.succeeded + rows, succeeded_keys=succeeded_keys)


def _next_in_line(batch: Batch) -> Batch:
    """The batch with the first of the rows that wait, or settled where none do."""
    if not batch.waiting:
        return replace(batch, state=BatchState.SETTLED)
    first, *rest = batch.waiting
    return _attempt_with(replace(batch, waiting=tuple(rest)), first, retries=0)


def _attempt_with(batch: Batch, staged: StagedRows, *, retries: int) -> Batch:
    return replace(
        batch.for_another_job(),
        rows=staged.rows,
        size_bytes=staged.size_bytes,
        file_key=staged.file_key,
        keys=staged.keys,
        sent_before=staged.sent_before,
        retries=retries,
    )
