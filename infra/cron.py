"""What EventBridge Scheduler takes for a time: its cron expressions and time zones, and what is wrong with others."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import available_timezones

_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), start=1)}
_EXAMPLE = "write six fields such as '0 22 ? * MON-FRI *' (minute, hour, day of month, month, day of week, year)"
_LEAP_YEAR = 2028


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    words: Mapping[str, int] = field(default_factory=dict)
    special: str = r"(?!)"


# EventBridge Scheduler user guide, "Schedule types: Cron-based schedules".
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31, special=r"\?|L|LW|(0?[1-9]|[12]\d|3[01])W"),
    _Field("month", 1, 12, words=_MONTHS),
    _Field(
        "day of week", 1, 7, words=_WEEKDAYS, special=r"\?|L|[1-7]L|[1-7]#[1-5]|(SUN|MON|TUE|WED|THU|FRI|SAT)(L|#[1-5])"
    ),
    _Field("year", 1970, 2199),
)
_DAY, _MONTH, _WEEKDAY, _YEAR = 2, 3, 4, 5


def cron_mistake(cron: str, *, this_year: int) -> str | None:
    """What is wrong with the six fields of a cron expression, and what would be right; None where nothing is."""
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        return f"{cron!r} has {len(fields)} fields; {_EXAMPLE}"
    for kind, text in zip(_FIELDS, fields, strict=True):
        if not text.isascii() or _values(kind, text.upper()) is None:  # there are digits of other scripts
            return f"{text!r} is no {kind.name}; {_EXAMPLE}"
    if (fields[_DAY] == "?") == (fields[_WEEKDAY] == "?"):
        return "exactly one of day of month (third) and day of week (fifth) must be '?'; " + _EXAMPLE
    if not _has_a_day(fields[_DAY], fields[_MONTH].upper()):
        return f"no month of {fields[_MONTH]!r} has a day {fields[_DAY]}, so it would never start; correct one of them"
    if not any(year >= this_year for year in _values(_FIELDS[_YEAR], fields[_YEAR]) or ()):
        return f"{fields[_YEAR]!r} is past, so it would never start; write a later year, or '*' for every year"
    return None


def timezone_mistake(name: str) -> str | None:
    """What is wrong with the name of a time zone; None where nothing is."""
    if name in available_timezones():
        return None
    return f"{name!r} is no time zone; write a name of the IANA database, such as Europe/London or UTC"


def _values(kind: _Field, text: str) -> set[int] | None:
    """The values that a field stands for, none where it is special; None where it is wrong."""
    if re.fullmatch(kind.special, text):
        return set()
    found: set[int] = set()
    for part in text.split(","):
        values = _part_values(kind, part)
        if values is None:
            return None
        found |= values
    return found


def _part_values(kind: _Field, part: str) -> set[int] | None:
    """``*``, ``a``, ``a-b``, and each of them with ``/step``."""
    span, slash, step = part.partition("/")
    if slash and not (step.isdecimal() and int(step) > 0):
        return None
    first, dash, last = span.partition("-")
    if span == "*":
        low, high = kind.low, kind.high
    else:
        bounds = [_number(kind, bound) for bound in ((first, last) if dash else (first,))]
        if None in bounds:
            return None
        low = bounds[0] or 0
        high = (bounds[-1] or 0) if dash or not slash else kind.high
    return set(range(low, high + 1, int(step) if slash else 1)) or None


def _number(kind: _Field, text: str) -> int | None:
    number = kind.words.get(text, int(text) if text.isdecimal() else None)
    return number if number is not None and kind.low <= number <= kind.high else None


def _has_a_day(day: str, month: str) -> bool:
    days = _values(_FIELDS[_DAY], day.upper()) or set()
    months = _values(_FIELDS[_MONTH], month) or set()
    return not days or any(min(days) <= calendar.monthrange(_LEAP_YEAR, each)[1] for each in months)
