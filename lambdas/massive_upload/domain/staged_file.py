"""Staged files: the CSV of one job, and what is taken from it when rows fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

from massive_upload.constants import MAX_JOB_BYTES
from massive_upload.domain.csv_text import JoinedRows, rows_of, to_csv
from massive_upload.domain.key_digest import NO_KEYS, KeyDigest
from massive_upload.domain.load import FieldType, Load
from massive_upload.domain.stored_text import stored_texts
from massive_upload.domain.values import CLEAR, format_column

_CHUNK_ROWS = 2_000
REJECT_COLUMNS = ("error_code", "error_message", "error_fields", "tries")


@dataclass(frozen=True)
class RowError:
    """Why a row failed: Salesforce's code, its text, and the fields it names."""

    code: str
    message: str
    fields: str

    def beside(self, cells: Iterable[str], *, tries: int) -> list[str]:
        """The line of a row that is kept: its cells, and this error in the `REJECT_COLUMNS` behind them."""
        return [*cells, self.code, self.message, self.fields, str(tries)]


@dataclass(frozen=True)
class Selection:
    """A file made of some rows.

    Attributes:
        keys: the digest of their keys.
        codes: where each row is kept with its error, how many rows have which code.
    """

    content: bytes
    rows: int
    keys: KeyDigest
    codes: Mapping[str, int] = field(default_factory=dict)


UNWRITABLE = RowError(
    "UNWRITABLE", "A text holds half of a surrogate pair, which UTF-8 cannot hold; it is spelt \\udXXX here.", ""
)
"""Our own error for rows that cannot be sent."""


