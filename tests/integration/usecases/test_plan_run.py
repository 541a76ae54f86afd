"""PlanRun: what it plans, that it may be repeated, and who may have the target."""

import itertools
import re
from collections import Counter
from contextlib import closing, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from local.org import Source, generated_opportunities
from local.org.datacloud import open_database
from massive_upload.constants import LONG_WAIT_SECONDS, RESUMABLE_DAYS
from massive_upload.contracts import PlanSoFar
from massive_upload.domain.estimate import Parents, SharedParents
from massive_upload.domain.load import FieldMapping, FieldType, Load, PartitioningOverrides
from massive_upload.domain.progress import Halt, Lease, PartitionStatus, RunStatus
from massive_upload.errors import (
    AnotherRunActive,
    ConfigurationError,
    CredentialsRejected,
    DuplicateKeys,
    InvalidInput,
    InvalidLoad,
    RunNotResumable,
    SourceRejected,
    TargetRejected,
)
from massive_upload.usecases.plan_file import read_estimate, read_plan
from tests.integration.usecases.kept_rows import receipt
from tests.integration.usecases.slice_driver import Crash
from tests.integration.usecases.sources import opportunities_with
from tests.integration.usecases.world import OPPORTUNITY, RUN, World, execution, open_world, paced

START = {"load": "opportunity"}
RESUME = {"mode": "resume", "run_id": RUN}


def changed(load: Load, **changes: Any) -> Load:
    return Load.model_validate(load.model_dump() | changes)


def test_the_plan_is_the_partitions_and_their_staggered_starts():
    with open_world(load=paced(lanes=3, stagger_seconds=1500)) as world:
        plan = world.plan(START)
        assert [(lane.partition, lane.short_wait_seconds, lane.long_waits) for lane in plan.lanes] == [
            ("0000", 0, 0),
            ("0001", 300, 2),
            ("0002", 0, 5),
        ]
        partitions = world.store.partitions(RUN)
        assert [partition.planned_rows for partition in partitions] == [10, 10, 10]
        assert partitions[0].after is None
        assert all(right.after == left.upto for left, right in itertools.pairwise(partitions))
        run = world.run()
        assert (run.status, run.source_rows, run.load, run.mode) == (RunStatus.RUNNING, 30, "opportunity", "full")


def test_a_plan_that_is_repeated_after_a_crash_anywhere_is_the_same_plan():
    with open_world(load=paced(lanes=2)) as world:
        expected = world.plan(START)
        effects_of_a_plan = world.fuse.effects
        for effects in range(1, effects_of_a_plan + 1):
            name = f"crashed-{effects}"
            world.store.release_lease(Lease(key=world.run().lease_key or "", run_id=RUN, execution_arn=_holder(world)))
            world.after(effects)
            with pytest.raises(Crash):
                world.plan(START, name)
            plan = world.plan(START, name)
            assert plan.model_copy(update={"run_id": expected.run_id}) == expected
            assert world.plan(START, name) == plan
            recorded = [(lane.after, lane.upto, lane.planned_rows) for lane in world.store.partitions(name)]
            assert recorded == [(lane.after, lane.upto, lane.planned_rows) for lane in world.store.partitions(RUN)]


def _holder(world: World) -> str:
    lease = world.store.lease(world.run().lease_key or "")
    assert lease is not None
    return lease.execution_arn


@pytest.mark.parametrize("effects", range(1, 7))
def test_a_plan_that_was_half_written_is_not_mixed_with_the_next(effects):
    """The stack is deployed anew, with other lanes, while a PlanRun that died waits to be tried again."""
    with open_world(load=paced(lanes=3)) as world:
        start = {"load": world.load.name}
        world.after(effects)
        with pytest.raises(Crash):
            world.plan(start)
        world.load = paced(lanes=1)
        world.plan(start)
        planned = [lane.partition for lane in read_plan(world.files, world.run())]
        found = world.store.partitions(RUN)
        assert [partition.partition for partition in found] == planned
        assert sum(partition.planned_rows for partition in found) == 30


