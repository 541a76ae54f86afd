"""EventBridge: the end of an execution reaches the Lambda targets of the rules that match it."""

import json
from typing import Any

from tests.integration.aws.assembly import Assembly
from tests.integration.aws.world import World

TIME_SCALE = 1000.0


def build(assembly: Assembly) -> None:
    assembly.function(
        "Note",
        """
        import boto3, json

        def handler(event, context):
            boto3.client("sqs").send_message(QueueUrl=event.pop("queue", None) or QUEUE, MessageBody=json.dumps(event))

        QUEUE = boto3.client("sqs").get_queue_url(QueueName="noted")["QueueUrl"]
        """,
        timeout_seconds=30,
    )
    assembly.resources["Queue"] = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "noted"}}
    assembly.machine("Fails", {"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "Broke", "Cause": "why"}}})
    assembly.machine("Works", {"StartAt": "Yes", "States": {"Yes": {"Type": "Succeed"}}})
    assembly.machine(
        "Waits", {"StartAt": "Long", "States": {"Long": {"Type": "Wait", "Seconds": 90_000_000, "End": True}}}
    )
    assembly.machine("Late", {**_late(), "TimeoutSeconds": 1})
    machines = [{"Ref": name} for name in ("Fails", "Works", "Waits", "Late")]
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"status": ["FAILED", "ABORTED", "TIMED_OUT"], "stateMachineArn": machines},
    }
    target = {"Id": "note", "Arn": {"Fn::GetAtt": ["Note", "Arn"]}}
    assembly.resources["Rule"] = {
        "Type": "AWS::Events::Rule",
        "Properties": {"EventPattern": pattern, "Targets": [target]},
    }


def _late() -> dict[str, Any]:
    return {"StartAt": "Long", "States": {"Long": {"Type": "Wait", "Seconds": 90_000_000, "End": True}}}


def next_event(world: World) -> Any:
    client = world.aws.client("sqs")
    url = client.get_queue_url(QueueName="noted")["QueueUrl"]
    while True:
        for message in client.receive_message(QueueUrl=url, MaxNumberOfMessages=1).get("Messages", []):
            client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return json.loads(message["Body"])


def test_a_failed_execution_is_told_with_its_input_and_cause(world):
    world.run("Works", {"run": "good"})
    world.run("Fails", {"run": "bad"})
    event = next_event(world)
    detail = event["detail"]
    assert event["source"] == "aws.states"
    assert (detail["status"], detail["error"], detail["cause"]) == ("FAILED", "Broke", "why")
    assert json.loads(detail["input"]) == {"run": "bad"}
    assert detail["stateMachineArn"] == world.outputs["FailsArn"]
    assert detail["stopDate"] >= detail["startDate"]


def test_a_stopped_and_a_timed_out_execution_are_told(world):
    arn = world.aws.start_execution(world.outputs["WaitsArn"], {})
    world.aws.stop_execution(arn)
    assert next_event(world)["detail"]["executionArn"] == arn
    assert world.run("Late").status == "TIMED_OUT"
    assert next_event(world)["detail"]["status"] == "TIMED_OUT"
