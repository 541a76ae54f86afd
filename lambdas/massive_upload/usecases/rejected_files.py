"""Where a run's rejected rows are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from massive_upload.domain.progress import Partition
from massive_upload.ports import Files, ProgressStore
from massive_upload.usecases.kept_rows import read_kept_list


@dataclass(frozen=True)
class RejectedFiles:
    """Keys of the files that hold the rows which count as rejected.

    Attributes:
        final: rows that failed for good.
        unswept: rows given up for a passing reason that no sweep has settled; the run's resume sends them once more.
    """

    final: tuple[str, ...]
    unswept: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Both."""
        return self.final + self.unswept


def rejected_files(partitions: Sequence[Partition], store: ProgressStore, files: Files) -> RejectedFiles:
    """Find the files of a run's rejected rows, by its batches.

    Args:
        partitions: all of the run's.
        store: holds the batches, each of which names its files.
        files: holds the sweep's list.
    """
    swept = {key for partition in partitions if partition.is_sweep for key in _settled_keys(partition, files)}
    final: list[str] = []
    unswept: list[str] = []
    for partition in partitions:
        if not (partition.rejected or partition.deferred or partition.open_batch is not None):
            continue
        for batch in store.batches(partition.run_id, partition.partition):
            final.extend(batch.rejected_files)
            unswept.extend(file.file_key for file in batch.deferred_files if file.file_key not in swept)
    return RejectedFiles(tuple(final), tuple(unswept))


def _settled_keys(sweep: Partition, files: Files) -> list[str]:
    if sweep.kept_list is None or sweep.cursor is None:
        return []
    return [entry.key for entry in read_kept_list(files, sweep.kept_list)[: int(sweep.cursor)]]
