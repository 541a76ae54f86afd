"""The metrics that alarms and dashboard are made of: the product's own, and those of the AWS services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cw
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn

from infra.workflow.load import LANES_LABEL
from massive_upload.observability import LOAD_DIMENSION, NAMESPACE, SERVICE_DIMENSION, Metric

PERIOD = cdk.Duration.minutes(5)
"""As often as the watchdog looks."""

TABLE_OPERATIONS = ("BatchGetItem", "GetItem", "Query", "TransactWriteItems", "UpdateItem")
"""What the functions and the native tasks call; every write of a function is a transaction, but for
UpdateItem of the org's allowances."""


def own(
    metric: Metric, statistic: str, *, service: str, load: str | None = None, label: str | None = None
) -> cw.Metric:
    """A metric that the functions emit (`massive_upload.observability`).

    Raises:
        ValueError: the load is missing, or is given for a metric that has none; no such metric is ever emitted.
    """
    if metric.is_of_the_stack is (load is not None):
        raise ValueError(f"{metric} {'has no' if load else 'needs a'} load as a dimension.")
    dimensions = {SERVICE_DIMENSION: service} | ({LOAD_DIMENSION: load} if load is not None else {})
    return cw.Metric(
        namespace=NAMESPACE,
        metric_name=metric.value,
        dimensions_map=dimensions,
        statistic=statistic,
        period=PERIOD,
        label=label,
    )


def states(name: str, machine_arn: str, *, label: str | None = None) -> cw.Metric:
    """A metric of a state machine's executions (Step Functions guide, "Monitoring metrics using CloudWatch")."""
    return _aws("AWS/States", name, {"StateMachineArn": machine_arn}, "Sum", label)


def lanes_arn(machine: sfn.StateMachine) -> str:
    """The ARN under which the children of the load machine's Distributed Map count: it ends in the Map's label."""
    return f"{machine.state_machine_arn}/{LANES_LABEL}"


def function(name: str, function_: lambda_.Function, statistic: str = "Sum", *, label: str | None = None) -> cw.Metric:
    """A metric of a function (Lambda guide, "Types of metrics for Lambda functions")."""
    return _aws("AWS/Lambda", name, {"FunctionName": function_.function_name}, statistic, label)


def table_throttles(table: dynamodb.Table) -> cw.MathExpression:
    """Throttled reads and writes of the table; 0 where there is none."""
    names = ("ReadThrottleEvents", "WriteThrottleEvents")
    events = [_aws("AWS/DynamoDB", name, {"TableName": table.table_name}, "Sum") for name in names]
    return _total_or_0(events, label="Throttled reads and writes")


def table_errors(table: dynamodb.Table) -> cw.MathExpression:
    """Errors of DynamoDB itself, over the operations that are used; 0 where there is none."""
    errors = [
        _aws("AWS/DynamoDB", "SystemErrors", {"TableName": table.table_name, "Operation": operation}, "Sum")
        for operation in TABLE_OPERATIONS
    ]
    return _total_or_0(errors, label="Errors of DynamoDB")


def dead_letters(queue: sqs.Queue) -> cw.Metric:
    """Messages that wait in the queue of what could not be delivered."""
    name = "ApproximateNumberOfMessagesVisible"
    return _aws("AWS/SQS", name, {"QueueName": queue.queue_name}, "Maximum", "Dead letters")


def total(metrics: Sequence[cw.Metric], *, label: str) -> cw.MathExpression:
    """The sum of metrics; one without data does not spoil it."""
    ids = {f"m{index}": metric for index, metric in enumerate(metrics)}
    return math(f"SUM([{', '.join(ids)}])", ids, label=label)


def _total_or_0(metrics: Sequence[cw.Metric], *, label: str) -> cw.MathExpression:
    """The sum of metrics that DynamoDB has at bad times alone.

    An alarm on them may ignore what is missing whatever it is told (CloudWatch API reference, PutMetricAlarm), and then
    would never end.
    """
    ids = {f"m{index}": metric for index, metric in enumerate(metrics)}
    return math(f"SUM([{', '.join(f'FILL({name}, 0)' for name in ids)}])", ids, label=label)


def math(expression: str, using: Mapping[str, cw.Metric], *, label: str) -> cw.MathExpression:
    """An expression over metrics (CloudWatch guide, "Using metric math")."""
    return cw.MathExpression(expression=expression, using_metrics=dict(using), label=label, period=PERIOD)


def _aws(
    namespace: str, name: str, dimensions: Mapping[str, str], statistic: str, label: str | None = None
) -> cw.Metric:
    return cw.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dict(dimensions),
        statistic=statistic,
        period=PERIOD,
        label=label,
    )
