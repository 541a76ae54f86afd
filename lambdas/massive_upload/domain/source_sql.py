"""The SQL that is sent to Data Cloud.

Only what Data Cloud's dialect (Hyper, close to PostgreSQL) is known to have: quoted identifiers, CAST, window
functions, named parameters. Keys are compared and ordered by the server alone, so its collation never matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from massive_upload.domain.estimate import EXPOSED_RANGES
from massive_upload.domain.identity import ID_CHARACTERS, Identity
from massive_upload.domain.load import FieldMapping, FieldType, Load
from massive_upload.domain.progress import LaneKind
from massive_upload.domain.stored_text import BLANKS
from massive_upload.domain.values import CLEAR

BUCKETS = 1_000
"""The source is counted in about as many even buckets, which are then put together to lanes: one statement serves any
number of lanes, so edges, counts and totals come from the same moment."""

UPTO = "upto"
AFTER = "after_key"
AFTER_PARENT = "after_parent"
MODIFIED_AFTER = "modified_after"
PARENT_COLUMN = "massive_upload_parent"
_RANK = "massive_upload_rank"

_WHOLE_TYPES = ("bigint", "integer", "smallint")
_DECIMAL_TYPES = ("numeric", "decimal")
_NUMBER_SCALE = 18
"""Decimals of a Number of Data Cloud, which is NUMERIC(38, 18) (forcedotcom/datacloud-jdbc, hyper_service.proto)."""

UNFIT_KEY_TYPES = ("bool", "double", "float", "date", "time", "timestamp", "timestamptz")
"""Types that are no keys: text and back does not give the same value, or the server's text of it is not settled."""

_BLANKS = "E'" + "".join(f"\\x{ord(blank):02x}" for blank in BLANKS if blank != "\0") + "'"
"""A literal of what Salesforce trims. Without NUL, which no text of Data Cloud can hold."""

_READ_AS_TEXT = (FieldType.TEXT, FieldType.NUMBER)
"""Read as text by the server: a JSON number loses digits beyond the 17th."""


@dataclass(frozen=True, kw_only=True)
class ColumnType:
    """The type of a column in Data Cloud.

    Attributes:
        name: as the query's metadata has it.
        scale: how many decimals a number has; None where that is not told.
    """

    name: str
    scale: int | None = None

    @property
    def is_decimal(self) -> bool:
        """Whether it is a number with a fixed count of decimals."""
        return self.name.casefold() in _DECIMAL_TYPES

    @property
    def decimals(self) -> int:
        """How many decimals such a number has; where that is not told, as many as a Number."""
        return _NUMBER_SCALE if self.scale is None else self.scale

    @property
    def bound_type(self) -> str | None:
        """What a key that travels as text is cast to, as text and numbers are ordered differently; None for text."""
        if self.is_decimal:
            return f"NUMERIC(38, {self.decimals})"
        return "BIGINT" if self.name.casefold() in _WHOLE_TYPES else None


def quoted(identifier: str) -> str:
    """An identifier in quotes, which keeps its case. `load.Name` allows no quote inside."""
    return f'"{identifier}"'


