"""The state machines as they run on the embedded AWS, with scripted functions in place of the handlers."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.functions import FUNCTIONS
from local.aws.embedded import EmbeddedAws, ExecutionResult
from massive_upload.contracts import CheckPatienceInput, FinishRunInput, PlanRunInput, PlanSoFar, SliceInput
from tests.infra.definitions import Template

RUN = "run-1"
STEP = {"epoch": 1, "wait_seconds": 0}
ONE_LANE = [{"partition": "0000", "short_wait_seconds": 0, "long_waits": 0}]
PLAN = {"next": "Load", "sequence": [], "position": 0, "run_id": RUN, "max_concurrency": 2, "lanes": ONE_LANE}
SUCCEEDED = {"next": "Succeed", "run_id": RUN, "status": "Completed", "wait_seconds": 0, "error": "", "cause": ""}
MORE = SUCCEEDED | {"next": "More"}
FAILED = SUCCEEDED | {"next": "Fail", "status": "Failed", "error": "InvalidInput", "cause": "no such load"}
UNREACHABLE = {"raise": "SalesforceUnavailable"}


def step(word: str) -> dict[str, Any]:
    return STEP | {"next": word}


ONE_BATCH = {
    "PlanRun": [PLAN],
    "FetchPage": [step("Upload")],
    "UploadBatch": [step("WaitForJob")],
    "CheckJob": [step("WaitForJob"), step("Settle")],
    "SettleBatch": [step("Done")],
    "CheckPatience": [step("WaitForOrg")],
    "PlanSweep": [{"needed": False}],
    "FinishRun": [SUCCEEDED],
    "Watchdog": [{}],
}


class Machines:
    """The deployed machines, the script of the functions, and what became of them."""

    def __init__(self, aws: EmbeddedAws, outputs: dict[str, str]) -> None:
        self._aws = aws
        self._outputs = outputs
        self._table = outputs["TableName"]
        self._dynamodb = aws.client("dynamodb")

    def prepare(self, script: dict[str, list[dict[str, Any]]], partitions: dict[str, str], **flags: bool) -> None:
        """Empty the table, then put the script, the run and its partitions with their status."""
        for item in self._dynamodb.scan(TableName=self._table)["Items"]:
            self._dynamodb.delete_item(TableName=self._table, Key={key: item[key] for key in ("pk", "sk")})
        for function, answers in (ONE_BATCH | script).items():
            self._put("SCRIPT", function, answers={"S": json.dumps(answers)})
        self._put(f"RUN#{RUN}", "META", **{flag: {"BOOL": value} for flag, value in flags.items()})
        for partition, status in partitions.items():
            self._put(f"RUN#{RUN}", f"PART#{partition}", status={"S": status}, epoch={"N": "0"})

    def run(self) -> ExecutionResult:
        arn = self._aws.start_execution(self._outputs["LoadMachineArn"], {"load": "opportunity"})
        return self._aws.wait_for_execution(arn, 60)

    def calls(self, function: str) -> list[dict[str, Any]]:
        item = self._get("CALLS", function)
        return [json.loads(event["S"]) for event in item["events"]["L"]] if item else []

    def partition(self, partition: str = "0000") -> dict[str, str]:
        item = self._get(f"RUN#{RUN}", f"PART#{partition}")
        told = ("pk", "sk", "last_progress_at")
        return {key: next(iter(value.values())) for key, value in item.items() if key not in told}

    def last_progress_at(self) -> datetime:
        """When the lane was last heard of, as its partition tells it."""
        return datetime.fromisoformat(self._get(f"RUN#{RUN}", "PART#0000")["last_progress_at"]["S"])

    def _put(self, pk: str, sk: str, **attributes: Any) -> None:
        item = {"pk": {"S": pk}, "sk": {"S": sk}, **attributes}
        self._dynamodb.put_item(TableName=self._table, Item=item)

    def _get(self, pk: str, sk: str) -> dict[str, Any]:
        answer = self._dynamodb.get_item(TableName=self._table, Key={"pk": {"S": pk}, "sk": {"S": sk}})
        item: dict[str, Any] = answer.get("Item", {})
        return item


@pytest.fixture(scope="module")
def machines(assembly: Path, template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    directory = tmp_path_factory.mktemp("machines")
    scripted = directory / "cdk.out"
    shutil.copytree(assembly, scripted)
    (code,) = [path for path in scripted.glob("asset.*") if (path / "handlers").is_dir()]
    shutil.copy(Path(__file__).with_name("scripted_function.py"), code)
    for spec in FUNCTIONS:
        (code / "handlers" / f"{spec.module}.py").write_text(
            "from scripted_function import answer\n\n\n"
            f"def handler(event, context):\n    return answer({spec.name!r}, event)\n",
            encoding="utf-8",
        )
    with EmbeddedAws(work_dir=directory / "work", time_scale=1000) as aws:
        yield Machines(aws, aws.deploy(scripted, "MassiveUpload"))


def test_a_batch_goes_from_plan_to_verdict(machines: Machines) -> None:
    machines.prepare({}, {"0000": "Pending"})
    result = machines.run()
    assert (result.status, result.output) == ("SUCCEEDED", SUCCEEDED)
    assert machines.partition() == {"status": "Running", "epoch": "1"}
    assert len(machines.calls("CheckJob")) == 2


def test_the_functions_get_what_the_contracts_say(machines: Machines) -> None:
    machines.prepare({}, {"0000": "Pending"})
    machines.run()
    (plan_input,) = machines.calls("PlanRun")
    planned = PlanRunInput.model_validate(plan_input)
    assert (planned.input, planned.plan) == ({"load": "opportunity"}, PlanSoFar())
    (fetched,) = (SliceInput.model_validate(call) for call in machines.calls("FetchPage"))
    assert (fetched.run_id, fetched.partition, fetched.step.epoch) == (RUN, "0000", 1)
    (finish_input,) = machines.calls("FinishRun")
    finished = FinishRunInput.model_validate(finish_input)
    assert finished.state["plan"] == PLAN
    assert finished.execution.arn.endswith(finished.execution.name)
    assert machines.calls("PlanSweep") == [{"run_id": RUN}]


def test_a_running_query_of_the_plan_is_waited_for(machines: Machines) -> None:
    waiting = PLAN | {"next": "Wait", "wait_seconds": 5, "org_waits": 1, "org_waited_seconds": 5}
    machines.prepare({"PlanRun": [waiting, PLAN]}, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    waits = [PlanRunInput.model_validate(call).plan.org_waits for call in machines.calls("PlanRun")]
    assert waits == [0, 1]


@pytest.mark.parametrize(("word", "finishes"), [("Skip", 0), ("Finish", 1)])
def test_a_plan_can_end_the_run(machines: Machines, word: str, finishes: int) -> None:
    machines.prepare({"PlanRun": [PLAN | {"next": word}]}, {})
    assert machines.run().status == "SUCCEEDED"
    assert len(machines.calls("FinishRun")) == finishes
    assert machines.calls("FetchPage") == []


def test_an_error_of_the_plan_ends_in_a_named_failure(machines: Machines) -> None:
    machines.prepare({"PlanRun": [{"raise": "InvalidInput"}], "FinishRun": [FAILED]}, {})
    result = machines.run()
    assert (result.status, result.error, result.cause) == ("FAILED", "InvalidInput", "no such load")
    (finish_input,) = machines.calls("FinishRun")
    assert finish_input["state"]["error"]["Error"] == "InvalidInput"


def test_a_verdict_that_cannot_be_reached_fails_the_run(machines: Machines) -> None:
    machines.prepare({"FinishRun": [{"raise": "InternalError"}]}, {"0000": "Pending"})
    result = machines.run()
    assert (result.status, result.error) == ("FAILED", "InternalError")


def test_jobs_in_flight_are_waited_for_before_the_verdict(machines: Machines) -> None:
    machines.prepare({"FinishRun": [SUCCEEDED | {"next": "Drain"}, SUCCEEDED]}, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    assert len(machines.calls("FinishRun")) == 2


def test_a_claim_tells_when_the_lane_was_last_heard_of(machines: Machines) -> None:
    machines.prepare({"SettleBatch": [{"raise": "JobRejected"}]}, {"0000": "Pending"})
    before = datetime.now(UTC)
    machines.run()
    assert before <= machines.last_progress_at() <= datetime.now(UTC)


def test_a_partition_takes_as_many_slices_as_it_needs(machines: Machines) -> None:
    machines.prepare({"SettleBatch": [step("More"), step("More"), step("Done")]}, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    assert machines.partition()["epoch"] == "3"


def test_a_slice_goes_round_through_pace_and_back_off(machines: Machines) -> None:
    ways = ("WaitForQuery", "WaitForTurn", "Upload", "Upload", "WaitForJob", "Upload", "Done")
    script = {
        "FetchPage": [*map(step, ways)],
        "UploadBatch": [step("WaitForJob"), step("WaitForJob"), step("Fetch"), step("WaitForJob")],
        "CheckJob": [step("Fetch"), step("Settle")],
        "SettleBatch": [step("BackOff"), step("Upload"), step("Fetch")],
    }
    machines.prepare(script, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    # one for the first batch, one because its job was deleted, one for the batch staged ahead, of which no row could be
    # sent, and one for the batch after that
    assert len(machines.calls("UploadBatch")) == 4
    assert len(machines.calls("CheckJob")) == 4
    assert len(machines.calls("FetchPage")) == len(ways)


def test_a_passing_error_is_retried_three_times(machines: Machines) -> None:
    machines.prepare({"FetchPage": [UNREACHABLE] * 3 + [step("Done")]}, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    assert len(machines.calls("FetchPage")) == 4
    assert machines.calls("CheckPatience") == []


def test_an_org_that_stays_away_is_waited_for(machines: Machines) -> None:
    machines.prepare({"UploadBatch": [UNREACHABLE] * 4 + [step("WaitForJob")]}, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    (patience_input,) = machines.calls("CheckPatience")
    told = CheckPatienceInput.model_validate(patience_input)
    assert (told.step.next, told.error.name) == ("Upload", "SalesforceUnavailable")
    assert len(machines.calls("FetchPage")) == 2


def test_a_pause_that_is_longer_than_one_wait_is_kept_before_the_org_is_asked_again(machines: Machines) -> None:
    script = {
        "UploadBatch": [UNREACHABLE] * 4 + [step("WaitForJob")],
        "CheckPatience": [step("WaitLonger"), step("WaitForOrg")],
    }
    machines.prepare(script, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    first, second = (CheckPatienceInput.model_validate(call) for call in machines.calls("CheckPatience"))
    assert (second.step.next, second.error) == ("WaitLonger", first.error)
    assert len(machines.calls("FetchPage")) == 2


@pytest.mark.parametrize("error", ["StorageUnavailable", "Lambda.TooManyRequestsException"])
def test_an_aws_that_stays_away_is_waited_for_although_check_patience_needs_it_too(
    machines: Machines, error: str
) -> None:
    refused = {"raise": error}
    script = {
        "UploadBatch": [refused] * 7 + [step("WaitForJob")],
        "CheckPatience": [refused] * 10 + [step("WaitForOrg")],
    }
    machines.prepare(script, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    assert machines.partition() == {"status": "Running", "epoch": "1"}
    assert len(machines.calls("CheckPatience")) == 11


def test_patience_that_ends_fails_the_partition(machines: Machines) -> None:
    script = {"FetchPage": [UNREACHABLE], "CheckPatience": [{"raise": "OrgUnreachable"}]}
    machines.prepare(script, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    assert (machines.partition()["status"], machines.partition()["error"]) == ("Failed", "OrgUnreachable")


@pytest.mark.parametrize("function", ["FetchPage", "UploadBatch", "CheckJob", "SettleBatch"])
def test_a_final_error_fails_the_partition_at_once(machines: Machines, function: str) -> None:
    machines.prepare({function: [{"raise": "JobRejected"}]}, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    partition = machines.partition()
    assert (partition["status"], partition["error"], partition["epoch"]) == ("Failed", "JobRejected", "1")
    assert "as scripted" in partition["cause"]
    assert len(machines.calls(function)) == 1


def test_one_failed_partition_leaves_the_others_running(machines: Machines) -> None:
    partitions = [f"000{n}" for n in range(3)]
    lanes = [{"partition": each, "short_wait_seconds": 0, "long_waits": 0} for each in partitions]
    script = {
        "PlanRun": [PLAN | {"lanes": lanes, "max_concurrency": 1}],
        "FetchPage": [{"raise": "JobRejected"}, step("Done")],
    }
    machines.prepare(script, dict.fromkeys(partitions, "Pending"))
    assert machines.run().status == "SUCCEEDED"
    assert [machines.partition(each)["status"] for each in partitions] == ["Failed", "Running", "Running"]


def test_a_fenced_slice_writes_nothing(machines: Machines) -> None:
    machines.prepare({"UploadBatch": [{"raise": "FencedOut"}]}, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    assert machines.partition() == {"status": "Running", "epoch": "1"}
    assert len(machines.calls("UploadBatch")) == 1


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped"])
def test_a_partition_that_has_ended_is_not_claimed(machines: Machines, status: str) -> None:
    machines.prepare({}, {"0000": status})
    assert machines.run().status == "SUCCEEDED"
    assert machines.partition() == {"status": status, "epoch": "0"}
    assert machines.calls("FetchPage") == []


def test_a_partition_that_was_never_planned_is_not_made(machines: Machines) -> None:
    machines.prepare({}, {})
    assert machines.run().status == "SUCCEEDED"
    assert machines.partition() == {}


def test_a_failure_of_a_slice_that_was_overtaken_is_not_recorded(machines: Machines) -> None:
    # The scripted answer carries an older epoch than the claim, as a stale slice's payload would.
    script = {"FetchPage": [step("Upload") | {"epoch": 0}], "UploadBatch": [{"raise": "JobRejected"}]}
    machines.prepare(script, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    assert machines.partition() == {"status": "Running", "epoch": "1"}


def test_a_slice_that_dies_is_tried_again_and_then_fails_its_partition(machines: Machines) -> None:
    # An answer without 'wait_seconds' breaks the Wait after it, which no Catch can see.
    machines.prepare({"CheckJob": [{"epoch": 1, "next": "WaitForJob"}]}, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    partition = machines.partition()
    assert partition["status"] == "Failed"
    assert len(machines.calls("CheckJob")) == 3
    assert partition["epoch"] == "4"  # three claims, and one to fence out whoever still lives


@pytest.mark.parametrize("flag", ["stop_requested", "pause_requested"])
@pytest.mark.parametrize("long_waits", [0, 2])
def test_a_lane_of_a_stopped_run_does_not_begin(machines: Machines, flag: str, long_waits: int) -> None:
    lanes = [{"partition": "0000", "short_wait_seconds": 60, "long_waits": long_waits}]
    machines.prepare({"PlanRun": [PLAN | {"lanes": lanes}]}, {"0000": "Pending"}, **{flag: True})
    assert machines.run().status == "SUCCEEDED"
    assert machines.partition()["epoch"] == "0"


def test_a_long_stagger_ends_in_the_lane_s_work(machines: Machines) -> None:
    lanes = [{"partition": "0000", "short_wait_seconds": 60, "long_waits": 2}]
    machines.prepare({"PlanRun": [PLAN | {"lanes": lanes}]}, {"0000": "Pending"}, stop_requested=False)
    assert machines.run().status == "SUCCEEDED"
    assert machines.partition()["epoch"] == "1"


def test_the_sweep_runs_until_it_is_done(machines: Machines) -> None:
    script = {"PlanSweep": [{"needed": True}], "SettleBatch": [step("Done"), step("More"), step("Done")]}
    machines.prepare(script, {"0000": "Pending", "sweep": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    assert (machines.partition("0000")["epoch"], machines.partition("sweep")["epoch"]) == ("1", "2")


def test_a_sequence_plans_its_next_load_with_nothing_of_the_one_before(machines: Machines) -> None:
    sequence = ("account", "opportunity")
    first = PLAN | {"sequence": sequence}
    plans = [first | {"org_waits": 3, "org_waited_seconds": 17}, first | {"position": 1}]
    machines.prepare({"PlanRun": plans, "FinishRun": [MORE, SUCCEEDED]}, {"0000": "Pending"})
    assert machines.run().status == "SUCCEEDED"
    given = [PlanRunInput.model_validate(call).plan for call in machines.calls("PlanRun")]
    assert given == [PlanSoFar(), PlanSoFar(position=1, sequence=sequence)]


def test_a_load_that_fails_ends_its_sequence(machines: Machines) -> None:
    machines.prepare({"PlanRun": [PLAN, PLAN | {"position": 1}], "FinishRun": [MORE, FAILED]}, {"0000": "Pending"})
    assert machines.run().status == "FAILED"
    assert len(machines.calls("PlanRun")) == 2
