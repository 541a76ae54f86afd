"""The plan's one statement: count the source and cut its keys, or whole parents, into buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from massive_upload.domain.documents import sha256_of
from massive_upload.domain.estimate import EXPOSED_RANGES, Parents, SharedParents
from massive_upload.domain.identity import Identity
from massive_upload.domain.incremental import moment_of
from massive_upload.domain.lanes import Bucket, SourceCount
from massive_upload.domain.load import Load
from massive_upload.domain.progress import LaneKind
from massive_upload.domain.source_sql import UNFIT_KEY_TYPES, ColumnType, Statement, plan_statement, type_column
from massive_upload.domain.staged_file import is_writable
from massive_upload.errors import SalesforceUnavailable, SourceRejected
from massive_upload.salesforce.data_cloud import Column, DataCloud, Parameter, QueryPage, QueryState, QueryStatus

_PAGE_ROWS = 2_000
_MOST_QUERIES = 6
"""Each may take hours, and is billed."""
_BOUND_TYPE = "Varchar"


@dataclass(frozen=True)
class CountedSource:
    """What the statement found.

    Attributes:
        count: of the rows that the run is about.
        column_types: Data Cloud's type of each mapped column.
        as_of: the newest time of modification in the source; None where no row tells.
        undated_rows: rows of the source of which nobody knows when they were modified.
        parents: how the rows are spread over their parents, where that was asked for.
    """

    count: SourceCount
    column_types: dict[str, ColumnType]
    as_of: datetime | None
    undated_rows: int
    parents: Parents | None = None


@dataclass(frozen=True)
class StillRunning:
    """The statement has not ended."""

    query_id: str


_QUESTION = {"source", "target", "fields", "duplicates", "lock_risk", "sample"}


def question_sha256(load: Load) -> str:
    """Digest of what decides which rows are counted, and how they are cut; numbers of lanes and pace do not matter."""
    asked = load.model_dump(mode="json", include=_QUESTION) | {"by_parent": load.lanes_by_parent}
    return sha256_of(asked)


def count_source(
    source: DataCloud,
    load: Load,
    *,
    identity: Identity,
    sample_rows: int | None,
    modified_after: datetime | None,
    query_id: str | None,
    with_parents: bool = False,
) -> CountedSource | StillRunning:
    """Ask for the count, or look after a query that asked for it before.

    ``with_parents`` asks for what an estimate tells of parents too, if the load names their column.

    Raises:
        QueryExpired: that query is gone.
        SourceRejected: the source has no such object or column, or the load's filter is not SQL.
    """
    first: QueryPage | None = None
    if query_id is None:
        statement = plan_statement(
            load,
            identity=identity,
            sample_rows=sample_rows,
            modified_after=modified_after,
            with_parents=with_parents and load.source.parent is not None,
        )
        first = source.submit(statement.sql, bound_parameters(statement), row_limit=_PAGE_ROWS)
        status = first.status
        if status is None:
            raise SalesforceUnavailable("The source's count was answered without a status.")
    else:
        status = source.status(query_id)
        if status.state is QueryState.FINISHED and status.row_count is None:
            raise uncounted(query_id)
    if not status.state.is_readable or status.row_count is None:
        return StillRunning(status.query_id)
    return _read(source, load, status, status.row_count, first)


def _read(source: DataCloud, load: Load, status: QueryStatus, row_count: int, first: QueryPage | None) -> CountedSource:
    rows = list(first.rows) if first is not None else []
    columns = first.columns if first is not None else ()
    while len(rows) < row_count or not columns:
        page = source.rows(status.query_id, offset=len(rows), limit=_PAGE_ROWS)
        if not page.rows:
            raise SalesforceUnavailable("The source's count has fewer rows than it promised.")
        columns = columns or page.columns
        rows.extend(page.rows)
    names = [column.name.casefold() for column in columns]
    records = [dict(zip(names, row, strict=True)) for row in rows]
    buckets = tuple(_bucket(record) for record in records if record["last"] is not None)
    totals = records[0]
    count = SourceCount(
        buckets=buckets,
        all_rows=_number(totals["all_rows"]),
        keyed_rows=_number(totals["keyed_rows"]),
        distinct_keys=_number(totals["distinct_keys"]),
        distinct_parents=_number(totals["distinct_parents"]),
    )
    if not count.adds_up:
        raise SourceRejected(
            f"The count of {load.source.object} contradicts itself: {count.loadable_rows} rows are in buckets, of "
            f"{count.keyed_rows} with a key.",
            next_step="Say partitioning: {by: key}, and report the statement of the plan.",
        )
    if not all(is_writable(bucket.last) for bucket in buckets):
        raise SourceRejected(
            f"A key or parent of {load.source.object} at which a lane may end holds half of a surrogate pair, "
            "which UTF-8 cannot hold.",
            next_step="Mend that text in the source, or leave its row out by source.where.",
        )
    column_types = _column_types(load, columns)
    key_type = column_types[load.source.key].name
    if key_type.casefold() in UNFIT_KEY_TYPES:
        raise SourceRejected(
            f"The key {load.source.key} of {load.source.object} is of type {key_type}.",
            next_step="Give a key of text or of whole numbers.",
        )
    return CountedSource(
        count,
        column_types=column_types,
        as_of=_as_of(load, totals),
        undated_rows=_number(totals["undated_rows"]),
        parents=_parents(totals) if "exposed_parents" in totals else None,
    )


def _column_types(load: Load, columns: Sequence[Column]) -> dict[str, ColumnType]:
    told = {column.name.casefold(): ColumnType(name=column.type, scale=column.scale) for column in columns}
    return {column: told[type_column(place)] for place, column in enumerate(load.fields)}


def _parents(totals: Mapping[str, object]) -> Parents:
    return Parents(
        parents=_number(totals["exposed_parents"]),
        rows=_number(totals["exposed_rows"]),
        most_rows=_number(totals["heaviest_rows"]),
        heavy_rows=_number(totals["heavy_rows"]),
        shared=tuple(
            SharedParents(
                ranges=ranges,
                parents=_number(totals[f"shared_parents_{ranges}"]),
                rows=_number(totals[f"shared_rows_{ranges}"]),
            )
            for ranges in EXPOSED_RANGES
        ),
    )


def _as_of(load: Load, totals: Mapping[str, object]) -> datetime | None:
    try:
        return moment_of(totals["as_of"])
    except ValueError as error:
        raise SourceRejected(
            f"The column {load.source.modified} of {load.source.object} holds neither dates nor times.",
            next_step="Give a column of type Date, Timestamp or TimestampTZ as source.modified, or none.",
        ) from error


def _bucket(record: Mapping[str, object]) -> Bucket:
    return Bucket(
        kind=LaneKind(str(record["kind"])),
        last=str(record["last"]),
        rows=_number(record["bucket_rows"]),
        parents=_number(record["parents"]),
    )


def bound_parameters(statement: Statement) -> list[Parameter]:
    """A statement's values as the request binds them, all of them texts."""
    return [Parameter(name=name, type=_BOUND_TYPE, value=value) for name, value in statement.values.items()]


def check_may_ask_again(query: str, *, queries: int, next_step: str) -> None:
    """Let a query be asked anew whose result is gone, unless it was asked too often.

    Args:
        query: what it is for, as an error begins.
        queries: how many of them were taken, and failed after that.
        next_step: what to do about it.

    Raises:
        SourceRejected: no other one is worth its price.
    """
    if queries >= _MOST_QUERIES:
        raise SourceRejected(f"{query} has failed {queries} times after it was taken.", next_step=next_step)


def uncounted(query_id: str) -> SourceRejected:
    """A query that has finished must tell its number of rows, or nobody could prove that all of them were read."""
    return SourceRejected(
        f"Query {query_id} has finished, but the org does not tell how many rows it has.",
        next_step="Compare the org's API version with the one that massive-upload was made for.",
    )


def _number(value: object) -> int:
    """Counts may come as numbers or, as wide numbers do, as text."""
    return int(Decimal(str(value)))