def test_a_plan_alone_writes_nothing_and_holds_no_target():
    with open_world(load=paced(lanes=3)) as world:
        verdict = world.execute({**START, "mode": "plan"})
        assert verdict is not None
        assert (verdict.next, verdict.status, verdict.source_rows, verdict.not_sent) == ("Succeed", "Completed", 30, 30)
        assert len(world.store.partitions(RUN)) == 3
        assert world.run().lease_key is None
        assert world.jobs == {}


def test_a_plan_tells_what_it_will_take_and_what_the_org_has_left():
    source = generated_opportunities(1_000, rejected_share=0)
    with open_world(source=source, load=paced(lanes=4, batch_rows=100)) as world:
        world.execute({**START, "mode": "plan"})
        estimate = read_estimate(world.files, world.run())
        assert estimate is not None
        assert (estimate.rows, estimate.lanes, estimate.batches) == (1_000, 4, 12)
        assert 0 < (estimate.api_requests_left or 0) < 900_000  # of 1,000,000: those of the plan itself are used
        assert estimate.bulk_batches_left == 13_500  # of 15,000, without the reserve


def test_an_undisturbed_run_takes_no_fewer_requests_than_its_plan_says_where_functions_keep_their_logins(monkeypatch):
    """The first page of a lane comes with its query."""
    with open_world(load=paced(lanes=15, batch_rows=2)) as world:
        monkeypatch.setattr(World, "services", world.services)
        world.execute()
        estimate = read_estimate(world.files, world.run())
        assert estimate is not None
        assert estimate.batches == 15
        assert estimate.api_requests.least <= receipt(world)["figures"]["api_requests"] <= estimate.api_requests.most


@pytest.mark.parametrize("by", ["key", "parent"])
def test_a_plan_tells_how_rows_are_spread_over_their_parents(by):
    source = generated_opportunities(1_000, rejected_share=0)
    load = changed(OPPORTUNITY, partitioning={"by": by})
    with open_world(source=source, load=load) as world:
        world.execute({**START, "mode": "plan"})
        estimate = read_estimate(world.files, world.run())
        assert estimate is not None
        assert estimate.parents == _parents_of(source)


def test_a_plan_tells_of_parents_that_are_not_among_the_fields():
    fields = {column: mapping for column, mapping in OPPORTUNITY.fields.items() if column != "AccountKey__c"}
    load = changed(paced(lanes=2), fields=fields)
    with open_world(load=load) as world:
        verdict = world.execute({**START, "mode": "plan"})
        assert verdict is not None
        assert verdict.next == "Succeed"
        estimate = read_estimate(world.files, world.run())
        assert estimate is not None
        assert estimate.parents is not None
        assert estimate.parents.rows == 30


@pytest.mark.parametrize("to", ["AccountId", "Account.Id"])
def test_lanes_share_no_parent_that_is_named_by_ids_of_either_length(to):
    ids = "format('001D0000000a{:03d}', n % 5) || CASE WHEN n % 2 = 0 THEN 'IAZ' ELSE '' END"
    to_the_lookup = with_field("AccountKey__c", to)
    load = changed(paced(lanes=5, by="parent"), **to_the_lookup)
    with open_world(source=opportunities_with("AccountKey__c", ids), load=load) as world:
        world.plan(START)
        lanes = world.store.partitions(RUN)
        assert [lane.planned_rows for lane in lanes] == [6] * 5
        assert {lane.upto for lane in lanes} == {f"001d0000000a{number:03d}" for number in range(5)}


