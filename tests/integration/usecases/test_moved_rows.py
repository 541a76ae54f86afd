"""Rows that get another parent between the queries of two lanes of parents: no lane can tell, so the run does."""

import json

import pytest

from local.org import generated_opportunities
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Halt
from tests.integration.usecases.kept_rows import receipt
from tests.integration.usecases.sources import with_column
from tests.integration.usecases.world import OPPORTUNITY, RUN, World, open_world, paced

ROWS = 12
FIRST_PARENT = [f"OPP-{number:07d}" for number in range(1, 8)]
SECOND_PARENT = [f"OPP-{number:07d}" for number in range(8, ROWS + 1)]
SOURCE = with_column(
    with_column(
        generated_opportunities(ROWS, accounts=2, rejected_share=0),
        "LastModified__c",
        "TIMESTAMPTZ '2025-01-01 00:00:00+00' + to_days(CAST(n AS INTEGER))",
    ),
    "AccountKey__c",
    "CASE WHEN n < 8 THEN 'ACC-0000001' ELSE 'ACC-0000002' END",
)


def by_parent(*, knows_changes: bool = True, batch_rows: int = 10) -> Load:
    load = paced(OPPORTUNITY, lanes=2, by="parent", batch_rows=batch_rows)
    source = load.source.model_copy(update={} if knows_changes else {"modified": None})
    return load.model_copy(update={"source": source})


def moving(keys: list[str], to: str) -> str:
    """Some rows get another parent, and another name, just before the second lane asks for its rows."""
    sql = (
        f"""UPDATE "Opportunity__dlm" SET "AccountKey__c" = '{to}', "Name__c" = 'moved',"""
        f""" "LastModified__c" = CURRENT_TIMESTAMP WHERE "ExternalId__c" IN ({", ".join(f"'{key}'" for key in keys)})"""
    )
    return json.dumps([{"match": {"path": "query-sql$", "nth": 3}, "action": {"change_source": sql}}])


AWAY, TOWARDS = moving(SECOND_PARENT[:2], "ACC-0000001"), moving(FIRST_PARENT[:3], "ACC-0000002")


def names(world: World) -> dict[str, str]:
    return {str(row["External_ID__c"]): str(row["Name"]) for row in world.server.backend.rows("Opportunity")}


@pytest.mark.parametrize(("faults", "read_rows"), [(AWAY, ROWS - 2), (TOWARDS, ROWS + 3)], ids=["away", "towards"])
def test_a_full_run_that_met_them_asks_for_an_incremental_one_which_brings_them_right(faults, read_rows):
    with open_world(source=SOURCE, load=by_parent(), faults=faults) as world:
        full = world.execute()
        assert full is not None
        assert (full.status, full.source_rows) == ("Completed", read_rows)
        (advice,) = receipt(world)["advice"]
        assert advice.startswith("Run the load with mode incremental: 1 of its lanes found more or fewer rows")
        incremental = world.execute({"load": "opportunity", "mode": "incremental"}, "incremental")
        assert incremental is not None
        assert receipt(world, "incremental")["advice"] == []
        assert names(world).keys() == {*FIRST_PARENT, *SECOND_PARENT}
        moved = SECOND_PARENT[:2] if faults == AWAY else FIRST_PARENT[:3]
        assert {key for key, name in names(world).items() if name == "moved"} == set(moved)


def test_a_load_that_cannot_run_incrementally_is_to_be_run_again():
    with open_world(source=SOURCE, load=by_parent(knows_changes=False), faults=AWAY) as world:
        world.execute()
        (advice,) = receipt(world)["advice"]
        assert advice.startswith("Run the load again: 1 of its lanes found more or fewer rows")


def test_a_run_that_has_not_completed_is_resumed_and_asks_for_no_other():
    with open_world(source=SOURCE, load=by_parent(batch_rows=4), faults=TOWARDS) as world:

        def pause_midway(_name: str, _seconds: int) -> None:
            if any(lane.source_rows != lane.planned_rows for lane in world.store.partitions(RUN)):
                world.store.ask_to_halt(RUN, Halt.PAUSE)

        world.slices.on_wait = pause_midway
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, receipt(world)["advice"]) == ("Paused", [])
        assert receipt(world)["drift"]["more_rows"] == 3


def test_a_run_whose_source_stays_as_it_is_gives_no_such_advice():
    with open_world(source=SOURCE, load=by_parent()) as world:
        world.execute()
        assert receipt(world, RUN)["advice"] == []


def test_rows_that_keep_their_lane_of_keys_need_no_other_run():
    """A change of the parent moves no row to another lane of keys."""
    with open_world(source=SOURCE, load=paced(OPPORTUNITY, lanes=2), faults=AWAY) as world:
        full = world.execute()
        assert full is not None
        assert (full.source_rows, receipt(world)["advice"]) == (ROWS, [])
