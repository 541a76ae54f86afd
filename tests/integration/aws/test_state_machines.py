"""Step Functions: what the stack's definitions use works as on AWS."""

import json
import re
import threading
import time
from typing import Any

import pytest
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service

from local.aws.hooks.history import MAX_HISTORY_EVENTS
from tests.integration.aws.assembly import Assembly, one_task

LAMBDA = "arn:aws:states:::lambda:invoke"
NESTED = "arn:aws:states:::states:startExecution.sync:2"


def chain(**states: dict[str, Any]) -> dict[str, Any]:
    """Returns a machine that runs the named states in order."""
    names = [*states, None]
    bodies = {}
    for (name, body), following in zip(states.items(), names[1:], strict=True):
        ending = {"Next": following} if following else {"End": True}
        bodies[name] = body if body["Type"] == "Fail" else {**body, **ending}
    return {"StartAt": names[0], "States": bodies}


def distributed(child: dict[str, Any], **fields: Any) -> dict[str, Any]:
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, **child}
    state = {"Type": "Map", "Label": "Children", "ItemProcessor": processor, "End": True, **fields}
    return {"StartAt": "Each", "States": {"Each": state}}


def build(assembly: Assembly) -> None:
    assembly.table("Runs")
    assembly.function("Echo", "def handler(event, context):\n    return event\n")
    assembly.function("Size", "def handler(event, context):\n    return event['letter'] * event['size']\n")
    assembly.function("Hold", "import time\ndef handler(event, context):\n    time.sleep(event['seconds'])\n")
    assembly.function(
        "Flaky",
        """
        from pathlib import Path

        class Passing(Exception):
            pass

        def handler(event, context):
            tries = Path(event["file"])
            tries.write_text((tries.read_text() if tries.exists() else "") + "x")
            if len(tries.read_text()) < event["succeed_at"]:
                raise Passing("again")
            return len(tries.read_text())
        """,
    )
    assembly.function(
        "Meet",
        """
        import time
        from pathlib import Path

        def handler(event, context):
            place = Path(event["place"])
            (place / str(event["index"])).touch()
            while len(list(place.iterdir())) < event["expected"]:
                if context.get_remaining_time_in_millis() < 500:
                    return "alone"
                time.sleep(0.01)
            return "together"
        """,
    )
    retry = [
        {"ErrorEquals": ["Passing"], "IntervalSeconds": 2, "BackoffRate": 2.5, "MaxDelaySeconds": 10, "MaxAttempts": 3}
    ]
    payload = {"FunctionName": "${Flaky.Arn}", "Payload.$": "$"}
    assembly.machine("Retrying", one_task(LAMBDA, Parameters=payload, OutputPath="$.Payload", Retry=retry))
    assembly.machine("Catching", _catching())
    assembly.machine(
        "Intrinsics",
        chain(
            Compute={
                "Type": "Pass",
                "Parameters": {
                    "sum.$": "States.MathAdd($.n, 1)",
                    "third.$": "States.ArrayGetItem($.list, 2)",
                    "length.$": "States.ArrayLength($.list)",
                    "parsed.$": "States.StringToJson($.text)",
                    "name.$": "States.Format('run-{}', $.n)",
                    "execution.$": "$$.Execution.Id",
                    "execution_name.$": "$$.Execution.Name",
                    "started.$": "$$.Execution.StartTime",
                    "entered.$": "$$.State.EnteredTime",
                },
            }
        ),
    )
    assembly.machine(
        "Slice", chain(Answer={"Type": "Pass", "Parameters": {"outcome": "done", "name.$": "$$.Execution.Name"}})
    )
    assembly.machine("BadSlice", chain(No={"Type": "Fail", "Error": "Broke", "Cause": "on purpose"}))
    assembly.machine("LongSlice", chain(Long={"Type": "Wait", "Seconds": 100_000_000}))
    hold = {"Type": "Task", "Resource": "${Hold.Arn}", "Parameters": {"seconds": 0.6}}
    assembly.machine("SlowBadSlice", chain(Hold=hold, No={"Type": "Fail", "Error": "Broke", "Cause": "on purpose"}))
    again = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 2}]
    selector = {"ResultSelector": {"outcome.$": "$.Output"}}
    calls: dict[str, dict[str, Any]] = {
        "Slice": selector,
        "BadSlice": selector,
        "LongSlice": {},
        "SlowBadSlice": {"Retry": again},
    }
    for name, fields in calls.items():
        parameters = {"StateMachineArn": f"${{{name}}}", "Input": {"from.$": "$$.Execution.Id"}}
        assembly.machine(f"Calls{name}", one_task(NESTED, Parameters=parameters, **fields))
    assembly.function(
        "Crowd",
        """
        import time
        from pathlib import Path

        def handler(event, context):
            mine = Path(event["place"], str(event["index"]))
            mine.touch()
            time.sleep(0.05)
            present = len(list(mine.parent.iterdir()))
            mine.unlink()
            return present
        """,
    )
    assembly.machine("Narrow", distributed(one_task("${Crowd.Arn}"), MaxConcurrency=2))
    meet = one_task(LAMBDA, Parameters={"FunctionName": "${Meet.Arn}", "Payload.$": "$"}, OutputPath="$.Payload")
    assembly.machine(
        "Parallel",
        distributed(
            meet,
            ItemsPath="$.items",
            MaxConcurrencyPath="$.lanes",
            ItemSelector={"index.$": "$$.Map.Item.Index", "place.$": "$.place", "expected.$": "$.lanes"},
        ),
    )
    picky = {
        "StartAt": "Good?",
        "States": {
            "Good?": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.good", "BooleanEquals": True, "Next": "Yes"}],
                "Default": "No",
            },
            "Yes": {"Type": "Pass", "Parameters": {"child.$": "$$.Execution.Id"}, "End": True},
            "No": {"Type": "Fail", "Error": "Bad"},
        },
    }
    assembly.machine("Tolerant", distributed(picky, ToleratedFailurePercentage=100))
    assembly.machine("Strict", distributed(picky))
    assembly.machine("Partly", distributed(picky, ToleratedFailurePercentage=40))
    assembly.machine("Waiting", chain(Wait={"Type": "Wait", "SecondsPath": "$.seconds"}))
    assembly.machine("Lost", one_task(LAMBDA, Parameters={"FunctionName": "Nobody", "Payload": {}}))
    assembly.machine("HoldOn", one_task("${Hold.Arn}"))
    echo = {"FunctionName": "${Echo.Arn}", "Payload": {}}
    assembly.machine("InTime", one_task(LAMBDA, Parameters=echo, TimeoutSeconds=60))
    sizes = one_task("${Size.Arn}", Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Caught"}])
    sizes["States"]["Caught"] = {"Type": "Pass", "End": True}
    assembly.machine("Sizes", sizes)
    assembly.machine("FanOut", distributed(chain(Keep={"Type": "Pass"}), ToleratedFailurePercentage=100))
    endless = {
        "StartAt": "Again",
        "States": {
            "Again": {"Type": "Pass", "Next": "Once more"},
            "Once more": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.never", "IsPresent": True, "Next": "End"}],
                "Default": "Again",
            },
            "End": {"Type": "Succeed"},
        },
    }
    assembly.machine("Endless", endless)
    assembly.machine("Mixed", distributed(chain(One={"Type": "Pass"}, Two={"Type": "Wait", "Seconds": 1})))