def _parents_of(source: Source) -> Parents:
    """The same figures, counted row by row."""
    with closing(open_database(source)) as database:
        rows = database.execute('SELECT "ExternalId__c", lower("AccountKey__c") FROM "Opportunity__dlm"').fetchall()
    parents = [parent for _, parent in sorted(rows)]
    rows_of = Counter(parent for parent in parents if parent)
    heavy = rows_of.most_common(-(-len(rows_of) // 100))
    return Parents(
        parents=len(rows_of),
        rows=rows_of.total(),
        most_rows=heavy[0][1],
        heavy_rows=sum(number for _, number in heavy),
        shared=tuple(_shared(parents, rows_of, ranges) for ranges in (5, 20)),
    )


def _shared(parents: list[str | None], rows_of: Counter[str], ranges: int) -> SharedParents:
    each = len(parents) // ranges  # 1,000 rows are cut evenly
    lanes = [set(parents[start : start + each]) for start in range(0, len(parents), each)]
    shared = [parent for parent in rows_of if sum(parent in lane for lane in lanes) > 1]
    return SharedParents(ranges=ranges, parents=len(shared), rows=sum(rows_of[parent] for parent in shared))


def test_a_sample_loads_the_first_rows_in_one_lane():
    with open_world(load=paced(lanes=3)) as world:
        verdict = world.execute({**START, "mode": "sample", "sample": {"rows": 12}})
        assert verdict is not None
        assert (verdict.status, verdict.source_rows, verdict.succeeded) == ("Completed", 12, 12)
        assert world.loaded_keys == {f"OPP-{number:07d}" for number in range(1, 13)}


def test_an_empty_source_is_a_complete_run():
    with open_world(source=generated_opportunities(0, null_keys=2), load=paced()) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.source_rows, verdict.skipped_null_key) == ("Completed", 2, 2)


def test_duplicate_keys_stop_the_run_before_anything_is_written():
    source = generated_opportunities(30, duplicate_keys=2, case_collisions=1, null_keys=2)
    with open_world(source=source, load=paced()) as world:
        with pytest.raises(DuplicateKeys, match="has 3 rows more than it has different ExternalId__c") as refused:
            world.plan(START)
        statement = re.search("SELECT .*LIMIT 100", str(refused.value))
        assert statement is not None
        with open_database(source) as connection:
            keys = connection.execute(statement[0]).fetchall()
        assert sum(rows - 1 for key, rows in keys if key) == sum(rows - 1 for _, rows in keys) == 3
        assert world.jobs == {}


@pytest.mark.parametrize("blank", ["\t", "\n", "\r", "\x1b"])
def test_keys_that_salesforce_would_merge_are_duplicates(blank):
    source = opportunities_with(
        "ExternalId__c", f"CASE n WHEN 1 THEN 'DUP' WHEN 2 THEN 'DUP{blank}' ELSE 'K-' || n END"
    )
    with open_world(source=source, load=paced()) as world:
        with pytest.raises(DuplicateKeys, match="has 1 rows"):
            world.plan(START)
        assert world.jobs == {}


def test_of_duplicate_keys_the_newest_row_is_loaded_and_the_others_are_counted():
    source = generated_opportunities(30, rejected_share=0, duplicate_keys=2, case_collisions=1)
    with open_world(source=source, load=changed(paced(lanes=2), duplicates="keep_newest")) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.source_rows, verdict.duplicates_dropped, verdict.succeeded) == (33, 3, 30)
        assert {key.upper() for key in world.loaded_keys} == {f"OPP-{number:07d}" for number in range(1, 31)}


def with_field(column: str, to: str, kind: FieldType = FieldType.TEXT) -> dict[str, Any]:
    return {"fields": {**OPPORTUNITY.model_dump()["fields"], column: FieldMapping(to=to, type=kind).model_dump()}}


