"""Rows of text as CSV: UTF-8 without BOM, comma, LF, which is what a job is created with.

Python's csv module looks at every character of every cell. Here whole pages are joined, and only the rows that hold a
quote or a line break are given to it (benchmarks/data_path.py).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

_CELL_END = "\x1f"
"""ASCII's unit separator, for joined text that is to be looked through."""

_BLANK_START = re.compile(f"{_CELL_END}[\x00-\x20]")
"""Begins with one fixed character, which is found four times as fast as one of two."""


class _Returned:
    """A file of which `write` gives back the line, and with it `csv.writer.writerow` does."""

    @staticmethod
    def write(line: str) -> str:
        return line


_LINE_END = "\r\n"
"""Cells are quoted that hold a character of the writer's line end, so both must be in it; they are cut off."""
_writer = csv.writer(_Returned(), lineterminator=_LINE_END)


def join_cells(rows: Sequence[Sequence[str]]) -> list[str]:
    """Each row's cells in one text, for `has_blank_starts` and `to_csv`.

    Raises:
        TypeError: a cell is no text.
    """
    return list(map(_CELL_END.join, rows))


def has_blank_starts(lines: Sequence[str]) -> bool:
    """Whether a cell is empty or begins with a blank or a control character; rarely said of others, too."""
    each_behind_a_cell_end = _CELL_END.join(["", *lines, ""])
    return _BLANK_START.search(each_behind_a_cell_end) is not None


def to_csv(rows: Sequence[Sequence[str]], lines: Sequence[str] | None = None) -> bytes:
    """Rows of one width as CSV; only cells that need it are quoted, and a carriage return is such a need.

    Args:
        rows: cells.
        lines: the same rows as `join_cells` has them, if that is known.

    Raises:
        UnicodeEncodeError: a cell holds half of a surrogate pair.
    """
    if not rows:
        return b""
    lines = join_cells(rows) if lines is None else lines
    text = "\n".join(lines)
    if len(rows[0]) == 1 or text.count(_CELL_END) != len(rows) * (len(rows[0]) - 1):
        # A row of one empty cell must not become an empty line; and cells that hold the separator were not told apart.
        return ("\n".join(map(_written_row, rows)) + "\n").encode()
    if text.count("\n") >= len(rows) or "," in text or '"' in text or "\r" in text:
        text = "\n".join(
            [
                _quoted_row(row, line) if "," in line or '"' in line or "\n" in line or "\r" in line else line
                for row, line in zip(rows, lines, strict=True)
            ]
        )
    return (text.replace(_CELL_END, ",") + "\n").encode()


def _quoted_row(row: Sequence[str], line: str) -> str:
    """A row that has something to quote. Most have commas alone, which mostly take less than half of csv's time so."""
    if '"' in line or "\n" in line or "\r" in line:
        return _written_row(row)
    return ",".join([f'"{cell}"' if "," in cell else cell for cell in row])


def _written_row(row: Sequence[str]) -> str:
    line: str = _writer.writerow(row)
    return line.removesuffix(_LINE_END)
