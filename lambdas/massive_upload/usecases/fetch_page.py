"""FetchPage: read the next rows of a partition and stage them as a batch."""

from __future__ import annotations

from massive_upload.constants import JOB_ROWS_PER_BATCH, SLICE_EVENTS
from massive_upload.contracts import Next, SliceInput, Step
from massive_upload.domain.bulk_batches import bulk_batches_of
from massive_upload.domain.file_keys import staged_key, unwritable_key
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Batch, BatchState, LaneKind, Partition
from massive_upload.domain.source_sql import PARENT_COLUMN, Reading, page_statement
from massive_upload.domain.staged_file import UNWRITABLE, Selection, StagedFileWriter
from massive_upload.domain.waits import FETCH_EVENTS, WAIT_EVENTS, org_wait_seconds
from massive_upload.errors import InternalError, LoadError, PassingError, SalesforceUnavailable, SourceRejected
from massive_upload.observability import Event, Marker, follow, log
from massive_upload.ports import ProgressStore
from massive_upload.salesforce.data_cloud import DataCloud, QueryExpired, QueryPage, QueryState, QueryStatus
from massive_upload.usecases.circuit_breaker import check_lane, is_run_given_up
from massive_upload.usecases.count_source import bound_parameters, uncounted
from massive_upload.usecases.kept_rows import next_kept_rows
from massive_upload.usecases.run_config import RunConfig
from massive_upload.usecases.slice_tasks import (
    SliceServices,
    claimed_lane,
    is_halting,
    notes_retry_after,
)
from massive_upload.usecases.turn import seconds_until_turn

_WAITS_FOR_A_QUERY = 2
"""After so many waits in a row for an org that does not answer for a query, it is given up for a new one: six minutes,
longer than most outages, and soon enough for a query that is beyond help."""
_MOST_FAILED_QUERIES = 5
_FIRST_QUERY_WAIT_SECONDS = 2
_LONGEST_QUERY_WAIT_SECONDS = 60


