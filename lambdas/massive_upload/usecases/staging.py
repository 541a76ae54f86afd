"""Staging: a lane's next rows are written to S3 and recorded as a batch, for a job to be made of them later."""

from __future__ import annotations

from massive_upload.constants import JOB_ROWS_PER_BATCH
from massive_upload.contracts import Next, Step
from massive_upload.domain.file_keys import staged_key, unwritable_key
from massive_upload.domain.load import Load, Pace
from massive_upload.domain.progress import Batch, BatchState, Partition
from massive_upload.domain.staged_file import UNWRITABLE, Selection
from massive_upload.domain.waits import FETCH_EVENTS
from massive_upload.observability import Event, Marker, Metric, emit_of, follow, log
from massive_upload.ports import Files
from massive_upload.usecases.slice_tasks import SliceServices


def stage(
    partition: Partition,
    files: Files,
    staged: Selection,
    *,
    unwritable: Selection | None = None,
    next_cursor: str,
    next_offset: int,
    next_parent: str | None = None,
    sent_before: int = 0,
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
        sent_before: how often the run has sent each of the rows before.
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
        speed_percent=partition.pace.speed_percent,
        sent_before=sent_before,
    )


def plan(partition: Partition, batch: Batch, step: Step, services: SliceServices, load: Load) -> Step:
    """Record a staged batch as its lane's open one, and hand it on to UploadBatch."""
    services.store.plan_batch(partition, batch, services.org.heartbeat())
    tell_staged(batch, load)
    return step.then(Next.UPLOAD, events=FETCH_EVENTS, batch=batch.number, is_progress=True)


def complete(partition: Partition, step: Step, services: SliceServices) -> Step:
    """Record that a lane has nothing left to stage."""
    services.store.complete_partition(partition, services.org.heartbeat())
    log(Marker.SUCCESS, Event.PARTITION_COMPLETED)
    return step.then(Next.DONE, events=FETCH_EVENTS)


def pace_of(load: Load, partition: Partition) -> Pace:
    """The pace of a lane's next batch; once a pair has met, jobs have one of Salesforce's batches."""
    is_paired = partition.is_paired and not partition.has_pairs_that_met
    return load.pace_at(partition.pace, is_paired=is_paired)


def batch_rows_of(load: Load, partition: Partition) -> int:
    """How many rows a lane's next batch has at most. The sweep's jobs are as large as one batch of Salesforce's."""
    return JOB_ROWS_PER_BATCH if partition.is_sweep else pace_of(load, partition).batch_rows


def tell_staged(batch: Batch, load: Load) -> None:
    """Tell of a staged batch, once it is recorded."""
    follow(batch)
    log(Marker.SUCCESS, Event.PAGE_STAGED, rows=batch.rows, size_bytes=batch.size_bytes)
    if batch.rejected:
        log(Marker.ERROR, Event.ROWS_FAILED, code=UNWRITABLE.code, rows=batch.rejected)
        emit_of(batch, {Metric.ROWS_REJECTED: batch.rejected}, load=load.name)
