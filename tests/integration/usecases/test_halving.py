"""Jobs that fail as a whole: smaller jobs, until the row at fault is alone or the cuts are used up."""

from typing import Any

import pytest

from local.org import generated_opportunities
from massive_upload.domain.account import account_of
from massive_upload.domain.halving import most_halvings
from massive_upload.domain.load import Load
from massive_upload.domain.progress import BatchState, Halt, PartitionStatus
from tests.integration.usecases.fuse import Killed
from tests.integration.usecases.kept_rows import rejected_rows
from tests.integration.usecases.world import RUN, World, open_world, paced

ROWS = 64
MESSAGE = "InternalServerError : Jane Doe could not be saved"


def key(number: int) -> str:
    return f"OPP-{number:07d}"


def poisonous(*numbers: int, after_rows: int | None = 0) -> str:
    """Every job that holds one of these rows fails: from its start, or (None) before the 200 rows that hold it."""
    when = "" if after_rows is None else f"after_rows: {after_rows}, "
    return "".join(
        f'- match: {{key: {key(number)}}}\n  action: {{job_fails: {{{when}message: "{MESSAGE}"}}}}\n'
        for number in numbers
    )


def loaded(faults: str, *, rows: int = ROWS, load: Load | None = None) -> Any:
    source = generated_opportunities(rows, rejected_share=0)
    return open_world(source=source, load=load or paced(batch_rows=rows), faults=faults)


def assert_rejected(world: World, numbers: set[int]) -> None:
    kept = rejected_rows(world)
    assert {row["External_ID__c"] for row in kept} == {key(number) for number in numbers}
    assert len(kept) == len(numbers)
    assert world.loaded_keys == world.keys_of() - {key(number) for number in numbers}


@pytest.mark.parametrize(
    ("rows", "number", "after_rows"),
    [(ROWS, 1, 0), pytest.param(ROWS, ROWS, 0, marks=pytest.mark.soak), (264, 230, None)],
)
def test_a_row_that_fails_every_job_it_is_in_is_rejected_alone_and_the_others_succeed(rows, number, after_rows):
    with loaded(poisonous(number, after_rows=after_rows), rows=rows) as world:
        verdict = world.execute()
        assert (verdict.status, verdict.succeeded, verdict.rejected) == ("Completed", rows - 1, 1)
        assert_rejected(world, {number})
        (row,) = rejected_rows(world)
        assert row["error_code"] == "InternalServerError"
        assert row["error_message"] == "The job failed as a whole: Jane Doe could not be saved"
        retries = 3
        assert sum(world.jobs.values()) <= 1 + 2 * most_halvings(rows) + retries
        (batch,) = world.store.batches(RUN, "0000")
        assert int(row["tries"]) == batch.halvings + 1 + retries


def test_several_such_rows_end_with_few_neighbours():
    with loaded(poisonous(10, 50)) as world:
        verdict = world.execute()
        kept = {row["External_ID__c"] for row in rejected_rows(world)}
        assert kept >= {key(10), key(50)}
        assert verdict.rejected == len(kept) <= 16
        assert verdict.succeeded == ROWS - len(kept)
        assert world.loaded_keys == world.keys_of() - kept
        (batch,) = world.store.batches(RUN, "0000")
        assert batch.halvings == most_halvings(ROWS)


def test_a_job_that_failed_by_accident_loses_nothing():
    faults = (
        f'- match: {{object: Opportunity, nth: 1}}\n  action: {{job_fails: {{after_rows: 200, message: "{MESSAGE}"}}}}'
    )
    with loaded(faults, rows=250) as world:
        verdict = world.execute()
        assert (verdict.status, verdict.succeeded) == ("Completed", 250)
        assert world.jobs == {"Failed": 1, "JobComplete": 2}


@pytest.mark.parametrize(("failures", "succeeded"), [(3, 1), (4, 0)])
def test_a_row_alone_is_retried_as_often_as_the_load_says(failures, succeeded):
    faults = "".join(
        f'- match: {{object: Opportunity, nth: {number}}}\n  action: {{job_fails: {{after_rows: 0, message: "x"}}}}\n'
        for number in range(1, failures + 1)
    )
    with loaded(faults, rows=1) as world:
        verdict = world.execute()
        assert (verdict.succeeded, verdict.rejected) == (succeeded, 1 - succeeded)


@pytest.mark.parametrize("message", ["InvalidBatch : Field name not found : x", "InvalidUser : x"])
def test_a_job_that_is_refused_for_a_reason_of_configuration_is_never_halved(message):
    faults = (
        f'- match: {{object: Opportunity, nth: 1}}\n  action: {{job_fails: {{after_rows: 0, message: "{message}"}}}}'
    )
    with loaded(faults) as world:
        verdict = world.execute()
        assert (verdict.error, verdict.rejected) == ("PartitionsFailed", ROWS)
        assert world.jobs == {"Failed": 1}


