"""An org that answers, and takes no rows for now: it is in maintenance, or its batches of the day are used up."""

import pytest

from local.org import generated_opportunities
from massive_upload.domain.progress import BatchState, PartitionStatus
from tests.integration.usecases.kept_rows import rejected_rows
from tests.integration.usecases.world import RUN, open_world, paced

MAINTENANCE = "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"
HALF_AN_HOUR = "until_seconds: 1800"


def rows_fail(until: str = HALF_AN_HOUR, code: str = MAINTENANCE) -> str:
    return f"- match: {{object: Opportunity, {until}}}\n  action: {{row_failures: {{share: 1, code: {code}}}}}"


def jobs_fail(until: str = HALF_AN_HOUR) -> str:
    return (
        f"- match: {{object: Opportunity, {until}}}\n"
        '  action: {job_fails: {after_rows: 0, message: "ExceededQuota : ApiBatchItems Limit exceeded."}}'
    )


@pytest.mark.parametrize("faults", [rows_fail(), jobs_fail()], ids=["maintenance", "no batches left"])
def test_it_is_waited_for_and_every_row_arrives(faults):
    """At most one try of a lane in five minutes, which costs neither a retry of its rows nor its pace."""
    with open_world(load=paced(lanes=2), faults=faults) as world:
        world.slices.most_states = 500
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.rejected) == ("Completed", 30, 0)
        assert world.loaded_keys == world.keys_of()
        lanes = world.store.partitions(RUN)
        assert [lane.partition for lane in lanes] == ["0000", "0001"], "nothing was left to the sweep"
        batches = [batch for lane in lanes for batch in world.store.batches(RUN, lane.partition)]
        assert {(batch.retries, batch.halvings) for batch in batches} == {(0, 0)}
        assert {lane.pace.speed_percent for lane in lanes} == {100}
        assert 4 <= max(batch.attempt for batch in batches) <= 8
        assert {lane.failures.failed_jobs for lane in lanes} == {0}


def test_a_lane_that_has_waited_as_long_as_patience_lasts_ends_and_a_resume_sends_the_rows():
    """Patience lasts for 500 s, the maintenance for 800."""
    with open_world(load=paced(patience_seconds=500), faults=rows_fail(until="until_seconds: 800")) as world:
        world.plan({"load": "opportunity"})
        world.slices.most_states = 100
        world.slices.run_lane(RUN, "0000")
        lane = world.partition()
        assert (lane.status, lane.error) == (PartitionStatus.FAILED, "OrgUnreachable")
        assert world.slices.visited.count("BackOff") == 3, "60, 300 and what is left of 500 seconds"
        assert world.open_batch().state is BatchState.PLANNED
        assert world.abort().not_sent == 30
        verdict = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)


def test_rows_that_it_took_before_it_closed_are_settled_and_not_sent_again():
    """The first job fails after a chunk, as the day's batches are used up; the others find an open org."""
    fails = '{job_fails: {after_rows: 200, message: "ExceededQuota : ApiBatchItems Limit exceeded."}}'
    faults = f"- match: {{object: Opportunity, nth: 1}}\n  action: {fails}"
    with open_world(
        source=generated_opportunities(250, rejected_share=0), load=paced(batch_rows=250), faults=faults
    ) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 250)
        assert (world.partition().resent_rows, rejected_rows(world)) == (50, [])
