"""The view of a run in progress: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.snapshot import MOST_ACTIVE_LANES, LaneProgress, Snapshot
from cli.tables import fits
from massive_upload.domain.progress import PartitionStatus

_RATE_WINDOW_SECONDS = 15.0
_FORESEEN_FROM_SHARE = 0.1
_LINE_EVERY_SECONDS = 5.0
_PLANNING_LINE_EVERY_SECONDS = 30.0
_BAR_WIDTH = 24
_LEAST_BAR_WIDTH = 4
STATUS_STYLES = {
    PartitionStatus.PENDING: "dim",
    PartitionStatus.RUNNING: "cyan",
    PartitionStatus.COMPLETED: "green",
    PartitionStatus.FAILED: "red",
    PartitionStatus.STOPPED: "yellow",
}


class Rates:
    """Settled rows per second of each lane and of all, over the last seconds."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, int]]] = {}
        self._at_first: dict[str, int] = {}  # settled rows of each lane and of all

    def note(self, snapshot: Snapshot, *, at_seconds: float) -> None:
        """Take a snapshot into account that was taken at a moment of any steady clock."""
        for lane in (*snapshot.all_lanes, snapshot.total):
            self._at_first.setdefault(lane.name, lane.settled)
            seen = self._seen.setdefault(lane.name, deque())
            seen.append((at_seconds, lane.settled))
            while len(seen) > 2 and at_seconds - seen[1][0] >= _RATE_WINDOW_SECONDS:
                seen.popleft()

    def rows_per_second(self, lane: LaneProgress) -> float:
        """The rate of a lane of the last snapshot; 0 until there are two snapshots."""
        seen = self._seen.get(lane.name)
        if not seen or seen[-1][0] <= seen[0][0]:
            return 0.0
        return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])

    def seconds_left(self, lane: LaneProgress) -> float | None:
        """When a lane is done if it goes on like this; None where it does not move."""
        rate = self.rows_per_second(lane)
        return (lane.rows - lane.settled) / rate if rate > 0 else None

    def seconds_left_of_all(self, snapshot: Snapshot) -> float | None:
        """When all lanes are done if they go on like this.

        None while none can go on, and while that would be reckoned from too few of them. They are enough once each has
        settled rows, or is done, or a tenth of what was to do at first is done. Before, the rate is that of those that
        happened to be first, which may be the smallest.
        """
        if snapshot.is_waiting:
            return None
        total = snapshot.total
        done, to_do = self._since_first(total), total.rows - self._at_first.get(total.name, 0)
        has_each = all(self._since_first(lane) > 0 or lane.settled >= lane.rows for lane in snapshot.lanes)
        return self.seconds_left(total) if has_each or done >= _FORESEEN_FROM_SHARE * to_do else None

    def _since_first(self, lane: LaneProgress) -> int:
        return lane.settled - self._at_first.get(lane.name, lane.settled)


def progress_view(snapshot: Snapshot, rates: Rates, console: Console) -> Group:
    """Bars of the lanes that matter now, a count of the others, and the total.

    Where room is short bars are shorter, and the count is below; where it is shorter still, there is a line instead: no
    figure is cut.
    """
    counts = Text(_counts(snapshot), style="bold")
    table = _bars(snapshot, rates, beside_total=counts)
    if fits(table, console):
        return Group(table)
    table = _bars(snapshot, rates, bar_width=_LEAST_BAR_WIDTH)
    if fits(table, console):
        return Group(_bars(snapshot, rates, bar_width=None), counts)
    return Group(Text(progress_line(snapshot, rates)))