class StagedFileWriter:
    """Writes pages of a load as the CSV of one job, up to a number of rows and bytes.

    Every text is as it came. Rows that UTF-8 cannot hold are left out and kept apart.

    Attributes:
        rows: rows in the file.
        taken: rows that were read: those in the file and those left out.
        last_key, last_parent: the key and the parent of the last row read whose cursor UTF-8 can hold.
    """

    def __init__(self, load: Load, *, max_rows: int, max_bytes: int = MAX_JOB_BYTES, has_parents: bool = False) -> None:
        self._mappings = list(load.fields.values())
        self._key_index = list(load.fields).index(load.source.key)
        self._keys_digest = NO_KEYS
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._chunks = [to_csv([[mapping.to for mapping in self._mappings]])]
        self.size_bytes = len(self._chunks[0])
        self.rows = 0
        self.taken = 0
        self.last_key: str | None = None
        self.last_parent: str | None = None
        self._has_parents = has_parents
        self.is_full = False
        self._unwritable: list[Sequence[str]] = []

    def append(self, page: Sequence[list[Any]]) -> int:
        """Write as many rows of a page as fit.

        Args:
            page: rows of JSON values, in the mapping's column order; where there are parents, these follow. The rows
                become the cells that are written: where a value is written in another way, it is replaced.

        Returns:
            How many rows, from the page's start, were taken.

        Raises:
            ValueError: a row has another number of values than the load has fields.
        """
        if not set(map(len, page)) <= {len(self._mappings) + self._has_parents}:
            raise ValueError("A row has another number of values than the load has fields.")
        parents = [row.pop() for row in page] if self._has_parents else []
        taken = 0
        while taken < len(page) and not self.is_full:
            end = taken + min(_CHUNK_ROWS, self._max_rows - self.rows)
            taken += self._append(self._converted(page[taken:end]))
        self.taken += taken
        self._follow(page[:taken], parents)
        return taken

    def _append(self, joined: JoinedRows) -> int:
        """Write as many rows of a chunk as fit."""
        taken = 0
        while taken < len(joined) and not self.is_full:
            taken += self._write(joined.part(taken, len(joined)))
        return taken

    def _converted(self, rows: Sequence[list[Any]]) -> JoinedRows:
        """Make a chunk's values the cells that are written, and join them.

        Columns of text are looked at one by one only where a look at the whole chunk finds something that is no text,
        or may be blank.
        """
        self._convert_columns(rows, are_texts=False)
        try:
            joined = JoinedRows.of(rows)
        except TypeError:
            joined = None
        if joined is None or joined.has_blank_starts():
            self._convert_columns(rows, are_texts=True)
            joined = JoinedRows.of(rows)
        return joined

    def _convert_columns(self, rows: Sequence[list[Any]], *, are_texts: bool) -> None:
        for place, mapping in enumerate(self._mappings):
            if (mapping.type is FieldType.TEXT) is not are_texts:
                continue
            values = [row[place] for row in rows]
            cells = format_column(values, mapping.type, mapping.null)
            if cells is not values:
                for row, cell in zip(rows, cells, strict=True):
                    row[place] = cell

    @property
    def unwritable(self) -> Selection | None:
        """The rows left out, as a file with their error; None where there are none."""
        if not self._unwritable:
            return None
        header = [*(mapping.to for mapping in self._mappings), *REJECT_COLUMNS]
        lines = [UNWRITABLE.beside(map(_spelt, line), tries=0) for line in self._unwritable]
        left_out = selection_of(header, lines, header[self._key_index])
        return replace(left_out, codes={UNWRITABLE.code: len(lines)})

    def selection(self) -> Selection:
        """The file so far."""
        return Selection(b"".join(self._chunks), self.rows, self._keys_digest)

    def _follow(self, rows: Sequence[Sequence[str]], parents: Sequence[object]) -> None:
        """Remember where the rows taken end."""
        for place in reversed(range(len(rows))):
            key = rows[place][self._key_index]
            parent = str(parents[place]) if parents else None
            if is_writable(key) and is_writable(parent or ""):
                self.last_key, self.last_parent = key, parent
                return

    def _write(self, joined: JoinedRows) -> int:
        """Take a chunk, or the part of it that stays within the bytes; none where the file is then full."""
        while True:
            try:
                chunk = joined.to_csv()
            except UnicodeEncodeError:
                if len(joined) == 1:
                    self._unwritable.extend(joined.rows)
                    return 1
            else:
                is_first_row = self.rows == 0 and len(joined) == 1
                if is_first_row or self.size_bytes + len(chunk) <= self._max_bytes:
                    self._take(chunk, joined.rows)
                    return len(joined)
                if len(joined) == 1:
                    self.is_full = True
                    return 0
            joined = joined.part(0, len(joined) // 2)

    def _take(self, chunk: bytes, rows: Sequence[Sequence[str]]) -> None:
        self._chunks.append(chunk)
        self._keys_digest += KeyDigest.of([row[self._key_index] for row in rows])
        self.size_bytes += len(chunk)
        self.rows += len(rows)
        self.is_full = self.rows >= self._max_rows


class StagedFile:
    """A staged file that is read again, as some of its rows failed. Its rows are numbered from 0."""

    def __init__(self, content: bytes, key_column: str) -> None:
        reader = rows_of(content)
        self._header = next(reader)
        self._lines = list(reader)
        self._key_index = index_of(key_column, self._header)
        self.key_column = key_column

    def row_keys(self) -> list[str]:
        """The key of every row, in order, as Salesforce stores it: trimmed."""
        return stored_texts(line[self._key_index] for line in self._lines)

    def select(self, numbers: Iterable[int]) -> Selection:
        """Some rows, as a file to send again."""
        return selection_of(self._header, self._picked(numbers), self.key_column)

    def counted(self, column: str, numbers: Iterable[int]) -> Counter[str]:
        """How many of some rows have which value in a column; those without one are left out."""
        place = index_of(column, self._header)
        values = stored_texts(line[place] for line in self._picked(numbers))
        return Counter(value for value in values if value not in ("", CLEAR))

    def halves(self, numbers: Iterable[int]) -> tuple[Selection, Selection]:
        """Some rows, cut in the middle, as two files to send again."""
        lines = self._picked(numbers)
        middle = len(lines) // 2
        first, second = (selection_of(self._header, half, self.key_column) for half in (lines[:middle], lines[middle:]))
        return first, second

    def with_errors(self, errors: Mapping[int, RowError], *, tries: int) -> Selection:
        """The rows that failed, by their numbers, each with its error and how often it was sent: a file to keep."""
        lines = [
            error.beside(self._lines[number], tries=tries)
            for number, error in sorted(errors.items(), key=itemgetter(0))
        ]
        codes = Counter(line[-len(REJECT_COLUMNS)] for line in lines)
        return replace(selection_of([*self._header, *REJECT_COLUMNS], lines, self.key_column), codes=codes)

    def _picked(self, numbers: Iterable[int]) -> list[list[str]]:
        return [self._lines[number] for number in sorted(numbers)]


def selection_of(header: Sequence[str], lines: Sequence[Sequence[str]], key_column: str) -> Selection:
    """A file of some lines."""
    key_index = index_of(key_column, header)
    return Selection(to_csv([header, *lines]), len(lines), KeyDigest.of(line[key_index] for line in lines))


def index_of(column: str, header: Sequence[str]) -> int:
    """Where a column is; Salesforce ignores the case of names.

    Raises:
        ValueError: it is not there.
    """
    return [name.casefold() for name in header].index(column.casefold())


def is_writable(text: str) -> bool:
    """Whether UTF-8 can hold a text: half of a surrogate pair, which JSON can, it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _spelt(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
