"""The roles of the state machines: what their definitions need, and nothing else."""

import pytest

from infra.workflow.load import LANES_LABEL
from tests.infra.definitions import LOAD, SLICE, State, Template, iterate_states, read_definition, resources
from tests.infra.test_stack import grants, logical_id

_HERE = "${AWS::Partition}:%s:${AWS::Region}:${AWS::AccountId}"

LOG_DELIVERY = {
    ("logs:CreateLogDelivery", "*"),
    ("logs:GetLogDelivery", "*"),
    ("logs:UpdateLogDelivery", "*"),
    ("logs:DeleteLogDelivery", "*"),
    ("logs:ListLogDeliveries", "*"),
    ("logs:PutResourcePolicy", "*"),
    ("logs:DescribeResourcePolicies", "*"),
    ("logs:DescribeLogGroups", "*"),
}
"""Step Functions guide, "Using CloudWatch Logs to log execution history": they have no resources to name."""

NESTED_RULE = f"arn:{_HERE % 'events'}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
"""Step Functions guide, "Start workflow executions from a task state": the rule that tells a parent of its child."""


def needed_by(state: State, machine_id: str) -> set[tuple[str, str]]:
    """(action, resource) that a state needs; the guides' page of each integration names them."""
    body = state.body
    if body["Type"] == "Map":
        children = f"arn:{_HERE % 'states'}:execution:${{{machine_id}}}[:6]"
        return {
            ("states:StartExecution", f"${{{machine_id}}}"),
            ("states:DescribeExecution", f"{children}:*"),
            ("states:StopExecution", f"{children}:*"),
            ("states:RedriveExecution", f"{children}/{LANES_LABEL}:*"),
        }
    if body["Type"] != "Task":
        return set()
    resource, parameters = body["Resource"], body.get("Parameters", {})
    match resource.partition(":::")[2]:
        case "dynamodb:getItem" | "dynamodb:updateItem" as call:
            action = f"dynamodb:{call[len('dynamodb:')].upper()}{call[len('dynamodb:') + 1 :]}"
            return {(action, f"arn:{_HERE % 'dynamodb'}:table/{parameters['TableName']}")}
        case "states:startExecution.sync:2":
            child = parameters["StateMachineArn"]
            executions = f"arn:{_HERE % 'states'}:execution:{child}[:6]*"
            return {
                ("states:StartExecution", child),
                *((f"states:{verb}Execution", executions) for verb in ("Describe", "Stop")),
                *((f"events:{verb}", NESTED_RULE) for verb in ("PutTargets", "PutRule", "DescribeRule")),
            }
        case "":
            return {("lambda:InvokeFunction", resource), ("lambda:InvokeFunction", f"{resource}:*")}
    raise AssertionError(f"no rule for what {state.name} needs: {resource}")


@pytest.mark.parametrize("machine", [LOAD, SLICE])
def test_a_machine_may_do_what_its_definition_needs_and_nothing_else(template: Template, machine: str) -> None:
    machine_id = logical_id(template, "AWS::StepFunctions::StateMachine", machine)
    properties = resources(template, "AWS::StepFunctions::StateMachine")[machine_id]["Properties"]
    granted = grants(template, properties["RoleArn"]["Fn::GetAtt"][0])
    needed = set(LOG_DELIVERY)
    for state in iterate_states(read_definition(template, machine)):
        needed |= needed_by(state, machine_id)
    assert granted - needed == set()
    assert needed - granted == set()