def plan_statement(
    load: Load,
    *,
    identity: Identity,
    sample_rows: int | None = None,
    modified_after: datetime | None = None,
    with_parents: bool = False,
) -> Statement:
    """The statement that counts the source and cuts it into buckets: even ones of keys, or of whole parents.

    Columns of each row: kind, last (the bucket's last key or parent, as text), bucket_rows, parents (as `lanes.Bucket`
    has them; all NULL where nothing can be loaded), all_rows, keyed_rows, distinct_keys, distinct_parents, and
    `type_column` for each mapped column. ``all_rows - keyed_rows`` rows have no key, NULL or blank, and ``keyed_rows -
    distinct_keys`` are duplicates. as_of and undated_rows are of all rows, whichever of them are to be loaded: the
    newest time of modification up to the server's clock, and how many rows have none. ``with_parents`` adds how the
    rows are spread over their parents: exposed_parents, exposed_rows, heaviest_rows, heavy_rows, and shared_parents_N
    and shared_rows_N for each N of EXPOSED_RANGES; the load names a parent column then.
    Every mapped column is named, so that one which does not exist is found before anything is written.
    """
    key = quoted(load.source.key)
    same_key = _same_key(key, identity)
    choice = _Choice(identity, sample_rows, is_window=modified_after is not None)
    columns = _columns(load, with_parent=with_parents or load.lanes_by_parent)
    source = _rows_in_account(load, columns, choice)
    kept = _kept_rows(load, columns, choice)
    if load.lanes_by_parent:
        parent = _parent(load, identity)
        distinct_parents = f"(SELECT COUNT(DISTINCT {parent}) FROM \"loadable\" WHERE {parent} <> '')"
        buckets = [*_parent_buckets(load, parent), *_key_buckets(load, LaneKind.NO_PARENT, _without_parent(parent))]
        kinds = [LaneKind.PARENT, LaneKind.NO_PARENT]
    else:
        distinct_parents = "0"
        buckets = _key_buckets(load, LaneKind.KEY, "1 = 1")
        kinds = [LaneKind.KEY]
    exposed_columns, exposed_tables = _exposure(load, _parent(load, identity)) if with_parents else ("", [])
    every_bucket = " UNION ALL ".join(f'SELECT * FROM "{kind}_buckets"' for kind in kinds)
    ctes = ",\n".join(buckets)
    types = [type_column(place) for place in range(len(load.fields))]
    typed = ", ".join(f'{quoted(column)} AS "{name}"' for column, name in zip(load.fields, types, strict=True))
    if choice.is_part and _keeps_newest(load):  # the newest row of a key may be outside of that part
        distinct_keys = f'COUNT(CASE WHEN {_has_key(key)} AND "{_RANK}" = 1 THEN 1 END)'
    else:
        distinct_keys = f"COUNT(DISTINCT CASE WHEN {_has_key(key)} THEN {same_key} END)"
    if choice.is_window and not _keeps_newest(load):
        distinct_keys = f"{distinct_keys} - ({_rows_outside_window(load, same_key)})"
    sql = f"""
WITH "source" AS ({source}),
"totals" AS (
  SELECT COUNT(*) AS "all_rows",
         COUNT(CASE WHEN {_has_key(key)} THEN 1 END) AS "keyed_rows",
         {distinct_keys} AS "distinct_keys"
  FROM "source"
),
"moments" AS ({_moments(load, sample_rows)}),
"loadable" AS (SELECT * FROM ({kept}) AS "kept" WHERE {_has_key(key)}),
{ctes},
"buckets" AS ({every_bucket}){"".join(f", {table}" for table in exposed_tables)}
SELECT "kind", "last", "bucket_rows", "parents",
       "all_rows", "keyed_rows", "distinct_keys", {distinct_parents} AS "distinct_parents",
       "as_of", "undated_rows"{exposed_columns}{"".join(f', "{name}"' for name in types)}
FROM "totals" CROSS JOIN "moments"{' CROSS JOIN "exposure"' if with_parents else ""} LEFT JOIN "buckets" ON 1 = 1
LEFT JOIN (SELECT {typed} FROM {quoted(load.source.object)} WHERE 1 = 0) AS "types" ON 1 = 1
ORDER BY "kind", "bucket", "is_heavy"
"""
    return Statement(sql, _window_values(modified_after))


def type_column(place: int) -> str:
    """The plan's column that is always NULL and of the type of the mapped column at this place."""
    return f"type_of_{place}"


def _key_buckets(load: Load, kind: LaneKind, condition: str) -> list[str]:
    """Even buckets of keys, in order."""
    key = quoted(load.source.key)
    return [
        f'''"{kind}_numbered" AS (
  SELECT {key}, NTILE({_buckets(load)}) OVER (ORDER BY {key}) AS "bucket" FROM "loadable" WHERE {condition}
)''',
        f'''"{kind}_buckets" AS (
  SELECT '{kind}' AS "kind", CAST("bucket" AS BIGINT) AS "bucket", 0 AS "is_heavy",
         CAST(MAX({key}) AS VARCHAR) AS "last", COUNT(*) AS "bucket_rows", 0 AS "parents"
  FROM "{kind}_numbered" GROUP BY "bucket"
)''',
    ]  # fmt: skip