@notes_retry_after
def fetch_page(task: SliceInput, services: SliceServices) -> Step:
    """Give the slice its next batch: the one that is not settled, or one of rows read now.

    While a batch's job is in flight, the rows that come after it are staged as the batch ahead, so that they can be
    sent as soon as that one is settled. A crash anywhere leads back to the very batches that are recorded.

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
    if batch is not None:
        follow(batch)
    if batch is not None and batch.state is BatchState.SUBMITTED:
        return _beside_job(task, services, partition, batch)
    if batch is not None and batch.state is BatchState.CREATED:
        return step.then(Next.UPLOAD, events=FETCH_EVENTS, batch=batch.number)
    if is_halting(store, task.run_id):
        return _stop(task, store, partition)
    config = services.configs.of(task.run_id)
    if batch is None:
        check_lane(partition, config.load)
        if not partition.is_sweep and is_run_given_up(partition, config.load, store):
            return _stop(task, store, partition)
    wait_seconds = _seconds_until_turn(task, services, partition, batch, config)
    if wait_seconds:
        store.record_heartbeat(partition, services.org.heartbeat(wake_after_seconds=wait_seconds))
        return step.then(Next.WAIT_FOR_TURN, events=FETCH_EVENTS + WAIT_EVENTS, wait_seconds=wait_seconds)
    if batch is not None:
        return step.then(Next.UPLOAD, events=FETCH_EVENTS, batch=batch.number)
    if partition.kept_list is not None:
        return _stage_kept_rows(task, services, partition, config.load)
    return _RangeReader(task, services, partition, config).read()


def _seconds_until_turn(
    task: SliceInput, services: SliceServices, partition: Partition, batch: Batch | None, config: RunConfig
) -> int:
    rows_left = partition.source_rows - partition.settled_rows
    rows = batch.rows if batch is not None else min(_batch_rows(config.load, partition), max(1, rows_left))
    waited_seconds = task.step.wait_seconds if task.step.next is Next.WAIT_FOR_TURN else 0
    return seconds_until_turn(partition, services, batches=bulk_batches_of(rows), waited_seconds=waited_seconds)


def _batch_rows(load: Load, partition: Partition) -> int:
    return load.pace_at(partition.pace, is_paired=partition.is_paired).batch_rows


def _stop(task: SliceInput, store: ProgressStore, partition: Partition) -> Step:
    store.stop_partition(partition)
    log(Marker.STOP, Event.PARTITION_STOPPED)
    return task.step.then(Next.DONE, events=FETCH_EVENTS)


def _beside_job(task: SliceInput, services: SliceServices, partition: Partition, in_flight: Batch) -> Step:
    """Stage what comes after a job that is in flight, then wait for that job for as long as UploadBatch foresaw.

    The job matters more: where the source cannot be read now, the lane reads once the job is settled. Reading takes
    its time, which the job has run meanwhile.
    """
    step, began_at = task.step, services.clock.now()
    wait_seconds = step.wait_seconds if step.next is Next.WAIT_FOR_JOB else 1
    if partition.ahead_batch is None and partition.kept_list is None:
        reader = _RangeReader(task, services, partition, services.configs.of(task.run_id), in_flight)
        try:
            reader.read_ahead(wake_after_seconds=wait_seconds)
        except (PassingError, QueryExpired) as error:
            log(Marker.WARNING, Event.READ_AHEAD_FAILED, error=type(error).__name__, code=error.code)
        follow(in_flight)
    read_seconds = int((services.clock.now() - began_at).total_seconds())
    read_seconds = max(0, min(read_seconds, wait_seconds - 1))  # a machine's clock may be set back meanwhile
    return step.then(
        Next.WAIT_FOR_JOB,
        events=FETCH_EVENTS,
        wait_seconds=wait_seconds - read_seconds,
        batch=in_flight.number,
        job_waited_seconds=read_seconds,
    )


class _RangeReader:
    """Reads the lane's frozen query, or a new one from the cursor where that has expired.

    It begins where the lane's cursor is, or behind the batch whose job is in flight.
    """

    def __init__(
        self,
        task: SliceInput,
        services: SliceServices,
        partition: Partition,
        config: RunConfig,
        in_flight: Batch | None = None,
    ) -> None:
        self._task = task
        self._services = services
        self._partition = partition
        self._config = config
        self._source: DataCloud = services.org.data_cloud(config.load.source.dataspace)
        self._batch_rows = _batch_rows(config.load, partition)
        self._in_flight = in_flight

    def read_ahead(self, *, wake_after_seconds: int) -> None:
        """Stage the rows that the query has behind the batch in flight, if it has any."""
        rows_left = self._rows_left()
        if rows_left:
            self._stage_rows(self._write_rows(None, rows_left), wake_after_seconds=wake_after_seconds)

    def read(self) -> Step:
        """Stage the next rows, or wait for the query, or find that all rows are settled."""
        try:
            first_page = self._open_query()
        except QueryExpired as error:
            self._forget_query(error)
            return self._wait_before_another_query()
        except PassingError as error:
            if self._task.step.org_waits >= _WAITS_FOR_A_QUERY and self._partition.query_id is not None:
                self._forget_query(error)
            raise
        rows_left = self._rows_left()
        if rows_left is None:
            return self._wait_for_query()
        if rows_left == 0:
            self._services.store.complete_partition(self._partition, self._services.org.heartbeat())
            log(Marker.SUCCESS, Event.PARTITION_COMPLETED)
            return self._task.step.then(Next.DONE, events=FETCH_EVENTS)
        try:
            writer = self._write_rows(first_page, rows_left)
        except QueryExpired as error:
            self._forget_query(error)
            raise SalesforceUnavailable(str(error), code=error.code) from error
        return self._stage_rows(writer)

    def _stage_rows(self, writer: StagedFileWriter, *, wake_after_seconds: int = 0) -> Step:
        partition, in_flight = self._partition, self._in_flight
        cursor, parent = (
            (partition.cursor or partition.after or "", partition.cursor_parent)
            if in_flight is None
            else (in_flight.next_cursor, in_flight.next_parent)
        )
        return _stage(
            self._task,
            self._services,
            partition,
            writer.selection(),
            unwritable=writer.unwritable,
            next_cursor=writer.last_key or cursor,
            next_parent=writer.last_parent or parent,
            next_offset=self._offset + writer.taken,
            wake_after_seconds=wake_after_seconds,
        )

    @property
    def _offset(self) -> int:
        """The first row of the query that is not staged."""
        return self._partition.query_offset if self._in_flight is None else self._in_flight.next_offset

    def _forget_query(self, error: LoadError) -> None:
        self._partition = self._services.store.forget_query(self._partition)
        log(Marker.WARNING, Event.QUERY_EXPIRED, error=type(error).__name__, code=error.code)

    def _wait_before_another_query(self) -> Step:
        """A query that never came to its end is not asked again for ever: each takes hours, and is billed."""
        step = self._task.step
        if step.org_waits >= _MOST_FAILED_QUERIES:
            raise SourceRejected(
                f"The source's query has failed {step.org_waits + 1} times after it was taken.",
                next_step="Look at the query in Data Cloud; narrow source.where, or raise partitioning.count.",
            )
        wait_seconds = org_wait_seconds(step.org_waits)
        beat = self._services.org.heartbeat(wake_after_seconds=wait_seconds)
        self._services.store.record_heartbeat(self._partition, beat)
        events = FETCH_EVENTS + WAIT_EVENTS
        following = step.then(Next.WAIT_FOR_QUERY, events=events, wait_seconds=wait_seconds)
        return following.model_copy(update={"org_waits": step.org_waits + 1})

    def _wait_for_query(self) -> Step:
        has_waited = self._task.step.next is Next.WAIT_FOR_QUERY
        longer_seconds = 2 * self._task.step.wait_seconds if has_waited else 0
        wait_seconds = min(max(_FIRST_QUERY_WAIT_SECONDS, longer_seconds), _LONGEST_QUERY_WAIT_SECONDS)
        beat = self._services.org.heartbeat(wake_after_seconds=wait_seconds)
        self._services.store.record_heartbeat(self._partition, beat)
        log(Marker.WAITING, Event.WAITING_FOR_QUERY, wait_seconds=wait_seconds)
        events = FETCH_EVENTS + WAIT_EVENTS
        return self._task.step.then(Next.WAIT_FOR_QUERY, events=events, wait_seconds=wait_seconds)

    def _rows_left(self) -> int | None:
        """Rows of the query that are not staged; None while it runs."""
        if self._partition.query_rows is None:
            return None
        return self._partition.query_rows - self._offset

    def _open_query(self) -> QueryPage | None:
        """Make sure that there is a query, and learn how many rows it has if it has ended."""
        if self._partition.query_id is None:
            page = self._submit()
            if page.status is None:
                raise InternalError("The source's query was answered without a status.")
            self._note(page.status, page)
            return page if self._partition.query_rows is not None else None
        if self._partition.query_rows is None:
            status = self._source.status(self._partition.query_id)
            if status.state is QueryState.FINISHED and status.row_count is None:
                raise uncounted(status.query_id)
            self._note(status, None)
        return None

    def _note(self, status: QueryStatus, page: QueryPage | None) -> None:
        """Remember the query; and its columns, as later pages may come without saying in which order they are."""
        store, org = self._services.store, self._services.org
        if status.state.is_readable and status.row_count is not None:
            columns = tuple(column.name for column in page.columns) if page is not None else ()
            self._partition = store.note_query_rows(
                self._partition, query_id=status.query_id, rows=status.row_count, columns=columns, beat=org.heartbeat()
            )
        elif self._partition.query_id is None:
            store.note_query(self._partition, status.query_id, org.heartbeat())

    def _submit(self) -> QueryPage:
        partition, config = self._partition, self._config
        reading = Reading(
            kind=partition.kind,
            after=partition.after,
            upto=partition.upto or "",
            cursor=partition.cursor,
            cursor_parent=partition.cursor_parent,
        )
        statement = page_statement(
            config.load,
            reading,
            case_sensitive_key=config.case_sensitive_key,
            sample_rows=config.sample_rows,
            key_type=config.key_type,
            modified_after=config.modified_after,
        )
        return self._source.submit(statement.sql, bound_parameters(statement), row_limit=self._batch_rows)

    def _write_rows(self, first_page: QueryPage | None, rows_left: int) -> StagedFileWriter:
        """Write rows until the batch is full or the query has no more.

        A page may have fewer rows than were asked for. What was read before something went wrong is kept: it makes a
        smaller batch, and the next one starts behind it. So a lane gets on however rarely an org answers.
        """
        has_parents = self._partition.kind is LaneKind.PARENT
        writer = StagedFileWriter(self._config.load, max_rows=self._batch_rows, has_parents=has_parents)
        rows = self._in_order(first_page) if first_page is not None else []
        offset = self._offset
        writer.append(rows[:rows_left])
        while writer.taken < rows_left and not writer.is_full:
            query_id = self._partition.query_id or ""
            limit = min(self._batch_rows - writer.rows, rows_left - writer.taken)
            try:
                page = self._read_page(query_id, offset=offset + writer.taken, limit=limit)
            except (QueryExpired, PassingError):
                if writer.taken == 0:
                    raise
                break
            writer.append(self._in_order(page)[:limit])
        return writer

    def _read_page(self, query_id: str, *, offset: int, limit: int) -> QueryPage:
        page = self._source.rows(query_id, offset=offset, limit=limit)
        if not page.rows:
            raise SalesforceUnavailable(
                f"The source's query has more than {offset} rows, but the page that follows came empty.",
                next_step="It is read again by itself.",
            )
        return page

    def _in_order(self, page: QueryPage) -> list[list[object]]:
        """A page's rows with the columns as they were selected, in whatever order the query has them."""
        answered = [column.name for column in page.columns] or self._partition.query_columns
        selected = list(self._config.load.fields)
        if self._partition.kind is LaneKind.PARENT:
            selected.append(PARENT_COLUMN)
        found = [name.casefold() for name in answered]
        wanted = [name.casefold() for name in selected]
        if not found or found == wanted:
            return page.rows
        if sorted(found) != sorted(wanted):
            raise SourceRejected(
                f"The source's query was answered with the columns {', '.join(answered)}.",
                next_step=f"Asked for were {', '.join(selected)}; compare the load's fields with the source object.",
            )
        positions = [found.index(name) for name in wanted]
        return [[row[position] for position in positions] for row in page.rows]


