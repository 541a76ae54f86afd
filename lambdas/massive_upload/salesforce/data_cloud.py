"""Data Cloud by the Connect API's `query-sql`: a query is submitted once, its frozen result read by pages."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from massive_upload.errors import LoadError, RequestRefused, SourceRejected, TargetRejected
from massive_upload.salesforce.answers import (
    Answer,
    as_integer,
    as_text,
    normalised_word,
    read_object,
    unexpected,
)
from massive_upload.salesforce.connection import Connection
from massive_upload.salesforce.error_bodies import parse_error_body
from massive_upload.salesforce.error_codes import NOT_FOUND_STATUSES, error_for
from massive_upload.salesforce.transport import TRANSFER_TIMEOUT, Response

QUERY_PATH = "/ssot/query-sql"
WORKLOAD_NAME = "massive-upload"

_CLIENT_ERRORS = range(400, 500)


class QueryExpired(LoadError):
    """The org no longer has a query's result (it keeps one for 24 hours), or never had: query again from the cursor.

    A signal to the caller and no end of anything, hence neither passing nor final.
    """


class QueryState(StrEnum):
    """How far a query is. ResultsProduced can be read already, but may not know its number of rows yet."""

    RUNNING = "Running"
    RESULTS_PRODUCED = "ResultsProduced"
    FINISHED = "Finished"

    @property
    def is_readable(self) -> bool:
        """Whether the query's result can be read."""
        return self is not QueryState.RUNNING


_STATES = {
    "running": QueryState.RUNNING,
    "unspecified": QueryState.RUNNING,
    "runningorunspecified": QueryState.RUNNING,
    "resultsproduced": QueryState.RESULTS_PRODUCED,
    "finished": QueryState.FINISHED,
}


_FAILED_STATES = ("failed", "error", "aborted", "cancelled", "canceled")
"""No documented states; a query that says so will never have a result."""


@dataclass(frozen=True)
class Parameter:
    """A value bound to `:name` in the SQL."""

    name: str
    type: str
    value: object = field(repr=False)


@dataclass(frozen=True)
class Column:
    """A column of a result, with Data Cloud's name of its type, and how many decimals that has if it says so."""

    name: str
    type: str
    scale: int | None = None


@dataclass(frozen=True)
class QueryStatus:
    """Where a query is; `row_count` is None while it runs, or where the answer lacks it."""

    query_id: str
    state: QueryState
    row_count: int | None


@dataclass(frozen=True)
class QueryPage:
    """Rows of a result.

    Attributes:
        status: the query's, where the answer tells it; it always does after `submit`.
        columns: empty where the answer has no schema; the rows are then in the order of the SELECT list.
        rows: JSON values in the order of the columns; fewer than asked is normal.
    """

    status: QueryStatus | None
    columns: tuple[Column, ...]
    rows: list[list[object]] = field(repr=False)


class DataCloud:
    """Calls of `query-sql` in one data space, on the core host with the core token."""

    def __init__(self, connection: Connection, *, dataspace: str = "default") -> None:
        self._connection = connection
        self._dataspace = dataspace

    def submit(self, sql: str, parameters: Sequence[Parameter] = (), *, row_limit: int) -> QueryPage:
        """Start a query and return what is ready: its status, and its first rows if it has finished.

        Args:
            sql: the statement, with identifiers in double quotes and values as `:name`.
            parameters: the values.
            row_limit: how many rows to return at once at most; the result itself is not cut.

        Raises:
            SourceRejected: the statement was refused; the message names the identifier at fault, if any.
        """
        asked = f"POST {QUERY_PATH}"
        response = self._connection.request(
            "POST",
            QUERY_PATH,
            params={"dataspace": self._dataspace, "workloadName": WORKLOAD_NAME},
            json={
                "sql": sql,
                "rowLimit": row_limit,
                "sqlParameters": [
                    {"name": parameter.name, "type": parameter.type, "value": parameter.value}
                    for parameter in parameters
                ],
            },
            expect=_CLIENT_ERRORS,
            timeout=TRANSFER_TIMEOUT,
        )
        if not response.is_success:
            raise _refusal(asked, response, sql)
        page = _page(asked, read_object(asked, response))
        if page.status is None:
            raise unexpected(asked, "the query has no id")
        return page

    def status(self, query_id: str) -> QueryStatus:
        """Where the query is.

        Raises:
            QueryExpired: the org does not know the query (any more), or the query failed after it was taken.
        """
        asked, answer = self._get(query_id)
        status = _status(asked, answer, query_id=query_id)
        if status is None:
            raise unexpected(asked, "the query has no status")
        return status

    def rows(self, query_id: str, *, offset: int, limit: int) -> QueryPage:
        """Up to `limit` rows of a finished query from `offset` on, below the query's row count.

        Raises:
            QueryExpired: the org does not know the query (any more).
        """
        asked, answer = self._get(query_id, "/rows", offset=str(offset), rowLimit=str(limit))
        return _page(asked, answer, query_id=query_id)

    def _get(self, query_id: str, suffix: str = "", **params: str) -> tuple[str, Answer]:
        path = _path(query_id) + suffix
        asked = f"GET {path}"
        response = self._connection.request(
            "GET",
            path,
            params={"dataspace": self._dataspace, **params},
            expect=_CLIENT_ERRORS,
            timeout=TRANSFER_TIMEOUT,
        )
        if response.is_success:
            return asked, read_object(asked, response)
        error = _refusal(asked, response)
        # The statement was taken when it was submitted: what is refused now is the query's end, not the statement.
        # Whoever says that it is not there is believed: a query may be sent again, unlike a job.
        is_lost = isinstance(error, SourceRejected) or response.status in NOT_FOUND_STATUSES
        raise _lost(asked, error.code) if is_lost else error


