"""Data Cloud's query-sql (Connect form) over DuckDB."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock
from typing import Any
from uuid import uuid4

import duckdb

from local.org.clock import OrgClock
from local.org.errors import ApiError, not_found
from local.org.query_pages import FrozenResult, Page
from local.org.sources import Source
from local.org.sql_parameters import bind

MAX_CONCURRENT_QUERIES = 15
"""Data 360 limits: more concurrent requests are answered 429."""

MAX_WAIT_SECONDS = 10.0
"""query-sql reference: waitTimeMs is at most 10,000."""

_POLL_SECONDS = 0.05

_UNKNOWN_NAME = re.compile(r"Table with name (?P<table>\S+) does not exist|Referenced column \"(?P<column>[^\"]+)\"")


@dataclass(frozen=True)
class _Query:
    id: str
    result: FrozenResult
    ready_at: float
    expires_at: float


@dataclass(frozen=True)
class FirstAnswer:
    """What a new query is answered with: its status, and the first rows if it has any yet."""

    status: dict[str, Any]
    metadata: list[dict[str, Any]]
    page: Page


class DataCloud:
    """Runs queries over the source's tables and keeps their results frozen.

    Args:
        source: the tables.
        clock: the org's clock.
        page_rows: most rows of one answer, whatever was asked.
        page_bytes: most bytes of one answer's rows.
        running_seconds: how long each query takes, in simulated seconds.
        kept_seconds: how long a result is kept (24 hours in the real service).
    """

    def __init__(
        self,
        source: Source,
        clock: OrgClock,
        *,
        page_rows: int,
        page_bytes: int,
        running_seconds: float,
        kept_seconds: float,
    ) -> None:
        self._clock = clock
        self._page_rows = page_rows
        self._page_bytes = page_bytes
        self._running_seconds = running_seconds
        self._kept_seconds = kept_seconds
        self._queries: dict[str, _Query] = {}
        self._lock = Lock()
        self._slots = BoundedSemaphore(MAX_CONCURRENT_QUERIES)
        self._connection = open_database(source)

    def seed_keys(self, sql: str) -> list[str]:
        """The keys of parent records that a source wants to be there."""
        with self._connection.cursor() as cursor:
            return [str(key) for (key,) in cursor.execute(sql).fetchall()]

    def change(self, sql: str) -> None:
        """Change the source; results that are kept stay as they are."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql)

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """One of the requests that may run at the same time.

        Raises:
            ApiError: 429, there are too many.
        """
        if not self._slots.acquire(blocking=False):
            raise ApiError(429, "REQUEST_LIMIT_EXCEEDED", "Too many concurrent query requests")
        try:
            yield
        finally:
            self._slots.release()

    def submit(self, sql: str, parameters: Sequence[Mapping[str, Any]], row_limit: int | None) -> FirstAnswer:
        """Run a statement.

        Args:
            sql: one SELECT; its tables and columns are quoted names.
            parameters: what `:name` stands for.
            row_limit: most rows of this answer.

        Raises:
            ApiError: 400, the statement is wrong; the text names what is unknown.
        """
        self._forget_expired()
        bound = bind(sql, parameters)
        query_id = f"q-{uuid4()}"
        try:
            self._check_is_one_select(bound.sql)
            result = FrozenResult.of(self._connection, query_id, bound.sql.rstrip("; \n"), bound.values)
        except duckdb.Error as wrong:
            raise _bad_sql(wrong) from wrong
        now = self._clock.seconds()
        ready_at = now + self._running_seconds
        query = _Query(query_id, result, ready_at, now + self._kept_seconds)
        with self._lock:
            self._queries[query_id] = query
        page = Page(b"[]", 0)
        if self._is_ready(query):
            page = self._page(query, 0, row_limit)
        return FirstAnswer(self._describe(query), self._metadata(query), page)

    def status(self, query_id: str, wait_seconds: float) -> dict[str, Any]:
        """The status of a query, after waiting up to so many real seconds for its end.

        Raises:
            ApiError: 404, no such query, or its result is not kept any more.
        """
        query = self._find(query_id)
        give_up_at = time.monotonic() + min(wait_seconds, MAX_WAIT_SECONDS)
        while not self._is_ready(query) and time.monotonic() < give_up_at:
            time.sleep(_POLL_SECONDS)
        return self._describe(query)

    def rows(self, query_id: str, offset: int, row_limit: int | None) -> tuple[Page, list[dict[str, Any]]]:
        """A page of a result and its metadata; it may hold fewer rows than asked for.

        Raises:
            ApiError: 404 for an unknown query; 400 when it still runs or the offset is past the end.
        """
        query = self._find(query_id)
        if not self._is_ready(query):
            raise ApiError(400, "INVALID_ARGUMENT", f"The query {query_id} is still running")
        count = query.result.row_count
        if offset < 0 or offset > count or (offset == count and count):
            raise ApiError(400, "INVALID_ARGUMENT", f"The offset {offset} is out of range: {count} rows")
        return self._page(query, offset, row_limit), self._metadata(query)

    def cancel(self, query_id: str) -> None:
        """Forget a query.

        Raises:
            ApiError: 404.
        """
        query = self._find(query_id)
        with self._lock:
            del self._queries[query_id]
        query.result.drop()

    def _page(self, query: _Query, offset: int, row_limit: int | None) -> Page:
        limit = self._page_rows if row_limit is None else min(row_limit, self._page_rows)
        return query.result.page(offset, limit, self._page_bytes)

    def _metadata(self, query: _Query) -> list[dict[str, Any]]:
        return [column.describe() for column in query.result.columns]

    def _is_ready(self, query: _Query) -> bool:
        return self._clock.seconds() >= query.ready_at

    def _describe(self, query: _Query) -> dict[str, Any]:
        ready = self._is_ready(query)
        return {
            "queryId": query.id,
            "completionStatus": "Finished" if ready else "Running",
            "chunkCount": 1 if ready else 0,
            "rowCount": query.result.row_count if ready else 0,
            "progress": 1.0 if ready else 0.0,
            "expirationTime": self._clock.at(query.expires_at).isoformat(timespec="milliseconds"),
        }

    def _find(self, query_id: str) -> _Query:
        self._forget_expired()
        with self._lock:
            query = self._queries.get(query_id)
        if query is None:
            raise not_found(f"The query {query_id} does not exist or has expired")
        return query

    def _forget_expired(self) -> None:
        now = self._clock.seconds()
        with self._lock:
            expired = [each for each in self._queries.values() if each.expires_at <= now]
            for query in expired:
                del self._queries[query.id]
        for query in expired:
            query.result.drop()

    def _check_is_one_select(self, sql: str) -> None:
        with self._connection.cursor() as cursor:
            statements = cursor.extract_statements(sql)
        if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
            raise ApiError(400, "INVALID_ARGUMENT", "Only one SELECT statement can be run")


