"""Values of Data Cloud as the Bulk API wants them, a column at a time.

Formats: Bulk API 2.0 guide, "Valid Date Format in Records" and "Prepare CSV Files". A value of unknown form is passed
on as it is: the org then rejects that row, with a reason, which is better than a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Literal, NamedTuple

from massive_upload.domain.load import FieldType
from massive_upload.domain.stored_text import stored

CLEAR = "#N/A"
"""Sets a field to null (Bulk API 2.0 guide); an empty cell leaves it as it is."""

_DATETIME = re.compile(
    r"^(?P<date>\d{4}-\d\d-\d\d)(?:[T ](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?)?"
    r"\s*(?P<zone>Z|UTC|[+-]\d\d(?::?\d\d)?)?$"
)
_MILLISECOND_DIGITS = 3
_DATE = re.compile(r"^(\d{4}-\d\d-\d\d)([T ].*)?$")
_LARGEST_EXPONENT = 400
"""Beyond what a JSON number of double precision can have; without a limit one short value could fill the memory."""
_BOOLEANS = {"true": "true", "t": "true", "1": "true", "false": "false", "f": "false", "0": "false"}


def format_column(values: Sequence[object], kind: FieldType, null: Literal["clear", "keep"]) -> Sequence[str]:
    """One column of cells; the very same one where all of it can be written as it is.

    Args:
        values: JSON values of one column.
        kind: how to write them.
        null: whether a NULL clears the target field or leaves it. Text of nothing but what Salesforce trims is a NULL
            too, as Salesforce stores neither blank nor empty text.
    """
    given = values
    types: set[type] = {str}
    if not _are_visible(values):
        types = set(map(type, values))
        if str in types:
            values = [None if isinstance(value, str) and _is_blank(value) else value for value in values]
        given = [value for value in values if value is not None]
        types = set(map(type, given))
    cells = _cells(given, types, kind) if given else ()
    if len(given) == len(values):
        return cells
    empty = CLEAR if null == "clear" else ""
    if cells is given:
        return [empty if value is None else value for value in values]  # type: ignore[misc]  # all others are texts
    following = iter(cells)
    return [empty if value is None else next(following) for value in values]


_LEAST_VISIBLE = "!"
"""A text that is not less than this one does not begin with a blank or a control character."""


def _are_visible(values: Sequence[object]) -> bool:
    """Whether all values are texts, and none of them may be blank. Text is comparable with nothing but text."""
    try:
        return min(values, default=_LEAST_VISIBLE) >= _LEAST_VISIBLE  # type: ignore[type-var, operator]  # see above
    except TypeError:
        return False


_TOLD_APART = ({str}, {bool})
"""Types of which no two values are equal and yet written differently, as 1, 1.0 and True are, or 0.0 and -0.0."""


def _is_blank(text: str) -> bool:
    """Nothing but blanks and control characters; a no-break space, say, is text like any other."""
    return text < _LEAST_VISIBLE and not stored(text)


def _cells(values: Sequence[object], types: set[type], kind: FieldType) -> Sequence[str]:
    """The cells of values of which none is NULL: as they are, or else of each, once where few are different."""
    cells: Sequence[str] | None = None
    if types == {str}:
        cells = _as_they_are(values, kind)  # type: ignore[arg-type]  # as was just seen
    elif types <= {int, float} and kind in (FieldType.TEXT, FieldType.NUMBER):
        cells = _as_they_are(list(map(str, values)), kind)
    if cells is not None:
        return cells
    different = list(set(values)) if types in _TOLD_APART else values
    if 2 * len(different) > len(values):
        different = values
    if types == {str} and kind is FieldType.DATETIME:
        cells = _of_times(different)  # type: ignore[arg-type]  # as was just seen
    if cells is None:
        cells = list(map(_CONVERTERS[kind], different))
    if different is values:
        return cells
    return list(map(dict(zip(different, cells, strict=True)).__getitem__, values))


def _as_they_are(texts: Sequence[str], kind: FieldType) -> Sequence[str] | None:
    """The very same texts, where a look at all of them shows that none is to be changed."""
    match kind:
        case FieldType.TEXT:
            return texts
        case FieldType.NUMBER:
            return None if "e" in (joined := "".join(texts)) or "E" in joined else texts
        case FieldType.DATE:
            return texts if set(map(len, texts)) == {len("2026-01-31")} else None
        case FieldType.BOOLEAN | FieldType.DATETIME:
            return None


_ZEROS = str.maketrans("123456789", "000000000")
_TIME_SHAPE = re.compile(r"0000-00-00[T ]00:00:00(?:\.(?P<fraction>0+))?\s*(?P<zone>Z|UTC|[+-]00(?::?00)?)?")
"""A time of which every digit is a zero. A column has few such shapes, whatever its times are."""
_SECONDS_END = len("2026-01-31T10:20:30")
_NAMES_OF_UTC = ("", "Z", "UTC")
"""Data Cloud's times without a zone are UTC."""


