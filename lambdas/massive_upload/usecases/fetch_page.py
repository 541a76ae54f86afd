"""FetchPage: read the next rows of a partition and stage them as a batch."""

from __future__ import annotations

from massive_upload.constants import SLICE_EVENTS
from massive_upload.contracts import Next, SliceInput, Step
from massive_upload.domain.bulk_batches import bulk_batches_of
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Batch, BatchState, Partition
from massive_upload.domain.waits import FETCH_EVENTS, SHORTEST_POLL_SECONDS, WAIT_EVENTS
from massive_upload.observability import follow
from massive_upload.ports import ProgressStore
from massive_upload.usecases.circuit_breaker import check_lane, is_run_given_up
from massive_upload.usecases.kept_rows import next_kept_rows
from massive_upload.usecases.range_reader import RangeReader
from massive_upload.usecases.run_config import RunConfig
from massive_upload.usecases.slice_tasks import (
    SliceServices,
    claimed_lane,
    is_halting,
    slice_task,
    stop_lane,
)
from massive_upload.usecases.staging import batch_rows_of, complete, plan, stage
from massive_upload.usecases.turn import Turn, ask_for_turn


@slice_task
def fetch_page(task: SliceInput, services: SliceServices) -> Step:
    """Give the slice its next batch: the one that is not settled, or one of rows read now.

    A crash anywhere leads back to the very batches that are recorded; a job in flight is waited for.

    Raises:
        FencedOut: another slice has claimed the partition.
        BreakerTripped: too much of the lane fails; nothing was read.
        PassingError: the org or AWS did not answer.
    """
    store, step = services.store, task.step
    lane = claimed_lane(store, task)
    partition, batch = lane.partition, lane.batch
    if step.events >= SLICE_EVENTS:
        return step.then(Next.MORE, events=FETCH_EVENTS)
    under_way = None if batch is None else _go_on(step, batch)
    if under_way is not None:
        return under_way
    config = services.configs.of(task.run_id)
    if is_halting(store, task.run_id) or (batch is None and _is_given_up(partition, config.load, store)):
        return _stop(task, store, partition)
    reader = None
    if batch is None and partition.kept_list is None:
        reader = RangeReader(services, partition, config)
        waiting = reader.look(step)
        if waiting is not None:
            return waiting
    turn = _ask_for_turn(task, services, partition, batch, config)
    if not turn.has_come:
        # Of the run and not of the lane, by whose requests its next batch is reckoned: a lane that looks for days would
        # come to ask for more than it needs.
        store.count_run_requests(task.run_id, services.org.take_requests())
        store.record_heartbeat(partition, services.org.heartbeat(wake_after_seconds=turn.wait_seconds))
        return _wait_for_turn(step, turn)
    if batch is not None:
        return step.then(Next.UPLOAD, events=FETCH_EVENTS, batch=batch.number)
    if reader is None:
        return _stage_kept_rows(task, services, partition, config.load)
    return reader.read(step)


def _go_on(step: Step, batch: Batch) -> Step | None:
    """Where the slice goes whose batch is on its way to the org; None where that has still to have its turn."""
    follow(batch)
    if batch.state is BatchState.SUBMITTED:
        return step.then(
            Next.WAIT_FOR_JOB,
            events=FETCH_EVENTS,
            wait_seconds=SHORTEST_POLL_SECONDS,
            batch=batch.number,
            job_id=batch.job_id,
            job_is_adopted=True,
        )
    if batch.state is BatchState.CREATED:
        return step.then(Next.UPLOAD, events=FETCH_EVENTS, batch=batch.number)
    return None


def _is_given_up(partition: Partition, load: Load, store: ProgressStore) -> bool:
    """Whether the lane is to begin no further batch as too much of its run fails.

    Raises:
        BreakerTripped: too much of the lane itself does.
    """
    check_lane(partition, load)
    return not partition.is_sweep and is_run_given_up(partition, load, store)


def _ask_for_turn(
    task: SliceInput, services: SliceServices, partition: Partition, batch: Batch | None, config: RunConfig
) -> Turn:
    rows_left = partition.source_rows - partition.settled_rows
    rows = batch.rows if batch is not None else min(batch_rows_of(config.load, partition), max(1, rows_left))
    step = task.step
    before = Turn(
        wait_seconds=step.wait_seconds if step.next is Next.WAIT_FOR_TURN else 0,
        looked_at=step.turn_looked_at,
        waited_seconds=step.turn_waited_seconds,
        unanswered_seconds=step.turn_unanswered_seconds,
        requests_told=step.requests_told,
    )
    return ask_for_turn(partition, services, batches=bulk_batches_of(rows), before=before)


def _wait_for_turn(step: Step, turn: Turn) -> Step:
    waiting = step.then(
        Next.WAIT_FOR_TURN,
        events=FETCH_EVENTS + WAIT_EVENTS,
        wait_seconds=turn.wait_seconds,
        requests_told=turn.requests_told,
    )
    return waiting.model_copy(
        update={
            "turn_looked_at": turn.looked_at,
            "turn_waited_seconds": turn.waited_seconds,
            "turn_unanswered_seconds": turn.unanswered_seconds,
        }
    )


def _stop(task: SliceInput, store: ProgressStore, partition: Partition) -> Step:
    stop_lane(store, partition)
    return task.step.then(Next.DONE, events=FETCH_EVENTS)


def _stage_kept_rows(task: SliceInput, services: SliceServices, partition: Partition, load: Load) -> Step:
    """Stage rows that failed before."""
    max_rows = batch_rows_of(load, partition)
    following = next_kept_rows(services.files, partition, key_column=load.target.external_id, max_rows=max_rows)
    if following is None:
        return complete(partition, task.step, services)
    batch = stage(
        partition,
        services.files,
        following.rows,
        next_cursor=following.next_cursor,
        next_offset=0,
        sent_before=following.tries,
    )
    return plan(partition, batch, task.step, services, load)