def _catching() -> dict[str, Any]:
    key = {"pk": {"S.$": "$.run"}, "sk": {"S": "META"}}
    return {
        "StartAt": "Claim",
        "States": {
            "Claim": {
                "Type": "Task",
                "Resource": "arn:aws:states:::dynamodb:updateItem",
                "Parameters": {
                    "TableName": "Runs",
                    "Key": key,
                    "UpdateExpression": "SET epoch = if_not_exists(epoch, :zero) + :one",
                    "ConditionExpression": "attribute_not_exists(epoch) OR epoch < :limit",
                    "ExpressionAttributeValues": {":zero": {"N": "0"}, ":one": {"N": "1"}, ":limit": {"N": "2"}},
                    "ReturnValues": "ALL_NEW",
                },
                "ResultSelector": {"epoch.$": "States.StringToJson($.Attributes.epoch.N)"},
                "ResultPath": "$.claim",
                "Catch": [
                    {
                        "ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"],
                        "ResultPath": "$.error",
                        "Next": "Fenced",
                    }
                ],
                "Next": "Read",
            },
            "Read": {
                "Type": "Task",
                "Resource": "arn:aws:states:::dynamodb:getItem",
                "Parameters": {"TableName": "Runs", "Key": key, "ConsistentRead": True},
                "ResultPath": "$.item",
                "End": True,
            },
            "Fenced": {"Type": "Fail", "Error": "FencedOut", "Cause": "another slice is newer"},
        },
    }


