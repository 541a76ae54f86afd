"""Each alarm on the product's own metrics: driven to ALARM by a run with faults, and back to OK by a good one."""

from datetime import timedelta

import pytest

from infra.config import load_directory
from infra.synth import ROOT, STACK_NAME, synthesize
from massive_upload.constants import MOST_DRAINS
from massive_upload.domain.load import Budget
from massive_upload.observability import NAMESPACE, Metric
from tests.emf import Point
from tests.infra.alarms import Alarm, read_alarms
from tests.infra.definitions import read_template
from tests.integration.usecases.test_metrics import Read, last, points, watch
from tests.integration.usecases.world import RUN, open_world, paced

__all__ = ["points"]

LOCKED = "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 0.5, code: UNABLE_TO_LOCK_ROW}}"
REJECTED = "- match: {object: Opportunity}\n  action: {row_failures: {share: 0.3, code: STRING_TOO_LONG}}"
ONE_JOB = paced(batch_rows=30)
WITHOUT_RESERVE = ONE_JOB.model_copy(
    update={"budget": Budget(api_requests_reserve_percent=0, bulk_batches_reserve_percent=0)}
)


@pytest.fixture(scope="module")
def alarms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Alarm]:
    loads = {"opportunity": load_directory(ROOT / "loads")["opportunity"]}
    found = read_alarms(
        read_template(synthesize(tmp_path_factory.mktemp("alarms") / "cdk.out", loads=loads, validate=False))
    )
    return {
        name: alarm for name, alarm in found.items() if all(s.namespace == NAMESPACE for s in alarm.series.values())
    }


