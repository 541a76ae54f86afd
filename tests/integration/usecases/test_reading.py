"""Reading the source: a frozen query, page by page, and what happens when it is slow, gone, or gives little."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from massive_upload.contracts import Verdict
from massive_upload.errors import SalesforceUnavailable, SourceRejected
from massive_upload.salesforce.data_cloud import QUERY_PATH
from massive_upload.salesforce.transport import Request, Response, Transport
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
        fetch_page(task, world.services)
        assert world.open_batch().rows == 4, "what came before it makes a smaller batch"
        world.slices.run_lane(RUN, "0000")
        assert world.loaded_keys == world.keys_of()


def test_an_empty_page_with_nothing_before_it_is_read_again():
    with open_world(load=paced(batch_rows=10), page_rows=10) as world:
        task = world.start_lane()
        fetch_page(task, world.services)
        world.break_org("- {match: {path: /rows$}, action: {status: 200, body: '{\"data\": []}'}}")
        world.slices.run_slice(RUN, "0000", stop_before="Pace")
        assert world.partition().settled_rows == 10, "a lane that cannot read ahead settles what is in flight"
        again = world.slices.claim(RUN, "0000")
        with pytest.raises(SalesforceUnavailable, match="more than 10 rows, but the page that follows came empty"):
            fetch_page(again, world.services)
        assert world.partition().open_batch is None
        world.mend_org()
        world.slices.run_lane(RUN, "0000")
        assert world.loaded_keys == world.keys_of()


FAILS_AT_THE_END = "- {match: {method: GET, path: '/query-sql/[^/]+$', %s}, action: {status: 400, code: QUERY_FAILED}}"


def test_a_query_that_fails_after_many_looks_is_asked_again():
    with open_world(load=paced(), query_running_seconds=1_200.0) as world:
        world.plan({"load": "opportunity"})
        world.break_org(FAILS_AT_THE_END % "nth: 12")
        world.slices.run_lane(RUN, "0000")
        assert world.requests["query_sql"] == 3, "the plan's, the one that failed, and another"
        assert_all_loaded(world, world.finish({}))


def test_a_query_that_fails_again_and_again_ends_the_lane():
    with open_world(load=paced(), query_running_seconds=1_200.0) as world:
        world.plan({"load": "opportunity"})
        world.break_org(FAILS_AT_THE_END % "every: 3")
        world.slices.most_states = 200
        world.slices.run_lane(RUN, "0000")
        assert (world.partition().status, world.partition().error) == ("Failed", SourceRejected.__name__)
        assert "has failed 6 times" in (world.partition().cause or "")


def test_waits_for_an_org_that_does_not_answer_are_no_failed_queries():
    with open_world(load=paced(), query_running_seconds=1_200.0) as world:
        world.plan({"load": "opportunity"})
        world.break_org("- {match: {path: '/query-sql'}, action: {status: 503}}")

        def mend_after_a_while(name: str, _seconds: int) -> None:
            if name == "WaitForOrg" and world.slices.visited.count(name) == 8:
                world.break_org(FAILS_AT_THE_END % "nth: 1")

        world.slices.on_wait = mend_after_a_while
        world.slices.most_states = 200
        world.slices.run_lane(RUN, "0000")
        assert_all_loaded(world, world.finish({}))


def test_a_count_that_fails_after_many_looks_is_asked_again():
    with open_world(load=paced(), query_running_seconds=1_200.0) as world:
        world.break_org(FAILS_AT_THE_END % "nth: 12")
        assert_all_loaded(world, world.execute())
        assert world.run().plan_queries == 2


def test_a_count_that_fails_again_and_again_ends_the_plan():
    with open_world(load=paced(), query_running_seconds=1_200.0) as world:
        world.break_org(FAILS_AT_THE_END % "every: 3")
        for _ in range(18):
            assert world.plan_once({"load": "opportunity"}).next == "Wait"
            world.wait(60)
        with pytest.raises(SourceRejected, match="has failed 6 times"):
            world.plan_once({"load": "opportunity"})
        assert world.requests["query_sql"] == 6


def test_a_query_that_cannot_be_read_for_long_is_given_up_for_a_new_one():
    with open_world(load=paced(), query_running_seconds=60.0) as world:
        task = world.start_lane()
        fetch_page(task, world.services)
        lost = world.partition().query_id
        world.break_org(f"- {{match: {{path: {lost}}}, action: {{status: 500}}}}")
        world.slices.run_lane(RUN, "0000")
        assert world.slices.visited.count("WaitForOrg") == 2
        assert_all_loaded(world, world.finish({}))


def test_a_result_that_cannot_be_read_for_very_long_is_given_up_for_a_new_one():
    with open_world(load=paced(batch_rows=10)) as world:
        task = world.start_lane()
        fetch_page(task, world.services)
        lost = world.partition().query_id
        world.break_org(f"- {{match: {{path: {lost}/rows}}, action: {{status: 500}}}}")
        world.slices.run_lane(RUN, "0000")
        assert world.slices.visited.count("WaitForOrg") == 6
        assert_all_loaded(world, world.finish({}))


class SlowPages:
    """An org whose clock goes on by minutes for each page of rows."""

    def __init__(self, transport: Transport, wait: Callable[[int], None]) -> None:
        self._transport = transport
        self._wait = wait

    def send(self, request: Request) -> Response:
        if "/rows" in request.url:
            self._wait(250)
        return self._transport.send(request)


def test_pages_that_take_long_make_a_smaller_batch_and_not_a_function_that_is_killed():
    with open_world(load=paced(batch_rows=30), page_rows=3) as world:
        world.transport = SlowPages(world.transport, world.wait)
        task = world.start_lane()
        fetch_page(task, world.services)
        assert world.open_batch().rows == 3 * 4, "a page with the query's answer, and three in 750 s"
        world.slices.run_lane(RUN, "0000")
        assert_all_loaded(world, world.finish({}))


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


UNCOUNTED = """
- match: {method: GET, path: "/query-sql/[^/]+$"}
  action: {status: 200, body: '{"queryId": "q", "completionStatus": "Finished"}'}
