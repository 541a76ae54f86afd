"""Evaluates alarms of a template on points, as CloudWatch does."""

import ast
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.emf import Point
from tests.infra.definitions import Template, flatten, resources

Value = float | None
_OPERATORS: Mapping[type, Callable[[float, float], Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: a / b if b else None,
}
_STATISTICS: Mapping[str, Callable[[list[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "Average": lambda values: sum(values) / len(values),
    "SampleCount": len,
}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
}

_HASH_LENGTH = 8  # at the end of every logical id that the CDK makes


@dataclass(frozen=True)
class Series:
    """One metric of an alarm or of a widget."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    statistic: str

    def value(self, points: Iterable[Point]) -> Value:
        """The statistic over the points of one period; None where there are none."""
        values = [
            point.value
            for point in points
            if (point.namespace, point.name, point.dimensions) == (self.namespace, self.name, self.dimensions)
        ]
        return _STATISTICS[self.statistic](values) if values else None

    def point(self, value: float) -> Point:
        return Point(self.namespace, self.name, self.dimensions, 0, value)


class Alarm:
    """An alarm of the template, by its construct's id."""

    def __init__(self, name: str, properties: Mapping[str, Any]) -> None:
        self.name = name
        self.properties = properties
        queries = properties.get("Metrics")
        if queries is None:
            self.expression = "m"
            self.series = {"m": _series(properties, properties["Statistic"])}
            return
        (self.expression,) = [
            query.get("Expression", query["Id"]) for query in queries if query.get("ReturnData", True)
        ]
        self.series = {
            query["Id"]: _series(query["MetricStat"]["Metric"], query["MetricStat"]["Stat"])
            for query in queries
            if "MetricStat" in query
        }

    def state(self, *periods: Sequence[Point]) -> str:
        """OK or ALARM after these periods, the last one last; what is before them has no data."""
        asked = int(self.properties["EvaluationPeriods"])
        padded: list[Sequence[Point]] = [*([()] * asked), *periods][-asked:]
        breaches = sum(self._breaches(points) for points in padded)
        return "ALARM" if breaches >= self.properties.get("DatapointsToAlarm", asked) else "OK"

    def _breaches(self, points: Sequence[Point]) -> bool:
        value = evaluate(self.expression, {name: series.value(points) for name, series in self.series.items()})
        if value is None:
            return bool(self.properties["TreatMissingData"] == "breaching")
        return _COMPARISONS[self.properties["ComparisonOperator"]](value, float(self.properties["Threshold"]))


def read_alarms(template: Template) -> dict[str, Alarm]:
    """Every metric alarm, by the id of its construct, without dashes."""
    found = resources(template, "AWS::CloudWatch::Alarm")
    names = {logical_id: logical_id.removeprefix("Alarms")[:-_HASH_LENGTH] for logical_id in found}
    return {names[logical_id]: Alarm(names[logical_id], alarm["Properties"]) for logical_id, alarm in found.items()}


def evaluate(expression: str, values: Mapping[str, Value]) -> Value:
    """A metric math expression on one value of each metric; what is missing stays missing."""
    return _evaluate(ast.parse(expression, mode="eval").body, values)


def _evaluate(node: ast.expr, values: Mapping[str, Value]) -> Value:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=kind, right=right):
            a, b = _evaluate(left, values), _evaluate(right, values)
            return None if a is None or b is None else _OPERATORS[type(kind)](a, b)
        case ast.Call(func=ast.Name(id="SUM" | "MAX" as function), args=[ast.List(elts=parts)]):
            known = [value for part in parts if (value := _evaluate(part, values)) is not None]
            return (sum(known) if function == "SUM" else max(known)) if known else None
        case ast.Call(func=ast.Name(id="IF"), args=[condition, then, *otherwise]):
            holds = _evaluate(condition, values)
            if holds is None or not (holds or otherwise):
                return None
            return _evaluate(then if holds else otherwise[0], values)
        case ast.Call(func=ast.Name(id="FILL"), args=[series, filling]):
            value = _evaluate(series, values)
            return _evaluate(filling, values) if value is None else value
        case ast.Call(func=ast.Name(id="PERIOD"), args=[ast.Name()]):
            return values["PERIOD"]
        case ast.Compare(left=left, ops=[ast.GtE() | ast.Gt() as kind], comparators=[right]):
            a, b = _evaluate(left, values), _evaluate(right, values)
            return None if a is None or b is None else float(a >= b if isinstance(kind, ast.GtE) else a > b)
    raise AssertionError(f"no rule for {ast.dump(node)}")


def _series(metric: Mapping[str, Any], statistic: str) -> Series:
    dimensions = frozenset((each["Name"], flatten(each["Value"])) for each in metric.get("Dimensions", []))
    return Series(metric["Namespace"], metric["MetricName"], dimensions, statistic)
