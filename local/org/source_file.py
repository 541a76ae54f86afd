"""A CSV or Parquet file whose rows the simulated org serves."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from local.org import csv_files
from local.org.query_pages import quoted, sql_text

_MOST_DIGITS = 38
"""Of a decimal, in Data 360's SQL as in DuckDB."""


class SourceFileError(ValueError):
    """The file cannot serve as a source; the message says why and what to do."""


@dataclass(frozen=True)
class Rows:
    """All rows of a file.

    Attributes:
        sql: the SELECT that gives them.
        columns: DuckDB's type of each column, in the file's order.
    """

    sql: str
    columns: Mapping[str, str]


class SourceFile:
    """A file that can be read, with the names of its columns.

    Args:
        path: a file that ends in .csv, .csv.gz, .tsv or .parquet.

    Raises:
        SourceFileError: it does not, or what it holds is not what its name says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_parquet = path.name.endswith(".parquet")
        if not self._is_parquet:
            _check_csv(path)
        self._found = self._rows({})
        self.columns = tuple(self._found.columns)

    def check_has(self, columns: Collection[str]) -> None:
        """Look whether the file has columns of these names.

        Raises:
            SourceFileError: it lacks one.
        """
        missing = next((each for each in columns if each not in self.columns), None)
        if missing is not None:
            raise SourceFileError(f"{self.path} has no column {missing!r}: it has {', '.join(self.columns)}.")

    def rows(self, *, as_text: Collection[str] = (), as_times: Collection[str] = ()) -> Rows:
        """All rows, in the types of the Parquet file, or those that DuckDB finds in the whole CSV.

        Times of a CSV are times where they are written as ISO 8601 writes them, and its decimals keep all their
        digits, but for those with an exponent or of more than 38 digits, which are doubles.

        Args:
            as_text: columns of a CSV that are to be read as they are written, so that '007' stays '007'.
            as_times: columns of a CSV that are times, also where they hold nothing.

        Raises:
            SourceFileError: the file cannot be read.
        """
        if self._is_parquet:
            return self._found
        kinds = {name: kind for name, kind in self._found.columns.items() if name not in as_text}
        decimals = self._decimals([name for name, kind in kinds.items() if kind == "DOUBLE"])
        times = self._other_times([name for name, kind in kinds.items() if kind.startswith(("DATE", "TIMESTAMP"))])
        empty = dict.fromkeys(self._without_values(as_times), "TIMESTAMP")
        return self._rows(decimals | times | empty | dict.fromkeys(as_text, "VARCHAR"))

    def _rows(self, types: Mapping[str, str]) -> Rows:
        sql = f"SELECT * FROM {self._reader(types)}"
        return Rows(sql, {name: kind for name, kind, *_ in self._fetch(f"DESCRIBE {sql}")})

    def _reader(self, types: Mapping[str, str]) -> str:
        if self._is_parquet:
            return f"read_parquet({sql_text(str(self.path.resolve()))})"
        given = ", ".join(f"{sql_text(column)}: {sql_text(kind)}" for column, kind in types.items())
        return csv_files.reader(self.path, "sample_size = -1" + (f", types = {{{given}}}" if types else ""))

    def _decimals(self, columns: Collection[str]) -> dict[str, str]:
        """Of columns that DuckDB takes for doubles, the types of those that a decimal can hold digit for digit."""
        if not columns:
            return {}
        measures = ", ".join(_measures(quoted(column)) for column in columns)
        (found,) = self._fetch(f"SELECT {measures} FROM {self._reader(dict.fromkeys(columns, 'VARCHAR'))}")
        measured = zip(columns, found[::3], found[1::3], found[2::3], strict=True)
        return {
            column: f"DECIMAL({_MOST_DIGITS},{places})"
            for column, is_plain, digits, places in measured
            if is_plain and digits + places <= _MOST_DIGITS
        }

    def _other_times(self, columns: Collection[str]) -> dict[str, str]:
        """Of columns that DuckDB takes for times, those that ISO 8601 writes otherwise: 01/02/2026 may be two days."""
        if not columns:
            return {}
        are_iso = ", ".join(
            f"bool_and(regexp_matches({quoted(column)}, '^\\s*[0-9]{{4}}-[0-9]{{2}}-'))" for column in columns
        )
        (found,) = self._fetch(f"SELECT {are_iso} FROM {self._reader(dict.fromkeys(columns, 'VARCHAR'))}")
        return {column: "VARCHAR" for column, is_iso in zip(columns, found, strict=True) if is_iso is False}

    def _without_values(self, columns: Collection[str]) -> list[str]:
        if not columns:
            return []
        counts = ", ".join(f"count({quoted(column)})" for column in columns)
        (found,) = self._fetch(f"SELECT {counts} FROM {self._reader({})}")
        return [column for column, values in zip(columns, found, strict=True) if not values]

    def _fetch(self, sql: str) -> list[Any]:
        try:
            with duckdb.connect() as connection:
                return connection.execute(sql).fetchall()
        except duckdb.Error as wrong:
            raise SourceFileError(f"{self.path} cannot be read: {csv_files.told(wrong)}") from wrong


def _check_csv(path: Path) -> None:
    if not csv_files.is_csv(path):
        raise SourceFileError(f"{path} is neither CSV nor Parquet: it must end in .csv, .csv.gz, .tsv or .parquet.")
    try:
        csv_files.check_csv(path)
    except csv_files.CsvError as wrong:
        raise SourceFileError(f"{path} cannot be read: {wrong}") from wrong


def _measures(column: str) -> str:
    """Whether all texts are plain numbers, their most digits before the point, and their most after it."""
    return (
        f"bool_and(regexp_full_match({column}, '[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)')), "
        f"max(length(split_part(ltrim({column}, '+-'), '.', 1))), max(length(split_part({column}, '.', 2)))"
    )