"""


def test_a_lanes_query_that_ends_without_a_row_count_is_refused_and_not_waited_for_for_ever():
    with open_world(load=paced(), query_running_seconds=60.0) as world:
        world.plan({"load": "opportunity"})
        world.break_org(UNCOUNTED)
        world.slices.most_states = 100
        world.slices.run_lane(RUN, "0000")
        assert (world.partition().status, world.partition().error) == ("Failed", SourceRejected.__name__)
        assert "does not tell how many rows" in (world.partition().cause or "")
        world.mend_org()
        world.abort()
        assert_all_loaded(world, world.execute({"mode": "resume", "run_id": RUN}, "again"))


def test_a_plans_query_that_ends_without_a_row_count_is_refused_and_not_waited_for_for_ever():
    with open_world(load=paced(), query_running_seconds=60.0, faults=UNCOUNTED) as world:
        waiting = world.plan_once({"load": "opportunity"})
        assert waiting.next == "Wait"
        with pytest.raises(SourceRejected, match="does not tell how many rows"):
            world.plan_once({"load": "opportunity"})


class OtherColumnOrder:
    """A transport to an org that lists a result's columns, and their values, in the reverse order.

    Args:
        transport: to the org.
        renamed: a column that gets another name.
        names_once: whether only the first answer of a query lists its columns.
    """

    def __init__(self, transport: Transport, *, renamed: str | None = None, names_once: bool = False) -> None:
        self._transport = transport
        self._renamed = renamed
        self._names_once = names_once

    def send(self, request: Request) -> Response:
        response = self._transport.send(request)
        if QUERY_PATH not in request.url or not response.is_success:
            return response
        answer = json.loads(response.body)
        if "data" not in answer:
            return response
        for column in answer["metadata"]:
            column["name"] = "Other__c" if column["name"] == self._renamed else column["name"].upper()
        answer["metadata"].reverse()
        if self._names_once and request.method == "GET":
            del answer["metadata"]
        answer["data"] = [row[::-1] for row in answer["data"]]
        return replace(response, body=json.dumps(answer).encode())


@pytest.mark.parametrize("names_once", [False, True])
def test_rows_are_read_by_the_names_of_their_columns_in_whatever_order_these_come(names_once):
    with open_world(load=paced()) as world:
        world.execute()
        expected = world.server.backend.digest("Opportunity")
    with open_world(load=paced(), page_rows=4) as world:
        world.transport = OtherColumnOrder(world.transport, names_once=names_once)
        assert_all_loaded(world, world.execute())
        assert world.server.backend.digest("Opportunity") == expected


def test_the_columns_that_a_query_was_answered_with_while_it_ran_are_remembered():
    with open_world(load=paced()) as world:
        world.execute()
        expected = world.server.backend.digest("Opportunity")
    with open_world(load=paced(), query_running_seconds=60.0, page_rows=4) as world:
        plan = world.plan({"load": "opportunity"})
        world.transport = OtherColumnOrder(world.transport, names_once=True)
        assert_all_loaded(world, world.go_on_after(plan))
        assert world.server.backend.digest("Opportunity") == expected


def test_columns_that_were_not_asked_for_are_refused_and_nothing_is_sent():
    with open_world(load=paced()) as world:
        world.plan({"load": "opportunity"})
        world.transport = OtherColumnOrder(world.transport, renamed="Name__c")
        world.slices.run_lane(RUN, "0000")
        assert (world.partition().status, world.partition().error) == ("Failed", SourceRejected.__name__)
        assert "Other__c" in (world.partition().cause or "")
        assert world.jobs == {}
