"""A process dies between any two side effects: no row is lost, none is counted twice, and the account balances.

The load has rows that the org refuses, rows that fail and pass when they are sent again, and rows that only the sweep
brings in. What is in the target at the end is compared with a load that met no trouble.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import cache

import pytest

from local.org import generated_opportunities
from local.org.opportunities import REJECTED_SQL
from massive_upload.domain.account import Account
from massive_upload.domain.file_keys import receipt_key
from massive_upload.domain.progress import RunStatus
from tests.integration.usecases.fuse import Killed
from tests.integration.usecases.world import RUN, World, open_world, paced

ROWS = 14
SOURCE = generated_opportunities(ROWS, rejected_share=0.2)
LOCKS = """
- match: {object: Opportunity, nth: 1}
  action: {row_failures: {share: 0.6, code: UNABLE_TO_LOCK_ROW}}
- match: {object: Opportunity, nth: 2}
  action: {row_failures: {share: 0.6, code: UNABLE_TO_LOCK_ROW}}
"""


@contextmanager
def troubled_world() -> Iterator[World]:
    load = paced(batch_rows=ROWS, retry_delays_seconds=(2,))
    with open_world(source=SOURCE, faults=LOCKS, load=load) as world:
        yield world


@cache
def expected_digest() -> str:
    """The target after a load without locks and without crashes."""
    with open_world(source=SOURCE, load=paced(batch_rows=ROWS)) as world:
        world.execute()
        return world.server.backend.digest("Opportunity")


def effects_of_a_load() -> int:
    with troubled_world() as world:
        world.execute()
        lane, sweep = world.store.partitions(RUN)
        assert lane.resent_rows
        assert lane.rejected
        assert sweep.succeeded
        return world.fuse.effects


def assert_complete(world: World) -> None:
    assert world.server.backend.digest("Opportunity") == expected_digest()
    refused = world.keys_of(REJECTED_SQL)
    assert world.loaded_keys == world.keys_of() - refused
    account = Account(**json.loads(world.files.read(receipt_key(RUN)))["account"])
    assert account.balances
    assert (account.source_rows, account.succeeded, account.rejected) == (ROWS, ROWS - len(refused), len(refused))


def test_a_task_that_died_after_any_of_its_effects_is_tried_again():
    expected_digest()
    for effects in range(1, effects_of_a_load() + 1, 3):
        with troubled_world() as world:
            world.after(effects)
            world.execute()
            assert world.fuse.has_blown
            assert_complete(world)


def test_an_execution_that_died_after_any_effect_is_finished_and_resumed():
    expected_digest()
    for effects in range(2, effects_of_a_load() + 1, 5):
        with troubled_world() as world:
            world.after(effects)
            world.fuse.error = Killed
            with pytest.raises(Killed):
                world.execute()
            verdict = world.abort()
            run = world.store.run(RUN)
            if run is None or run.plan_name is None:
                assert verdict.source_rows == 0
                assert run is None or run.error == "RunNotPlanned"
                assert world.jobs == {}
                continue
            classes = Account(**{field.name: getattr(verdict, field.name) for field in fields(Account)})
            assert classes.balances
            assert classes.source_rows == ROWS
            assert verdict.unsettled == 0
            if run.status is not RunStatus.COMPLETED:
                world.execute({"mode": "resume", "run_id": RUN}, "again")
            assert_complete(world)