def with_wrong_fields(count: int) -> dict[str, Any]:
    wrong = {f"Wrong{number}__c": FieldMapping(to=f"Wrong{number}").model_dump() for number in range(count)}
    return {"fields": {**OPPORTUNITY.model_dump()["fields"], **wrong}}


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"source": OPPORTUNITY.source.model_dump() | {"object": "Nothing__dlm"}}, SourceRejected, "Nothing__dlm"),
        ({"source": OPPORTUNITY.source.model_dump() | {"where": "no sql here"}}, SourceRejected, "query-sql"),
        (with_field("Extra__c", "Nmae"), TargetRejected, "Nmae"),
        (with_field("Extra__c", "Acount.External_ID__c"), TargetRejected, "Acount"),
        (with_field("Extra__c", "Account.Name"), TargetRejected, "is not an external id"),
        (
            with_field("Amount__c", "Amount", FieldType.DATE),
            TargetRejected,
            "Opportunity.Amount is of the type currency, which takes no date",
        ),
        (
            with_field("CloseDate__c", "CloseDate", FieldType.NUMBER),
            TargetRejected,
            "Opportunity.CloseDate is of the type date, which takes no number",
        ),
        (with_wrong_fields(2), TargetRejected, "2 fields of the load do not fit Opportunity"),
        (with_wrong_fields(2), TargetRejected, "'Wrong0'"),
        (with_wrong_fields(2), TargetRejected, "'Wrong1'"),
        (with_wrong_fields(7), TargetRejected, "And 2 more."),
        (
            with_field("Extra__c", "Account:Account.External_ID__c"),
            TargetRejected,
            "Say Account.External_ID__c instead",
        ),
        (
            {"target": {"object": "Opportunity", "external_id": "EXTERNAL_ID__C"}}
            | with_field("ExternalId__c", "EXTERNAL_ID__C"),
            TargetRejected,
            "spells the external id External_ID__c, the load spells it EXTERNAL_ID__C. Say external_id: External_ID__c",
        ),
    ],
)
def test_a_load_that_does_not_fit_the_org_is_refused_before_anything_is_written(changes, error, says):
    with open_world(load=changed(paced(), **changes)) as world:
        with pytest.raises(error, match=says):
            world.plan(START)
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.next, verdict.error, verdict.status) == ("Fail", error.__name__, "Failed")
        assert world.store.lease(world.run().lease_key or "") is None
        assert world.jobs == {}


def test_an_object_that_the_user_may_not_write_is_refused_before_anything_is_written():
    body = '{"name": "Opportunity", "createable": false, "updateable": false, "fields": []}'
    faults = f"- {{match: {{path: '/Opportunity/describe$'}}, action: {{status: 200, body: '{body}'}}}}"
    with (
        open_world(load=paced(), faults=faults) as world,
        pytest.raises(TargetRejected, match="neither create nor edit records of Opportunity"),
    ):
        world.plan(START)


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ({}, "does not name a load"),
        ({"load": "opportunity", "speed": 11}, "speed"),
        ({"load": "opportunity", "mode": "fast"}, "mode"),
        ({"load": "opportunity", "pace": {"batch_rows": -1}}, "pace.batch_rows"),
        ({"load": "opportunity", "partitions": [1]}, "mode resume"),
        ({"load": "opportunity", "run_id": "a/b"}, "run_id"),
        ({"mode": "resume"}, "needs the run_id"),
        ({"mode": "resume", "run_id": RUN, "pace": {"delay_seconds": 1}}, "pace cannot change"),
        ({"mode": "resume", "run_id": RUN, "partitioning": {"count": 2}}, "partitioning cannot change"),
        ({"mode": "resume", "run_id": RUN, "sample": {"rows": 2}}, "sample cannot change"),
    ],
)
def test_an_input_that_is_wrong_says_where(start, says):
    with open_world() as world, pytest.raises(InvalidInput, match=says):
        world.plan(start)


@pytest.mark.parametrize("name", ["täglich", "two words", "a:b", "x" * 122])
def test_an_execution_whose_name_cannot_be_a_runs_id_is_refused(name):
    """Step Functions allows more characters in a name than keys of S3 and patterns of ours."""
    with open_world(load=paced()) as world:
        with pytest.raises(InvalidInput, match="cannot be a run's id"):
            world.plan(START, name)
        assert world.store.open_runs() == []
        assert world.plan({**START, "run_id": "given"}, name).run_id == "given"


