"""Metrics: what a run emits adds up to what the progress table holds."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from massive_upload.domain.progress import Halt, PartitionStatus
from massive_upload.observability import Metric
from massive_upload.usecases.watch_runs import watch_runs
from tests.emf import Point, read_points
from tests.integration.usecases.sources import HalfPairs, opportunities_with
from tests.integration.usecases.world import RUN, World, WorldClock, open_world, paced

ROWS_FAIL = """
- match: {object: Opportunity, nth: 1}
  action: {row_failures: {share: 0.3, code: UNABLE_TO_LOCK_ROW}}
- match: {object: Opportunity, nth: 2}
  action: {row_failures: {share: 0.5, code: UNABLE_TO_LOCK_ROW}}
- match: {object: Opportunity, nth: 3}
  action: {row_failures: {share: 0.5, code: STRING_TOO_LONG}}
"""
Read = Callable[[], list[Point]]


@pytest.fixture
def points(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Read:
    """The points that were emitted since this was last asked."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "Nightly")
    return lambda: list(read_points(capsys.readouterr().out.splitlines()))


def total(points: list[Point], metric: Metric) -> float:
    return sum(point.value for point in points if point.name == metric)


def last(points: list[Point], metric: Metric) -> float:
    return [point.value for point in points if point.name == metric][-1]


class Later:
    """The world's clock, so much later."""

    def __init__(self, world: World, later: timedelta) -> None:
        self._clock, self._later = WorldClock(world.clock), later

    def now(self) -> datetime:
        return self._clock.now() + self._later


def watch(world: World, later: timedelta = timedelta()) -> None:
    watch_runs(world.store, world.executions, Later(world, later), lambda run, ended: None)


def test_the_points_of_a_run_add_up_to_what_its_table_and_verdict_say(points: Read) -> None:
    with open_world(faults=ROWS_FAIL, load=paced(retry_delays_seconds=(2,))) as world:
        verdict = world.execute()
        partitions = world.store.partitions(RUN)
    emitted = points()
    assert verdict is not None
    assert total(emitted, Metric.ROWS_SUCCEEDED) == verdict.succeeded
    assert total(emitted, Metric.ROWS_REJECTED) == verdict.rejected > 0
    assert total(emitted, Metric.ROWS_RESENT) == sum(p.resent_rows for p in partitions) > 0
    assert total(emitted, Metric.LOCK_ERRORS) == sum(p.lock_errors for p in partitions) > 0
    assert total(emitted, Metric.BATCHES_SETTLED) == sum(p.batches for p in partitions)
    jobs = [point for point in emitted if point.name == Metric.PROCESSING_MILLISECONDS]
    assert len(jobs) == sum(p.jobs for p in partitions)
    sent = total(emitted, Metric.ROWS_SENT)
    assert sent == verdict.source_rows + total(emitted, Metric.ROWS_RESENT)
    assert last(emitted, Metric.SUCCESS_RATE_PERCENT) == pytest.approx(100 * verdict.succeeded / 30)
    assert (last(emitted, Metric.PROGRESS_PERCENT), last(emitted, Metric.ROWS_LEFT)) == (100, 0)


def rate_was_told(points: Read, halt: Halt | None) -> bool:
    with open_world(load=paced(), faults=ROWS_FAIL) as world:
        plan = world.plan({"load": "opportunity"})
        world.slices.run_slice(RUN, "0000", stop_before="SettleBatch")
        if halt is not None:
            assert world.store.ask_to_halt(RUN, halt)
        points()
        world.go_on_after(plan)
    return Metric.SUCCESS_RATE_PERCENT in {point.name for point in points()}


def test_the_first_rows_of_a_run_that_is_paused_are_not_judged(points: Read) -> None:
    assert not rate_was_told(points, Halt.PAUSE)
    assert rate_was_told(points, None)


@pytest.mark.parametrize("every", [1, 4])
def test_rows_that_cannot_be_sent_are_among_the_points(points: Read, every: int) -> None:
    half = f"CASE WHEN n % {every} = 0 THEN 'a [half] of a pair' ELSE 'whole' END"
    with open_world(source=opportunities_with("Name__c", half, rows=30), load=paced(lanes=2, batch_rows=5)) as world:
        world.transport = HalfPairs(world.transport)
        verdict = world.execute()
        partitions = world.store.partitions(RUN)
    emitted = points()
    assert verdict is not None
    assert total(emitted, Metric.ROWS_REJECTED) == verdict.rejected == 30 // every
    assert total(emitted, Metric.ROWS_SUCCEEDED) == verdict.succeeded
    assert total(emitted, Metric.BATCHES_SETTLED) == sum(p.batches for p in partitions)


