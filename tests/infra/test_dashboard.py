"""The dashboard's layout, and what its graphs are made of."""

import pytest

from infra.monitoring.queries import PARTITIONS
from infra.synth import STACK_NAME
from massive_upload.observability import NAMESPACE, Metric
from tests.infra.dashboards import Widget, read_widgets
from tests.infra.definitions import Template, flatten, resources
from tests.infra.test_alarms import AWS_METRICS

GRID_WIDTH = 24


@pytest.fixture(scope="module")
def widgets(template: Template) -> list[Widget]:
    return read_widgets(template)


def test_its_name_tells_stacks_of_one_name_in_two_regions_apart(template: Template) -> None:
    """All dashboards of an account are global."""
    (dashboard,) = resources(template, "AWS::CloudWatch::Dashboard").values()
    assert flatten(dashboard["Properties"]["DashboardName"]) == f"{STACK_NAME}-${{AWS::Region}}"


def test_widgets_fill_the_grid_without_lying_on_one_another(widgets: list[Widget]) -> None:
    cells = [
        (column, row)
        for x, y, width, height in (widget.box for widget in widgets)
        for column in range(x, x + width)
        for row in range(y, y + height)
    ]
    assert len(cells) == len(set(cells))
    assert len(cells) == GRID_WIDTH * max(y + height for _, y, _, height in (widget.box for widget in widgets))


def test_every_metric_is_emitted_by_the_product_or_by_a_service(widgets: list[Widget]) -> None:
    series = [s for widget in widgets for line in widget.lines() for s in line.series.values()]
    own = {s for s in series if s.namespace == NAMESPACE}
    for each in own:
        names = {name for name, _ in each.dimensions}
        assert names == ({"service"} if Metric(each.name).is_of_the_stack else {"service", "load"})
    for each in set(series) - own:
        assert {name for name, _ in each.dimensions} == AWS_METRICS[(each.namespace, each.name)]


def test_every_metric_of_the_product_but_the_heartbeat_is_shown(widgets: list[Widget]) -> None:
    shown = {s.name for widget in widgets for line in widget.lines() for s in line.series.values()}
    assert {metric.value for metric in Metric} - shown == {Metric.WATCHDOG_HEARTBEAT}


def test_every_load_has_a_line_in_the_graphs_of_loads(widgets: list[Widget]) -> None:
    (throughput,) = [widget for widget in widgets if widget.title == "Rows settled each second"]
    assert [line.label for line in throughput.lines()] == ["account", "flights", "opportunity"]


def test_it_shows_every_alarm_and_the_partitions(template: Template, widgets: list[Widget]) -> None:
    (states,) = [widget for widget in widgets if widget.kind == "alarm"]
    alarms = resources(template, "AWS::CloudWatch::Alarm")
    assert len(states.properties["alarms"]) == len(alarms)
    (partitions,) = [widget for widget in widgets if widget.title == PARTITIONS.title]
    assert partitions.properties["query"].endswith("\n| ".join(PARTITIONS.lines))
