from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Protocol


class OrgClock(Protocol):
    """The time inside the org; everything the org times is read from here."""

    def seconds(self) -> float:
        """Simulated seconds since the org started."""
        ...

    def at(self, seconds: float) -> datetime:
        """The simulated moment, in UTC, of so many seconds after the start."""
        ...

    def real_seconds(self, simulated_seconds: float) -> float:
        """How long a simulated span lasts for the process that serves it."""
        ...


class ScaledClock:
    """Runs `time_scale` simulated seconds in each real second."""

    def __init__(self, time_scale: float = 1.0) -> None:
        if time_scale <= 0:
            raise ValueError(f"time_scale is {time_scale}: give simulated seconds per real second, above 0.")
        self._time_scale = time_scale
        self._started_at = datetime.now(UTC)
        self._started = monotonic()

    def seconds(self) -> float:
        """Simulated seconds since the org started."""
        return (monotonic() - self._started) * self._time_scale

    def at(self, seconds: float) -> datetime:
        """The simulated moment, in UTC, of so many seconds after the start."""
        return self._started_at + timedelta(seconds=seconds)

    def real_seconds(self, simulated_seconds: float) -> float:
        """How long a simulated span lasts for the process that serves it."""
        return simulated_seconds / self._time_scale


class ManualClock:
    """Stands still until it is moved; waiting costs no real time."""

    def __init__(self, started_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._started_at = started_at
        self._seconds = 0.0

    def move(self, seconds: float) -> None:
        """Let so many simulated seconds pass."""
        self._seconds += seconds

    def seconds(self) -> float:
        """Simulated seconds since the org started."""
        return self._seconds

    def at(self, seconds: float) -> datetime:
        """The simulated moment, in UTC, of so many seconds after the start."""
        return self._started_at + timedelta(seconds=seconds)

    def real_seconds(self, simulated_seconds: float) -> float:
        """Nothing: the clock is moved by hand."""
        return 0.0 * simulated_seconds
