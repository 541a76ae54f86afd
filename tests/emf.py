"""Reads metrics as CloudWatch does: out of lines in the embedded metric format."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One value of a metric.

    Attributes:
        time_ms: since 1970, as the line says it.
        dimensions: name and value of each.
    """

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    time_ms: int
    value: float


def read_points(lines: Iterable[str]) -> Iterator[Point]:
    """The points of every line that holds some (CloudWatch, "Embedded metric format specification")."""
    for line in lines:
        if '"_aws"' in line:
            yield from _points(json.loads(line))


def _points(document: Mapping[str, object]) -> Iterator[Point]:
    header = document["_aws"]
    assert isinstance(header, dict)
    for directive in header["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = frozenset((name, str(document[name])) for name in names)
            for metric in directive["Metrics"]:
                for value in _values(document[metric["Name"]]):
                    yield Point(directive["Namespace"], metric["Name"], dimensions, header["Timestamp"], value)


def _values(given: object) -> list[float]:
    values: list[float] = given if isinstance(given, list) else [given]  # type: ignore[list-item]  # checked below
    assert all(type(value) in (int, float) for value in values)
    return values
