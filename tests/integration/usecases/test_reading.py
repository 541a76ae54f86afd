"""Reading the source: a frozen query, page by page, and what happens when it is slow, gone, or gives little."""

import pytest

from massive_upload.contracts import Verdict
from massive_upload.errors import SalesforceUnavailable
from massive_upload.usecases.fetch_page import fetch_page
from tests.integration.usecases.world import RUN, World, open_world, paced


def assert_all_loaded(world: World, verdict: Verdict | None) -> None:
    assert verdict is not None
    assert (verdict.status, verdict.succeeded, verdict.source_rows) == ("Completed", 30, 30)
    assert world.loaded_keys == world.keys_of()


def test_a_lane_submits_one_query_and_reads_it_to_its_end():
    with open_world(load=paced()) as world:
        assert_all_loaded(world, world.execute())
        assert world.requests["query_sql"] == 2, "the plan's and the lane's"


def test_a_query_that_runs_is_waited_for_ever_longer():
    with open_world(load=paced(), query_running_seconds=120.0) as world:
        assert_all_loaded(world, world.execute())
        assert world.slices.visited.count("WaitForQuery") >= 3
        assert world.requests["query_sql"] == 2


def test_a_query_that_has_expired_between_batches_is_asked_again_from_the_cursor():
    with open_world(load=paced(delay_seconds=600), query_kept_seconds=300.0) as world:
        assert_all_loaded(world, world.execute())
        assert world.requests["query_sql"] > 2
        assert world.partition().source_rows == 30


@pytest.mark.parametrize("page", [1, 2, 3])
@pytest.mark.parametrize("status", [404, 410])
def test_a_query_that_expires_in_the_middle_of_a_batch_loses_no_row(page, status):
    faults = f"- match: {{path: /rows$, nth: {page}}}\n  action: {{status: {status}, code: NOT_FOUND}}"
    with open_world(load=paced(), faults=faults, page_rows=4) as world:
        assert_all_loaded(world, world.execute())


def test_pages_with_fewer_rows_than_asked_for_fill_a_batch_all_the_same():
    with open_world(load=paced(), page_rows=3) as world:
        assert_all_loaded(world, world.execute())
        assert world.partition().batches == 3


def test_an_empty_page_before_the_end_is_no_end():
    faults = '- match: {path: /rows$, nth: 1}\n  action: {status: 200, body: \'{"data": [], "returnedRows": 0}\'}'
    with open_world(load=paced(), faults=faults, page_rows=4) as world:
        task = world.start_lane()
        with pytest.raises(SalesforceUnavailable, match="a page of it came empty"):
            fetch_page(task, world.services)
        assert world.partition().open_batch is None
        world.slices.run_lane(RUN, "0000")
        assert world.loaded_keys == world.keys_of()


def test_values_arrive_as_they_are_in_the_source():
    columns = {"Amount": "Amount__c", "Name": "Name__c", "CloseDate": "CloseDate__c"}
    with open_world(load=paced(batch_rows=30)) as world:
        world.execute()
        found = {str(row["External_ID__c"]): row for row in world.server.backend.rows("Opportunity")}
        for target, column in columns.items():
            sql = f'SELECT coalesce(CAST("{column}" AS VARCHAR), \'\') FROM "Opportunity__dlm" ORDER BY "ExternalId__c"'
            loaded = [str(found[key][target] or "") for key in sorted(found)]
            assert loaded == world.server.backend.datacloud.seed_keys(sql), target
        assert found["OPP-0000008"]["Probability"] == "0.00001"
        assert found["OPP-0000007"]["Description"] is None
        assert found["OPP-0000008"]["Description"] == "blanks around 8"
