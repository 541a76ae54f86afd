"""Kept files: rows that failed, with all their columns and their error, as `StagedFile.with_errors` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from massive_upload.domain.csv_text import rows_of, to_csv
from massive_upload.domain.staged_file import REJECT_COLUMNS, RowError


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row as it was sent, why it failed, and how often it was sent in its run."""

    cells: Sequence[str]
    error: RowError
    tries: int

    @property
    def size_bytes(self) -> int:
        """What the row takes in a file that is sent again, where a quote in a cell takes two bytes."""
        return len(to_csv([self.cells]))


@dataclass(frozen=True)
class KeptFile:
    """A kept file that is read again: the columns that were sent, and its rows."""

    columns: Sequence[str]
    rows: Sequence[KeptRow]

    @property
    def content(self) -> bytes:
        """The file."""
        lines = [row.error.beside(row.cells, tries=row.tries) for row in self.rows]
        return to_csv([[*self.columns, *REJECT_COLUMNS], *lines])


def parse_kept_file(content: bytes) -> KeptFile:
    """Read a kept file."""
    reader = rows_of(content)
    columns = next(reader)[: -len(REJECT_COLUMNS)]
    return KeptFile(columns, [_row(line) for line in reader])


def _row(line: Sequence[str]) -> KeptRow:
    *cells, code, message, fields, tries = line
    return KeptRow(cells, RowError(code=code, message=message, fields=fields), int(tries))
