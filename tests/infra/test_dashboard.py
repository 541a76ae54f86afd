"""The dashboard's layout, and what its graphs are made of."""

from pathlib import Path

import pytest

from infra.config import load_directory
from infra.monitoring import dashboard
from infra.monitoring.queries import PARTITIONS
from infra.synth import ROOT, STACK_NAME, synthesize
from massive_upload.observability import NAMESPACE, Metric
from tests.infra.dashboards import Widget, read_widgets
from tests.infra.definitions import Template, flatten, read_template, resources
from tests.infra.test_alarms import AWS_METRICS

GRID_WIDTH = 24


@pytest.fixture(scope="module")
def widgets(template: Template) -> list[Widget]:
    return read_widgets(template)


def test_its_name_tells_stacks_of_one_name_in_two_regions_apart(template: Template) -> None:
    """All dashboards of an account are global."""
    (found,) = resources(template, "AWS::CloudWatch::Dashboard").values()
    assert flatten(found["Properties"]["DashboardName"]) == f"{STACK_NAME}-${{AWS::Region}}"


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


def test_alarms_that_one_widget_does_not_take_are_in_the_next(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "_WIDGET_ALARMS", 8)
    widgets = read_widgets(read_template(synthesize(tmp_path / "cdk.out", loads=load_directory(ROOT / "loads"))))
    shown = [widget.properties["alarms"] for widget in widgets if widget.kind == "alarm"]
    assert [len(alarms) for alarms in shown[:-1]] == [8] * (len(shown) - 1)
    assert len({alarm for alarms in shown for alarm in alarms}) == len(resources(template, "AWS::CloudWatch::Alarm"))


def test_it_shows_every_alarm_and_the_partitions(template: Template, widgets: list[Widget]) -> None:
    (states,) = [widget for widget in widgets if widget.kind == "alarm"]
    alarms = resources(template, "AWS::CloudWatch::Alarm")
    assert len(states.properties["alarms"]) == len(alarms)
    (partitions,) = [widget for widget in widgets if widget.title == PARTITIONS.title]
    assert partitions.properties["query"].endswith("\n| ".join(PARTITIONS.lines))
