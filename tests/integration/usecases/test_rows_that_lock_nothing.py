"""`lock_risk: none`: lanes of keys without delays, in jobs of several of Salesforce's batches."""

from typing import Any

import pytest

from local.org import generated_opportunities
from massive_upload.domain.load import Load, PaceOverrides
from massive_upload.domain.progress import Halt, Partition
from tests.integration.usecases.kept_rows import rejected_rows
from tests.integration.usecases.test_shown import START, estimate_of, receipt, remember, shown
from tests.integration.usecases.world import OPPORTUNITY, RUN, World, open_world


def lock_nothing(**partitioning: Any) -> Load:
    """The opportunities without their account."""
    document = OPPORTUNITY.model_dump()
    document["source"]["parent"] = None
    document["fields"] = {name: field for name, field in document["fields"].items() if "Account." not in field["to"]}
    return Load.model_validate(document | {"lock_risk": "none", "partitioning": partitioning})


def lanes_of(world: World) -> list[Partition]:
    return [lane for lane in world.store.partitions(RUN) if not lane.is_sweep]


def test_a_lane_sends_its_rows_in_large_jobs_and_the_account_adds_up():
    with open_world(source=generated_opportunities(60_000), load=lock_nothing(count=1), row_ms=5) as world:
        verdict = world.execute()
        assert verdict is not None
        (lane,) = lanes_of(world)
        assert [batch.first_rows for batch in world.store.batches(RUN, lane.partition)] == [50_000, 10_000]
        assert verdict.succeeded + verdict.rejected == 60_000
        assert 0 < verdict.rejected < 600
        assert lane.lock_errors == 0
        assert shown(world).org_took is None, "nobody says how the times of several batches are added up"
        assert lane.timed_seconds == pytest.approx(50 + 50, rel=0.2), "five batches side by side, then one"
        assert shown(world).row_ms == pytest.approx(5, rel=0.1)
        assert receipt(world)["advice"] == []


def test_a_small_last_batch_of_a_job_is_not_taken_for_a_full_one():
    source = generated_opportunities(11_000, rejected_share=0)
    with open_world(source=source, load=lock_nothing(count=1), row_ms=5) as world:
        world.execute()
        assert shown(world).row_ms == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize(
    ("known", "given", "lanes"),
    [
        (None, {}, 15),
        ({"org_took": 6, "org_batches": 10}, {}, 6),
        (None, {"org_batches": 8}, 8),
        (None, {"count": 3}, 3),
    ],
)
def test_there_are_as_many_lanes_as_fill_the_org_and_the_plan_says_why(known, given, lanes):
    with open_world(source=generated_opportunities(30_000, rejected_share=0), load=lock_nothing(**given)) as world:
        if known is not None:
            remember(world, lanes=20, **known)
        world.execute({**START, "mode": "plan"})
        assert len(lanes_of(world)) == pytest.approx(lanes, abs=1)
        assert estimate_of(world).org_batches_reason


LOCKED = "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}\n"


def locked_at_first(rows: int) -> Any:
    """All rows go in one job, and each of them is left to the sweep."""
    load = lock_nothing(count=1).with_overrides(
        pace=PaceOverrides(retry_delays_seconds=()), partitioning=None, sample=None
    )
    return open_world(source=generated_opportunities(rows, rejected_share=0), load=load, faults=LOCKED)


def test_what_a_large_job_gave_up_is_swept_in_jobs_of_one_batch_which_cannot_lock_each_other():
    with locked_at_first(12_000) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.rejected) == ("Completed", 12_000, 0)
        (batch,) = world.store.batches(RUN, "0000")
        assert (batch.first_rows, batch.deferred) == (12_000, 12_000)
        assert [swept.first_rows for swept in world.store.batches(RUN, "sweep")] == [10_000, 2_000]


def test_a_sweep_that_is_stopped_amid_what_one_job_gave_up_tells_exactly_which_rows_are_left():
    with locked_at_first(12_000) as world:
        world.plan(START)
        world.slices.run_lane(RUN, "0000")
        assert world.plan_sweep().needed
        assert world.plan_sweep().rows == 12_000, "a repetition lists the same files"
        world.slices.run_slice(RUN, "sweep", stop_before="SettleBatch")
        world.store.ask_to_halt(RUN, Halt.STOP)
        world.slices.run_lane(RUN, "sweep")
        stopped = world.finish({})
        assert (stopped.status, stopped.succeeded, stopped.rejected) == ("Stopped", 10_000, 2_000)
        left = {row["External_ID__c"] for row in rejected_rows(world)}
        assert left == world.keys_of() - world.loaded_keys
        world.executions.end(RUN)
        resumed = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert resumed is not None
        assert (resumed.status, resumed.succeeded, resumed.rejected) == ("Completed", 12_000, 0)