def _parent_buckets(load: Load, parent: str) -> list[str]:
    """Buckets of whole parents, in order, of about even weight.

    A parent is in the bucket in which its first row falls, if rows are numbered parent by parent. One that is as heavy
    as a bucket is alone: those before it in its bucket are lighter, and those behind it begin a later bucket. MOD keeps
    the division exact where a database does not divide whole numbers as such.
    """
    kind = LaneKind.PARENT
    return [
        f'''"parent_rows" AS (
  SELECT {parent} AS "parent", COUNT(*) AS "rows" FROM "loadable" WHERE {parent} <> '' GROUP BY {parent}
)''',
        f'''"parent_numbered" AS (
  SELECT "parent", "rows", CAST(SUM("rows") OVER () AS BIGINT) AS "total",
         {_buckets(load)} * CAST(
           SUM("rows") OVER (ORDER BY "parent" ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - "rows" AS BIGINT
         ) AS "before"
  FROM "parent_rows"
)''',
        f'''"parent_placed" AS (
  SELECT "parent", "rows", CAST(("before" - MOD("before", "total")) / "total" AS BIGINT) AS "bucket",
         CASE WHEN "rows" * {_buckets(load)} >= "total" THEN 1 ELSE 0 END AS "is_heavy"
  FROM "parent_numbered"
)''',
        f'''"{kind}_buckets" AS (
  SELECT '{kind}' AS "kind", "bucket", "is_heavy", MAX("parent") AS "last",
         CAST(SUM("rows") AS BIGINT) AS "bucket_rows", COUNT(*) AS "parents"
  FROM "parent_placed" GROUP BY "bucket", "is_heavy"
)''',
    ]  # fmt: skip


def _exposure(load: Load, parent: str) -> tuple[str, list[str]]:
    """Columns and tables that tell how the rows are spread over their parents, and what even key ranges would share."""
    key = quoted(load.source.key)
    tiles = ", ".join(f'NTILE({ranges}) OVER (ORDER BY {key}) AS "range_{ranges}"' for ranges in EXPOSED_RANGES)
    are_shared = ", ".join(
        f'CASE WHEN MIN("range_{ranges}") < MAX("range_{ranges}") THEN 1 ELSE 0 END AS "is_shared_{ranges}"'
        for ranges in EXPOSED_RANGES
    )
    sums = {
        "exposed_rows": 'SUM("rows")',
        "heaviest_rows": 'MAX("rows")',
        "heavy_rows": 'SUM(CASE WHEN "hundredth" = 1 THEN "rows" ELSE 0 END)',
    }
    for ranges in EXPOSED_RANGES:
        sums[f"shared_parents_{ranges}"] = f'SUM("is_shared_{ranges}")'
        sums[f"shared_rows_{ranges}"] = f'SUM("is_shared_{ranges}" * "rows")'
    selected = ", ".join(f'CAST(COALESCE({sql}, 0) AS BIGINT) AS "{name}"' for name, sql in sums.items())
    tables = [
        f'"exposed" AS (SELECT {parent} AS "parent", {tiles} FROM "loadable")',
        f""""exposed_parents" AS (
  SELECT *, NTILE(100) OVER (ORDER BY "rows" DESC) AS "hundredth" FROM (
    SELECT "parent", COUNT(*) AS "rows", {are_shared} FROM "exposed" WHERE "parent" <> '' GROUP BY "parent"
  ) AS "each"
)""",
        f'"exposure" AS (SELECT COUNT(*) AS "exposed_parents", {selected} FROM "exposed_parents")',
    ]
    return "".join(f', "{name}"' for name in ("exposed_parents", *sums)), tables


@dataclass(frozen=True)
class Statement:
    """SQL with `:name` for values, and the values, which are all texts."""

    sql: str
    values: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A lane's range and how far it has been read, as `progress.Partition` has them."""

    kind: LaneKind
    after: str | None
    upto: str
    cursor: str | None = None
    cursor_parent: str | None = None


