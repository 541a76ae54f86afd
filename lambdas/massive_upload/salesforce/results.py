"""Reads the result files of Bulk API 2.0 jobs: CSV in any column order, with line breaks inside fields."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from massive_upload.constants import MAX_JOB_BYTES

_ADDED_COLUMNS = "sf__"
"""How the names of the columns begin that Salesforce adds to ours."""
ERROR_COLUMN = "sf__Error"

UNCODED = "UNCODED"
"""Stands for the code of a row error that does not begin with one."""

csv.field_size_limit(MAX_JOB_BYTES)  # by default Python's csv refuses a field of more than 131,072 characters

# Status codes (DUPLICATE_VALUE) and those of the Bulk API (InvalidBatch), some of which are spelt in several ways;
# another word may be a value of the row.
_CODE = re.compile(
    r"\s*([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[A-Z][a-z]+[A-Z][A-Za-z]*"
    r"|(?i:clientinputerror|exceededquota|invalidbatch|invaliduser|internalservererror|timeout|unknown))\s*"
)
_LONGEST_CODE = 80
_FIELDS = re.compile(r"(?P<message>.*):\s*(?P<fields>[\w.]+(?:\s*,\s*[\w.]+)*)?\s*--\s*", re.DOTALL)


class DamagedFile(ValueError):
    """A result file cannot be read; the text says why.

    A signal to the caller, hence neither passing nor final.
    """


@dataclass(frozen=True)
class ErrorParts:
    """A row's error in its parts: code and field names may be logged, the message quotes values."""

    code: str
    message: str = field(repr=False)
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class FailedRow:
    """A row that was tried and failed.

    Attributes:
        key: the row's external id, as echoed by the org.
        code: the error's code.
        message: the error's text; it quotes values, so it goes to reject files only.
        fields: the fields that the error names.
    """

    key: str = field(repr=False)
    code: str
    message: str = field(repr=False)
    fields: tuple[str, ...]


def split_row_error(text: str) -> ErrorParts:
    """Split `CODE:message:field,field --`; the fields may be missing, and so may the code."""
    code, colon, rest = text.partition(":")
    match = _CODE.fullmatch(code)
    if not match or len(match[1]) > _LONGEST_CODE:
        return ErrorParts(code=UNCODED, message=text)
    if not colon:
        return ErrorParts(code=match[1], message="")
    parts = _FIELDS.fullmatch(rest)
    if not parts:
        return ErrorParts(code=match[1], message=rest.strip())
    names = parts["fields"] or ""
    return ErrorParts(
        code=match[1],
        message=parts["message"].strip(),
        fields=tuple(name.strip() for name in names.split(",") if name.strip()),
    )


def parse_failed(data: bytes, *, key_column: str) -> list[FailedRow]:
    """Read a job's failedResults.

    Args:
        data: the answer's body.
        key_column: the target's external id field.

    Raises:
        DamagedFile: it is not UTF-8, or has rows of another width than the header, or no column for the error or the
            key, as where a page of something in between came instead.
    """
    file = _ResultFile(data)
    if file.is_empty:
        return []
    key_at = file.position(key_column)
    error_at = file.position(ERROR_COLUMN)
    return [_failed_row(key=row[key_at], error=split_row_error(row[error_at])) for row in file.rows()]


def parse_keys(data: bytes, *, key_column: str) -> list[str]:
    """Read the keys of any result file, such as unprocessedrecords; raises as `parse_failed` does."""
    file = _ResultFile(data)
    if file.is_empty:
        return []
    key_at = file.position(key_column)
    return [row[key_at] for row in file.rows()]


def is_whole(data: bytes) -> bool:
    """Whether a result file ends where a record ends; else its last record may have been cut."""
    return not data or data.endswith((b"\n", b"\r"))


def _failed_row(*, key: str, error: ErrorParts) -> FailedRow:
    return FailedRow(key=key, code=error.code, message=error.message, fields=error.fields)


class _ResultFile:
    def __init__(self, data: bytes) -> None:
        text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
        self._reader = csv.reader(text, strict=True)
        self._header: Sequence[str] = next(self._records(), [])
        self._positions = {name.strip().casefold(): at for at, name in enumerate(self._header)}

    @property
    def is_empty(self) -> bool:
        """Whether there is not even a header with a column of ours, which is how no rows may be told.

        A job that never got its rows cannot tell their columns.
        """
        has_our_columns = any(not name.startswith(_ADDED_COLUMNS) for name in self._positions)
        return not has_our_columns and next(self._records(), None) is None

    def position(self, column: str) -> int:
        at = self._positions.get(column.casefold())
        if at is None:
            raise DamagedFile(f"the column {column} is missing")
        return at

    def rows(self) -> Iterator[list[str]]:
        for row in self._records():
            if len(row) != len(self._header):
                raise DamagedFile("a row has another number of fields than the header")
            yield row

    def _records(self) -> Iterator[list[str]]:
        try:
            yield from filter(None, self._reader)  # the reader gives an empty list for a blank line
        except UnicodeDecodeError as error:
            raise DamagedFile("it is not UTF-8") from error
        except csv.Error as error:
            raise DamagedFile("it is no readable CSV") from error