def test_a_half_that_is_refused_for_a_reason_of_configuration_leaves_the_other_half_to_resume():
    faults = f"""
- match: {{object: Opportunity, nth: 1}}
  action: {{job_fails: {{after_rows: 0, message: "{MESSAGE}"}}}}
- match: {{object: Opportunity, nth: 2}}
  action: {{job_fails: {{after_rows: 0, message: "InvalidUser : x"}}}}
"""
    with loaded(faults) as world:
        stopped = world.execute()
        assert world.partition().error == "JobRejected"
        assert (stopped.rejected, stopped.not_sent, stopped.unsettled) == (ROWS // 2, ROWS // 2, 0)
        resumed = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert (resumed.rejected, resumed.succeeded) == (ROWS // 2, ROWS // 2)


def test_rows_that_fail_on_locks_within_a_half_are_retried_and_then_swept_with_those_of_other_halves():
    """Each half's rows have retries of their own, and one file for the sweep holds what both gave up."""
    locks = "".join(
        f"- match: {{object: Opportunity, nth: {number}}}\n"
        "  action: {row_failures: {share: 0.5, code: UNABLE_TO_LOCK_ROW}}\n"
        for number in (2, 3, 4, 5)
    )
    fails = (
        f'- match: {{object: Opportunity, nth: 1}}\n  action: {{job_fails: {{after_rows: 0, message: "{MESSAGE}"}}}}\n'
    )
    with loaded(fails + locks, load=paced(batch_rows=ROWS, retry_delays_seconds=(2,))) as world:
        verdict = world.execute()
        assert (verdict.status, verdict.succeeded) == ("Completed", ROWS)
        lane, sweep = world.store.partitions(RUN)
        (batch,) = world.store.batches(RUN, "0000")
        assert lane.deferred == batch.deferred == sweep.succeeded
        assert lane.jobs == 5
        assert sweep.jobs == 1


def test_the_sweep_leaves_to_a_resume_what_half_of_an_open_batch_has_given_up():
    """A lane that fails in between: the batch's rows count as given up once it is settled, not before."""
    locks = "".join(
        f"- match: {{object: Opportunity, nth: {number}}}\n"
        "  action: {row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}\n"
        for number in (1, 3)
    )
    fails = (
        f'- match: {{object: Opportunity, nth: 2}}\n  action: {{job_fails: {{after_rows: 0, message: "{MESSAGE}"}}}}\n'
    )
    with loaded(locks + fails, load=paced(batch_rows=ROWS // 2, retry_delays_seconds=())) as world:

        def die_once_the_second_batch_has_given_rows_up() -> None:
            batches = world.store.batches(RUN, "0000")
            if len(batches) > 1 and batches[1].deferred_files:
                raise Killed

        plan = world.plan({"load": "opportunity"})
        world.slices.after_task = die_once_the_second_batch_has_given_rows_up
        with pytest.raises(Killed):
            world.slices.run_lane(RUN, "0000")
        world.slices.after_task = lambda: None
        world.fail_lane("0000")
        assert world.plan_sweep().rows == ROWS // 2
        world.slices.run_lane(RUN, "sweep")
        failed = world.finish({"load": "", "plan": plan.model_dump(mode="json")})
        assert (failed.succeeded, failed.rejected, failed.not_sent) == (ROWS // 2, ROWS // 4, ROWS // 4)
        world.executions.end(RUN)
        verdict = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.unsettled) == ("Completed", ROWS, 0)


def test_the_sweep_halves_as_well():
    locks = "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}\n"
    fails = (
        f'- match: {{object: Opportunity, nth: 2}}\n  action: {{job_fails: {{after_rows: 0, message: "{MESSAGE}"}}}}\n'
    )
    with loaded(locks + fails, load=paced(batch_rows=ROWS, retry_delays_seconds=())) as world:
        verdict = world.execute()
        assert (verdict.status, verdict.succeeded) == ("Completed", ROWS)
        assert world.partition("sweep").jobs == 3


def test_a_stop_is_seen_between_two_halves_and_resume_goes_on_with_them():
    with loaded(poisonous(13)) as world:
        world.plan({"load": "opportunity"})
        world.slices.run_slice(RUN, "0000", stop_before="BackOff")
        world.store.ask_to_halt(RUN, Halt.STOP)
        world.slices.run_slice(RUN, "0000")
        batch = world.open_batch()
        assert (world.partition().status, batch.state) == (PartitionStatus.STOPPED, BatchState.PLANNED)
        assert batch.waiting
        verdict = world.finish({})
        assert (verdict.status, verdict.not_sent, verdict.unsettled) == ("Stopped", ROWS, 0)
        world.executions.end(RUN)
        resumed = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert (resumed.status, resumed.succeeded, resumed.rejected) == ("Completed", ROWS - 1, 1)
        assert_rejected(world, {13})


def test_the_account_adds_up_after_every_attempt():
    """Of 8 rows two are at fault, so that some are rejected while others wait."""
    with loaded(poisonous(2, 7), rows=8, load=paced(batch_rows=8, retry_delays_seconds=())) as world:
        world.plan({"load": "opportunity"})
        classes = []
        while world.slices.run_slice(RUN, "0000", stop_before="BackOff") is None:
            account = account_of(world.run(), world.store.partitions(RUN), [world.open_batch()])
            assert account.balances
            assert account.unsettled == 0
            assert account.succeeded == len(world.loaded_keys)
            classes.append((account.succeeded, account.rejected, account.not_sent))
        assert classes[0] == (0, 0, 8)
        assert any(min(each) > 0 for each in classes)
        assert world.partition().settled_rows == 8