@pytest.fixture(autouse=True)
def _service(points: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", STACK_NAME)


@pytest.fixture
def good_run(points: Read) -> list[Point]:
    """The points of a run in which nothing goes wrong."""
    with open_world(load=ONE_JOB) as world:
        world.execute()
        watch(world)
    return points()


def assert_alarms(alarm: Alarm, bad: list[Point], good: list[Point]) -> None:
    periods = alarm.properties["EvaluationPeriods"]
    assert alarm.state(*[good] * periods) == "OK"
    assert alarm.state(*[bad] * periods) == "ALARM"
    assert alarm.state(*[bad] * periods, *[good] * periods) == "OK"


def test_the_alarms_of_this_module_are_all_there_are(alarms: dict[str, Alarm]) -> None:
    assert set(alarms) == {
        "SuccessRateopportunity",
        "LockErrorsopportunity",
        "PartitionStuck",
        "PartitionNeverStarted",
        "RunLeftOpen",
        "WatchdogSilent",
        "RunSkipped",
        "ApiRequests",
        "BulkBatches",
    }


def test_a_start_of_a_schedule_that_is_skipped_raises_its_alarm(
    alarms: dict[str, Alarm], points: Read, good_run: list[Point]
) -> None:
    with open_world(load=ONE_JOB) as world:
        world.plan({"load": "opportunity"})
        assert world.plan({"load": "opportunity", "scheduled": True}, "later").next == "Skip"
    assert_alarms(alarms["RunSkipped"], points(), good_run)


def test_rejected_rows_raise_the_success_rate_s(alarms: dict[str, Alarm], points: Read, good_run: list[Point]) -> None:
    with open_world(load=ONE_JOB, faults=REJECTED) as world:
        verdict = world.execute()
    assert verdict is not None
    assert verdict.error == "SuccessRateBelowCriterion"
    assert_alarms(alarms["SuccessRateopportunity"], points(), good_run)


def test_rows_that_fail_on_locks_raise_the_lock_errors(
    alarms: dict[str, Alarm], points: Read, good_run: list[Point]
) -> None:
    with open_world(load=ONE_JOB, faults=LOCKED) as world:
        world.execute()
    bad = points()
    assert_alarms(alarms["LockErrorsopportunity"], bad, good_run)
    assert alarms["LockErrorsopportunity"].state(bad) == "OK"  # once is no news


def test_a_silent_lane_raises_the_stuck_partition_s(
    alarms: dict[str, Alarm], points: Read, good_run: list[Point]
) -> None:
    with open_world(load=paced(lanes=2)) as world:
        world.start_lane()
        world.store.record_heartbeat(world.partition("0000"), world.services.org.heartbeat())
        points()
        watch(world, timedelta(hours=1))
    bad = points()
    assert_alarms(alarms["PartitionStuck"], bad, good_run)
    assert_alarms(alarms["PartitionNeverStarted"], bad, good_run)


def test_a_run_that_finish_run_cannot_close_is_told_once_it_had_the_time_for_the_jobs_in_flight(
    alarms: dict[str, Alarm], points: Read, good_run: list[Point]
) -> None:
    """Its job never ends, so that FinishRun closes it at the last look at which it may still wait for jobs."""
    alarm = alarms["RunLeftOpen"]
    with open_world(load=ONE_JOB, faults="- match: {method: PATCH}\n  action: {status: 503}") as world:
        world.start_lane()
        world.slices.run_slice(RUN, "0000", stop_before="SettleBatch")
        world.break_org("- match: {path: jobs/ingest}\n  action: {status: 503}")
        world.executions.end(RUN)
        looks = []
        points()
        while True:
            watch(world)
            looks.append(points())
            if not last(looks[-1], Metric.OPEN_RUNS):
                break
            world.finish_once({"input": {"run_id": RUN}}, ended="ABORTED")
            points()
    assert len(looks) == MOST_DRAINS + 2
    assert alarm.state(*looks) == "OK"
    assert_alarms(alarm, looks[0], good_run)


def test_a_watchdog_that_does_not_look_is_missed_after_a_quarter_of_an_hour(
    alarms: dict[str, Alarm], good_run: list[Point]
) -> None:
    alarm = alarms["WatchdogSilent"]
    assert alarm.state(good_run, [], []) == "OK"
    assert alarm.state(good_run, [], [], []) == "ALARM"
    assert alarm.state([], [], [], good_run) == "OK"


def test_requests_near_the_org_s_limit_raise_their_alarm(
    alarms: dict[str, Alarm], points: Read, good_run: list[Point]
) -> None:
    with open_world(load=WITHOUT_RESERVE, daily_api_requests=5_000) as world:
        for _ in range(4_800):
            world.server.backend.limits.count_request()
        world.execute()
    assert_alarms(alarms["ApiRequests"], points(), good_run)


def test_batches_near_the_org_s_limit_raise_their_alarm(
    alarms: dict[str, Alarm], points: Read, good_run: list[Point]
) -> None:
    with open_world(load=WITHOUT_RESERVE, daily_bulk_batches=20) as world:
        world.server.backend.limits.count_batches(19)
        world.execute()
    assert_alarms(alarms["BulkBatches"], points(), good_run)


USED_UP = {
    "ApiRequests": "{status: 403, code: REQUEST_LIMIT_EXCEEDED, message: TotalRequests Limit exceeded.}",
    "BulkBatches": "{status: 400, code: ExceededQuota}",
}
NOT_TOLD = "- match: {path: /limits}\n  action: {status: 403, code: FORBIDDEN}\n"


@pytest.mark.parametrize("name", USED_UP)
def test_a_lane_that_is_refused_as_an_allowance_is_used_up_raises_its_alarm_until_it_gets_on(
    alarms: dict[str, Alarm], points: Read, good_run: list[Point], name: str
) -> None:
    """The org does not tell what is left."""
    used_up = f"- match: {{method: POST, path: ingest$, until_seconds: 4000}}\n  action: {USED_UP[name]}"
    with open_world(load=WITHOUT_RESERVE, faults=NOT_TOLD + used_up) as world:
        told = []

        def look(_name: str, _seconds: int) -> None:
            told.append(points())

        world.slices.on_wait = look
        verdict = world.execute()
        assert verdict is not None
        assert verdict.status == "Completed"
        assert world.slices.visited.count("WaitForOrg") == 2
    waits = 1 + 6  # ten minutes, and an hour
    assert_alarms(alarms[name], told[0], good_run)
    hour: list[list[Point]] = [[]] * 12
    assert alarms[name].state(told[0], *hour) == "ALARM", "lanes that wait at their reserve look once an hour"
    assert alarms[name].state(told[0], *hour, []) == "OK"
    looks = [point for read in told[:waits] for point in (read, [])]
    assert [alarms[name].state(*looks[: number + 1]) for number in range(len(looks))] == ["ALARM"] * len(looks)
    (other,) = set(USED_UP) - {name}
    assert alarms[other].state(*looks) == "OK"


@pytest.mark.parametrize("path", ["/sobjects/", "/limits"])
def test_requests_that_are_used_up_as_a_run_begins_raise_their_alarm(
    alarms: dict[str, Alarm], points: Read, good_run: list[Point], path: str
) -> None:
    """The one refuses the plan, the other a lane's look before its first batch."""
    refusal = f"- match: {{path: {path}, nth: 1}}\n  action: {USED_UP['ApiRequests']}"
    with open_world(load=ONE_JOB, faults=refusal) as world:
        verdict = world.execute()
        assert verdict is not None
        assert verdict.status == "Completed"
    assert_alarms(alarms["ApiRequests"], points(), good_run)