def test_what_step_functions_adds_to_a_nested_input_is_no_mistake():
    with open_world(load=paced()) as world:
        start = {**START, "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "arn"}
        assert world.plan(start).next == "Load"


def test_more_lanes_than_possible_are_refused():
    with open_world(load=paced()) as world, pytest.raises(InvalidInput, match=r"partitioning\.count"):
        world.plan({**START, "partitioning": {"count": 1001}})


SIX_DAYS_SECONDS = 6 * 86_400


def test_lanes_that_would_start_after_more_than_12_days_are_refused_before_anything_is_planned():
    with open_world(load=paced(lanes=4, stagger_seconds=SIX_DAYS_SECONDS)) as world:
        with pytest.raises(InvalidInput, match="more than 12 days"):
            world.plan(START)
        assert world.store.partitions(RUN) == []


def test_the_last_lane_may_start_after_12_days():
    with open_world(load=paced(lanes=3, stagger_seconds=SIX_DAYS_SECONDS)) as world:
        assert world.plan(START).lanes[-1].long_waits * LONG_WAIT_SECONDS == 2 * SIX_DAYS_SECONDS


def test_lanes_that_begin_as_others_end_wait_for_no_stagger():
    load = paced(lanes=4, stagger_seconds=SIX_DAYS_SECONDS).with_overrides(
        pace=None, partitioning=PartitioningOverrides(max_concurrency=2), sample=None
    )
    with open_world(load=load) as world:
        waits = [lane.short_wait_seconds + lane.long_waits * LONG_WAIT_SECONDS for lane in world.plan(START).lanes]
    assert waits == [0, SIX_DAYS_SECONDS, 0, 0]


def test_a_load_that_is_deployed_anew_while_its_source_is_counted_is_not_planned_by_that_count():
    some = OPPORTUNITY.source.model_dump() | {"where": "\"ExternalId__c\" <= 'OPP-0000010'"}
    with open_world(load=changed(paced(), source=some), query_running_seconds=900.0) as world:
        assert world.plan_once(START).next == "Wait"
        world.load = paced()
        with pytest.raises(InvalidLoad, match="was changed while run run-1 was being planned"):
            world.plan(START)
        world.executions.end(RUN)
        verdict = world.execute(START, "again")
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)


def test_a_login_to_another_org_while_the_source_is_counted_ends_the_plan(monkeypatch):
    with open_world(load=paced(), query_running_seconds=900.0) as world:
        assert world.plan_once(START).next == "Wait"
        monkeypatch.setattr(world.server.backend.identity, "org_id", "00D000000000002EAA")
        with pytest.raises(CredentialsRejected, match="another org"):
            world.plan(START)


def test_the_plan_waits_ever_longer_for_its_query_and_asks_the_org_for_the_rest_once():
    with open_world(load=paced(), query_running_seconds=900.0) as world:
        waits = []
        while (plan := world.plan_once(START)).next == "Wait":
            waits.append(plan.wait_seconds)
            world.wait(plan.wait_seconds)
        assert plan.next == "Load"
        assert waits == sorted(waits)
        assert (waits[0], waits[-1]) == (5, 60)
        assert len(waits) < 30
        assert world.requests["query_sql"] == 1
        assert world.requests["describe"] == 2, "the target and its parent"


# -- who may have the target


def test_a_target_is_the_same_however_a_load_spells_it():
    with open_world(load=paced()) as world:
        world.plan(START)
        world.load = changed(paced(), target={"object": "OPPORTUNITY", "external_id": "External_ID__c"})
        with pytest.raises(AnotherRunActive):
            world.plan(START, "second")


def test_who_takes_the_target_over_waits_until_the_job_in_flight_has_ended():
    """The org refuses to abort it, and its rows must not be written over those of the next run."""
    with open_world(load=paced(), queue_seconds=100.0) as world:
        world.plan(START)
        world.slices.run_slice(RUN, "0000", stop_before="CheckJob")
        world.executions.end(RUN)
        world.break_org("- match: {method: PATCH}\n  action: {status: 400, code: INVALIDJOBSTATE}")
        plan, waits = world.plan_once(START, "third"), 0
        while plan.next == "Wait":
            assert world.jobs != {"JobComplete": 1}
            assert _holder(world) == execution(RUN).arn
            assert world.run().status is RunStatus.RUNNING
            waits += 1
            world.wait(plan.wait_seconds)
            plan = world.plan_once(START, "third", PlanSoFar(**plan.model_dump()))
        assert waits >= 3
        assert (plan.next, world.jobs) == ("Load", {"JobComplete": 1})
        assert _holder(world) == execution("third").arn
        assert (world.run().status, world.partition().succeeded) == (RunStatus.STOPPED, 10)