def test_points_have_the_stack_and_the_load_as_dimensions_and_nothing_else(points: Read) -> None:
    with open_world(load=paced()) as world:
        world.execute()
        watch(world)
    for point in points():
        expected = {("service", "Nightly")}
        if not Metric(point.name).is_of_the_stack:
            expected.add(("load", "opportunity"))
        assert point.dimensions == expected
        assert point.namespace == "MassiveUpload"


def test_the_org_s_allowances_are_told_as_shares(points: Read) -> None:
    with open_world(load=paced(), daily_api_requests=200, daily_bulk_batches=20) as world:
        world.execute()
        world.started_at = world.clock.at(world.clock.seconds())
        world.execute(name="later")
        used = sum(world.requests.values())
    emitted = points()
    assert 0 < last(emitted, Metric.API_REQUESTS_USED_PERCENT) <= used
    assert last(emitted, Metric.BULK_BATCHES_USED_PERCENT) == 15


def test_an_org_that_hides_its_limits_is_loaded_all_the_same(points: Read) -> None:
    faults = "- match: {path: '/limits$'}\n  action: {status: 500, code: UNKNOWN_EXCEPTION}"
    with open_world(load=paced(), faults=faults) as world:
        verdict = world.execute()
    assert verdict is not None
    assert verdict.succeeded == 30
    names = {point.name for point in points()}
    assert Metric.BULK_BATCHES_USED_PERCENT not in names
    assert Metric.API_REQUESTS_USED_PERCENT in names


def test_a_lane_that_is_silent_for_half_an_hour_is_stuck_and_one_that_did_not_begin_is_told(points: Read) -> None:
    with open_world(load=paced(lanes=3, stagger_seconds=3600)) as world:
        world.start_lane()
        points()
        watch(world)
        quiet = points()
        watch(world, timedelta(minutes=31))
        first_silent = points()
        watch(world, timedelta(minutes=31, hours=1))
        second_missing = points()
    found = [
        (last(each, Metric.STUCK_PARTITIONS), last(each, Metric.NEVER_STARTED_PARTITIONS))
        for each in (quiet, first_silent, second_missing)
    ]
    assert found == [(0, 0), (1, 0), (1, 1)]
    assert last(quiet, Metric.WATCHDOG_HEARTBEAT) == last(quiet, Metric.OPEN_RUNS) == 1


def stuck_when_claimed(world: World, points: Read, partition: str) -> list[float]:
    """Stuck partitions just after a slice has claimed one and no task of it has recorded anything, and later."""
    world.slices.run_slice(RUN, partition, stop_before="FetchPage")
    found = []
    for minutes in (0, 29, 31):
        points()
        watch(world, timedelta(minutes=minutes))
        found.append(last(points(), Metric.STUCK_PARTITIONS))
    return found


def test_a_lane_is_measured_from_its_claim_however_late_it_takes_its_turn(points: Read) -> None:
    with open_world(load=paced()) as world:
        world.plan({"load": "opportunity"})
        world.wait(4 * 3600)
        assert stuck_when_claimed(world, points, "0000") == [0, 0, 1]


def test_a_lane_that_was_paused_for_long_is_measured_from_its_next_claim(points: Read) -> None:
    with open_world(load=paced()) as world:
        world.start_lane()
        world.slices.run_slice(RUN, "0000", stop_before="SettleBatch")
        world.abort()
        world.wait(4 * 3600)
        world.plan({"mode": "resume", "run_id": RUN}, "again")
        assert stuck_when_claimed(world, points, "0000") == [0, 0, 1]


def test_a_sweep_is_measured_from_its_claim(points: Read) -> None:
    faults = "- match: {object: Opportunity}\n  action: {row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}"
    with open_world(load=paced(), faults=faults) as world:
        plan = world.plan({"load": "opportunity"})
        for lane in plan.lanes:
            world.slices.run_lane(RUN, lane.partition)
        assert world.plan_sweep().needed
        world.wait(4 * 3600)
        assert stuck_when_claimed(world, points, "sweep") == [0, 0, 1]