def test_retry_repeats_a_passing_error_and_each_repetition_is_a_transition(world, tmp_path):
    result = world.run("Retrying", {"file": str(tmp_path / "tries"), "succeed_at": 4})
    assert result.output == 4
    (figures,) = world.figures_of("Retrying")[-1:]
    assert figures.transitions == 1 + 3
    assert figures.events == 1 + 5 + 3 * 3 + 1


def test_retry_gives_up_after_its_attempts(world, tmp_path):
    result = world.run("Retrying", {"file": str(tmp_path / "tries"), "succeed_at": 5})
    assert (result.status, result.error) == ("FAILED", "Passing")


def test_a_native_update_returns_the_new_item_and_a_failed_condition_is_caught(world):
    first = world.run("Catching", {"run": "r1"})
    assert first.output["claim"] == {"epoch": 1}
    assert first.output["item"]["Item"]["epoch"] == {"N": "1"}
    assert world.run("Catching", {"run": "r1"}).status == "SUCCEEDED"
    third = world.run("Catching", {"run": "r1"})
    assert (third.status, third.error, third.cause) == ("FAILED", "FencedOut", "another slice is newer")


def test_intrinsic_functions_and_the_context_object(world):
    result = world.run("Intrinsics", {"n": 7, "list": [1, 2, 3], "text": '{"a": 1}'}, name="seven")
    output = result.output
    for name in ("started", "entered"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", output.pop(name))
    assert output == {
        "sum": 8,
        "third": 3,
        "length": 3,
        "parsed": {"a": 1},
        "name": "run-7",
        "execution": "arn:aws:states:us-east-1:123456789012:execution:Intrinsics:seven",
        "execution_name": "seven",
    }


def test_a_nested_execution_returns_its_output_and_has_figures_of_its_own(world):
    result = world.run("CallsSlice")
    assert result.output["outcome"]["outcome"] == "done"
    names = [figures.name for figures in world.figures_of("Slice")]
    assert result.output["outcome"]["name"] in names
    assert world.figures_of("CallsSlice")[-1].events == 1 + 6 + 1


def test_a_nested_failure_fails_the_task(world):
    result = world.run("CallsBadSlice")
    assert (result.status, result.error) == ("FAILED", "States.TaskFailed")
    assert json.loads(result.cause)["Error"] == "Broke"


def test_a_nested_execution_that_takes_a_while_is_tried_again_as_often_as_its_task_says(world):
    result = world.run("CallsSlowBadSlice")
    assert (result.status, result.error) == ("FAILED", "States.TaskFailed")
    assert len(world.figures_of("SlowBadSlice")) == 3


def test_stopping_the_parent_stops_the_nested_execution(world):
    states = world.aws.client("stepfunctions")
    arn = world.aws.start_execution(world.outputs["CallsLongSliceArn"], {})
    while not (running := states.list_executions(stateMachineArn=world.outputs["LongSliceArn"])["executions"]):
        pass
    world.aws.stop_execution(arn)
    assert world.aws.wait_for_execution(arn, 10).status == "ABORTED"
    assert world.aws.wait_for_execution(running[0]["executionArn"], 10).status == "ABORTED"


def test_a_stopped_execution_is_aborted_at_once_and_stays_so(world):
    states = world.aws.client("stepfunctions")
    arn = world.aws.start_execution(world.outputs["WaitingArn"], {"seconds": 99_000_000})
    states.stop_execution(executionArn=arn, error="Stopped", cause="by the operator")
    described = states.describe_execution(executionArn=arn)
    assert (described["status"], described["error"], described["cause"]) == ("ABORTED", "Stopped", "by the operator")


def test_a_function_that_is_not_there_is_lambdas_error(world):
    result = world.run("Lost")
    assert (result.status, result.error) == ("FAILED", "Lambda.ResourceNotFoundException")


def test_an_execution_is_stopped_while_its_function_runs(world):
    states = world.aws.client("stepfunctions")
    arn = world.aws.start_execution(world.outputs["HoldOnArn"], {"seconds": 3})
    started = time.monotonic()
    states.stop_execution(executionArn=arn)
    assert states.describe_execution(executionArn=arn)["status"] == "ABORTED"
    assert time.monotonic() - started < 3


def test_the_history_of_an_execution_that_was_stopped_as_its_task_began_can_be_read(world, monkeypatch):
    begun, stopped = threading.Event(), threading.Event()
    to_json = state_task_service.to_json_str

    def wait_for_the_stop(value: object) -> Any:
        begun.set()
        assert stopped.wait(10)
        return to_json(value)

    monkeypatch.setattr(state_task_service, "to_json_str", wait_for_the_stop)
    arn = world.aws.start_execution(world.outputs["InTimeArn"], {})
    assert begun.wait(10)
    world.aws.stop_execution(arn)
    stopped.set()
    states = world.aws.client("stepfunctions")
    scheduled: list[dict[str, Any]] = []
    deadline = time.monotonic() + 10
    while not scheduled and time.monotonic() < deadline:
        events = states.get_execution_history(executionArn=arn)["events"]
        scheduled = [event["taskScheduledEventDetails"] for event in events if event["type"] == "TaskScheduled"]
    assert scheduled[0]["timeoutInSeconds"] == 60


def test_map_children_run_in_parallel(world, tmp_path):
    result = world.run("Parallel", {"items": [{}] * 4, "lanes": 4, "place": str(tmp_path)})
    assert result.output == ["together"] * 4


def test_max_concurrency_holds_children_back(world, tmp_path):
    result = world.run("Narrow", [{"place": str(tmp_path), "index": index} for index in range(6)])
    assert len(result.output) == 6
    assert max(result.output) <= 2


def test_a_tolerant_map_goes_on_and_returns_the_results_of_the_others(world):
    result = world.run("Tolerant", [{"good": True}, {"good": False}, {"good": True}])
    assert result.status == "SUCCEEDED"
    assert len(result.output) == 2


@pytest.mark.parametrize(
    ("machine", "bad", "status"), [("Strict", 1, "FAILED"), ("Partly", 2, "SUCCEEDED"), ("Partly", 3, "FAILED")]
)
def test_a_map_fails_above_its_tolerance(world, machine, bad, status):
    result = world.run(machine, [{"good": index >= bad} for index in range(5)])
    assert result.status == status
    if status == "FAILED":
        assert result.error == "States.ExceedToleratedFailureThreshold"


def test_a_map_child_is_an_execution_of_its_own(world):
    result = world.run("Tolerant", [{"good": True}, {"good": True}])
    children = [output["child"] for output in result.output]
    assert len(set(children)) == 2
    assert all(
        child.startswith("arn:aws:states:us-east-1:123456789012:execution:Tolerant/Children:") for child in children
    )


def test_events_and_transitions_are_counted_for_each_map_child(world):
    world.run("Mixed", [{}, {}])
    children = world.figures_of("Mixed/Children")
    assert [(child.events, child.transitions) for child in children] == [(1 + 2 + 2 + 1, 2)] * 2
    (parent,) = world.figures_of("Mixed")
    assert (parent.events, parent.transitions) == (1 + 6 + 1, 1)


def test_a_map_of_more_items_than_pythons_recursion_limit(world):
    world.run("Tolerant", [{"good": True}])
    result = world.run("FanOut", [{"i": index} for index in range(1500)])
    assert len(result.output) == 1500


@pytest.mark.parametrize("limit", [2_500, pytest.param(MAX_HISTORY_EVENTS, marks=pytest.mark.soak)])
def test_the_history_limit_ends_an_execution(world, monkeypatch, limit):
    monkeypatch.setattr("local.aws.hooks.history.MAX_HISTORY_EVENTS", limit)
    result = world.run("Endless")
    assert (result.status, result.error) == ("FAILED", "States.Runtime")
    assert result.cause == f"The execution reached the maximum number of history events ({limit})."
    assert world.figures_of("Endless")[-1].events == limit
    assert world.aws.figures.max_history_events >= limit, "the longest of any execution's"


# Two quotes surround a string in JSON; é takes two bytes in UTF-8.
@pytest.mark.parametrize(
    ("letter", "size", "status"), [("x", 262_080, "SUCCEEDED"), ("é", 131_040, "SUCCEEDED"), ("x", 262_143, "FAILED")]
)
def test_the_result_of_a_function_is_limited_and_states_all_does_not_catch_it(world, letter, size, status):
    result = world.run("Sizes", {"letter": letter, "size": size})
    assert result.status == status
    if status == "FAILED":
        assert result.error == "States.DataLimitExceeded"


def test_an_execution_input_above_the_limit_is_refused(world):
    client = world.aws.client("stepfunctions")
    with pytest.raises(client.exceptions.ClientError, match="less than or equal to 262144"):
        world.aws.start_execution(world.outputs["SliceArn"], {"text": "x" * 262_144})


def test_wait_is_divided_by_the_time_scale_and_executions_without_a_name_do_not_collide(world):
    arns = {world.aws.start_execution(world.outputs["WaitingArn"], {"seconds": 60}) for _ in range(3)}
    assert len(arns) == 3
    assert {world.aws.wait_for_execution(arn, 30).status for arn in arns} == {"SUCCEEDED"}


def test_the_same_name_with_another_input_is_refused(world):
    client = world.aws.client("stepfunctions")
    world.run("Slice", {"a": 1}, name="once")
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        world.aws.start_execution(world.outputs["SliceArn"], {"a": 2}, "once")


def test_executions_are_described_and_listed_over_http(world):
    client = world.aws.client("stepfunctions")
    world.run("Slice", {"a": 1}, name="seen")
    arn = "arn:aws:states:us-east-1:123456789012:execution:Slice:seen"
    described = client.describe_execution(executionArn=arn)
    assert json.loads(described["output"]) == {"outcome": "done", "name": "seen"}
    assert json.loads(described["input"]) == {"a": 1}
    listed = client.list_executions(stateMachineArn=world.outputs["SliceArn"], statusFilter="SUCCEEDED")
    assert arn in {execution["executionArn"] for execution in listed["executions"]}


def test_starts_at_the_same_time_are_all_run(world):
    def start(index: int) -> None:
        arns.append(world.aws.start_execution(world.outputs["SliceArn"], {}, f"crowd-{index}"))

    arns: list[str] = []
    threads = [threading.Thread(target=start, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {world.aws.wait_for_execution(arn, 30).status for arn in arns} == {"SUCCEEDED"}
    assert len(arns) == 8