def page_statement(
    load: Load,
    reading: Reading,
    *,
    identity: Identity,
    sample_rows: int | None,
    column_types: Mapping[str, ColumnType],
    modified_after: datetime | None = None,
) -> Statement:
    """The statement of one lane: every mapped column, in the mapping's order, of the rows in a range that are left.

    Rows come in the order of their keys; of a range of parents, parent by parent, with the parent as one more column at
    the end. Columns are named with their table, as the same name alone would mean its text in the ORDER BY. With
    ``modified_after``, only rows that were modified after that moment, or nobody knows when.
    """
    key = f'"kept".{quoted(load.source.key)}'
    choice = _Choice(identity, sample_rows, is_window=modified_after is not None)
    kept = _kept_rows(load, _columns(load, with_parent=load.lanes_by_parent), choice)
    key_type = column_types[load.source.key]
    selected = [_selected(column, mapping, column_types[column]) for column, mapping in load.fields.items()]
    if reading.kind is LaneKind.PARENT:
        parent = _parent(load, identity, table="kept")
        selected.append(f'{parent} AS "{PARENT_COLUMN}"')
        conditions, values = _parents_left(reading, parent, key, key_type)
        order = f"{parent}, {key}"
    else:
        conditions, values = _keys_left(reading, key, key_type)
        order = key
        if reading.kind is LaneKind.NO_PARENT:
            conditions.append(_without_parent(_parent(load, identity, table="kept")))
    where = " AND ".join([*conditions, _has_key(key)])
    sql = f'SELECT {", ".join(selected)} FROM ({kept}) AS "kept" WHERE {where} ORDER BY {order}'
    return Statement(sql, {**values, **_window_values(modified_after)})


def _keys_left(reading: Reading, key: str, key_type: ColumnType) -> tuple[list[str], dict[str, str]]:
    after = reading.cursor if reading.cursor is not None else reading.after
    conditions, values = [f"{key} <= {_bound(UPTO, key_type)}"], {UPTO: reading.upto}
    if after is not None:
        conditions.append(f"{key} > {_bound(AFTER, key_type)}")
        values[AFTER] = after
    return conditions, values


def _parents_left(reading: Reading, parent: str, key: str, key_type: ColumnType) -> tuple[list[str], dict[str, str]]:
    conditions, values = [f"{parent} <= :{UPTO}", f"{parent} <> ''"], {UPTO: reading.upto}
    if reading.cursor is not None and reading.cursor_parent is not None:
        behind_key = f"{key} > {_bound(AFTER, key_type)}"
        conditions.append(f"({parent} > :{AFTER_PARENT} OR ({parent} = :{AFTER_PARENT} AND {behind_key}))")
        values |= {AFTER_PARENT: reading.cursor_parent, AFTER: reading.cursor}
    elif reading.after is not None:
        conditions.append(f"{parent} > :{AFTER_PARENT}")
        values[AFTER_PARENT] = reading.after
    return conditions, values


def _bound(parameter: str, key_type: ColumnType) -> str:
    """A bound key in the key's own type."""
    sql_type = key_type.bound_type
    return f":{parameter}" if sql_type is None else f"CAST(:{parameter} AS {sql_type})"


def _selected(column: str, mapping: FieldMapping, column_type: ColumnType) -> str:
    """A column as it is to be read; a NULL that clears its field is written as such by the server already.

    The text of a Number has all its decimals: 105 is 105.000000000000000000, a key that the target would not find. They
    are left out where there are as many as a Number has, which nobody chose; another count is the source's own.
    """
    if mapping.type not in _READ_AS_TEXT:
        return quoted(column)
    text = f"CAST({quoted(column)} AS VARCHAR)"
    if column_type.is_decimal and column_type.decimals == _NUMBER_SCALE:
        shortest = f"TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {text}))"
        text = f"CASE WHEN {text} LIKE '%.%' THEN {shortest} ELSE {text} END"
    if mapping.null == "clear":
        text = f"COALESCE({text}, '{CLEAR}')"
    return f"{text} AS {quoted(column)}"


