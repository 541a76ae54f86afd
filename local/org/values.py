"""From the text in a CSV cell to the value that a field keeps."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum

from local.org.errors import RowError
from local.org.schema import Field, FieldType


class Null(Enum):
    """The cell said `#N/A`: clear the field."""

    NULL = "#N/A"


Stored = str | bool
Cell = Stored | Null | None
"""What to store; `None` leaves the field as it is (Bulk API 2.0 guide: empty values are ignored)."""

_BLANKS = "".join(map(chr, range(33)))
"""What Salesforce trims from both ends of stored text (Apex Developer Guide, "Primitive Data Types"): control
characters and blanks. No other white space: a no-break space is kept."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)
"""Already as it is kept; the common case."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,3})?(Z|[+-]\d{2}:?\d{2})", re.ASCII)
_KEPT_DATETIME = re.compile(r".{19}\.\d{3}Z")
_BOOLEANS: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}


class _RefusedCellError(Exception):
    def __init__(self, error: RowError) -> None:
        super().__init__(error.text)
        self.error = error


def trimmed(text: str) -> str:
    """A text as the org stores it, and looks for it."""
    return text.strip(_BLANKS)


def convert_column(field: Field, column_number: int, texts: Sequence[str]) -> tuple[list[Cell], dict[int, RowError]]:
    """Convert one column of an upload.

    Args:
        field: the target field.
        column_number: place of the column in the upload, from 0; it is part of one error text.
        texts: the cells, one for each row.

    Returns:
        The values, one for each row, and the errors by row number.
    """
    if field.type in _TEXT_TYPES:
        return _convert_texts(field, texts)
    convert = _CONVERTERS[field.type]
    errors: dict[int, RowError] = {}
    cells: list[Cell] = []
    known: dict[str, Cell] = {}
    repeats = field.type in _TYPES_OF_FEW_VALUES
    for row, raw in enumerate(texts):
        if repeats and raw in known:
            cells.append(known[raw])
            continue
        cell: Cell = None
        text = trimmed(raw)
        if text == Null.NULL.value:
            cell = Null.NULL
        elif text:
            try:
                cell = convert(field, column_number, text)
            except _RefusedCellError as refused:
                errors[row] = refused.error
        if repeats and row not in errors:
            known[raw] = cell
        cells.append(cell)
    return cells, errors


def _convert_texts(field: Field, texts: Sequence[str]) -> tuple[list[Cell], dict[int, RowError]]:
    """Any text will do, unless it is too long: without a call for each cell, as most cells are texts."""
    null, longest = Null.NULL, field.length
    stored = [text.strip(_BLANKS) for text in texts]
    errors = {row: _too_long(field, text) for row, text in enumerate(stored) if len(text) > longest}
    cells: list[Cell] = [None if not text else null if text == "#N/A" else text for text in stored]
    return cells, errors


def _too_long(field: Field, text: str) -> RowError:
    message = f"{field.label or field.name}: data value too large: {text} (max length={field.length})"
    return RowError("STRING_TOO_LONG", message, (field.name,))


def _picklist(field: Field, _column_number: int, text: str) -> str:
    if text not in field.picklist_values:
        message = f"{field.label or field.name}: bad value for restricted picklist field: {text}"
        raise _RefusedCellError(RowError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, (field.name,)))
    return text


def _number(field: Field, column_number: int, text: str) -> str:
    """The number's own digits, without an exponent: nothing is rounded on the way in."""
    if _PLAIN_NUMBER.fullmatch(text) and len(text) <= field.precision - field.scale:
        return text
    if not _NUMBER.fullmatch(text):
        raise _wrong_type(field, column_number, text, "xsd:double")
    value = Decimal(text)
    if value.adjusted() >= field.precision - field.scale and value:
        message = f"{field.label or field.name}: value outside of valid range on numeric field: {text}"
        raise _RefusedCellError(RowError("NUMBER_OUTSIDE_VALID_RANGE", message, (field.name,)))
    return format(value, "f")


def _boolean(field: Field, column_number: int, text: str) -> bool:
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise _wrong_type(field, column_number, text, "xsd:boolean")
    return value


def _date(field: Field, column_number: int, text: str) -> str:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    except ValueError as impossible:
        raise _wrong_type(field, column_number, text, "xsd:date") from impossible
    raise _wrong_type(field, column_number, text, "xsd:date")


def _datetime(field: Field, column_number: int, text: str) -> str:
    try:
        if _DATETIME.fullmatch(text):
            moment = datetime.fromisoformat(text)
            return text if _KEPT_DATETIME.fullmatch(text) else datetime_text(moment)
    except ValueError as impossible:
        raise _wrong_type(field, column_number, text, "xsd:dateTime") from impossible
    raise _wrong_type(field, column_number, text, "xsd:dateTime")


def datetime_text(moment: datetime) -> str:
    """A moment in UTC to the millisecond, as records show it: `2026-01-01T00:00:00.000Z`."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _record_id(field: Field, _column_number: int, text: str) -> str:
    if len(text) not in {15, 18}:
        message = f"{field.label or field.name}: id value of incorrect type: {text}"
        raise _RefusedCellError(RowError("MALFORMED_ID", message, (field.name,)))
    return text


def _own_id(field: Field, _column_number: int, _text: str) -> str:
    """An upsert by another key may have an empty `Id` column, as jsforce sends it, but no ids in it."""
    message = "cannot specify Id in an insert call"
    raise _RefusedCellError(RowError("INVALID_FIELD_FOR_INSERT_UPDATE", message, (field.name,)))


def _wrong_type(field: Field, column_number: int, text: str, xsd_type: str) -> _RefusedCellError:
    message = (
        f"Failed to deserialize field at col {column_number}. "
        f"Due to, '{text}' is not a valid value for the type {xsd_type}"
    )
    return _RefusedCellError(RowError("INVALID_FIELD", message, (field.name,)))


_CONVERTERS: Mapping[FieldType, Callable[[Field, int, str], Stored]] = {
    FieldType.ID: _own_id,
    FieldType.PICKLIST: _picklist,
    FieldType.DOUBLE: _number,
    FieldType.CURRENCY: _number,
    FieldType.PERCENT: _number,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _date,
    FieldType.DATETIME: _datetime,
    FieldType.REFERENCE: _record_id,
}

_TEXT_TYPES = frozenset({FieldType.STRING, FieldType.TEXTAREA})

_TYPES_OF_FEW_VALUES = frozenset({FieldType.PICKLIST, FieldType.BOOLEAN, FieldType.DATE})
"""Their cells are worth remembering: a million rows hold a few thousand different ones."""
