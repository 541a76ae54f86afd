"""What a run showed is recorded with its end, and the next one plans with it."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from local.org import generated_opportunities
from massive_upload.adapters.dynamodb_items import fields_of, shown_key, to_item
from massive_upload.domain.estimate import Estimate
from massive_upload.domain.file_keys import receipt_key
from massive_upload.domain.load import PaceOverrides, PartitioningOverrides
from massive_upload.domain.shown import Shown
from massive_upload.usecases.plan_file import read_estimate
from tests.integration.adapters.stack import TABLE
from tests.integration.usecases.slice_driver import Crash
from tests.integration.usecases.world import OPPORTUNITY, RUN, STARTED_AT, World, open_world, paced
from tests.unit.domain.shown_runs import a_shown

START = {"load": "opportunity"}
LOCKED = """
- match: {object: Opportunity, nth: 1}
  action: {row_failures: {share: 0.5, code: UNABLE_TO_LOCK_ROW}}
"""


def shown(world: World) -> Shown:
    found = world.store.shown("opportunity")
    assert found is not None
    return found


def receipt(world: World, run_id: str = RUN) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(world.files.read(receipt_key(run_id)))
    return document


def remember(world: World, **changes: Any) -> Shown:
    """An earlier run into the same target has shown this."""
    target = f"{world.services.org.org_id}#opportunity"
    known = a_shown(
        **({"load": "opportunity", "target": target, "run_id": "before", "began_at": STARTED_AT - timedelta(days=1)})
        | changes
    )
    item = shown_key("opportunity") | to_item(fields_of(known))
    world.dynamodb.put_item(TableName=TABLE, Item=item)
    return known


def estimate_of(world: World, run_id: str = RUN) -> Estimate:
    found = read_estimate(world.files, world.run(run_id))
    assert found is not None
    return found


# -- what is recorded


def test_a_run_records_what_its_jobs_took_and_what_the_org_worked():
    with open_world(load=paced(lanes=2), row_ms=100) as world:
        world.execute()
        found = shown(world)
        lanes = world.store.partitions(RUN)
        assert (found.run_id, found.load, found.lanes, found.batch_rows) == (RUN, "opportunity", 2, 10)
        assert (found.jobs, found.rows, found.contended_rows) == (4, 30, 0)
        assert found.job_seconds == sum(lane.timed_seconds for lane in lanes) >= 4
        assert found.processing_ms == pytest.approx(3_000, abs=100)
        assert (found.began_at, found.ended_at) == (world.run().started_at, world.run().ended_at)
        assert found.target == world.run().lease_key
        told = receipt(world)["shown"]
        assert told == {name: getattr(found, name) for name in told}
        assert {"lanes", "rows", "job_seconds", "processing_ms", "org_batches", "org_took"} <= told.keys()


def test_only_first_attempts_count_and_rows_that_met_a_lock_are_told():
    with open_world(load=paced(batch_rows=30, retry_delays_seconds=(2,)), faults=LOCKED) as world:
        world.execute()
        found = shown(world)
        assert (found.jobs, found.rows) == (1, 30)
        assert 0 < found.contended_rows < 30
        assert found.contended_rows == world.partition().lock_errors
        assert sum(lane.jobs for lane in world.store.partitions(RUN)) > 1


def test_an_org_that_does_not_tell_its_time_leaves_our_own():
    silent = """
- match: {object: Opportunity, every: 1}
  action: {job_reports: {totalProcessingTime: null}}
"""
    with open_world(load=paced(lanes=1), row_ms=100, faults=silent) as world:
        world.execute()
        assert shown(world).processing_ms == 0
        assert shown(world).job_seconds > 0
        assert shown(world).org_took is None


def test_an_org_that_adds_up_what_it_does_side_by_side_has_worked_no_longer_than_its_jobs_took():
    adds_up = """
- match: {object: Opportunity, every: 1}
  action: {job_reports: {totalProcessingTime: 900000}}
