"""The kinds of task that both machines are made of, each with its retries and a time-out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra.retry_policies import DYNAMODB_TASK, LAMBDA_TASK, SLICE_TASK, RetryPolicy

CONDITION_FAILED = "DynamoDB.ConditionalCheckFailedException"
"""The error of a native task whose condition does not hold (Step Functions guide, DynamoDB integration)."""

SLICE_TIMEOUT = cdk.Duration.days(9)
"""A slice yields by its events before, after 7.7 days where it does nothing but wait; this ends one that hangs."""

_SLICE_TASK_TIMEOUT = sfn.Timeout.duration(SLICE_TIMEOUT.plus(cdk.Duration.minutes(5)))
_DYNAMODB_TIMEOUT = sfn.Timeout.duration(cdk.Duration.seconds(30))
_LAMBDA_MARGIN = cdk.Duration.seconds(30)

at = sfn.JsonPath.string_at


def invoke(
    scope: Construct,
    name: str,
    function: lambda_.Function,
    *,
    result_path: str,
    payload: sfn.TaskInput | None = None,
    retries: Sequence[RetryPolicy] = LAMBDA_TASK,
) -> tasks.LambdaInvoke:
    """A task that calls a function, with its whole input or a payload, and keeps the answer at ``result_path``.

    The task's time-out is longer than the function's, so that no killed call lives on beside its retry.
    """
    function_timeout: cdk.Duration = function.timeout
    task = tasks.LambdaInvoke(
        scope,
        name,
        lambda_function=function,
        payload=payload,
        payload_response_only=True,
        retry_on_service_exceptions=False,
        result_path=result_path,
        task_timeout=sfn.Timeout.duration(function_timeout.plus(_LAMBDA_MARGIN)),
    )
    for policy in retries:
        policy.add_to(task)
    return task


def run_slice(
    scope: Construct, name: str, machine: sfn.StateMachine, *, run_id: str, partition: str, result_path: str
) -> tasks.StepFunctionsStartExecution:
    """A task that runs one slice to its end; only the slice's outcome comes back, as ``outcome``."""
    task = tasks.StepFunctionsStartExecution(
        scope,
        name,
        state_machine=machine,
        integration_pattern=sfn.IntegrationPattern.RUN_JOB,
        associate_with_parent=True,
        input=sfn.TaskInput.from_object({"run_id": run_id, "partition": partition}),
        result_selector={"outcome": at("$.Output.step.next")},
        result_path=result_path,
        task_timeout=_SLICE_TASK_TIMEOUT,
    )
    for policy in SLICE_TASK:
        policy.add_to(task)
    return task


def update_partition(
    scope: Construct,
    name: str,
    table: dynamodb.Table,
    *,
    partition: str,
    update: str,
    condition: str,
    values: Mapping[str, tasks.DynamoAttributeValue],
    names: Mapping[str, str],
    result_path: str,
    result_selector: Mapping[str, object] | None = None,
    return_values: tasks.DynamoReturnValues | None = None,
) -> tasks.DynamoUpdateItem:
    """A native, conditional update of the partition's item; ``partition`` is the path of its id in the payload."""
    task = tasks.DynamoUpdateItem(
        scope,
        name,
        table=table,
        key={
            "pk": text(sfn.JsonPath.format("RUN#{}", at("$.run_id"))),
            "sk": text(sfn.JsonPath.format("PART#{}", at(partition))),
        },
        update_expression=update,
        condition_expression=condition,
        expression_attribute_names=dict(names),
        expression_attribute_values=dict(values),
        task_timeout=_DYNAMODB_TIMEOUT,
        result_path=result_path,
        result_selector=result_selector,
        return_values=return_values,
    )
    for policy in DYNAMODB_TASK:
        policy.add_to(task)
    return task


def look_at_run(scope: Construct, name: str, table: dynamodb.Table, *, result_path: str) -> tasks.DynamoGetItem:
    """A native read of the run's flags."""
    task = tasks.DynamoGetItem(
        scope,
        name,
        table=table,
        key={
            "pk": text(sfn.JsonPath.format("RUN#{}", at("$.run_id"))),
            "sk": text("META"),
        },
        consistent_read=True,
        projection_expression=[
            tasks.DynamoProjectionExpression().with_attribute(flag) for flag in ("stop_requested", "pause_requested")
        ],
        result_path=result_path,
        task_timeout=_DYNAMODB_TIMEOUT,
    )
    for policy in DYNAMODB_TASK:
        policy.add_to(task)
    return task


def wait(scope: Construct, name: str, seconds_path: str) -> sfn.Wait:
    """A wait as long as the payload says."""
    return sfn.Wait(scope, name, time=sfn.WaitTime.seconds_path(seconds_path))


def text(value: str) -> tasks.DynamoAttributeValue:
    """A DynamoDB string."""
    return tasks.DynamoAttributeValue.from_string(value)


def number(value: int) -> tasks.DynamoAttributeValue:
    """A DynamoDB number."""
    return tasks.DynamoAttributeValue.from_number(value)


def number_at(path: str) -> tasks.DynamoAttributeValue:
    """A DynamoDB number from the payload; DynamoDB takes numbers as text."""
    return tasks.DynamoAttributeValue.number_from_string(sfn.JsonPath.format("{}", at(path)))
