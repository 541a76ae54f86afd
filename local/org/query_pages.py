"""Frozen results as DuckDB tables, and their rows as JSON."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

_TYPE_NAMES: Mapping[str, str] = {
    "VARCHAR": "Varchar",
    "BOOLEAN": "Bool",
    "BIGINT": "BigInt",
    "UINTEGER": "BigInt",
    "INTEGER": "Integer",
    "USMALLINT": "Integer",
    "SMALLINT": "SmallInt",
    "TINYINT": "SmallInt",
    "UTINYINT": "SmallInt",
    "DOUBLE": "Double",
    "FLOAT": "Float",
    "DATE": "Date",
    "TIME": "Time",
    "TIMESTAMP": "Timestamp",
    "TIMESTAMP WITH TIME ZONE": "TimestampTZ",
}
"""DuckDB's types -> those of query-sql's metadata."""

_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


@dataclass(frozen=True)
class ResultColumn:
    """One column of a result."""

    name: str
    duckdb_type: str

    def describe(self) -> dict[str, Any]:
        """The entry in `metadata`; wide integers, as sums are, count as Numeric."""
        decimal = _DECIMAL.fullmatch(self.duckdb_type)
        precision, scale = (int(decimal[1]), int(decimal[2])) if decimal else (None, None)
        is_numeric = decimal is not None or self.duckdb_type in {"HUGEINT", "UHUGEINT", "UBIGINT"}
        type_name = "Numeric" if is_numeric else _TYPE_NAMES.get(self.duckdb_type, "Varchar")
        return {
            "name": self.name,
            "type": type_name,
            "nullable": True,
            "precision": precision,
            "scale": scale,
        }

    @property
    def json_expression(self) -> str:
        """The value as JSON shows it: a decimal is a number like any other, so wide ones lose digits."""
        name = quoted(self.name)
        if self.duckdb_type in {"DOUBLE", "FLOAT"}:
            return f"CASE WHEN isfinite({name}) THEN {name} END"
        if self.duckdb_type.startswith("DECIMAL"):
            return f"CAST({name} AS DOUBLE)"
        if self.duckdb_type == "TIMESTAMP WITH TIME ZONE":
            return f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%fZ')"
        if self.duckdb_type == "TIMESTAMP":
            return f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%f')"
        if self.duckdb_type in _TYPE_NAMES or self.duckdb_type.endswith("INT"):
            return name
        return f"CAST({name} AS VARCHAR)"


@dataclass(frozen=True)
class Page:
    """Rows of a result: the JSON text of an array of arrays, and how many."""

    json: bytes
    row_count: int


class FrozenResult:
    """The rows of one query as they were when it ran.

    Args:
        connection: to the database; each call uses a cursor of its own.
        name: the table to keep them in.
    """

    def __init__(self, connection: DuckDBPyConnection, name: str) -> None:
        self._connection = connection
        self._table = f"results.{quoted(name)}"
        with connection.cursor() as cursor:
            described = cursor.execute(f"DESCRIBE {self._table}").fetchall()
            (count,) = cursor.execute(f"SELECT count(*) FROM {self._table}").fetchall()[0]
        self.columns = tuple(ResultColumn(name, type_name) for name, type_name, *_ in described)
        self.row_count = int(count)

    @classmethod
    def of(cls, connection: DuckDBPyConnection, name: str, sql: str, values: Mapping[str, Any]) -> "FrozenResult":
        """Run a statement and keep its rows in their order.

        Raises:
            duckdb.Error: the statement is wrong.
        """
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE results.{quoted(name)} AS {sql}", dict(values))
        return cls(connection, name)

    def page(self, offset: int, limit: int, max_bytes: int) -> Page:
        """At most `limit` rows from `offset` on, and fewer when they would be longer than `max_bytes`."""
        values = ", ".join(column.json_expression for column in self.columns)
        with self._connection.cursor() as cursor:
            found = cursor.execute(
                f"SELECT CAST(json_array({values}) AS VARCHAR) FROM {self._table} "
                "WHERE rowid >= $offset AND rowid < $end ORDER BY rowid",
                {"offset": offset, "end": offset + limit},
            ).fetchall()
        rows: list[bytes] = []
        size_bytes = 0
        for (text,) in found:
            row = text.encode()
            size_bytes += len(row) + 1
            if rows and size_bytes > max_bytes:
                break
            rows.append(row)
        return Page(b"[" + b",".join(rows) + b"]", len(rows))

    def drop(self) -> None:
        """Forget the rows."""
        with self._connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {self._table}")


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def sql_text(text: str) -> str:
    """A text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"