def _path(query_id: str) -> str:
    return f"{QUERY_PATH}/{quote(query_id, safe='')}"


def _lost(asked: str, code: str | None) -> QueryExpired:
    return QueryExpired(
        f"{asked} was answered with {code}: the query's result cannot be had.",
        next_step="The rows that are left are queried again from the cursor.",
        code=code,
    )


def _refusal(asked: str, response: Response, sql: str = "") -> LoadError:
    """What the table says, with SourceRejected for whatever is the request's fault."""
    error = error_for(asked, response)
    if not isinstance(error, (RequestRefused, TargetRejected)):
        return error
    named = identifier_at_fault(sql, parse_error_body(response).message)
    about = f", about {named!r}" if named else ""
    return SourceRejected(
        f"Data Cloud answered {asked} with {response.status} {error.code}{about}.",
        next_step="Check the source's object, columns (modified must be a time) and filter in the load's file, the "
        "data space, and that the app has the scope cdp_query_api.",
        code=error.code,
    )


_DEFINED = re.compile(r'"((?:[^"]|"")+)" AS \(')


def identifier_at_fault(sql: str, message: str) -> str | None:
    """The identifier of the statement that the server's message names first.

    Only what stands in the statement as an identifier is returned, so no record's value can get out by it. A load's
    filter may write one without quotes; that is one only where the message quotes it, as keywords look the same. A
    table that the statement defines itself (`"name" AS (`) is not at fault, and may be a word of the message.
    """
    without_texts = re.sub(r"'(?:[^']|'')*'", "''", sql)
    quoted = re.compile(r'"((?:[^"]|"")+)"')
    names = _unescaped(quoted.findall(without_texts)) - _unescaped(_DEFINED.findall(without_texts))
    patterns = {name: rf"(?<!\w){re.escape(name)}(?!\w)" for name in names}
    for name in re.findall(r"[^\W\d]\w*", quoted.sub("", without_texts)):
        patterns.setdefault(name, f'(?<="){name}(?=")')
    found = [
        (match.start(), -len(name), name)
        for name, pattern in patterns.items()
        if (match := re.search(pattern, message, re.IGNORECASE))
    ]
    return min(found)[2] if found else None


def _unescaped(names: list[str]) -> set[str]:
    return {name.replace('""', '"') for name in names}


def _page(asked: str, answer: Answer, *, query_id: str = "") -> QueryPage:
    columns = _columns(asked, answer.get("metadata"))
    return QueryPage(
        status=_status(asked, answer, query_id=query_id),
        columns=columns,
        rows=_rows(asked, answer.get("data"), columns),
    )


def _status(asked: str, answer: Answer, *, query_id: str) -> QueryStatus | None:
    """Read a status that is nested under `status` or spread over the answer; both forms are in use."""
    nested = answer.get("status")
    source: Answer = nested if isinstance(nested, dict) else answer
    word = source.get("completionStatus")
    found_id = as_text(source.get("queryId")) or query_id
    if word is None or not found_id:
        return None
    state = _STATES.get(normalised_word(word))
    if normalised_word(word) in _FAILED_STATES:
        raise _lost(asked, as_text(word))
    if state is None:
        raise unexpected(asked, "the query's state is not a documented one")
    row_count = as_integer(asked, "rowCount", source.get("rowCount"))
    return QueryStatus(query_id=found_id, state=state, row_count=row_count if state.is_readable else None)


def _columns(asked: str, metadata: object) -> tuple[Column, ...]:
    entries = metadata.get("columns") if isinstance(metadata, dict) else metadata
    if entries is None:
        return ()
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise unexpected(asked, "metadata is no list of columns")
    return tuple(
        Column(
            name=as_text(entry.get("name")),
            type=as_text(entry.get("type")),
            scale=as_integer(asked, "scale", entry.get("scale")),
        )
        for entry in entries
    )


def _rows(asked: str, data: object, columns: tuple[Column, ...]) -> list[list[object]]:
    if data is None:
        return []
    if not isinstance(data, list) or not set(map(type, data)) <= {list}:
        raise unexpected(asked, "data is no list of rows")
    if columns and not set(map(len, data)) <= {len(columns)}:
        raise unexpected(asked, "a row has another number of values than there are columns")
    return data
