"""EventBridge for "Step Functions Execution Status Change".

moto stores rules, but delivers no such event to a Lambda target.
"""

import json
import uuid
from typing import Any

from moto.awslambda_simple.models import lambda_simple_backends
from moto.events.models import events_backends
from moto.events.utils import EventTemplateParser
from moto.stepfunctions.parser.asl.utils.json_path import extract_json

from local.aws.active import LambdaService
from local.aws.hooks.executions import aws_time
from local.aws.identity import ACCOUNT_ID, REGION
from local.aws.untyped import Untyped


class StatusChanges:
    """Delivers the status of executions to the Lambda targets of the deployed rules."""

    def __init__(self, functions: LambdaService) -> None:
        self._functions = functions

    def __call__(self, execution: Untyped) -> None:
        """Sends the event of the execution's present status to every rule that matches it."""
        rules = events_backends[ACCOUNT_ID][REGION].event_buses["default"].rules.values()
        enabled = [rule for rule in rules if rule.state == "ENABLED" and rule.event_pattern.get_pattern()]
        if not enabled:
            return
        event = status_change_event(execution)
        for rule in enabled:
            if rule.event_pattern.matches_event(event):
                for target in rule.targets:
                    self._deliver(event, target)

    def _deliver(self, event: dict[str, Any], target: dict[str, Any]) -> None:
        arn = target["Arn"]
        if ":lambda:" not in arn:
            return
        function = lambda_simple_backends[ACCOUNT_ID][REGION].get_function(arn)
        self._functions.invoke_later(function, target_input(event, target))


def status_change_event(execution: Untyped) -> dict[str, Any]:
    """Describes the execution's present status (Step Functions guide, "Automating with EventBridge")."""
    described = execution.to_describe_output()
    stopped = execution.stop_date
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": ACCOUNT_ID,
        "time": aws_time(stopped or execution.start_date),
        "region": REGION,
        "resources": [execution.exec_arn],
        "detail": {
            "executionArn": execution.exec_arn,
            "stateMachineArn": execution.state_machine_arn,
            "name": execution.name,
            "status": execution.status,
            "startDate": int(execution.start_date.timestamp() * 1000),
            "stopDate": int(stopped.timestamp() * 1000) if stopped else None,
            "input": described["input"],
            "output": described.get("output"),
            "error": described.get("error"),
            "cause": described.get("cause"),
            "inputDetails": {"included": True},
            "outputDetails": {"included": True} if "output" in described else None,
        },
    }


def target_input(event: dict[str, Any], target: dict[str, Any]) -> bytes:
    """Returns what a target receives: the event, a part of it, a constant, or what its transformer makes of it."""
    if "Input" in target:
        return str(target["Input"]).encode()
    if "InputPath" in target:
        return json.dumps(extract_json(target["InputPath"], event)).encode()
    if "InputTransformer" in target:
        transformer = target["InputTransformer"]
        template, paths = transformer["InputTemplate"], transformer.get("InputPathsMap", {})
        transformed = EventTemplateParser.parse(template, paths, {**event, "ingestion-time": event["time"]})
        return json.dumps(transformed).encode()
    return json.dumps(event).encode()
