"""Which rows a run takes up that sends the rejected rows of another once more.

A run and all its retries are one family, and a rejected row is taken up by one of them at most: a retry takes what is
still rejected, which is what the first run and its earlier retries rejected and none of these retries has taken up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from massive_upload.constants import STATE_KEPT_DAYS
from massive_upload.contracts import Mode
from massive_upload.domain.kept_file import KeptFile
from massive_upload.domain.progress import Run, RunStatus
from massive_upload.domain.staged_file import UNWRITABLE
from massive_upload.errors import InvalidInput
from massive_upload.ports import Files, ProgressStore
from massive_upload.usecases.kept_rows import KeptRows, read_each, read_kept_list
from massive_upload.usecases.rejected_files import rejected_files
from massive_upload.usecases.run_age import check_age

_MOST_CODES_NAMED = 10


def first_run(store: ProgressStore, run_id: str, *, begins_at: datetime) -> Run:
    """The run that a family of retries began with.

    Args:
        store: holds the runs.
        run_id: of any run of the family.
        begins_at: when the execution begins that is to send its rejected rows once more.

    Raises:
        InvalidInput: there is no such run, or it has written nothing.
        RunNotResumable: it is too old.
    """
    run = store.run(run_id)
    if run is not None and run.retry_of is not None:
        run = store.run(run.retry_of)
    if run is None:
        raise InvalidInput(
            f"There is no run {run_id!r}.", next_step=f"Look the run_id up; state is kept for {STATE_KEPT_DAYS} days."
        )
    if run.plan_name is None or run.mode == Mode.PLAN:
        raise InvalidInput(
            f"Run {run.run_id} has written nothing, so no row of it was rejected.", next_step="Name another run."
        )
    check_age(run, store, begins_at=begins_at)
    return run


def still_rejected(
    store: ProgressStore, files: Files, first: Run, *, only: str | None, most_rows: int
) -> list[KeptRows]:
    """The rows of a family that are still rejected, in entries of at most ``most_rows`` rows.

    Rows that could not be written as they were are not among them: their texts are spelt in the kept file.

    Every file with rejected rows is read, as the table does not say which of its rows have which code.

    Args:
        store: holds the runs.
        files: holds the kept rows.
        first: the run that the family began with. Nobody else may begin a retry of it meanwhile, which the lease of
            their common target sees to.
        only: take up the rows with this code alone.
        most_rows: rows of one batch.

    Raises:
        InvalidInput: an earlier retry has not completed, or no row that is still rejected has the code ``only``.
    """
    retries = store.retries_of(first.run_id)
    for run_id in retries:
        _check_completed(store.run(run_id), first)
    taken = _taken_up(store, files, retries)
    keys = [key for run_id in (first.run_id, *retries) for key in _rejected_by(store, files, run_id)]
    keys = [key for key in keys if key not in taken or taken[key] is not None]

    def take(key: str, file: KeptFile) -> _Taking:
        return _take(key, file, taken.get(key) or frozenset(), only=only, most_rows=most_rows)

    found = list(read_each(files, keys, take))
    entries = [entry for taking in found for entry in taking.entries]
    codes = {code for taking in found for code in taking.codes}
    if codes and not entries:
        raise InvalidInput(
            f"No row of run {first.run_id} that is still rejected has the code {only}.",
            next_step=f"There are {', '.join(sorted(codes)[:_MOST_CODES_NAMED])}.",
        )
    return entries


@dataclass(frozen=True)
class _Taking:
    """What is taken up of a file, and which codes its rows have that nobody has taken up yet."""

    entries: Sequence[KeptRows]
    codes: Collection[str]


def _check_completed(run: Run | None, first: Run) -> None:
    if run is not None and run.status is not RunStatus.COMPLETED:
        raise InvalidInput(
            f"Run {run.run_id} sends rejected rows of run {first.run_id} once more and is {run.status}.",
            next_step=f"Resume run {run.run_id} first.",
        )


def _taken_up(store: ProgressStore, files: Files, retries: Sequence[str]) -> dict[str, frozenset[str] | None]:
    """By file, the codes of the rows that retries have taken up; None where those are all of its rows."""
    taken: dict[str, frozenset[str] | None] = {}
    lanes = [lane for run_id in retries for lane in store.partitions(run_id) if not lane.is_sweep]
    for entry in (entry for lane in lanes if lane.kept_list for entry in read_kept_list(files, lane.kept_list)):
        before = taken.get(entry.key, frozenset())
        is_whole = entry.codes is None or before is None
        taken[entry.key] = None if is_whole else frozenset((*(before or ()), *(entry.codes or ())))
    return taken


def _rejected_by(store: ProgressStore, files: Files, run_id: str) -> Sequence[str]:
    """Files of rows that failed for good; rows that wait for a sweep are left to the resume of their run."""
    return rejected_files(store.partitions(run_id), store, files).final


def _take(key: str, file: KeptFile, taken: Collection[str], *, only: str | None, most_rows: int) -> _Taking:
    codes = {row.error.code for row in file.rows} - {*taken, UNWRITABLE.code}
    wanted = {only} & codes if only is not None else codes
    rows = [row for row in file.rows if row.error.code in wanted]
    is_whole = len(rows) == len(file.rows)
    entries = [
        KeptRows(
            key=key,
            codes=None if is_whole else tuple(sorted(wanted)),
            first=first,
            rows=len(part),
            size_bytes=sum(row.size_bytes for row in part),
        )
        for first in range(0, len(rows), most_rows)
        for part in [rows[first : first + most_rows]]
    ]
    return _Taking(entries, codes)