@dataclass(frozen=True)
class _Choice:
    """Which of the source's rows a run is about.

    Attributes:
        identity: which keys are the same.
        sample_rows: only so many, the first ones by key.
        is_window: only those of an incremental run's window.
    """

    identity: Identity
    sample_rows: int | None
    is_window: bool

    @property
    def is_part(self) -> bool:
        """Whether there are rows that the run is not about."""
        return self.is_window or self.sample_rows is not None


def _rows(load: Load, columns: list[str]) -> str:
    """Every row that the load's filter lets through."""
    where = f" WHERE (\n{load.source.where}\n)" if load.source.where else ""
    selected = ", ".join(quoted(column) for column in columns)
    return f"SELECT {selected} FROM {quoted(load.source.object)}{where}"


def _rows_in_account(load: Load, columns: list[str], choice: _Choice) -> str:
    """The rows that a run accounts for; with their rank where a part of the source has to tell which are newest."""
    if not choice.is_part:
        return _rows(load, columns)
    if _keeps_newest(load):
        return f'SELECT * FROM ({_ranked_rows(load, columns, choice.identity)}) AS "ranked"{_part(load, choice)}'
    needed = _with_modified(load, columns) if choice.is_window else columns
    return f'SELECT * FROM ({_rows(load, needed)}) AS "source_rows"{_part(load, choice)}'


def _part(load: Load, choice: _Choice) -> str:
    """What leaves the rows of a window, or of a sample, of which every statement takes the same ones.

    Else the plan of a sample and its lanes might each end it with another row of its last key, in another lane.
    """
    if choice.sample_rows is None:
        return f" WHERE {_is_in_window(load)}"
    order = [quoted(load.source.key)]
    if _keeps_newest(load):
        order.append(f'"{_RANK}"')
    elif load.lanes_by_parent:
        order.append(quoted(load.source.parent or ""))
    return f" WHERE {_has_key(order[0])} ORDER BY {', '.join(order)} LIMIT {choice.sample_rows}"


def _kept_rows(load: Load, columns: list[str], choice: _Choice) -> str:
    """The rows to load: all of them, or the newest of each key.

    Which row is the newest does not depend on the window or the sample: else one without a time of modification, which
    is in every window, or one whose key is spelt otherwise than the newest one's, would come back over a newer one.
    """
    if not _keeps_newest(load):
        return _rows_in_account(load, columns, choice)
    selected = ", ".join(quoted(column) for column in columns)
    rows = _rows_in_account(load, columns, choice) if choice.is_part else _ranked_rows(load, columns, choice.identity)
    return f'SELECT {selected} FROM ({rows}) AS "ranked" WHERE "{_RANK}" = 1'


def _ranked_rows(load: Load, columns: list[str], identity: Identity) -> str:
    """Every row with its rank among those of its key, the newest first.

    Of rows that are equally new and have several parents the same one is first in every statement: else the plan and
    the lanes, which ask by themselves, might each take another, and a row would be in two lanes or in none.
    """
    key, modified = quoted(load.source.key), quoted(load.source.modified or "")
    needed = _with_modified(load, columns)
    same_key = _same_key(key, identity)
    ranked = ", ".join(quoted(column) for column in needed)
    order = f"{modified} DESC NULLS LAST, {key} DESC"
    if load.lanes_by_parent:
        order += f", {quoted(load.source.parent or '')} DESC NULLS LAST"
    return (
        f"SELECT {ranked}, ROW_NUMBER() OVER (PARTITION BY {same_key}"
        f' ORDER BY {order}) AS "{_RANK}" FROM ({_rows(load, needed)}) AS "source_rows"'
    )


def _with_modified(load: Load, columns: list[str]) -> list[str]:
    return list(dict.fromkeys([*columns, load.source.modified or ""]))


def _keeps_newest(load: Load) -> bool:
    return load.duplicates == "keep_newest" and load.source.modified is not None


def _is_in_window(load: Load) -> str:
    """Whether an incremental run reads a row. One of which nobody knows when it was modified is always read.

    There is no upper bound: a row that is modified between the plan and the reading is read as it is then, and once
    more by the next run. With a bound at the plan's moment a row that changes all the time would never be loaded.
    """
    modified = quoted(load.source.modified or "")
    return f"({modified} > CAST(:{MODIFIED_AFTER} AS TIMESTAMP WITH TIME ZONE) OR {modified} IS NULL)"


