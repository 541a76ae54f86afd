"""Reads the dashboard of a template: its widgets, and the lines of each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.emf import Point
from tests.infra.alarms import Series, Value, evaluate
from tests.infra.definitions import Template, flatten, resources


@dataclass(frozen=True)
class Line:
    """One line of a graph, or one number: an expression over series."""

    label: str
    expression: str
    axis: str
    series: Mapping[str, Series] = field(repr=False)

    def value(self, points: Sequence[Point], period_seconds: float) -> Value:
        """Its value in one period."""
        values = {name: series.value(points) for name, series in self.series.items()}
        return evaluate(self.expression, {**values, "PERIOD": period_seconds})


@dataclass(frozen=True)
class Widget:
    """One widget, where it stands and what it holds."""

    kind: str
    box: tuple[int, int, int, int]
    properties: Mapping[str, Any]

    @property
    def title(self) -> str:
        return str(self.properties.get("title", ""))

    def lines(self) -> Iterator[Line]:
        """Every line that is shown; series without an id of their own stand for themselves."""
        entries = [_entry(each, index) for index, each in enumerate(self.properties.get("metrics", []))]
        series = {name: found for name, found, _ in entries if found is not None}
        for name, _, options in entries:
            if options.get("visible", True):
                label = options.get("label", name)
                yield Line(label, options.get("expression", name), options.get("yAxis", "left"), series)


def read_widgets(template: Template) -> list[Widget]:
    """The widgets of the one dashboard."""
    (dashboard,) = resources(template, "AWS::CloudWatch::Dashboard").values()
    body = json.loads(flatten(dashboard["Properties"]["DashboardBody"]))
    return [
        Widget(each["type"], (each["x"], each["y"], each["width"], each["height"]), each["properties"])
        for each in body["widgets"]
    ]


def _entry(entry: list[Any], index: int) -> tuple[str, Series | None, Mapping[str, Any]]:
    """A line of a widget's `metrics` (CloudWatch API, "Dashboard body structure and syntax")."""
    options: Mapping[str, Any] = entry[-1] if isinstance(entry[-1], dict) else {}
    name = options.get("id", f"line{index}")
    if "expression" in options:
        return name, None, options
    namespace, metric, *pairs = [each for each in entry if isinstance(each, str)]
    dimensions = frozenset(zip(pairs[::2], pairs[1::2], strict=True))
    return name, Series(namespace, metric, dimensions, options.get("stat", "Average")), options