def test_of_two_that_take_a_target_over_at_once_one_has_it():
    """However far the first has come when the other one begins."""
    with open_world(load=paced()) as world:
        key = f"{world.services.org.org_id}#opportunity"
        winners: list[str] = []
        while winners.count("first") < 2:
            world.store.acquire_lease(Lease(key=key, run_id="gone", execution_arn=execution("gone").arn))
            world.executions.end("gone")
            taken: list[str] = []
            world.stall.calls, world.stall.holds = 0, len(winners) + 1
            world.stall.happening = partial(_take, world, f"other-{len(winners)}", taken)
            _take(world, f"first-{len(winners)}", taken)
            (holder,) = taken
            lease = world.store.lease(key)
            assert (lease and lease.run_id) == holder
            world.store.release_lease(Lease(key=key, run_id=holder, execution_arn=execution(holder).arn))
            winners.append(holder.partition("-")[0])
        assert winners.count("other") > 3


def _take(world: World, name: str, taken: list[str]) -> None:
    """A plan by an execution, which is noted if it has got the target."""
    with suppress(AnotherRunActive):
        world.plan(START, name)
        taken.append(name)


def test_a_second_start_by_hand_is_refused_and_one_by_schedule_is_skipped():
    with open_world(load=paced()) as world:
        world.plan(START)
        verdict = world.execute(START, "second")
        assert verdict is not None
        assert (verdict.next, verdict.error) == ("Fail", AnotherRunActive.__name__)
        assert world.execute({**START, "scheduled": True}, "third") is None
        assert world.store.open_runs() == [RUN]
        assert _holder(world) == execution(RUN).arn


def test_a_run_that_only_plans_may_do_so_beside_another():
    with open_world(load=paced()) as world:
        world.plan(START)
        verdict = world.execute({**START, "mode": "plan"}, "second")
        assert verdict is not None
        assert verdict.next == "Succeed"


@pytest.mark.parametrize("is_job_ended", [False, True])
def test_who_takes_the_target_over_ends_the_run_before_it_with_its_job_in_flight(is_job_ended):
    with open_world(load=paced()) as world:
        world.plan(START)
        world.slices.run_slice(RUN, "0000", stop_before="CheckJob")
        if is_job_ended:
            world.wait(1000)
        world.executions.end(RUN)
        verdict = world.execute(START, "second")
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        first = world.run()
        assert (first.status, first.error) == (RunStatus.STOPPED, "ExecutionAborted")
        assert world.partition().status is PartitionStatus.STOPPED
        assert world.partition().succeeded > 0 or world.open_batch().succeeded > 0
        assert set(world.jobs) <= {"JobComplete", "Aborted"}


def test_a_target_held_for_the_run_of_another_execution_leaves_that_run_alone():
    """Somebody starts a load with the run_id of a run that is at work on another target, in vain."""
    with open_world(load=paced()) as world:
        world.plan(START)
        key = (world.run().lease_key or "").replace("Opportunity", "Account")
        held = Lease(key=key, run_id=RUN, execution_arn=execution("in-vain").arn)
        world.store.acquire_lease(held)
        world.executions.end("in-vain")
        world.load = changed(
            paced(),
            name="account",
            source={"object": "Account__dlm", "key": "ExternalId__c"},
            target={"object": "Account", "external_id": "External_ID__c"},
            fields={"ExternalId__c": {"to": "External_ID__c"}, "Name__c": {"to": "Name"}},
        )
        assert world.plan({"load": "account"}, "accounts").next == "Load"
        assert world.run().status is RunStatus.RUNNING


