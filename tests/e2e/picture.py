"""Draws the dashboard from the points of a local run, so that a person can see what it would look like."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.emf import Point
from tests.infra.dashboards import Line, Widget

_CELL_INCHES = 0.75
_ROW_INCHES = 0.55
_GRID_WIDTH = 24
_PERIODS = 40


class Night:
    """A run's points in so many periods, each of so many seconds of the run's own time."""

    def __init__(self, points: Sequence[Point], *, time_scale: float) -> None:
        first = min(point.time_ms for point in points)
        length_ms = max(point.time_ms for point in points) - first + 1
        self.period_seconds = length_ms / _PERIODS / 1000 * time_scale
        self.periods: list[list[Point]] = [[] for _ in range(_PERIODS)]
        for point in points:
            self.periods[(point.time_ms - first) * _PERIODS // length_ms].append(point)

    def values(self, line: Line) -> tuple[list[float], list[float]]:
        """Minutes since the start, and the line's values there; periods without one are left out."""
        found = [(index, line.value(points, self.period_seconds)) for index, points in enumerate(self.periods)]
        known = [(index * self.period_seconds / 60, value) for index, value in found if value is not None]
        return [minute for minute, _ in known], [value for _, value in known]


def draw(widgets: Sequence[Widget], night: Night, path: Path) -> None:
    """Write the picture as a PNG file."""
    height = max(widget.box[1] + widget.box[3] for widget in widgets)
    figure = Figure(figsize=(_GRID_WIDTH * _CELL_INCHES, height * _ROW_INCHES), dpi=70)
    for widget in widgets:
        x, y, width, tall = widget.box
        axes = figure.add_axes(
            (
                (x + 0.8) / _GRID_WIDTH,
                1 - (y + tall - 0.9) / height,
                (width - 1.6) / _GRID_WIDTH,
                (tall - 1.9) / height,
            )
        )
        axes.set_title(widget.title, fontsize=9, loc="left")
        if widget.properties.get("view") == "singleValue":
            _draw_numbers(axes, widget, night)
        elif widget.kind == "metric":
            _draw_graph(axes, widget, night)
        else:
            _draw_text(axes, widget)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _draw_graph(axes: Axes, widget: Widget, night: Night) -> None:
    right: Axes | None = None
    for index, line in enumerate(widget.lines()):
        if line.axis == "right" and right is None:
            right = axes.twinx()
            right.tick_params(labelsize=6)
        where = right if line.axis == "right" and right is not None else axes
        where.plot(*night.values(line), marker=".", linewidth=1, color=f"C{index}", label=line.label)
    for mark in widget.properties.get("annotations", {}).get("horizontal", []):
        axes.axhline(mark["value"], color="red", linestyle="--", linewidth=0.8, label=mark["label"])
    lines = [line for each in (axes, right) if each is not None for line in each.get_lines()]
    axes.legend(handles=lines, fontsize=6, loc="upper left")
    axes.set_xlabel("minutes of the run", fontsize=6)
    axes.tick_params(labelsize=6)


def _draw_numbers(axes: Axes, widget: Widget, night: Night) -> None:
    axes.axis("off")
    for index, line in enumerate(widget.lines()):
        _, values = night.values(line)
        text = f"{values[-1]:,.4g}" if values else "--"
        axes.text(0.02, 0.6 - 0.35 * index, f"{text}  {line.label}", fontsize=15)


def _draw_text(axes: Axes, widget: Widget) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    text = widget.properties.get("markdown") or widget.properties.get("query") or "state of every alarm"
    wrapped = textwrap.fill(str(text)[-600:], width=6 * widget.box[2])
    axes.text(0.01, 0.95, wrapped, fontsize=6, va="top", parse_math=False)
