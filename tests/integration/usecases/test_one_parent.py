"""A lane whose rows all have one parent: jobs of two batches, one of which is always about to be written."""

from typing import Any

import pytest

from local.org import generated_opportunities
from massive_upload.domain.progress import Partition
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
    ("row_ms", "batch_rows", "job_batches"),
    [(None, 10_000, 2), (5, 10_000, 2), (35, 10_000, 2), (36, 10_000, 1), (5, 9_999, 1)],
)
def test_its_jobs_have_two_batches_unless_a_chunk_takes_nearly_as_long_as_a_row_waits_for_a_lock(
    row_ms, batch_rows, job_batches
):
    with a_giant() as world:
        if row_ms is not None:
            remember(world, rows=100_000, processing_ms=100_000 * row_ms)
        world.plan({**START, "pace": {"batch_rows": batch_rows}})
        assert the_lane(world).job_batches == job_batches


def test_a_parent_that_fits_into_one_batch_has_jobs_of_one():
    with open_world(source=generated_opportunities(10_000, accounts=1, rejected_share=0), load=OPPORTUNITY) as world:
        world.plan(START)
        assert the_lane(world).job_batches == 1


def test_its_rows_go_in_one_job_and_none_of_them_waits_too_long_for_its_lock():
    with a_giant(row_ms=30) as world:
        verdict = world.execute()
        assert verdict is not None
        assert verdict.succeeded == ROWS
        lane = the_lane(world)
        assert (lane.batches, lane.jobs, lane.lock_errors) == (1, 1, 0)
        assert lane.timed_ms <= 1_000 * lane.timed_seconds, "a batch that waits for the other is not at work"
        assert lane.timed_seconds == pytest.approx(ROWS * 0.03, rel=0.1)
