"""The SQL that is sent to Data Cloud.

Only what Data Cloud's dialect (Hyper, close to PostgreSQL) is known to have: quoted identifiers, CAST, window
functions, named parameters. Keys are compared and ordered by the server alone, so its collation never matters.
"""

from massive_upload.domain.load import FieldType, Load

BUCKETS = 1_000
"""Keys are counted in this many even buckets, which are then put together to lanes: one statement serves any number
of lanes, so edges, counts and totals come from the same moment."""

AFTER = "after_key"
UPTO = "upto_key"

_CASTS = {
    "bigint": "BIGINT",
    "integer": "BIGINT",
    "smallint": "BIGINT",
    "numeric": "NUMERIC(38, 18)",
    "decimal": "NUMERIC(38, 18)",
}
"""What a bound key is cast to, by the key's type in Data Cloud: text and numbers are ordered differently."""

UNFIT_KEY_TYPES = ("bool", "double", "float", "date", "time", "timestamp", "timestamptz")
"""Types that are no keys: text and back does not give the same value, or the server's text of it is not settled."""

_READ_AS_TEXT = (FieldType.TEXT, FieldType.NUMBER)
"""Read as text by the server: a JSON number loses digits beyond the 17th."""


def quoted(identifier: str) -> str:
    """An identifier in quotes, which keeps its case. `load.Name` allows no quote inside."""
    return f'"{identifier}"'


def plan_statement(load: Load, *, case_sensitive_key: bool, sample_rows: int | None = None) -> str:
    """The statement that counts the source and cuts its keys into even buckets, in order.

    Columns of each row: first_key (for its type), last_key as text, bucket_rows (all NULL where nothing can be loaded),
    all_rows, keyed_rows, distinct_keys. ``all_rows - keyed_rows`` rows have no key, NULL or blank, and
    ``keyed_rows - distinct_keys`` are duplicates.
    Every mapped column is named, so that one which does not exist is found before anything is written.
    """
    key = quoted(load.source.key)
    identity = _identity(key, case_sensitive_key=case_sensitive_key)
    buckets = load.partitioning.count or BUCKETS
    source = _rows(load, list(dict.fromkeys([load.source.key, *load.fields])), sample_rows=sample_rows)
    kept = _kept_rows(load, [load.source.key], case_sensitive_key=case_sensitive_key, sample_rows=sample_rows)
    return f"""
WITH "source" AS ({source}),
"totals" AS (
  SELECT COUNT(*) AS "all_rows",
         COUNT(CASE WHEN {_has_key(key)} THEN 1 END) AS "keyed_rows",
         COUNT(DISTINCT CASE WHEN {_has_key(key)} THEN {identity} END) AS "distinct_keys"
  FROM "source"
),
"numbered" AS (
  SELECT {key}, NTILE({buckets}) OVER (ORDER BY {key}) AS "bucket"
  FROM ({kept}) AS "kept" WHERE {_has_key(key)}
),
"buckets" AS (
  SELECT "bucket", MIN({key}) AS "first_key", CAST(MAX({key}) AS VARCHAR) AS "last_key", COUNT(*) AS "bucket_rows"
  FROM "numbered" GROUP BY "bucket"
)
SELECT "buckets"."first_key", "buckets"."last_key", "buckets"."bucket_rows",
       "totals"."all_rows", "totals"."keyed_rows", "totals"."distinct_keys"
FROM "totals" LEFT JOIN "buckets" ON 1 = 1
ORDER BY "buckets"."bucket"
"""  # noqa: S608 - identifiers are validated names


def page_statement(
    load: Load,
    *,
    case_sensitive_key: bool,
    sample_rows: int | None,
    key_type: str,
    has_lower_bound: bool,
) -> str:
    """The statement of one lane: every mapped column, in the mapping's order, of the keys in a range, in key order.

    Bound parameters, as text: `UPTO`, and `AFTER` where there is a lower bound. The key is named with its table, as the
    same name alone would mean its text in the ORDER BY.
    """
    key = quoted(load.source.key)
    columns = list(dict.fromkeys([load.source.key, *load.fields]))
    kept = _kept_rows(load, columns, case_sensitive_key=case_sensitive_key, sample_rows=sample_rows)
    selected = ", ".join(_selected(column, mapping.type) for column, mapping in load.fields.items())
    kept_key = f'"kept".{key}'
    lower = f"{kept_key} > {_bound(AFTER, key_type)} AND " if has_lower_bound else ""
    upper = f"{kept_key} <= {_bound(UPTO, key_type)}"
    conditions = f"{lower}{upper} AND {_has_key(kept_key)}"
    return f'SELECT {selected} FROM ({kept}) AS "kept" WHERE {conditions} ORDER BY {kept_key}'  # noqa: S608 - see `quoted`


def _bound(parameter: str, key_type: str) -> str:
    """A bound key, which travels as text, in the key's own type."""
    sql_type = _CASTS.get(key_type.casefold())
    return f":{parameter}" if sql_type is None else f"CAST(:{parameter} AS {sql_type})"


def _selected(column: str, kind: FieldType) -> str:
    if kind in _READ_AS_TEXT:
        return f"CAST({quoted(column)} AS VARCHAR) AS {quoted(column)}"
    return quoted(column)


def _rows(load: Load, columns: list[str], *, sample_rows: int | None) -> str:
    """Every row that the load's filter lets through; of a sample, its first rows by key."""
    key = quoted(load.source.key)
    conditions = [f"(\n{load.source.where}\n)"] if load.source.where else []
    if sample_rows is not None:
        conditions.append(_has_key(key))
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    limit = f" ORDER BY {key} LIMIT {sample_rows}" if sample_rows is not None else ""
    selected = ", ".join(quoted(column) for column in columns)
    return f"SELECT {selected} FROM {quoted(load.source.object)}{where}{limit}"  # noqa: S608 - identifiers are validated names


def _kept_rows(load: Load, columns: list[str], *, case_sensitive_key: bool, sample_rows: int | None) -> str:
    """The rows to load: all of them, or the newest of each key."""
    if load.duplicates == "stop" or load.source.modified is None:
        return _rows(load, columns, sample_rows=sample_rows)
    key = quoted(load.source.key)
    modified = quoted(load.source.modified)
    needed = list(dict.fromkeys([*columns, load.source.modified]))
    rows = _rows(load, needed, sample_rows=sample_rows)
    identity = _identity(key, case_sensitive_key=case_sensitive_key)
    selected = ", ".join(quoted(column) for column in columns)
    ranked = ", ".join(quoted(column) for column in needed)
    return (
        f"SELECT {selected} FROM (SELECT {ranked}, ROW_NUMBER() OVER (PARTITION BY {identity}"  # noqa: S608
        f' ORDER BY {modified} DESC NULLS LAST, {key} DESC) AS "massive_upload_rank" FROM ({rows}) AS "source_rows")'
        f' AS "ranked" WHERE "massive_upload_rank" = 1'
    )


def _has_key(key: str) -> str:
    """Whether a row can be upserted: Salesforce takes a blank text for none."""
    return f"TRIM(CAST({key} AS VARCHAR)) <> ''"


def _identity(key: str, *, case_sensitive_key: bool) -> str:
    """What makes two keys the same at the target, which trims text and by default ignores case."""
    trimmed = f"TRIM(CAST({key} AS VARCHAR))"
    return trimmed if case_sensitive_key else f"LOWER({trimmed})"
