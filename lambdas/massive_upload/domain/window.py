"""A load's window: the hours of the day, of its time zone, in which a scheduled run may begin batches."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from math import ceil
from zoneinfo import ZoneInfo

_PATTERN = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"


def check_window(text: str) -> str:
    """A window's text, if it is one.

    Raises:
        ValueError: it has another form, or begins where it ends.
    """
    Window.parse(text, "UTC")
    return text


@dataclass(frozen=True, kw_only=True)
class Window:
    """From ``opens`` up to but not including ``closes``, by the clocks of a time zone; over midnight if need be."""

    opens: time
    closes: time
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str, timezone: str) -> Window:
        """Read "22:00-06:00".

        Raises:
            ValueError: the text has another form, or begins where it ends, or the time zone is not known.
        """
        if not re.fullmatch(_PATTERN, text):
            raise ValueError(f"a window is written like 22:00-06:00, not {text!r}")
        opens, closes = map(time.fromisoformat, text.split("-"))
        if opens == closes:
            raise ValueError(f"the window {text!r} never opens; leave it out to load at any hour")
        try:
            zone = ZoneInfo(timezone)
        except (KeyError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
            raise ValueError(f"there is no time zone {timezone!r}") from error
        return cls(opens=opens, closes=closes, zone=zone)

    @property
    def length_seconds(self) -> int:
        """How long it is open, on a day on which no clock changes."""
        minutes = [moment.hour * 60 + moment.minute for moment in (self.opens, self.closes)]
        return (minutes[1] - minutes[0]) % (24 * 60) * 60

    def is_open(self, now: datetime) -> bool:
        """Whether the clocks of its time zone show an hour of the window.

        Where clocks are put forward over the opening, it is open once they show a later time of the window; one that
        lies wholly within the time that is left out does not open on that day. Where they are put back, both of the
        hours that are shown twice count.
        """
        shown = now.astimezone(self.zone).time()
        if self.opens < self.closes:
            return self.opens <= shown < self.closes
        return shown >= self.opens or shown < self.closes

    def seconds_until_open(self, now: datetime, *, most: int) -> int:
        """How long to wait until it opens, or to the next look at it: at most so long; 0 while it is open.

        Windows open on the minute and clocks change by whole minutes, so no more than the minutes are to be looked at.
        """
        if self.is_open(now):
            return 0
        minute = now.replace(second=0, microsecond=0)
        while (minute := minute + timedelta(minutes=1)) < now + timedelta(seconds=most):
            if self.is_open(minute):
                return ceil((minute - now).total_seconds())
        return most
