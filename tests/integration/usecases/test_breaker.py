"""The circuit breaker in a load: lanes and runs that are given up, and what resume makes of them."""

from typing import Any

import pytest

from local.org import generated_opportunities
from massive_upload.domain.load import Breaker, Load
from massive_upload.domain.progress import BatchState, LaneFailures, PartitionStatus
from massive_upload.errors import BreakerTripped
from massive_upload.usecases.fetch_page import fetch_page
from massive_upload.usecases.settle_batch import settle_batch
from tests.integration.usecases.fuse import Killed
from tests.integration.usecases.world import RUN, open_world, paced

REFUSED = "{row_failures: {share: 1, code: STRING_TOO_LONG}}"
FAILED = '{job_fails: {after_rows: 0, message: "InternalServerError : x"}}'
TRIPPED = BreakerTripped.__name__
STOPPED, FAILED_LANE, COMPLETED = PartitionStatus.STOPPED, PartitionStatus.FAILED, PartitionStatus.COMPLETED


def breaking(*, lane: dict[str, int] | None = None, run: dict[str, int] | None = None, **pace: Any) -> Load:
    """Three lanes of ten rows in batches of two, unless told otherwise."""
    load = paced(**{"lanes": 3, "batch_rows": 2} | pace)
    return load.model_copy(update={"breaker": Breaker.model_validate({"lane": lane or {}, "run": run or {}})})


def always(action: str, jobs: range | None = None) -> str:
    if jobs is None:
        return f"- match: {{object: Opportunity}}\n  action: {action}"
    return "\n".join(f"- match: {{object: Opportunity, nth: {number}}}\n  action: {action}" for number in jobs)


def test_a_lane_whose_rows_are_rejected_is_given_up_and_the_others_go_on():
    load = breaking(lane={"judged_rows": 4, "failed_percent": 100})
    with open_world(load=load, faults=always(REFUSED, range(1, 3))) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.error) == ("Failed", "PartitionsFailed")
        assert (verdict.succeeded, verdict.rejected, verdict.not_sent) == (20, 4, 6)
        assert [lane.status for lane in world.store.partitions(RUN)] == [FAILED_LANE, COMPLETED, COMPLETED]
        lane = world.partition()
        assert lane.error == TRIPPED
        assert "4 of 4 rows in a row failed, most of the last ones with STRING_TOO_LONG" in (lane.cause or "")
        assert "resume the run" in (lane.cause or "")


def test_a_lane_whose_jobs_fail_is_given_up_before_its_rows_are_rejected_and_resume_begins_anew():
    load = breaking(lane={"failed_jobs": 2}, lanes=1, batch_rows=30)
    with open_world(load=load, faults=always(FAILED, range(1, 5))) as world:
        first = world.execute()
        assert first is not None
        assert world.partition().error == TRIPPED
        assert "2 jobs in a row" in (world.partition().cause or "")
        assert (first.rejected, first.not_sent, first.unsettled) == (0, 30, 0)
        assert world.open_batch().state is BatchState.PLANNED
        second = world.execute({"mode": "resume", "run_id": RUN}, "second")
        assert second is not None
        assert world.jobs == {"Failed": 4}, "two more, and not none"
        third = world.execute({"mode": "resume", "run_id": RUN}, "third")
        assert third is not None
        assert (third.status, third.succeeded) == ("Completed", 30)
        assert world.loaded_keys == world.keys_of()


def test_jobs_that_are_deleted_count_as_failed():
    with open_world(load=breaking(lane={"failed_jobs": 2}, lanes=1)) as world:
        world.plan({"load": "opportunity"})
        for _ in range(2):
            world.slices.run_slice(RUN, "0000", stop_before="CheckJob")
            world.wait(1000)
            world.server.backend.ingest.delete(world.open_batch().job_id or "")
            world.slices.run_slice(RUN, "0000", stop_before="UploadBatch")
        world.slices.run_slice(RUN, "0000")
        assert (world.partition().status, world.partition().error) == (FAILED_LANE, TRIPPED)
        assert world.open_batch().lost_jobs == 2


