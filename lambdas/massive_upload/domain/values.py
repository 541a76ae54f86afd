"""Values of Data Cloud as the Bulk API wants them, a column at a time.

Formats: Bulk API 2.0 guide, "Valid Date Format in Records" and "Prepare CSV Files". A value of unknown form is passed
on as it is: the org then rejects that row, with a reason, which is better than a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Literal

from massive_upload.domain.load import FieldType
from massive_upload.domain.stored_text import stored

CLEAR = "#N/A"
"""Sets a field to null (Bulk API 2.0 guide); an empty cell leaves it as it is."""

_DATETIME = re.compile(
    r"^(?P<date>\d{4}-\d\d-\d\d)(?:[T ](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?)?"
    r"\s*(?P<zone>Z|UTC|[+-]\d\d(?::?\d\d)?)?$"
)
_DATE = re.compile(r"^(\d{4}-\d\d-\d\d)([T ].*)?$")
_LARGEST_EXPONENT = 400
"""Beyond what a JSON number of double precision can have; without a limit one short value could fill the memory."""
_BOOLEANS = {"true": "true", "t": "true", "1": "true", "false": "false", "f": "false", "0": "false"}


def format_column(values: Sequence[object], kind: FieldType, null: Literal["clear", "keep"]) -> Sequence[str]:
    """One column of cells; the very same one where nothing of it is to be changed.

    Args:
        values: JSON values of one column.
        kind: how to write them.
        null: whether a NULL clears the target field or leaves it. Text of nothing but what Salesforce trims is a NULL
            too, as Salesforce stores neither blank nor empty text.
    """
    if _is_as_it_should_be(values, kind):
        return values  # type: ignore[return-value]  # all of them are texts
    empty = CLEAR if null == "clear" else ""
    convert = _CONVERTERS[kind]
    if set(map(type, values)) <= _HASHED_BY_TEXT:
        cells = {value: empty if value is None else _filled(convert(value), empty) for value in set(values)}
        return [cells[value] for value in values]
    return [empty if value is None else _filled(convert(value), empty) for value in values]


_HASHED_BY_TEXT = {str, type(None)}
"""Types of which no two values are equal and yet written differently, as 1, 1.0 and True are."""

_LEAST_VISIBLE = "!"
"""A text that is not less than this one does not begin with a blank or a control character."""


def _is_as_it_should_be(values: Sequence[object], kind: FieldType) -> bool:
    """Whether a column's cells are its values. Asked of whole columns, as most of them are."""
    if not values or set(map(type, values)) != {str}:
        return False
    texts: Sequence[str] = values  # type: ignore[assignment]  # as was just seen
    if min(texts) < _LEAST_VISIBLE:
        return False
    if kind is FieldType.TEXT:
        return True
    if kind is FieldType.NUMBER:
        return "e" not in (joined := "".join(texts)) and "E" not in joined
    return kind is FieldType.DATE and set(map(len, texts)) == {len("2026-01-31")}


def _filled(text: str, empty: str) -> str:
    return empty if _is_blank(text) else text


def _is_blank(text: str) -> bool:
    """Nothing but blanks and control characters; a no-break space, say, is text like any other."""
    return text[:1] <= " " and not stored(text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)


def _number(value: object) -> str:
    """Digits without an exponent, none of them lost or added."""
    text = _text(value)
    if "e" not in text and "E" not in text:
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return format(number, "f") if abs(number.adjusted()) <= _LARGEST_EXPONENT else text


def _boolean(value: object) -> str:
    text = _text(value)
    return _BOOLEANS.get(text.lower(), text)


def _date(value: object) -> str:
    match = _DATE.match(_text(value))
    return match[1] if match else _text(value)


def _datetime(value: object) -> str:
    text = _text(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            moment = datetime.fromtimestamp(value / 1000, tz=UTC)
        except (ValueError, OverflowError, OSError):
            return text
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    match = _DATETIME.match(text)
    if match is None:
        return text
    milliseconds = (match["fraction"] or "")[:3].ljust(3, "0")
    return f"{match['date']}T{match['time'] or '00:00:00'}.{milliseconds}{_zone(match['zone'])}"


def _zone(zone: str | None) -> str:
    """Data Cloud's times without a zone are UTC."""
    if zone is None or zone in ("Z", "UTC"):
        return "Z"
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return "Z" if digits == "0000" else f"{zone[0]}{digits[:2]}:{digits[2:]}"


_CONVERTERS: dict[FieldType, Callable[[object], str]] = {
    FieldType.TEXT: _text,
    FieldType.NUMBER: _number,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _date,
    FieldType.DATETIME: _datetime,
}
