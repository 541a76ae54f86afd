"""Staging: a batch's rows are written to S3, for its job to be made of them whenever that may be."""

from __future__ import annotations

from massive_upload.domain.file_keys import staged_key, unwritable_key
from massive_upload.domain.progress import Batch, BatchState, Partition
from massive_upload.domain.staged_file import UNWRITABLE, Selection
from massive_upload.observability import Event, Marker, follow, log
from massive_upload.ports import Files


def stage(
    partition: Partition,
    files: Files,
    staged: Selection,
    *,
    unwritable: Selection | None = None,
    next_cursor: str,
    next_offset: int,
    next_parent: str | None = None,
) -> Batch:
    """Write a lane's next rows, and give back the batch to record. A file whose batch is never recorded expires unread.

    Args:
        partition: the lane's.
        files: where to write.
        staged: the rows that can be sent.
        unwritable: those that cannot.
        next_cursor: the last key that was read, behind which the batch after this one begins.
        next_offset: that one's first row in the lane's query.
        next_parent: the last parent that was read, in a lane of parents.
    """
    number = partition.next_batch
    key = staged_key(partition.run_id, partition.partition, number, 0)
    files.write(key, staged.content)
    rejected_files: tuple[str, ...] = ()
    if unwritable is not None:
        rejected_files = (unwritable_key(partition.run_id, partition.partition, number),)
        files.write(rejected_files[0], unwritable.content)
    rejected = unwritable.rows if unwritable is not None else 0
    return Batch(
        run_id=partition.run_id,
        partition=partition.partition,
        number=number,
        state=BatchState.PLANNED,
        attempt=0,
        rows=staged.rows,
        first_rows=staged.rows + rejected,
        rejected=rejected,
        rejected_codes=unwritable.codes if unwritable is not None else {},
        rejected_files=rejected_files,
        size_bytes=len(staged.content),
        file_key=key,
        keys=staged.keys,
        next_cursor=next_cursor,
        next_parent=next_parent,
        next_offset=next_offset,
    )


def tell_staged(batch: Batch) -> None:
    """Log a staged batch, once it is recorded."""
    follow(batch)
    log(Marker.SUCCESS, Event.PAGE_STAGED, rows=batch.rows, size_bytes=batch.size_bytes)
    if batch.rejected:
        log(Marker.ERROR, Event.ROWS_FAILED, code=UNWRITABLE.code, rows=batch.rejected)