def test_what_a_dead_execution_was_at_is_not_stuck_while_a_resume_works_on_something_else(points: Read) -> None:
    """A lane that the resume leaves out, and the sweep, which comes after the lanes."""
    faults = "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}"
    with open_world(load=paced(lanes=3, retry_delays_seconds=()), faults=faults) as world:
        world.plan({"load": "opportunity"})
        world.slices.run_lane(RUN, "0000")
        assert world.plan_sweep().needed
        for partition in ("0001", "sweep"):
            world.slices.run_slice(RUN, partition, stop_before="SettleBatch")
        world.executions.end(RUN)
        world.wait(60)
        world.started_at = WorldClock(world.clock).now()
        resume = {"mode": "resume", "run_id": RUN, "partitions": [2]}
        world.plan(resume, "again")
        points()
        watch(world, timedelta(hours=4))
        found = points()
        assert world.plan_sweep().needed
        world.slices.claim(RUN, "sweep")
        sweep = world.partition("sweep")
        world.plan(resume, "again")
        assert world.partition("sweep") == sweep, "a repeated PlanRun takes it from nobody"
        world.finish({"input": resume}, "again")
        verdict = world.execute({"mode": "resume", "run_id": RUN}, "rest")
    assert (last(found, Metric.STUCK_PARTITIONS), last(found, Metric.NEVER_STARTED_PARTITIONS)) == (0, 1)
    assert verdict is not None
    assert (verdict.status, verdict.succeeded) == ("Completed", 30)


def test_a_repeated_planrun_of_a_resume_takes_the_sweep_from_nobody() -> None:
    """Neither where it was the first execution's, nor where this one has made it."""
    faults = "- match: {object: Opportunity}\n  action: {row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}"
    with open_world(load=paced(retry_delays_seconds=()), faults=faults) as world:
        world.plan({"load": "opportunity"})
        world.executions.end(RUN)
        world.wait(60)
        world.started_at = WorldClock(world.clock).now()
        resume = {"mode": "resume", "run_id": RUN}
        world.plan(resume, "again")
        world.slices.run_lane(RUN, "0000")
        assert world.plan_sweep().needed
        world.wait(60)
        world.slices.claim(RUN, "sweep")
        sweep = world.partition("sweep")
        world.plan(resume, "again")
        assert world.partition("sweep") == sweep


def test_a_lane_that_waits_on_purpose_is_stuck_only_when_its_wait_has_long_ended(points: Read) -> None:
    with open_world(load=paced()) as world:
        world.start_lane()
        world.store.record_heartbeat(world.partition("0000"), world.services.org.heartbeat(wake_after_seconds=7_200))
        found = []
        for minutes in (31, 120, 149, 151):
            points()
            watch(world, timedelta(minutes=minutes))
            found.append(last(points(), Metric.STUCK_PARTITIONS))
    assert found == [0, 0, 0, 1]


def test_a_lane_that_waits_for_another_to_end_is_not_missed(points: Read) -> None:
    load = paced(lanes=3)
    partitioning = load.partitioning.model_copy(update={"max_concurrency": 1})
    with open_world(load=load.model_copy(update={"partitioning": partitioning})) as world:
        world.start_lane()
        points()
        watch(world, timedelta(days=1))
    assert last(points(), Metric.NEVER_STARTED_PARTITIONS) == 0


def test_a_lane_that_a_resumed_run_leaves_out_is_not_missed(points: Read) -> None:
    with open_world(load=paced(lanes=3)) as world:
        world.start_lane()
        world.abort()
        world.plan({"mode": "resume", "run_id": RUN, "partitions": [1]}, "again")
        points()
        watch(world, timedelta(hours=1))
        statuses = [partition.status for partition in world.store.partitions(RUN)]
    assert last(points(), Metric.NEVER_STARTED_PARTITIONS) == 1
    assert statuses == [PartitionStatus.STOPPED, PartitionStatus.PENDING, PartitionStatus.PENDING]


def test_an_open_run_tells_how_far_it_has_come(points: Read) -> None:
    with open_world(load=paced()) as world:
        task = world.start_lane()
        world.slices.run_slice(RUN, "0000", stop_before="SettleBatch")
        assert task.run_id == RUN
        points()
        watch(world)
        before = points()
        world.slices.run_lane(RUN, "0000")
        points()
        watch(world)
        after = points()
    assert (last(before, Metric.PROGRESS_PERCENT), last(before, Metric.ROWS_LEFT)) == (0, 30)
    assert (last(after, Metric.PROGRESS_PERCENT), last(after, Metric.ROWS_LEFT)) == (100, 0)
    assert Metric.SUCCESS_RATE_PERCENT not in {point.name for point in after}