def _stage_kept_rows(task: SliceInput, services: SliceServices, partition: Partition, load: Load) -> Step:
    """Stage rows that failed before. The sweep's jobs are as large as one batch of Salesforce's."""
    max_rows = JOB_ROWS_PER_BATCH if partition.is_sweep else _batch_rows(load, partition)
    following = next_kept_rows(services.files, partition, key_column=load.target.external_id, max_rows=max_rows)
    if following is None:
        services.store.complete_partition(partition, services.org.heartbeat())
        log(Marker.SUCCESS, Event.PARTITION_COMPLETED)
        return task.step.then(Next.DONE, events=FETCH_EVENTS)
    return _stage(task, services, partition, following.rows, next_cursor=following.next_cursor, next_offset=0)


def _stage(
    task: SliceInput,
    services: SliceServices,
    partition: Partition,
    staged: Selection,
    *,
    unwritable: Selection | None = None,
    next_cursor: str,
    next_offset: int,
    next_parent: str | None = None,
    wake_after_seconds: int = 0,
) -> Step:
    """Write the rows, then record them as a batch. A file whose batch was never recorded expires unread."""
    number = partition.next_batch
    key = staged_key(task.run_id, task.partition, number, 0)
    services.files.write(key, staged.content)
    rejected_files: tuple[str, ...] = ()
    if unwritable is not None:
        rejected_files = (unwritable_key(task.run_id, task.partition, number),)
        services.files.write(rejected_files[0], unwritable.content)
    rejected = unwritable.rows if unwritable is not None else 0
    batch = Batch(
        run_id=task.run_id,
        partition=task.partition,
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
    services.store.plan_batch(partition, batch, services.org.heartbeat(wake_after_seconds=wake_after_seconds))
    follow(batch)
    log(Marker.SUCCESS, Event.PAGE_STAGED, rows=batch.rows, size_bytes=batch.size_bytes)
    if rejected:
        log(Marker.ERROR, Event.ROWS_FAILED, code=UNWRITABLE.code, rows=rejected)
    return task.step.then(Next.UPLOAD, events=FETCH_EVENTS, batch=number, is_progress=True)
