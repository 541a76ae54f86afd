"""Values of Data Cloud as the Bulk API wants them, a column at a time.

Formats: Bulk API 2.0 guide, "Valid Date Format in Records" and "Prepare CSV Files". A value of unknown form is passed
on as it is: the org then rejects that row, with a reason, which is better than a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from types import NoneType
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
    empty = CLEAR if null == "clear" else ""
    types = set(map(type, values))
    given = [value for value in values if value is not None] if NoneType in types else values
    cells = _cells(given, types - {NoneType}, kind, empty)
    if given is values:
        return cells
    following = iter(cells)
    return [empty if value is None else next(following) for value in values]


_TOLD_APART = ({str}, {bool})
"""Types of which no two values are equal and yet written differently, as 1, 1.0 and True are, or 0.0 and -0.0."""

_LEAST_VISIBLE = "!"
"""A text that is not less than this one does not begin with a blank or a control character."""


def _cells(values: Sequence[object], types: set[type], kind: FieldType, empty: str) -> Sequence[str]:
    """The cells of values of which none is NULL: of the whole column at once, of each different value, or of each."""
    if types == {str}:
        cells = _of_texts(values, kind)  # type: ignore[arg-type]  # as was just seen
        if cells is not None:
            return cells
    convert = _CONVERTERS[kind]
    if types in _TOLD_APART:
        cell_of = {value: _filled(convert(value), empty) for value in set(values)}
        return [cell_of[value] for value in values]
    return [_filled(convert(value), empty) for value in values]


def _of_texts(texts: Sequence[str], kind: FieldType) -> Sequence[str] | None:
    """The cells of a column that need no look at each value, as most do not; None where they do."""
    if min(texts) < _LEAST_VISIBLE:
        return None
    if kind is FieldType.DATETIME:
        return _of_utc_times(texts)
    if kind is FieldType.NUMBER:
        return texts if "e" not in (joined := "".join(texts)) and "E" not in joined else None
    if kind is FieldType.DATE:
        return texts if set(map(len, texts)) == {len("2026-01-31")} else None
    return texts if kind is FieldType.TEXT else None


_ZEROS = str.maketrans("123456789", "000000000")
_UTC_TIME = re.compile(r"0000-00-00[T ]00:00:00\.0000*(?:Z| ?UTC)?")
"""A time of UTC with milliseconds or more, every digit of it a zero."""


def _of_utc_times(texts: Sequence[str]) -> Sequence[str] | None:
    shapes = "\n".join(texts).translate(_ZEROS).split("\n")
    if len(shapes) != len(texts) or not all(map(_UTC_TIME.fullmatch, set(shapes))):
        return None
    return [f"{text[:10]}T{text[11:23]}Z" for text in texts]


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
