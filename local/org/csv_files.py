"""CSV files as DuckDB is to read them: by one dialect, so that a line out of shape is a mistake with its number.

Left to itself DuckDB looks for a shape that all lines have: a quote out of place makes quotes part of every cell, and
lines of another width make the header, and all rows before them, something to be skipped.
"""

import csv
import gzip
import re
from contextlib import closing
from pathlib import Path
from typing import IO

import duckdb

_SUFFIXES = (".csv", ".csv.gz", ".tsv")
_DELIMITERS = ",;\t|"
_LINE = re.compile(r"CSV Error on Line: (\d+)")
_WIDTHS = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")


class CsvError(ValueError):
    """What is wrong with a file, and what to do."""


def is_csv(path: Path) -> bool:
    """Whether the file's name says that it is CSV."""
    return path.name.endswith(_SUFFIXES)


def reader(path: Path, options: str) -> str:
    """The call of `read_csv` for a file with a header; what parts its cells is what its first line has most of.

    Of dates only those of ISO 8601 are taken for dates: 01/02/2026 is two days.
    """
    delimiter = _delimiter(path)
    location = str(path.resolve()).replace("'", "''")
    dialect = f"""header = true, delim = '{delimiter}', quote = '"', escape = '"', comment = ''"""
    return f"read_csv('{location}', {dialect}, dateformat = '%Y-%m-%d', {options})"


def check_csv(path: Path) -> None:
    """Look whether all lines have the header's shape.

    Raises:
        CsvError: they have not, or there is no header, or two columns are alike.
        duckdb.Error: the file cannot be read.
    """
    with closing(_opened(path)) as file:
        names = next(csv.reader(file, delimiter=_delimiter(path)), [])
    if not any(names):
        raise CsvError("it has no header; name its columns in the first line.")
    folded = [name.casefold() for name in names]
    twice = next((name for name in names if folded.count(name.casefold()) > 1), None)
    if twice is not None:
        raise CsvError(f"its header has the column {twice!r} twice; rename one of them.")
    columns = ", ".join(f"'{index}': 'VARCHAR'" for index, _ in enumerate(names))
    with duckdb.connect() as connection:
        connection.execute(f"SELECT count(*) FROM {reader(path, f'auto_detect = false, columns = {{{columns}}}')}")


def told(error: duckdb.Error) -> str:
    """What DuckDB found wrong, without its options, which nobody can set, and without what the line holds."""
    text = str(error)
    line = _LINE.search(text)
    where = f"line {line[1]}" if line else "a line"
    widths = _WIDTHS.search(text)
    if widths:
        return f"{where} has {widths[2]} values, the header has {widths[1]}."
    if "unterminated quote" in text:
        return f"{where} has a quote out of place; within a quoted value write it twice."
    if "not utf-8" in text:
        return f"{where} is not UTF-8; save the file as UTF-8."
    if "invalid state" in text:
        return "its lines end in more than one way, or a quote is out of place; save it with one kind of line end."
    return text.splitlines()[0]


def _delimiter(path: Path) -> str:
    with closing(_opened(path)) as file:
        return max(_DELIMITERS, key=file.readline().count)


def _opened(path: Path) -> IO[str]:
    opener = gzip.open if path.name.endswith(".gz") else open
    return opener(path, "rt", newline="", encoding="utf-8-sig", errors="replace")