# -- resume


def test_a_stopped_run_goes_on_where_it_was():
    with open_world(load=paced(lanes=2)) as world:
        world.plan(START)
        world.slices.run_slice(RUN, "0000", stop_before="BackOff")
        world.store.ask_to_halt(RUN, Halt.STOP)
        world.slices.run_lane(RUN, "0001")
        stopped = world.finish({})
        assert (stopped.next, stopped.status) == ("Fail", "Stopped")
        world.executions.end(RUN)
        verdict = world.execute(RESUME, "again")
        assert verdict is not None
        assert (verdict.run_id, verdict.status, verdict.succeeded) == (RUN, "Completed", 30)
        assert world.loaded_keys == world.keys_of()


def test_one_partition_alone_is_resumed_when_a_person_names_it():
    with open_world(load=paced(lanes=3, stagger_seconds=600)) as world:
        world.plan(START)
        world.abort()
        plan = world.plan({**RESUME, "partitions": [2]}, "again")
        assert [(lane.partition, lane.short_wait_seconds, lane.long_waits) for lane in plan.lanes] == [("0002", 0, 0)]
        world.slices.run_lane(RUN, "0002")
        verdict = world.finish({**RESUME, "partitions": [2]}, "again")
        assert (verdict.next, verdict.error, verdict.succeeded) == ("Fail", "LanesUnfinished", 10)
        assert verdict.cause.startswith("Partitions are unfinished that it was not to go on with. Go on with {")


def test_a_lane_that_was_named_and_breaks_off_is_not_taken_for_one_that_was_left_out():
    with open_world(load=paced(lanes=2)) as world:
        world.plan(START)
        world.slices.run_lane(RUN, "0000")
        world.abort()
        world.plan({**RESUME, "partitions": [1]}, "again")
        verdict = world.finish({**RESUME, "partitions": [1]}, "again")
        assert (verdict.error, verdict.cause[:10]) == ("LanesUnfinished", "Go on with")


def test_lanes_that_go_on_begin_one_stagger_after_the_other_whatever_has_completed_between_them():
    with open_world(load=paced(lanes=4, stagger_seconds=600)) as world:
        world.plan(START)
        world.abort()
        plan = world.plan({**RESUME, "partitions": [1, 3]}, "again")
        waits = {lane.partition: lane.short_wait_seconds + lane.long_waits * LONG_WAIT_SECONDS for lane in plan.lanes}
        assert waits == {"0001": 0, "0003": 600}


def test_lanes_that_had_begun_go_on_at_once_and_the_others_one_stagger_after_the_other():
    with open_world(load=paced(lanes=5, stagger_seconds=600)) as world:
        world.plan(START)
        for lane in ("0001", "0004"):
            world.slices.run_slice(RUN, lane, stop_before="UploadBatch")
        world.abort()
        plan = world.plan(RESUME, "again")
        waits = {lane.partition: lane.short_wait_seconds + lane.long_waits * LONG_WAIT_SECONDS for lane in plan.lanes}
        assert list(waits.items()) == [("0001", 0), ("0004", 0), ("0000", 600), ("0002", 1200), ("0003", 1800)]


def test_partitions_that_the_run_does_not_have_are_refused():
    with open_world(load=paced(lanes=3)) as world:
        world.plan(START)
        world.abort()
        with pytest.raises(InvalidInput, match=r"has no partition 0003, 0007\. Its partitions are 0 to 2"):
            world.plan({**RESUME, "partitions": [1, 3, 7]}, "again")


def test_a_resume_that_is_repeated_after_a_crash_anywhere_is_the_same():
    with open_world(load=paced(lanes=2)) as world:
        world.plan(START)
        world.abort()
        before = world.fuse.effects
        expected = world.plan(RESUME, "resumed-0")
        for effects in range(1, world.fuse.effects - before + 1):
            world.abort(f"resumed-{effects - 1}")
            world.after(effects)
            with pytest.raises(Crash):
                world.plan(RESUME, f"resumed-{effects}")
            assert world.plan(RESUME, f"resumed-{effects}") == expected