def _bars(
    snapshot: Snapshot, rates: Rates, *, beside_total: Text | None = None, bar_width: int | None = _BAR_WIDTH
) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=beside_total is None, header_style="dim")
    table.add_column("lane", no_wrap=True)
    table.add_column("", width=bar_width)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("rows/s", justify="right", no_wrap=True)
    table.add_column("succeeded", justify="right", no_wrap=True)
    table.add_column("left", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for lane in _shown_lanes(snapshot):
        status = Text("Waiting" if lane.is_waiting else lane.status, style=STATUS_STYLES[lane.status])
        _add_bar(table, lane, rates, left=rates.seconds_left(lane), status=status)
    left = rates.seconds_left_of_all(snapshot)
    _add_bar(table, snapshot.total, rates, left=left, status=beside_total or Text())
    return table


def progress_line(snapshot: Snapshot, rates: Rates) -> str:
    """The same in one line."""
    total = snapshot.total
    percent = 100 * total.settled // total.rows if total.rows else 0
    parts = [
        f"{total.settled:,} of {total.rows:,} rows ({percent} %)",
        f"{rates.rows_per_second(total):,.0f} rows/s",
        f"{_rate_text(total)} succeeded",
        _counts(snapshot),
    ]
    left = rates.seconds_left_of_all(snapshot)
    if left is not None:
        parts.append(f"{duration_text(left)} left")
    return ", ".join(parts)


def duration_text(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    whole = round(seconds)
    for size_seconds, name, next_size_seconds, next_name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size_seconds:
            rest = whole % size_seconds // next_size_seconds
            return f"{whole // size_seconds} {name}" + (f" {rest} {next_name}" if rest else "")
    return f"{whole} s"


class ProgressDisplay:
    """Shows snapshots: live bars where the console can redraw, else a plain line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rates = Rates()
        self._shown = Snapshot()
        can_redraw = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False, transient=True) if can_redraw else None
        self._planning_since_seconds: float | None = None
        self._planning_lines = 0
        self._last_line_seconds: float | None = None
        self._last_line = ""

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, line: str) -> None:
        """Print a line; bars stay below it."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def show(self, snapshot: Snapshot, *, at_seconds: float) -> None:
        """Show a snapshot that was taken at a moment of any steady clock; one of another run begins anew.

        One without lanes is of a run that is being planned.
        """
        if not snapshot.lanes:
            self._show_planning(at_seconds)
            return
        self._planning_since_seconds, self._planning_lines = None, 0
        if snapshot.run_id != self._shown.run_id:
            self._rates = Rates()
        self._shown = snapshot = snapshot.not_behind(self._shown)
        self._rates.note(snapshot, at_seconds=at_seconds)
        if self._live is not None:
            self._live.update(progress_view(snapshot, self._rates, self._console), refresh=True)
            return
        is_due = self._last_line_seconds is None or at_seconds - self._last_line_seconds >= _LINE_EVERY_SECONDS
        line = progress_line(snapshot, self._rates)
        if is_due and line != self._last_line:
            self._last_line_seconds, self._last_line = at_seconds, line
            self.say(line)

    def _show_planning(self, at_seconds: float) -> None:
        if self._planning_since_seconds is None:
            self._planning_since_seconds = at_seconds
        so_far_seconds = at_seconds - self._planning_since_seconds
        text = f"planning, {duration_text(so_far_seconds)} so far"
        if self._live is not None:
            self._live.update(Text(text, style="dim"), refresh=True)
        elif so_far_seconds >= _PLANNING_LINE_EVERY_SECONDS * (self._planning_lines + 1):
            self._planning_lines += 1
            self.say(text)


def _shown_lanes(snapshot: Snapshot) -> list[LaneProgress]:
    """All lanes where they are few; else those at work."""
    if len(snapshot.lanes) <= MOST_ACTIVE_LANES:
        return list(snapshot.all_lanes)
    sweeps = [snapshot.sweep] if snapshot.sweep else []
    return [*snapshot.with_status(PartitionStatus.RUNNING)[:MOST_ACTIVE_LANES], *sweeps]


def _add_bar(table: Table, lane: LaneProgress, rates: Rates, *, left: float | None, status: Text) -> None:
    is_done = lane.settled >= lane.rows
    table.add_row(
        lane.name,
        ProgressBar(total=max(1, lane.rows), completed=lane.settled if lane.rows else 1),
        f"{lane.settled:,} / {lane.rows:,}",
        "" if is_done else f"{rates.rows_per_second(lane):,.0f}",
        _rate_text(lane),
        "" if is_done or left is None else duration_text(left),
        status,
    )


def _rate_text(lane: LaneProgress) -> str:
    rate = lane.success_rate_percent
    return "-" if rate is None else f"{rate:.2f} %"


def _counts(snapshot: Snapshot) -> str:
    counts = ((len(snapshot.with_status(status)), status.lower()) for status in PartitionStatus)
    told = [f"{count} {name}" for count, name in counts if count]
    if snapshot.is_waiting:
        told.append("waiting for the org or the schedule's window")
    return ", ".join(told)
