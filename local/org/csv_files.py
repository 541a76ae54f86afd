"""CSV files as DuckDB is to read them: by one dialect, so that a line out of shape is a mistake with its number.

Left to itself DuckDB looks for a shape that all lines have: a quote out of place makes quotes part of every cell, and
lines of another width make the header, and all rows before them, something to be skipped.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import IO

import duckdb

from local.org.query_pages import sql_text

_SUFFIXES = (".csv", ".csv.gz", ".tsv")
_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_LINE = re.compile(r"CSV Error on Line: (\d+)")
_WIDTHS = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""How a file begins that is no UTF-8, and yet may be read as if it were."""
_NO_GZIP = "it is no whole gzip file; compress it anew."


class CsvError(ValueError):
    """What is wrong with a file, and what to do."""


def is_csv(path: Path) -> bool:
    """Whether the file's name says that it is CSV."""
    return path.name.endswith(_SUFFIXES)


def reader(path: Path, options: str) -> str:
    """The call of `read_csv` for a file with a header."""
    dialect = (
        f"""delim = {sql_text(_delimiter(path))}, quote = '"', escape = '"', comment = '', dateformat = '%Y-%m-%d'"""
    )
    return f"read_csv({sql_text(str(path.resolve()))}, header = true, {dialect}, {options})"


def check_csv(path: Path) -> None:
    """Look whether all lines have the header's shape.

    Raises:
        CsvError: they have not, or there is no header, or two columns are alike, or the file cannot be read.
    """
    try:
        _check(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CsvError(_NO_GZIP) from error
    except OSError as error:
        raise CsvError(f"{error.strerror}.") from error
    except csv.Error as error:
        raise CsvError(f"its header is no CSV: {error}.") from error
    except duckdb.Error as error:
        raise CsvError(told(error)) from error


def _check(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(2) in _UTF_16:
            raise CsvError("it is UTF-16; save the file as UTF-8.")
    header = next(_records(path), "")
    names = next(csv.reader([header], delimiter=_delimiter(path)), [])
    if not any(names):
        raise CsvError("it has no header; name its columns in the first line.")
    lower = [name.lower() for name in names]
    twice = next((name for name in names if name and lower.count(name.lower()) > 1), None)
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
    if "Maximum line size" in text:
        return f"{where} is longer than 2 MB; shorten it, or close a quote before it."
    if "GZIP" in text:
        return _NO_GZIP
    if "invalid state" in text:
        return "its lines end in more than one way, or a quote is out of place; save it with one kind of line end."
    return text.splitlines()[0]


def _delimiter(path: Path) -> str:
    """What parts the cells: what header and first row have as much of outside of quotes, or else the header most of."""
    if path.name.endswith(".tsv"):
        return "\t"
    bare = [_QUOTED.sub("", record) for record in islice(_records(path), 2)]
    header, row = (*bare, "", "")[:2]
    return max(_DELIMITERS, key=lambda each: (header.count(each) == row.count(each) > 0, header.count(each)))


def _records(path: Path) -> Iterator[str]:
    """The records of a file, which end where a line ends outside of quotes; none that is empty."""
    with closing(_opened(path)) as file:
        record = ""
        for line in file:
            record += line
            if record.count('"') % 2 == 0:
                if record.strip("\r\n"):
                    yield record.rstrip("\r\n")
                record = ""
        if record:
            yield record


def _opened(path: Path) -> IO[str]:
    opener = gzip.open if path.name.endswith(".gz") else open
    return opener(path, "rt", newline="", encoding="utf-8-sig", errors="replace")