def test_a_run_at_work_cannot_be_resumed():
    with open_world(load=paced()) as world:
        world.plan(START)
        with pytest.raises(AnotherRunActive, match="still being carried out"):
            world.plan(RESUME, "again")


def test_a_run_is_resumed_as_long_as_its_state_outlives_the_execution_that_does_so():
    with open_world(load=paced()) as world:
        world.plan(START)
        world.abort()
        world.started_at += timedelta(days=RESUMABLE_DAYS)
        assert world.plan(RESUME, "in-time").next == "Load"
        world.abort("in-time")
        before = world.run()
        world.started_at += timedelta(seconds=1)
        with pytest.raises(
            RunNotResumable, match=r"began more than 60 days ago.*kept for 90 days.*Start the load anew"
        ):
            world.plan(RESUME, "too-late")
        assert world.run() == before


def test_a_run_cannot_be_resumed_while_another_has_its_target():
    with open_world(load=paced()) as world:
        world.plan(START)
        world.abort()
        world.plan(START, "second")
        with pytest.raises(AnotherRunActive, match="second"):
            world.plan(RESUME, "again")


@pytest.mark.parametrize("mode", ["full", "sample"])
def test_a_run_cannot_be_resumed_once_another_has_written_to_its_target(mode):
    """What it has staged is older: it would replace what the other has brought."""
    with open_world(load=paced()) as world:
        world.plan(START)
        world.slices.run_slice(RUN, "0000", stop_before="WaitForJob")
        world.abort()
        between = world.execute({**START, "mode": mode}, "between")
        assert (between and between.status) == "Completed"
        before = world.run()
        with pytest.raises(RunNotResumable, match="Run between has written to the target since run run-1 ended"):
            world.plan(RESUME, "again")
        assert world.run() == before
        verdict = world.execute(START, "afterwards")
        assert (verdict and verdict.status) == "Completed", "the target is free"


@pytest.mark.parametrize("start", [{"mode": "plan"}, {"mode": "full", "empty": True}])
def test_a_run_that_has_written_nothing_keeps_no_other_from_being_resumed(start):
    with open_world(load=paced()) as world:
        world.plan(START)
        world.abort()
        if start.pop("empty", False):
            world.load = changed(
                paced(), source={**OPPORTUNITY.source.model_dump(), "where": "\"ExternalId__c\" = 'none'"}
            )
        between = world.execute({**START, **start}, "between")
        assert (between and between.status) == "Completed"
        verdict = world.execute(RESUME, "again")
        assert (verdict and (verdict.status, verdict.succeeded)) == ("Completed", 30)


@pytest.mark.parametrize("mode", ["full", "plan"])
def test_a_completed_run_cannot_be_resumed(mode):
    with open_world(load=paced()) as world:
        world.execute({**START, "mode": mode})
        with pytest.raises(RunNotResumable, match="nothing to go on with"):
            world.plan(RESUME, "again")


def test_a_plan_that_failed_after_it_was_made_cannot_be_loaded_by_a_resume():
    with open_world(load=paced()) as world:
        world.plan({**START, "mode": "plan"})
        world.finish({"error": {"Error": "States.Timeout", "Cause": "late"}})
        assert world.run().status is RunStatus.FAILED
        with pytest.raises(RunNotResumable):
            world.plan(RESUME, "again")


def test_a_run_that_nobody_knows_or_that_has_no_plan_cannot_be_resumed():
    with open_world(load=changed(paced(), source={"object": "Nothing__dlm", "key": "ExternalId__c"})) as world:
        with pytest.raises(RunNotResumable, match="no run 'other'"):
            world.plan({"mode": "resume", "run_id": "other"}, "again")
        world.execute()
        with pytest.raises(ConfigurationError, match="nothing to go on with"):
            world.plan(RESUME, "again")
