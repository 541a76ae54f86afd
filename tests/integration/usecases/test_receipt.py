"""The receipt: every figure agrees with the others, or the run is not called completed."""

import json
from hashlib import sha256
from typing import Any

import pytest

from cli.failures import gather_failures
from cli.recorded_failures import recorded_rejects
from local.org import generated_opportunities
from massive_upload.constants import SWEEP_PARTITION
from massive_upload.domain.file_keys import receipt_key
from massive_upload.domain.key_digest import KeyDigest
from tests.integration.adapters.stack import TABLE
from tests.integration.usecases.kept_rows import rejected_rows
from tests.integration.usecases.world import RUN, World, open_world, paced

LOCKED = """
- match: {object: Opportunity, every: 2}
  action: {row_failures: {share: 0.4, code: UNABLE_TO_LOCK_ROW}}
"""


def receipt(world: World) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(world.files.read(receipt_key(RUN)))
    return document


def change_partition(world: World, name: str, value: dict[str, Any]) -> None:
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"RUN#{RUN}"}, "sk": {"S": "PART#0000"}},
        UpdateExpression="SET #name = :value",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":value": value},
    )


def test_the_receipt_of_a_troubled_run_adds_up_and_agrees_with_the_target():
    source = generated_opportunities(60, rejected_share=0.2, null_keys=2)
    load = paced(lanes=2, batch_rows=20, retry_delays_seconds=(2,))
    with open_world(source=source, faults=LOCKED, load=load) as world:
        world.execute()
        told, account = receipt(world), receipt(world)["account"]
        assert account["source_rows"] == 62
        assert account["succeeded"] == len(world.loaded_keys)
        assert sum(told["rejected_by_code"].values()) == account["rejected"] > 0
        assert told["succeeded_keys"] == KeyDigest.of(world.loaded_keys).hex
        assert told["target"]["modified_rows"] == len(world.loaded_keys)
        assert told["drift"] == {"planned_rows": 60, "read_rows": 60, "more_rows": 0}
        lanes = [each for each in told["partitions"] if each["partition"] != "sweep"]
        assert sum(each["source_rows"] for each in lanes) == 60
        for each in told["partitions"]:
            assert each["settled_rows"] == each["succeeded"] + each["rejected"] + each["deferred"]
        assert told["figures"]["jobs"] == sum(world.jobs.values())
        assert told["figures"]["api_requests"] == sum(each["api_requests"] for each in told["partitions"]) + (
            world.run().api_requests
        )
        document = json.dumps(load.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        assert told["load_sha256"] == sha256(document.encode()).hexdigest()


def test_rows_that_appear_after_the_plan_are_drift_and_no_failure():
    with open_world(load=paced()) as world:
        world.plan({"load": "opportunity"})
        change_partition(world, "planned_rows", {"N": "28"})
        world.slices.run_lane(RUN, "0000")
        assert world.finish({}).status == "Completed"
        assert receipt(world)["drift"] == {"planned_rows": 28, "read_rows": 30, "more_rows": 2}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rejected_codes", {"M": {"CODE": {"N": "1"}}}),
        ("deferred", {"N": "1"}),
        ("settled_rows", {"N": "29"}),
        ("succeeded", {"N": "29"}),
    ],
)
def test_a_run_whose_figures_do_not_add_up_is_not_called_completed(name, value):
    with open_world(load=paced()) as world:
        world.plan({"load": "opportunity"})
        world.slices.run_lane(RUN, "0000")
        change_partition(world, name, value)
        verdict = world.finish({})
        assert (verdict.next, verdict.status, verdict.error) == ("Fail", "Failed", "AccountDoesNotBalance")


@pytest.mark.parametrize(
    "action", ["{status: 400, code: QUERY_TIMEOUT}", "{status: 503, code: SERVER_UNAVAILABLE}", "{reset: before}"]
)
def test_a_target_that_cannot_be_counted_is_unknown_and_the_run_is_completed(action):
    with open_world(load=paced(), faults=f"- match: {{path: /query$}}\n  action: {action}") as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.next, verdict.status) == ("Succeed", "Completed")
        assert receipt(world)["target"]["modified_rows"] is None


def test_what_others_wrote_before_the_run_is_not_counted_at_the_target():
    with open_world(load=paced()) as world:
        world.execute()
        first = receipt(world)["target"]
        assert (first["object"], first["external_id"], first["modified_rows"]) == ("Opportunity", "External_ID__c", 30)
        accounts = world.server.backend.table("Account")
        assert len(accounts) > 0
        assert accounts.count_modified(0) == 0


def test_a_plan_alone_wrote_nothing_so_no_target_is_counted():
    with open_world(load=paced()) as world:
        world.execute({"load": "opportunity", "mode": "plan"})
        assert (receipt(world)["target"], receipt(world)["succeeded_keys"]) == (None, "0" * 16)
        assert world.requests["query"] == 0


def job(nth: int, action: str) -> str:
    return f"- match: {{object: Opportunity, nth: {nth}}}\n  action: {action}\n"


GIVEN_UP = job(1, "{row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}")
HALF_LOCKED = job(2, "{row_failures: {share: 0.5, code: UNABLE_TO_LOCK_ROW}}")
SOME_TOO_LONG = job(2, "{row_failures: {share: 0.2, code: STRING_TOO_LONG}}")
HALVED = job(2, "{job_fails: {after_rows: 0, message: 'InternalServerError : try again'}}")
DEAF = "- match: {path: /jobs/ingest/}\n  action: {status: 503, code: SERVER_UNAVAILABLE}"


@pytest.mark.parametrize(
    ("faults", "stop_before", "at_the_end", "unsettled"),
    [
        ("", "UploadBatch", "", 0),
        (HALF_LOCKED, "BackOff", "", 0),
        (HALF_LOCKED + SOME_TOO_LONG, "CheckJob", "", 0),
        ("", "CheckJob", DEAF, 30),
        (HALVED, "BackOff", "", 0),
    ],
    ids=["before-its-job", "between-two-tries", "rejected-too", "in-flight", "halved"],
)
def test_a_run_that_ends_within_its_sweep_names_each_rejected_row_once_and_no_other(
    faults, stop_before, at_the_end, unsettled
):
    """The sweep takes up whole files; what it has brought in, or has in flight, is not rejected any more."""
    with open_world(load=paced(batch_rows=30, retry_delays_seconds=()), faults=GIVEN_UP + faults) as world:
        world.plan({"load": world.load.name})
        world.slices.run_lane(RUN, "0000")
        assert world.plan_sweep().needed
        world.slices.run_slice(RUN, SWEEP_PARTITION, stop_before=stop_before)
        world.wait(1000)
        world.break_org(at_the_end)
        verdict = world.abort()
        assert (verdict.succeeded + verdict.rejected, verdict.unsettled) == (30 - unsettled, unsettled)
        rejected = [row["External_ID__c"] for row in rejected_rows(world)]
        assert len(rejected) == len(set(rejected)) == verdict.rejected
        if not unsettled:
            assert set(rejected) == world.keys_of() - world.loaded_keys
        shown = gather_failures(recorded_rejects(world.store, world.files, RUN), code=None, sample=0)
        assert sum(failures.rows for failures in shown) == verdict.rejected
        world.mend_org()
        resumed = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert resumed is not None
        assert resumed.succeeded + resumed.rejected == 30
        assert len(rejected_rows(world)) == resumed.rejected
