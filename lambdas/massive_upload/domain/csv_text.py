"""Rows of text as CSV: UTF-8 without BOM, comma, LF, which is what a job is created with.

Python's csv module looks at every character of every cell. Here rows are joined, and only those that hold something to
be quoted are looked at cell by cell (benchmarks/data_path.py). Quoted is what the csv module quotes where a line ends
with CR and LF; where it ends with LF, Python 3.11's leaves a lone carriage return unquoted, which ends a line for some.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from massive_upload.constants import MAX_JOB_BYTES

csv.field_size_limit(MAX_JOB_BYTES)  # what Salesforce rejects as too long must be readable here all the same

_CELL_END = "\x1f"
"""ASCII's unit separator, for joined text that is to be looked through."""

_BLANK_START = re.compile(f"{_CELL_END}[\x00-\x20]")
"""Begins with one fixed character, which is found four times as fast as one of two."""


@dataclass(frozen=True)
class JoinedRows:
    """Rows of one width, and each one's cells in one text."""

    rows: Sequence[Sequence[str]]
    lines: Sequence[str]

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]]) -> JoinedRows:
        """Join some rows.

        Raises:
            TypeError: a cell is no text.
        """
        return cls(rows, list(map(_CELL_END.join, rows)))

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, end: int) -> JoinedRows:
        """The rows from `start` to before `end`."""
        is_whole = start == 0 and end == len(self)
        return self if is_whole else JoinedRows(self.rows[start:end], self.lines[start:end])

    def has_blank_starts(self) -> bool:
        """Whether a cell is empty or begins with a blank or a control character; rarely said of others, too."""
        return _BLANK_START.search(self._text) is not None

    def to_csv(self) -> bytes:
        """The rows as CSV; only cells that need it are quoted, and a carriage return is such a need.

        Raises:
            UnicodeEncodeError: a cell holds half of a surrogate pair.
        """
        if not self.rows:
            return b""
        width = len(self.rows[0])
        if width == 1 or self._text.count(_CELL_END) != len(self) * width + 1:
            # A row of one empty cell must not become an empty line; and a cell that holds the separator looks like two.
            return b"".join([f"{_quoted(row)}\n".encode() for row in self.rows])
        # Each line by itself: a text that is not all ASCII is encoded character by character.
        return b"\n".join([line.encode() for line in self._quoted_lines()]).replace(_CELL_END.encode(), b",") + b"\n"

    def _quoted_lines(self) -> Sequence[str]:
        """The rows, those in full that have something to be quoted, the others as they were joined.

        What makes a cell one to be quoted is spelt out where each line and cell is asked, since a call takes as long
        again; and most texts have no line ends, for which nothing is to be asked then.
        """
        if "\n" in self._text or "\r" in self._text:
            return [
                _quoted(row) if '"' in line or "," in line or "\n" in line or "\r" in line else line
                for row, line in zip(self.rows, self.lines, strict=True)
            ]
        if '"' in self._text or "," in self._text:
            return [
                _quoted_without_line_ends(row) if '"' in line or "," in line else line
                for row, line in zip(self.rows, self.lines, strict=True)
            ]
        return self.lines

    @cached_property
    def _text(self) -> str:
        """All cells, each between two separators."""
        return _CELL_END.join(["", *self.lines, ""])


def to_csv(rows: Sequence[Sequence[str]]) -> bytes:
    """Rows of one width as CSV; as `JoinedRows.to_csv`."""
    return JoinedRows.of(rows).to_csv()


def rows_of(content: bytes) -> Iterator[list[str]]:
    """The rows of what `to_csv` wrote."""
    return csv.reader(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline=""))


def _quoted(row: Sequence[str]) -> str:
    cells = [
        '"' + cell.replace('"', '""') + '"' if '"' in cell or "," in cell or "\n" in cell or "\r" in cell else cell
        for cell in row
    ]
    return ",".join(cells) or '""'


def _quoted_without_line_ends(row: Sequence[str]) -> str:
    """What `_quoted` makes of a row of several cells, none of which holds a line end."""
    return ",".join(['"' + cell.replace('"', '""') + '"' if '"' in cell or "," in cell else cell for cell in row])
