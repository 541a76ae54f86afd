"""The next rows of a lane, from its frozen query to a staged batch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from massive_upload.contracts import Next, Step
from massive_upload.domain.progress import Batch, LaneKind, Partition
from massive_upload.domain.source_sql import PARENT_COLUMN, Reading, page_statement
from massive_upload.domain.staged_file import StagedFileWriter
from massive_upload.domain.waits import FETCH_EVENTS, WAIT_EVENTS, org_wait_seconds
from massive_upload.errors import InternalError, LoadError, PassingError, SalesforceUnavailable, SourceRejected
from massive_upload.observability import Event, Marker, log
from massive_upload.salesforce.data_cloud import DataCloud, QueryExpired, QueryPage, QueryState, QueryStatus
from massive_upload.usecases.count_source import bound_parameters, check_may_ask_again, uncounted
from massive_upload.usecases.run_config import RunConfig
from massive_upload.usecases.slice_tasks import SliceServices
from massive_upload.usecases.staging import batch_rows_of, complete, plan, stage

T = TypeVar("T")

_WAITS_FOR_A_QUERY = 2
"""After so many waits in a row for an org that does not answer for a query, it is given up for a new one: six minutes,
longer than most outages, and soon enough for a query that is beyond help."""
_WAITS_FOR_A_RESULT = 6
"""The same for a query that has ended, 46 minutes: it may have taken hours, and is not asked again for an outage."""
_LONGEST_READING_SECONDS = 600
"""A function has 900 s (infra/functions.py), in which it writes the batch, too, and sees to the job before it."""
_FIRST_QUERY_WAIT_SECONDS = 2
_LONGEST_QUERY_WAIT_SECONDS = 60


class RangeReader:
    """Reads the lane's frozen query, or a new one from the cursor where that has expired.

    It begins where the lane's cursor is, or behind the batch whose job is in flight.
    """

    def __init__(
        self, services: SliceServices, partition: Partition, config: RunConfig, *, in_flight: Batch | None = None
    ) -> None:
        self._services = services
        self._partition = partition
        self._config = config
        self._source: DataCloud = services.org.data_cloud(config.load.source.dataspace)
        self._batch_rows = batch_rows_of(config.load, partition)
        self._in_flight = in_flight

    def stage_ahead(self) -> Batch | None:
        """Stage the rows that the query has behind the batch in flight, if it has any; nothing is recorded.

        Raises:
            QueryExpired: the query's result is gone.
            PassingError: the source or AWS did not answer.
        """
        rows_left = self._rows_left()
        return self._staged(self._write_rows(None, rows_left)) if rows_left else None

    def look(self, step: Step) -> Step | None:
        """Where the lane has waited for its query: the next wait while that runs, else None.

        It has begun the query in its turn. Looking takes no further one; reading the rows does, as the query may have
        run for hours.
        """
        is_waited_for = step.next is Next.WAIT_FOR_QUERY and self._partition.query_id is not None
        if not is_waited_for or self._partition.query_rows is not None:
            return None
        return self._patiently(step, lambda step: self._open(step)[1])

    def read(self, step: Step) -> Step:
        """Stage the next rows, or wait for the query, or find that all rows are settled."""
        return self._patiently(step, self._read)

    def _patiently(self, step: Step, work: Callable[[Step], T]) -> T:
        try:
            return work(step)
        except PassingError as error:
            has_ended = self._partition.query_rows is not None
            most_waits = _WAITS_FOR_A_RESULT if has_ended else _WAITS_FOR_A_QUERY
            if self._partition.query_id is not None and step.org_waits >= most_waits:
                self._forget_query(error)
            raise

    def _read(self, step: Step) -> Step:
        first_page, waiting = self._open(step)
        if waiting is not None:
            return waiting
        rows_left = self._rows_left()
        if not rows_left:
            return complete(self._partition, step, self._services)
        try:
            writer = self._write_rows(first_page, rows_left)
        except QueryExpired as error:
            self._forget_query(error)
            raise SalesforceUnavailable(str(error), code=error.code) from error
        return plan(self._partition, self._staged(writer), step, self._services, self._config.load)

    def _open(self, step: Step) -> tuple[QueryPage | None, Step | None]:
        """Make sure that there is a query; its first page, if that is known, and the wait where it has not ended."""
        try:
            first_page = self._open_query()
        except QueryExpired as error:
            self._forget_query(error)
            return None, self._wait_before_another_query(step)
        return first_page, self._wait_for_query(step) if self._rows_left() is None else None

    def _staged(self, writer: StagedFileWriter) -> Batch:
        partition, in_flight = self._partition, self._in_flight
        cursor, parent = (
            (partition.cursor or partition.after or "", partition.cursor_parent)
            if in_flight is None
            else (in_flight.next_cursor, in_flight.next_parent)
        )
        return stage(
            partition,
            self._services.files,
            writer.selection(),
            unwritable=writer.unwritable,
            next_cursor=writer.last_key or cursor,
            next_parent=writer.last_parent or parent,
            next_offset=self._offset + writer.taken,
        )

    @property
    def _offset(self) -> int:
        """The first row of the query that is not staged."""
        return self._partition.query_offset if self._in_flight is None else self._in_flight.next_offset

    def _forget_query(self, error: LoadError) -> None:
        self._partition = self._services.store.forget_query(self._partition)
        log(Marker.WARNING, Event.QUERY_EXPIRED, error=type(error).__name__, code=error.code)

    def _wait_before_another_query(self, step: Step) -> Step:
        queries_failed = step.queries_failed + 1
        check_may_ask_again(
            "The source's query",
            queries=queries_failed,
            next_step="Look at the query in Data Cloud; narrow source.where, or raise partitioning.count.",
        )
        wait_seconds = org_wait_seconds(step.queries_failed)
        beat = self._services.org.heartbeat(wake_after_seconds=wait_seconds)
        self._services.store.record_heartbeat(self._partition, beat)
        events = FETCH_EVENTS + WAIT_EVENTS
        following = step.then(Next.WAIT_FOR_QUERY, events=events, wait_seconds=wait_seconds)
        return following.model_copy(update={"queries_failed": queries_failed})

    def _wait_for_query(self, step: Step) -> Step:
        has_waited = step.next is Next.WAIT_FOR_QUERY
        longer_seconds = 2 * step.wait_seconds if has_waited else 0
        wait_seconds = min(max(_FIRST_QUERY_WAIT_SECONDS, longer_seconds), _LONGEST_QUERY_WAIT_SECONDS)
        beat = self._services.org.heartbeat(wake_after_seconds=wait_seconds)
        self._services.store.record_heartbeat(self._partition, beat)
        log(Marker.WAITING, Event.WAITING_FOR_QUERY, wait_seconds=wait_seconds)
        events = FETCH_EVENTS + WAIT_EVENTS
        return step.then(Next.WAIT_FOR_QUERY, events=events, wait_seconds=wait_seconds)

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
        """Remember the query; and its columns, as later pages may come without saying in which order they are.

        Only the answer to its submission has a page, be it an empty one as the query still runs.
        """
        store, org = self._services.store, self._services.org
        columns = self._partition.query_columns if page is None else tuple(column.name for column in page.columns)
        if status.state.is_readable and status.row_count is not None:
            self._partition = store.note_query_rows(
                self._partition, query_id=status.query_id, rows=status.row_count, columns=columns, beat=org.heartbeat()
            )
        elif self._partition.query_id is None:
            store.note_query(self._partition, query_id=status.query_id, columns=columns, beat=org.heartbeat())

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
            identity=config.identity,
            sample_rows=config.sample_rows,
            column_types=config.column_types,
            modified_after=config.modified_after,
        )
        return self._source.submit(statement.sql, bound_parameters(statement), row_limit=self._batch_rows)

    def _write_rows(self, first_page: QueryPage | None, rows_left: int) -> StagedFileWriter:
        """Write rows until the batch is full or the query has no more.

        A page may have fewer rows than were asked for. What was read before something went wrong, or before the
        function's time is up, is kept: it makes a smaller batch, and the next one starts behind it. So a lane gets on
        however rarely, or slowly, an org answers.
        """
        has_parents = self._partition.kind is LaneKind.PARENT
        writer = StagedFileWriter(self._config.load, max_rows=self._batch_rows, has_parents=has_parents)
        rows = self._in_order(first_page) if first_page is not None else []
        offset = self._offset
        read_until = self._services.clock.now() + timedelta(seconds=_LONGEST_READING_SECONDS)
        writer.append(rows[:rows_left])
        while writer.taken < rows_left and not writer.is_full:
            if writer.taken and self._services.clock.now() >= read_until:
                break
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
