"""A small load that goes every way there is, and what it must come to.

Two lanes of two batches, the second of which is staged while the job of the first is in flight; rows that the org
refuses, rows that fail and pass when they are sent again, and rows that only the sweep brings in. What is in the target
at the end is compared with a load that met no trouble.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from local.org import generated_opportunities
from local.org.opportunities import REJECTED_SQL
from tests.integration.usecases.kept_rows import recorded_account, rejected_rows
from tests.integration.usecases.world import RUN, World, open_world, paced

ROWS = 20
_SOURCE = generated_opportunities(ROWS, rejected_share=0.3)
_LOCKS = """
- match: {object: Opportunity, nth: 1}
  action: {row_failures: {share: 0.6, code: UNABLE_TO_LOCK_ROW}}
- match: {object: Opportunity, nth: 2}
  action: {row_failures: {share: 0.6, code: UNABLE_TO_LOCK_ROW}}
"""
_BATCH_ROWS = 7


@contextmanager
def troubled_world() -> Iterator[World]:
    expected_digest()  # in a world of its own, of which there can be one at a time
    load = paced(lanes=2, batch_rows=_BATCH_ROWS, retry_delays_seconds=(2,))
    with open_world(source=_SOURCE, faults=_LOCKS, load=load) as world:
        yield world


@cache
def expected_digest() -> str:
    """The target after a load without locks and without crashes."""
    with open_world(source=_SOURCE, load=paced(batch_rows=ROWS)) as world:
        world.execute()
        return world.server.backend.digest("Opportunity")


@cache
def effects_of_a_load() -> int:
    """How many side effects a load has when nothing crashes."""
    with troubled_world() as world:
        world.execute()
        first, second, sweep = world.store.partitions(RUN)
        assert first.resent_rows
        assert first.rejected
        assert (first.batches, second.batches) == (2, 2)
        assert sweep.succeeded
        assert_complete(world)
        return world.fuse.effects


def assert_complete(world: World, run_id: str = RUN) -> None:
    """Every row is in the target or among the rejected, once, and the account says so."""
    assert world.server.backend.digest("Opportunity") == expected_digest()
    refused = world.keys_of(REJECTED_SQL)
    assert world.loaded_keys == world.keys_of() - refused
    assert sorted(row["External_ID__c"] for row in rejected_rows(world, run_id)) == sorted(refused)
    account = recorded_account(world, run_id)
    assert account.balances
    assert (account.source_rows, account.succeeded, account.rejected) == (ROWS, ROWS - len(refused), len(refused))
    assert_no_job_in_flight(world)


def assert_no_job_in_flight(world: World) -> None:
    """Every job has ended, but for Open ones that nothing was sent to."""
    for job in world.server.backend.ingest.jobs():
        assert job.state.is_terminal or (job.state == "Open" and job.content is None), job.id