class _Form(NamedTuple):
    """Of times of one shape: where the milliseconds end, what they lack, and where the zone begins."""

    end: int
    padding: str
    zone_start: int


def _of_times(texts: Sequence[str]) -> Sequence[str] | None:
    """What `_datetime` makes of each text; None where one of them is of no shape that is known."""
    joined = "\n".join(texts)
    all_shapes, shape = joined.translate(_ZEROS), texts[0].translate(_ZEROS)
    are_alike = "\n" not in shape and all_shapes == "\n".join([shape] * len(texts))
    if are_alike and (form := _form(shape)) is not None and "0" not in (rest := shape[form.end :]):
        return _with_end(joined, rest, form.padding)
    shapes = all_shapes.split("\n")
    seen = set(shapes)
    forms = {shape: form for shape in seen if (form := _form(shape)) is not None}
    if len(shapes) != len(texts) or len(forms) < len(seen):
        return None
    end, padding, zone_start = forms[shapes[0]]
    if len(forms) == 1 and texts[0][zone_start:] in _NAMES_OF_UTC:
        return [f"{text[:10]}T{text[11:end]}{padding}Z" for text in texts]
    return [
        f"{text[:10]}T{text[11:end]}{padding}{_zone(text[zone_start:])}"
        for text, (end, padding, zone_start) in zip(texts, map(forms.__getitem__, shapes), strict=True)
    ]


def _with_end(joined: str, rest: str, padding: str) -> list[str]:
    """Times of UTC, a line each, with another end: `rest` is what each has behind its milliseconds."""
    cells = f"{joined}\n".replace(f"{rest}\n", f"{padding}Z\n").replace(" ", "T")
    return cells.removesuffix("\n").split("\n")


def _form(shape: str) -> _Form | None:
    match = _TIME_SHAPE.fullmatch(shape)
    if match is None:
        return None
    zone_start = match.start("zone") if match["zone"] else match.end()
    if not match["fraction"]:
        return _Form(_SECONDS_END, "." + "0" * _MILLISECOND_DIGITS, zone_start)
    digits = min(len(match["fraction"]), _MILLISECOND_DIGITS)
    return _Form(_SECONDS_END + len(".") + digits, "0" * (_MILLISECOND_DIGITS - digits), zone_start)


def _number(value: object) -> str:
    """Digits without an exponent, none of them lost or added."""
    text = str(value)
    if "e" not in text and "E" not in text:
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return format(number, "f") if abs(number.adjusted()) <= _LARGEST_EXPONENT else text


def _boolean(value: object) -> str:
    text = str(value)
    return _BOOLEANS.get(text.lower(), text)


def _date(value: object) -> str:
    match = _DATE.match(str(value))
    return match[1] if match else str(value)


def _datetime(value: object) -> str:
    text = str(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            moment = datetime.fromtimestamp(value / 1000, tz=UTC)
        except (ValueError, OverflowError, OSError):
            return text
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    match = _DATETIME.match(text)
    if match is None:
        return text
    milliseconds = (match["fraction"] or "")[:_MILLISECOND_DIGITS].ljust(_MILLISECOND_DIGITS, "0")
    return f"{match['date']}T{match['time'] or '00:00:00'}.{milliseconds}{_zone(match['zone'] or '')}"


@lru_cache
def _zone(zone: str) -> str:
    if zone in _NAMES_OF_UTC:
        return "Z"
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return "Z" if digits == "0000" else f"{zone[0]}{digits[:2]}:{digits[2:]}"


_CONVERTERS: dict[FieldType, Callable[[object], str]] = {
    FieldType.TEXT: str,
    FieldType.NUMBER: _number,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _date,
    FieldType.DATETIME: _datetime,
}
