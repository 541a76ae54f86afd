"""A lane whose rows all have one parent: jobs of two batches, one of which waits for the other."""

from typing import Any

import pytest

from local.org import generated_opportunities
from massive_upload.domain.bulk_batches import bulk_batches_of
from massive_upload.domain.progress import Partition
from massive_upload.usecases.slice_tasks import SliceServices
from massive_upload.usecases.turn import Turn, ask_for_turn
from tests.integration.usecases.test_shown import START, remember
from tests.integration.usecases.world import OPPORTUNITY, RUN, World, open_world

ROWS = 12_000
"""Of one account: more than Salesforce takes into one batch."""


def a_giant(**settings: Any) -> Any:
    source = generated_opportunities(ROWS, accounts=1, rejected_share=0)
    return open_world(source=source, **settings)


def the_lane(world: World) -> Partition:
    (lane,) = (lane for lane in world.store.partitions(RUN) if not lane.is_sweep and lane.kind == "parent")
    return lane


@pytest.mark.parametrize(
    ("known", "batch_rows", "is_paired"),
    [
        (None, 10_000, True),
        ({"processing_ms": 35 * 400_000}, 10_000, True),
        ({"processing_ms": 36 * 400_000}, 10_000, False),
        ({"contended_rows": 8_000}, 10_000, True),
        ({"contended_rows": 8_001}, 10_000, False),
        ({"pairs_met": True}, 10_000, False),
        (None, 9_999, False),
    ],
)
def test_it_is_paired_unless_the_org_is_slow_or_contended_or_the_load_has_smaller_jobs(known, batch_rows, is_paired):
    with a_giant() as world:
        if known is not None:
            remember(world, **known)
        plan = world.plan({**START, "pace": {"batch_rows": batch_rows}})
        assert the_lane(world).is_paired is is_paired
        assert world.plan({**START, "pace": {"batch_rows": batch_rows}}) == plan
        assert the_lane(world).is_paired is is_paired, "a repeated plan is the same"


def test_a_parent_that_fits_into_one_batch_is_not():
    with open_world(source=generated_opportunities(10_000, accounts=1, rejected_share=0), load=OPPORTUNITY) as world:
        world.plan(START)
        assert not the_lane(world).is_paired


def test_its_rows_go_in_one_job_and_none_of_them_waits_too_long_for_its_lock():
    with a_giant(row_ms=30) as world:
        verdict = world.execute()
        assert verdict is not None
        assert verdict.succeeded == ROWS
        lane = the_lane(world)
        assert (lane.batches, lane.jobs, lane.lock_errors) == (1, 1, 0)
        assert lane.timed_ms == 1_000 * lane.timed_seconds, "a batch that waits for the other is not at work"
        assert lane.timed_seconds == pytest.approx(ROWS * 0.03, rel=0.1)


A_FEW_LOCKED = """
- match: {object: Opportunity, nth: 1}
  action: {row_failures: {share: 0.001, code: UNABLE_TO_LOCK_ROW}}
"""


ALL_LOCKED_OUT = """
- match: {object: Opportunity, nth: 1}
  action: {job_fails: {after_rows: 400, message: "TooManyLockFailure : retried too often"}}
"""


@pytest.mark.parametrize(
    ("faults", "lock_errors"),
    [pytest.param(A_FEW_LOCKED, range(1, 400), marks=pytest.mark.soak), (ALL_LOCKED_OUT, [19_600])],
)
def test_once_a_row_of_it_has_met_a_lock_it_goes_on_in_jobs_of_one_batch(monkeypatch, faults, lock_errors):
    source = generated_opportunities(65_000, accounts=1, rejected_share=0)
    asked = {}

    def noted(partition: Partition, services: SliceServices, **need: Any) -> Turn:
        if partition.ahead_batch is not None and partition.kind == "parent":
            asked[partition.ahead_batch] = need["batches"]
        return ask_for_turn(partition, services, **need)

    monkeypatch.setattr("massive_upload.usecases.settle_batch.ask_for_turn", noted)
    with open_world(source=source, faults=faults) as world:
        verdict = world.execute()
        assert verdict is not None
        assert verdict.succeeded == 65_000
        lane = the_lane(world)
        assert lane.lock_errors in lock_errors
        rows = [batch.first_rows for batch in world.store.batches(RUN, lane.partition)]
        assert rows[0] == 20_000
        assert max(rows[2:]) <= 10_000, "one more was staged while the first was in flight"
        assert asked == {number: bulk_batches_of(rows[number]) for number in asked}, "of the org's day"


def test_the_pace_that_is_logged_once_a_row_of_it_has_met_a_lock_is_that_of_jobs_of_one_batch(caplog):
    faults = A_FEW_LOCKED.replace("0.001", "0.07")
    with a_giant(faults=faults) as world, caplog.at_level("INFO"):
        world.execute()
        assert the_lane(world).is_paired
    (told,) = [vars(record) for record in caplog.records if record.getMessage() == "pace changed"]
    assert (told["speed_percent"], told["batch_rows"]) == (100, 10_000)


def test_once_a_row_of_it_has_met_a_lock_no_later_run_of_the_load_pairs():
    with a_giant(faults=A_FEW_LOCKED) as world:
        world.execute()
        assert the_lane(world).is_paired
        assert the_lane(world).lock_errors
        for later in ("run-2", "run-3"):
            world.execute(name=later)
            assert not any(lane.is_paired or lane.lock_errors for lane in world.store.partitions(later)), later