_FAST_TRIM = """
CREATE MACRO trim(x) AS ltrim(rtrim(x)), (x, characters) AS
  CASE WHEN contains(characters, left(x, 1)) OR contains(characters, right(x, 1))
       THEN ltrim(rtrim(x, characters), characters) ELSE x END
"""
"""TRIM as DuckDB has it, in a tenth of the time: DuckDB's own builds the set of the characters anew for every row."""


def open_database(source: Source) -> duckdb.DuckDBPyConnection:
    """A database in memory with the tables of a source, closed to files afterwards.

    Data 360's SQL is Hyper's, which follows Postgres: text compares by its bytes, NULL is the greatest value,
    an integer divided by an integer is an integer. Times are in UTC.
    """
    connection = duckdb.connect(
        config={"default_null_order": "nulls_last_on_asc_first_on_desc", "integer_division": "true"}
    )
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("CREATE SCHEMA results")
    connection.execute(_FAST_TRIM)
    for table in source.tables:
        connection.execute(f'CREATE TABLE "{table.name}" AS {table.sql}')
    connection.execute("SET enable_external_access = false")
    return connection


def _bad_sql(wrong: duckdb.Error) -> ApiError:
    """The database's own words, led by the name that it does not know."""
    text = str(wrong)
    unknown = _UNKNOWN_NAME.search(text)
    if unknown and unknown["table"]:
        return ApiError(400, "INVALID_ARGUMENT", f'unknown table "{unknown["table"]}": {text}')
    if unknown and unknown["column"]:
        return ApiError(400, "INVALID_ARGUMENT", f'unknown column "{unknown["column"]}": {text}')
    return ApiError(400, "INVALID_ARGUMENT", text)
