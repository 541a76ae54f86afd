"""A night with faults, as its logs and metrics tell it: nothing is missing, and nothing is told that must not be."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.config import load_file
from infra.synth import ROOT, STACK_NAME
from local.aws.embedded import ExecutionResult
from local.org import Faults, OrgServer, OrgSettings, generated_opportunities
from massive_upload.observability import NAMESPACE, Event, Marker
from tests.e2e.picture import Night, draw
from tests.e2e.world import World, deployed
from tests.emf import Point, read_points
from tests.infra.alarms import read_alarms
from tests.infra.dashboards import read_widgets
from tests.infra.definitions import Template, read_template

TIME_SCALE = 500.0
PICTURE = ROOT / "build" / "dashboard.png"
QUERY_SECONDS = 100.0  # so that lanes wait on purpose

FAULTS = """
- match: {object: Opportunity, nth: 2}
  action: {row_failures: {share: 0.1, code: FIELD_CUSTOM_VALIDATION_EXCEPTION, message: "Jane Doe owes 17 EUR"}}
- match: {object: Opportunity, every: 3}
  action: {row_failures: {share: 0.3, code: UNABLE_TO_LOCK_ROW, message: "unable to obtain a lock on Jane Doe"}}
- match: {object: Opportunity, nth: 4}
  action: {job_fails: {after_rows: 300, message: "InternalServerError : Jane Doe could not be saved"}}
- match: {method: PUT, path: "/batches$", nth: 3}
  action: {status: 503, code: SERVER_UNAVAILABLE, message: "Jane Doe pulled the plug"}
- match: {path: "/query-sql", nth: 2}
  action: {status: 500, code: UNKNOWN_EXCEPTION, message: "Jane Doe again"}
"""


class NightRun:
    """What is left of the night: the template, every line of the functions, and how it ended."""

    def __init__(self, world: World, template: Template, result: ExecutionResult) -> None:
        self.template = template
        self.result = result
        self.text = "\n".join(world.log_lines())
        self.points: list[Point] = list(read_points(self.text.splitlines()))
        lines = [json.loads(line) for line in self.text.splitlines() if line.startswith('{"level"')]
        self.events: list[dict[str, Any]] = lines
        self.figures = str(world.figures)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NightRun]:
    source = generated_opportunities(12_000, seed=3, rejected_share=0.08)
    sets = [
        "partitioning.by=key",
        "partitioning.count=6",
        "pace.stagger_seconds=0",
        "pace.delay_seconds=0",
        "pace.batch_rows=1000",
    ]
    loads = {"opportunity": load_file(ROOT / "loads" / "opportunity.yaml", sets=["partitioning.by=key", *sets])}
    faults = Faults.parse(FAULTS)
    settings = OrgSettings(
        source=source, time_scale=TIME_SCALE, row_ms=100, query_running_seconds=QUERY_SECONDS, faults=faults
    )
    work_dir = tmp_path_factory.mktemp("night")
    with (
        OrgServer(settings) as org,
        deployed(work_dir, loads=loads, org_url=org.url, time_scale=TIME_SCALE) as world,
    ):
        arn = world.start({"load": "opportunity"}, "night")
        while world.store.run("night") is None:
            world.look()
        world.start({"load": "opportunity", "scheduled": True}, "skipped")
        result = world.watch(arn)
        yield NightRun(world, read_template(work_dir / "cdk.out"), result)


def test_the_run_ends_below_its_criterion_and_its_alarm_says_so(night: NightRun) -> None:
    assert (night.result.status, night.result.error) == ("FAILED", "SuccessRateBelowCriterion")
    alarms = read_alarms(night.template)
    assert alarms["SuccessRateopportunity"].state(night.points) == "ALARM"
    assert alarms["LockErrorsopportunity"].state(night.points, night.points) == "ALARM"
    (failed,) = alarms["RunFailed"].series.values()
    assert alarms["RunFailed"].state([failed.point(float(night.result.status == "FAILED"))]) == "ALARM"


def test_every_metric_of_an_alarm_or_a_widget_was_emitted_by_this_very_run(night: NightRun) -> None:
    emitted = {(point.name, point.dimensions) for point in night.points}
    in_alarms = [s for alarm in read_alarms(night.template).values() for s in alarm.series.values()]
    in_widgets = [s for w in read_widgets(night.template) for line in w.lines() for s in line.series.values()]
    asked = {(s.name, s.dimensions) for s in (*in_alarms, *in_widgets) if s.namespace == NAMESPACE}
    assert asked == emitted
    assert {dimensions for _, dimensions in emitted} == {
        frozenset({("service", STACK_NAME)}),
        frozenset({("service", STACK_NAME), ("load", "opportunity")}),
    }


def test_every_line_is_one_event_of_one_run_with_a_marker(night: NightRun) -> None:
    assert {line["marker"] for line in night.events} >= set(Marker) - {Marker.STOP, Marker.WARNING}
    assert {line["message"] for line in night.events} <= set(Event)
    assert {line["service"] for line in night.events} == {STACK_NAME}
    uploads = [line for line in night.events if line["message"] == Event.BATCH_UPLOADED]
    assert uploads
    for line in uploads:
        assert {"run_id", "partition", "batch", "job_id", "attempt", "rows", "timestamp"} <= set(line)
        assert line["run_id"] == "night"
    settled = [line for line in night.events if line["message"] == Event.BATCH_SETTLED]
    assert sum(line["succeeded"] for line in settled) == _verdict(night)["succeeded"]


def test_failed_rows_are_told_by_code(night: NightRun) -> None:
    codes = {line["code"] for line in night.events if line["message"] == Event.ROWS_FAILED}
    assert {"UNABLE_TO_LOCK_ROW", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "STRING_TOO_LONG"} <= codes


def test_no_record_no_secret_and_no_text_of_salesforce_is_told(night: NightRun) -> None:
    told = night.text + night.figures
    assert "batch uploaded" in told
    for content in ("OPP-0", "Łódź", "ACC-0", "Lost in space", "Jane Doe", "unable to obtain", "data value too large"):
        assert not re.search(rf"\b{content}", told, re.IGNORECASE)  # a word of its own, not four digits of a UUID
    for secret in ("client_secret", "Bearer", "access_token"):
        assert secret not in told


def test_the_dashboard_can_be_drawn_from_what_the_run_emitted(night: NightRun) -> None:
    picture: Path = PICTURE
    picture.unlink(missing_ok=True)
    widgets = read_widgets(night.template)
    night_points = Night(night.points, time_scale=TIME_SCALE)
    draw(widgets, night_points, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    own = [w for w in widgets if any(s.namespace == NAMESPACE for line in w.lines() for s in line.series.values())]
    assert len(own) == 11
    empty = [(w.title, line.label) for w in own for line in w.lines() if not night_points.values(line)[1]]
    assert not empty


def _verdict(night: NightRun) -> dict[str, Any]:
    (ended,) = [line for line in night.events if line["message"] == Event.RUN_ENDED]
    return ended