def test_lanes_that_fail_stop_the_run_and_resume_begins_anew():
    load = breaking(lane={"judged_rows": 2}, run={"failed_lanes": 2})
    with open_world(load=load, faults=always(REFUSED, range(1, 3))) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.error) == ("Failed", TRIPPED)
        assert "2 lanes failed" in verdict.cause
        assert (verdict.rejected, verdict.not_sent) == (4, 26)
        assert [lane.status for lane in world.store.partitions(RUN)] == [FAILED_LANE, FAILED_LANE, STOPPED]
        one = world.execute({"mode": "resume", "run_id": RUN, "partitions": [2]}, "one")
        assert one is not None
        assert world.partition("0002").status is COMPLETED, "lanes that failed before do not count again"
        rest = world.execute({"mode": "resume", "run_id": RUN}, "rest")
        assert rest is not None
        assert (rest.succeeded, rest.rejected, rest.not_sent) == (26, 4, 0)


def test_a_share_of_failed_rows_stops_the_run_and_those_of_before_do_not_count_after_resume():
    load = breaking(run={"judged_rows": 10, "failed_percent": 100})
    with open_world(load=load, faults=always(REFUSED, range(1, 6))) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.error) == ("Failed", TRIPPED)
        assert "10 of 10 rows failed" in verdict.cause
        assert (verdict.rejected, verdict.not_sent) == (10, 20)
        assert [lane.status for lane in world.store.partitions(RUN)] == [COMPLETED, STOPPED, STOPPED]
        resumed = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert resumed is not None
        assert (resumed.status, resumed.succeeded, resumed.rejected) == ("Completed", 20, 10)


def test_a_run_that_an_error_of_every_row_stopped_fails_although_the_lane_could_not_say_so():
    """The slice dies just after the batch is settled: the flag on the run knows why."""
    full = always("{row_failures: {share: 1, code: STORAGE_LIMIT_EXCEEDED}}", range(1, 2))
    with open_world(load=breaking(lanes=1), faults=full) as world:
        task = world.start_lane()
        fetch_page(task, world.services)
        task = world.until_its_job_has_ended(task)
        settled_after = 3
        world.after(settled_after)
        world.fuse.error = Killed
        with pytest.raises(Killed):
            settle_batch(task, world.services)
        assert world.partition().settled_rows == 2
        world.slices.run_lane(RUN, "0000")
        verdict = world.finish({})
        assert (verdict.status, verdict.error, verdict.not_sent) == ("Failed", "RunHalted", 28)
        assert "STORAGE_LIMIT_EXCEEDED" in verdict.cause


def test_the_last_batch_of_a_lane_has_nothing_left_to_give_up():
    load = breaking(lane={"judged_rows": 10, "failed_percent": 100}, lanes=1, batch_rows=30)
    with open_world(load=load, faults=always(REFUSED)) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.error, verdict.rejected) == ("Completed", "SuccessRateBelowCriterion", 30)


def test_a_long_lane_looks_at_the_others_between_two_batches():
    load = breaking(lanes=1, batch_rows=1)
    with open_world(source=generated_opportunities(30, rejected_share=0), load=load) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        assert world.slices.visited.count("FetchPage") == 1, "the look at the 25th batch was SettleBatch's"


def test_a_third_of_bad_rows_and_a_fifth_of_locked_ones_trip_nothing():
    source = generated_opportunities(300, rejected_share=0.33)
    locks = always("{row_failures: {share: 0.2, code: UNABLE_TO_LOCK_ROW}}")
    limits = {"judged_rows": 50}
    with open_world(source=source, load=breaking(lane=limits, run=limits, batch_rows=50), faults=locks) as world:
        verdict = world.execute()
        assert verdict is not None
        assert verdict.status == "Completed"
        assert all(lane.status is COMPLETED for lane in world.store.partitions(RUN))


def test_what_a_lane_goes_by_is_kept_with_the_batch():
    with open_world(load=breaking(lanes=1, delay_seconds=1), faults=always(REFUSED, range(1, 2))) as world:
        world.plan({"load": "opportunity"})
        world.slices.run_slice(RUN, "0000", stop_before="Pace")
        assert world.partition().failures == LaneFailures(judged_rows=2, failed_rows=2, code="STRING_TOO_LONG")