"""
    with open_world(load=paced(lanes=1), row_ms=100, faults=adds_up) as world:
        world.execute()
        assert shown(world).processing_ms == 1_000 * shown(world).job_seconds
        assert world.clock.seconds() < 60, "no lane waits for as long as that for its next job"


@pytest.mark.parametrize("mode", ["plan", "retry_failed"])
def test_a_plan_and_a_retry_of_rejected_rows_show_nothing(mode):
    source = generated_opportunities(30, rejected_share=0.3)
    with open_world(load=paced(), source=source) as world:
        start: dict[str, object] = {**START, "mode": mode}
        before = None
        if mode == "retry_failed":
            world.execute()
            before = shown(world)
            start = {"mode": mode, "of": RUN}
        world.execute(start, "second")
        assert world.store.shown("opportunity") == before
        assert receipt(world, "second")["shown"] is None


def test_a_sample_counts_until_a_larger_run_has_shown_more():
    load = paced().model_copy(update={"sample": OPPORTUNITY.sample.model_copy(update={"rows": 5})})
    with open_world(load=load) as world:
        world.execute({**START, "mode": "sample"}, "sample")
        assert (shown(world).run_id, shown(world).rows) == ("sample", 5)
        world.execute()
        assert (shown(world).run_id, shown(world).rows) == (RUN, 30)
        world.execute({**START, "mode": "sample"}, "sample-2")
        assert shown(world).run_id == RUN


def test_a_run_that_failed_has_shown_what_it_did_until_then_and_its_resume_shows_the_whole():
    with open_world(load=paced(lanes=2)) as world:
        plan = world.plan(START)
        world.slices.run_lane(RUN, plan.lanes[0].partition)
        world.abort()
        assert world.run().status == "Stopped"
        assert (shown(world).rows, shown(world).run_id) == (15, RUN)
        world.execute({"mode": "resume", "run_id": RUN}, "resume")
        assert (shown(world).rows, shown(world).org_took) == (30, None)


def test_a_run_that_sent_nothing_leaves_what_is_known():
    with open_world(load=paced()) as world:
        known = remember(world)
        world.plan(START)
        world.abort()
        assert shown(world) == known


def test_an_older_run_that_ends_late_does_not_overwrite_what_a_newer_one_showed():
    with open_world(load=paced()) as world:
        known = remember(world, began_at=STARTED_AT + timedelta(hours=1), rows=10)
        world.execute()
        assert world.run().status == "Completed"
        assert shown(world) == known


@pytest.mark.parametrize(("target", "are_kept"), [({}, True), ({"target": "00E#opportunity"}, False)])
def test_pairs_that_met_are_kept_of_the_same_org_alone(target, are_kept):
    with open_world(load=paced()) as world:
        remember(world, pairs_met=True, rows=30, **target)
        world.execute()
        assert (shown(world).run_id, shown(world).pairs_met) == (RUN, are_kept)


def loaded(world: World) -> World:
    """All lanes have ended; FinishRun comes next."""
    for lane in world.plan(START).lanes:
        world.slices.run_lane(RUN, lane.partition)
    return world


def test_finish_run_that_dies_anywhere_or_is_repeated_leaves_the_same_item():
    with open_world(load=paced(lanes=2)) as world:
        before = loaded(world).fuse.effects
        world.finish(START)
        effects_of_finish_run, expected = world.fuse.effects - before, shown(world)
    for effects in range(1, effects_of_finish_run + 1):
        with open_world(load=paced(lanes=2)) as world:
            loaded(world).after(effects)
            with pytest.raises(Crash):
                world.finish(START)
            is_recorded = world.store.shown("opportunity") is not None
            assert is_recorded == (world.run().status == "Completed"), "both or neither"
            for _ in range(2):
                assert world.finish(START).status == "Completed"
                assert replace(shown(world), ended_at=expected.ended_at) == expected


# -- what the next run makes of it


def by_parent(**partitioning: Any) -> Any:
    return OPPORTUNITY.with_overrides(
        pace=PaceOverrides(stagger_seconds=0, batch_rows=2_000),
        partitioning=PartitioningOverrides(**partitioning),
        sample=None,
    )


@pytest.mark.parametrize(
    ("known", "given", "lanes", "says"),
    [
        (None, {}, 10, "no run of the load"),
        ({"lanes": 10, "org_took": 3, "org_batches": 4}, {}, 6, "about 3"),
        ({"lanes": 4, "org_took": 4, "org_batches": 3}, {}, 10, "all 4 jobs"),
        ({"lanes": 10, "org_took": 3, "org_batches": 4}, {"org_batches": 5}, 10, "the load says so"),
        ({"lanes": 10, "org_took": 3, "org_batches": 4}, {"count": 7}, 7, "about 3"),
        ({"lanes": 10, "org_took": 3, "org_batches": 4, "target": "00E#opportunity"}, {}, 10, "no run of the load"),
    ],
)
def test_a_plan_has_as_many_lanes_as_the_last_run_showed_to_be_worth_it(known, given, lanes, says):
    source = generated_opportunities(20_000, rejected_share=0)
    with open_world(source=source, load=by_parent(**given)) as world:
        if known is not None:
            remember(world, **known)
        world.execute({**START, "mode": "plan"})
        partitions = world.store.partitions(RUN)
        assert sum(lane.kind == "parent" for lane in partitions) == pytest.approx(lanes, abs=1)
        assert says in estimate_of(world).org_batches_reason
        assert receipt(world)["estimate"]["org_batches_reason"] == estimate_of(world).org_batches_reason


def test_new_lanes_expect_a_job_like_those_of_the_last_run_and_a_repeated_plan_the_same():
    with open_world(load=paced(lanes=2)) as world:
        plan = world.plan(START)
        assert {lane.job_seconds for lane in world.store.partitions(RUN)} == {None}
        world.go_on_after(plan)
        remember(world)
        world.executions.end(RUN, "SUCCEEDED")
        world.plan(START, "second")
        known = a_shown(job_seconds=1)
        remember(world, **{"job_seconds": known.job_seconds})
        world.plan(START, "second")
        found = world.store.partitions("second")
        assert [(lane.job_seconds, lane.job_rows) for lane in found] == [(152, 10_000)] * 2


def test_the_plans_duration_is_that_of_the_last_run_and_still_a_range():
    with open_world(load=paced(lanes=2)) as world:
        world.execute({**START, "mode": "plan"}, "guess")
        remember(world)
        world.execute({**START, "mode": "plan"}, "known")
        guess, known = estimate_of(world, "guess"), estimate_of(world, "known")
        assert (guess.last_run, known.last_run) == (None, "before")
        assert (guess.row_ms_least, guess.row_ms_most) == (5, 30)
        assert (known.row_ms_least, known.row_ms_most) == (11.25, 22.5)


def test_the_receipt_advises_what_the_run_gave_cause_for():
    source = generated_opportunities(4_000, rejected_share=0)
    faults = LOCKED.replace("nth: 1", "every: 1").replace("0.5", "0.2")
    load = paced(lanes=2, batch_rows=2_000, retry_delays_seconds=(2,))
    with open_world(source=source, load=load, faults=faults) as world:
        world.execute()
        (told,) = receipt(world)["advice"]
        assert "by: parent" in told
    with open_world(load=load) as world:
        world.execute()
        assert receipt(world)["advice"] == [], "thirty rows give no cause"


def test_a_sample_of_a_few_rows_does_not_let_the_next_run_wait_for_minutes_after_its_first_jobs_have_ended():
    source = generated_opportunities(3_000, rejected_share=0)
    with open_world(source=source, load=paced(lanes=1, batch_rows=3_000), row_ms=5) as world:
        world.execute({**START, "mode": "sample", "sample": {"rows": 10}}, "sample")
        assert shown(world).rows == 10
        begun = world.clock.seconds()
        world.execute()
        assert world.clock.seconds() - begun <= estimate_of(world).duration_seconds.most


def test_the_partitions_that_are_advised_are_counted_from_all_that_the_run_had():
    """Six partitions, two at a time: as many as may load together is no number of partitions."""
    load = paced(lanes=6, batch_rows=1_000).with_overrides(
        pace=PaceOverrides(stagger_seconds=7_200), partitioning=PartitioningOverrides(max_concurrency=2), sample=None
    )
    with open_world(source=generated_opportunities(2_400, rejected_share=0), load=load) as world:
        world.execute()
        assert shown(world).lanes == 2
        (told,) = receipt(world)["advice"]
        assert "partitioning: {count: 5}: 100.0 % of the rows passed at their first try in 6 lanes" in told
