"""Where a run's rejected rows are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from massive_upload.domain.csv_text import rows_of
from massive_upload.domain.kept_file import KeptFile, KeptRow, parse_kept_file
from massive_upload.domain.progress import Batch, BatchState, Partition
from massive_upload.ports import Files, ProgressStore
from massive_upload.usecases.kept_rows import read_kept_list


@dataclass(frozen=True)
class RejectedFiles:
    """Where the rows are which count as rejected.

    Attributes:
        final: keys of the files with rows that failed for good.
        unswept: keys of the files with rows given up for a passing reason, none of which the sweep has sent yet; the
            run's resume does.
        half_swept: what still waits of the rows that the sweep's open batch has begun to send; no file holds these
            rows alone.
    """

    final: tuple[str, ...]
    unswept: tuple[str, ...]
    half_swept: KeptFile | None = None

    @property
    def whole(self) -> tuple[str, ...]:
        """Keys of the files of which every row counts as rejected."""
        return self.final + self.unswept


def rejected_files(partitions: Sequence[Partition], store: ProgressStore, files: Files) -> RejectedFiles:
    """Find a run's rejected rows, by its batches.

    Args:
        partitions: all of the run's.
        store: holds the batches, each of which names its files.
        files: holds the sweep's list.
    """
    sweep = next((partition for partition in partitions if partition.is_sweep), None)
    swept, half_swept = _swept(sweep, store, files) if sweep is not None else ([], None)
    taken = frozenset(swept)
    final: list[str] = []
    unswept: list[str] = []
    for partition in partitions:
        if not (partition.rejected or partition.deferred or partition.open_batch is not None):
            continue
        for batch in store.batches(partition.run_id, partition.partition):
            final.extend(batch.rejected_files)
            unswept.extend(file.file_key for file in batch.deferred_files if file.file_key not in taken)
    return RejectedFiles(tuple(final), tuple(unswept), half_swept)


def _swept(sweep: Partition, store: ProgressStore, files: Files) -> tuple[list[str], KeptFile | None]:
    """The files that the sweep has settled, or begun to send; and what still waits of the latter."""
    if sweep.kept_list is None:
        return [], None
    listed = [entry.key for entry in read_kept_list(files, sweep.kept_list)]
    settled = int(sweep.cursor or "0")
    batch = None if sweep.open_batch is None else store.batch(sweep, sweep.open_batch)
    if batch is None or batch.rows_not_sent == batch.first_rows:
        return listed[:settled], None
    end = int(batch.next_cursor)
    return listed[:end], _still_waiting(batch, listed[settled:end], files)


def _still_waiting(batch: Batch, keys: Sequence[str], files: Files) -> KeptFile | None:
    """The rows of kept files that a batch has neither an outcome of nor a job in flight with; None where all have."""
    staged = [
        *([batch.file_key] if batch.state is BatchState.PLANNED else []),
        *(rows.file_key for rows in batch.waiting),
    ]
    wanted = Counter(line for key in staged for line in _lines_of(files.read(key)))
    if not wanted:
        return None
    kept = [parse_kept_file(files.read(key)) for key in keys]
    return KeptFile(kept[0].columns, [row for file in kept for row in file.rows if _take(wanted, row)])


def _lines_of(content: bytes) -> Iterator[tuple[str, ...]]:
    _header, *lines = rows_of(content)
    return map(tuple, lines)


def _take(wanted: Counter[tuple[str, ...]], row: KeptRow) -> bool:
    """Whether a row is wanted; once for each time that it is, as a batch may hold the same row twice."""
    line = tuple(row.cells)
    if not wanted[line]:
        return False
    wanted[line] -= 1
    return True