def _rows_outside_window(load: Load, same_key: str) -> str:
    """How many rows outside of the window, which is `source`, have the key of a row inside: each is a duplicate."""
    key = quoted(load.source.key)
    needed = _with_modified(load, [load.source.key])
    return (
        f'SELECT COUNT(*) FROM ({_rows(load, needed)}) AS "every_row" WHERE NOT {_is_in_window(load)}'
        f' AND {_has_key(key)} AND {same_key} IN (SELECT {same_key} FROM "source")'
    )


def _window_values(modified_after: datetime | None) -> dict[str, str]:
    if modified_after is None:
        return {}
    return {MODIFIED_AFTER: modified_after.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds")}


def _moments(load: Load, sample_rows: int | None) -> str:
    """Up to when the source is known, and the rows of which nobody knows when they were modified.

    The newest time of modification and not the clock, as Data Cloud may be hours behind the systems that it reads; but
    no time ahead of the clock, or one row dated in the future would hide all that is modified before then.
    """
    if load.source.modified is None or sample_rows is not None:
        return 'SELECT CAST(NULL AS TIMESTAMP WITH TIME ZONE) AS "as_of", 0 AS "undated_rows"'
    modified = quoted(load.source.modified)
    rows = f'({_rows(load, [load.source.modified])}) AS "source_rows"'
    return (
        # Within a CASE, Hyper fails to compare a time without a zone where others are NULL ("timestamp out of range").
        f'SELECT (SELECT MAX({modified}) FROM {rows} WHERE {modified} <= CURRENT_TIMESTAMP) AS "as_of",'
        f' (SELECT COUNT(*) FROM {rows} WHERE {modified} IS NULL) AS "undated_rows"'
    )


def _columns(load: Load, *, with_parent: bool) -> list[str]:
    """Every column that a statement needs of a row."""
    parents = [load.source.parent] if with_parent and load.source.parent is not None else []
    return list(dict.fromkeys([load.source.key, *parents, *load.fields]))


def _buckets(load: Load) -> int:
    """How many buckets there are to be. Lanes of keys are even as they are; those of parents are put together."""
    return BUCKETS if load.lanes_by_parent else load.partitioning.count or BUCKETS


def _parent(load: Load, identity: Identity, *, table: str | None = None) -> str:
    """A row's parent as the target tells parents apart, which trims external ids and by default ignores case.

    Where the target does mind the case, as for ids, parents that differ by it alone are merely kept together.
    """
    column = quoted(load.source.parent or "")
    parent = f"LOWER({_stored(f'{quoted(table)}.{column}' if table else column)})"
    return f"SUBSTRING({parent} FROM 1 FOR {ID_CHARACTERS})" if identity.parent_is_id else parent


def _without_parent(parent: str) -> str:
    return f"COALESCE({parent}, '') = ''"


def _has_key(key: str) -> str:
    """Whether a row can be upserted: Salesforce takes a blank text for none."""
    return f"{_stored(key)} <> ''"


def _same_key(key: str, identity: Identity) -> str:
    """What makes two keys the same at the target, which trims text and by default ignores case."""
    return _stored(key) if identity.case_sensitive_key else f"LOWER({_stored(key)})"


def repeated_keys_sql(load: Load, identity: Identity) -> str:
    """A statement for a person, which lists keys that the whole object holds more than once, most often first.

    Control characters around a key, which the target trims too, are not: nobody could read or type such a statement.
    """
    key = f"TRIM(CAST({quoted(load.source.key)} AS VARCHAR))"
    same_key = key if identity.case_sensitive_key else f"LOWER({key})"
    return (
        f"SELECT {same_key}, COUNT(*) FROM {quoted(load.source.object)} WHERE {key} <> '' "
        "GROUP BY 1 HAVING COUNT(*) > 1 ORDER BY 2 DESC LIMIT 100"
    )


def _stored(column: str) -> str:
    """A value's text as Salesforce stores it: what `stored_text.stored` is to Python. TRIM alone cuts blanks only."""
    return f"TRIM(BOTH {_BLANKS} FROM CAST({column} AS VARCHAR))"
