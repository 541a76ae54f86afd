"""PlanSweep: gather the rows that lanes gave up for a passing reason."""

from __future__ import annotations

from uuid import uuid4

from massive_upload.constants import SWEEP_PARTITION
from massive_upload.contracts import Sweep
from massive_upload.domain.file_keys import kept_list_key
from massive_upload.domain.progress import Batch, BatchState, KeptList, Partition, PartitionStatus
from massive_upload.errors import InternalError
from massive_upload.observability import Event, Marker, log
from massive_upload.ports import Files, ProgressStore
from massive_upload.usecases.kept_rows import KeptRows, read_kept_list, write_kept_list


def plan_sweep(run_id: str, store: ProgressStore, files: Files) -> Sweep:
    """List the files of given-up rows for the sweep, which sends them once more in one lane.

    The list only ever grows at its end, as the sweep's cursor counts its entries: a resumed run adds what its lanes
    have given up since. Each time it is written to a file of its own, and the sweep's partition names the one that
    counts, so that a task which lives on beside its successor cannot bring a shorter one back. Rows that were sent
    equally often come together, as they can share a job.

    A lane that has failed may have left a job in flight, whose rows have the parents of those that it gave up. These
    wait for the run to be resumed.
    """
    run = store.run(run_id)
    if run is None:
        raise InternalError(f"Run {run_id} is not in the progress table.")
    partitions = store.partitions(run_id)
    lanes = [partition for partition in partitions if not partition.is_sweep]
    batches_of = [store.batches(run_id, lane.partition) for lane in lanes if lane.deferred]
    found = [file for batches in batches_of if not _has_job(batches) for file in _deferred_files(batches)]
    held_back = {file.key for batches in batches_of if _has_job(batches) for file in _deferred_files(batches)}
    sweep = next((partition for partition in partitions if partition.is_sweep), None)
    listed = read_kept_list(files, sweep.kept_list) if sweep is not None and sweep.kept_list is not None else []
    left = listed[int(sweep.cursor or "0") :] if sweep is not None else []
    known = {entry.key for entry in listed}
    listed += sorted((entry for entry in found if entry.key not in known), key=lambda entry: entry.tries)
    is_unfinished = sweep is not None and sweep.status is not PartitionStatus.COMPLETED
    is_held_back = any(entry.key in held_back for entry in left)
    if run.is_halting or is_held_back or not (_rows_left(listed, sweep) or is_unfinished):
        return Sweep(needed=False)
    list_key = kept_list_key(run_id, f"{SWEEP_PARTITION}-{uuid4().hex}")
    write_kept_list(files, list_key, listed)
    rows = sum(entry.rows for entry in listed)
    store.save_sweep(run_id, sweep, KeptList(key=list_key, rows=rows))
    log(Marker.RETRY, Event.ROWS_SWEPT, rows=rows, files=len(listed))
    return Sweep(needed=True, rows=rows)


def _has_job(batches: list[Batch]) -> bool:
    """Whether a lane's job may still be in flight."""
    return any(batch.has_job for batch in batches)


def _deferred_files(batches: list[Batch]) -> list[KeptRows]:
    """The files of settled batches; of an open one there may come more."""
    return [
        KeptRows(key=file.file_key, rows=file.rows, size_bytes=file.size_bytes, tries=file.tries)
        for batch in batches
        if batch.state is BatchState.SETTLED
        for file in batch.deferred_files
    ]


def _rows_left(listed: list[KeptRows], sweep: Partition | None) -> int:
    settled = sweep.settled_rows if sweep is not None else 0
    return sum(entry.rows for entry in listed) - settled
