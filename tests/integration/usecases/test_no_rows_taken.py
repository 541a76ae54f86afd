"""An org that answers, and takes no rows for now: it is in maintenance, or its batches of the day are used up."""

import pytest

from local.org import generated_opportunities
from massive_upload.domain.load import Breaker, LaneBreaker
from massive_upload.domain.progress import BatchState, JobWork, PartitionStatus
from massive_upload.observability import Metric
from tests.integration.usecases.kept_rows import rejected_rows
from tests.integration.usecases.sources import opportunities_with
from tests.integration.usecases.world import RUN, World, open_world, paced
from tests.thoroughness import every

MAINTENANCE = "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"
HALF_AN_HOUR = "until_seconds: 1800"


def rows_fail(until: str = HALF_AN_HOUR, code: str = MAINTENANCE) -> str:
    return f"- match: {{object: Opportunity, {until}}}\n  action: {{row_failures: {{share: 1, code: {code}}}}}"


def jobs_fail(until: str = HALF_AN_HOUR, after_rows: int = 0) -> str:
    message = "ExceededQuota : ApiBatchItems Limit exceeded."
    return (
        f"- match: {{object: Opportunity, {until}}}\n"
        f'  action: {{job_fails: {{after_rows: {after_rows}, message: "{message}"}}}}'
    )


@pytest.mark.parametrize("faults", [rows_fail(), jobs_fail()], ids=["maintenance", "no batches left"])
def test_it_is_waited_for_and_every_row_arrives(faults):
    """Half an hour, in four tries of each lane, which cost no retry of a row and do not trip the circuit breaker."""
    load = paced(lanes=2).model_copy(update={"breaker": Breaker(lane=LaneBreaker(failed_jobs=2))})
    with open_world(load=load, faults=faults) as world:
        world.slices.most_states = 500
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.rejected) == ("Completed", 30, 0)
        assert world.loaded_keys == world.keys_of()
        lanes = world.store.partitions(RUN)
        assert [lane.partition for lane in lanes] == ["0000", "0001"], "nothing was left to the sweep"
        batches = [batch for lane in lanes for batch in world.store.batches(RUN, lane.partition)]
        assert {(batch.retries, batch.halvings) for batch in batches} == {(0, 0)}
        assert 4 <= max(batch.attempt for batch in batches) <= 8


def test_it_tells_nothing_of_how_fast_the_org_is():
    """One batch of as many rows as a lane's pace is decided by."""
    source = generated_opportunities(2_500, rejected_share=0)
    with open_world(source=source, load=paced(batch_rows=2_500), faults=rows_fail()) as world:
        verdict = world.execute()
        assert verdict is not None
        lane = world.partition()
        assert (verdict.status, lane.settled_rows) == ("Completed", 2_500)
        assert (lane.pace.speed_percent, lane.work, lane.job_seconds) == (100, JobWork(), None)


def test_a_lane_that_has_waited_as_long_as_patience_lasts_ends_and_a_resume_sends_the_rows():
    """Patience lasts for 500 s, the maintenance for 800."""
    with open_world(load=paced(patience_seconds=500), faults=rows_fail(until="until_seconds: 800")) as world:
        world.plan({"load": "opportunity"})
        world.slices.most_states = 100
        world.slices.run_lane(RUN, "0000")
        lane = world.partition()
        assert (lane.status, lane.error) == (PartitionStatus.FAILED, "OrgUnreachable")
        told = f"for 500 s, which is the load's patience. At the last try the org took no rows: {MAINTENANCE}."
        assert told in (lane.cause or "")
        assert world.slices.visited.count("BackOff") == 3, "60, 300 and what is left of 500 seconds"
        assert world.open_batch().state is BatchState.PLANNED
        assert world.abort().not_sent == 30
        verdict = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)


def test_patience_begins_anew_with_every_row_that_it_takes():
    """200 of 3,000 rows a job, so that the load waits 14 times for a minute."""
    source = generated_opportunities(3_000, rejected_share=0)
    load = paced(batch_rows=3_000, patience_seconds=100)
    with open_world(source=source, load=load, faults=jobs_fail(until="from_seconds: 0", after_rows=200)) as world:
        world.slices.most_states = 500
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 3_000)
        assert world.slices.visited.count("BackOff") == 14


def test_rows_that_it_took_before_are_settled_and_not_sent_again():
    """The first job fails after a chunk; the others find an org that takes rows."""
    source = generated_opportunities(250, rejected_share=0)
    with open_world(source=source, load=paced(batch_rows=250), faults=jobs_fail("nth: 1", after_rows=200)) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 250)
        assert (world.partition().resent_rows, rejected_rows(world)) == (50, [])


@pytest.mark.parametrize(("faults", "is_told"), [(jobs_fail(), True), (rows_fail(), False)])
def test_an_allowance_that_is_used_up_is_told_for_its_alarm(capsys, faults, is_told):
    with open_world(load=paced(), faults=faults) as world:
        world.execute()
    assert (f'"{Metric.BULK_BATCHES_USED_PERCENT}":[100.0]' in capsys.readouterr().out) is is_told


def test_the_text_of_one_row_keeps_no_other_waiting():
    """Texts quote values, and a value may be anything."""
    sql = f"""CASE WHEN n = 7 THEN '{MAINTENANCE}' ELSE "StageName__c" END"""
    with open_world(load=paced(), source=opportunities_with("StageName__c", sql)) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.rejected) == ("Completed", 29, 1)
        (row,) = rejected_rows(world)
        assert (row["StageName"], row["error_code"]) == (MAINTENANCE, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")
        assert world.clock.seconds() < 600


def load_that_waits(load_dies_after: int | None = None) -> World:
    """A load of two batches that meets an org without batches left, and whose task dies after so many effects."""
    source = generated_opportunities(700, rejected_share=0)
    faults = jobs_fail(until="until_seconds: 300", after_rows=200)
    with open_world(source=source, load=paced(batch_rows=500), faults=faults) as world:
        world.slices.most_states = 500
        world.fuse.blows_after = load_dies_after
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 700)
        assert world.loaded_keys == world.keys_of()
        assert {batch.retries for batch in world.store.batches(RUN, "0000")} == {0}
    return world


def test_a_task_that_dies_meanwhile_is_tried_again():
    effects = load_that_waits().fuse.effects
    for dies_after in every(9, range(effects)):
        load_that_waits(dies_after)
