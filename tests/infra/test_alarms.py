"""Alarms: whom they tell, what they are made of, and that each goes to ALARM and back to OK."""

import re

import pytest

from infra.config import load_directory
from infra.functions import FUNCTIONS
from infra.synth import ROOT
from massive_upload.observability import NAMESPACE
from tests.emf import Point
from tests.infra.alarms import Alarm, evaluate, read_alarms
from tests.infra.definitions import Template, iterate_states, read_definition, resources
from tests.infra.test_stack import logical_id

# What each service writes (its guide's list of metrics), with the names of the dimensions.
AWS_METRICS = {
    ("AWS/States", "ExecutionsFailed"): {"StateMachineArn"},
    ("AWS/States", "ExecutionsTimedOut"): {"StateMachineArn"},
    ("AWS/States", "ExecutionsAborted"): {"StateMachineArn"},
    ("AWS/States", "ExecutionsStarted"): {"StateMachineArn"},
    ("AWS/States", "ExecutionsSucceeded"): {"StateMachineArn"},
    ("AWS/States", "ExecutionThrottled"): {"StateMachineArn"},
    ("AWS/Lambda", "Errors"): {"FunctionName"},
    ("AWS/Lambda", "Throttles"): {"FunctionName"},
    ("AWS/Lambda", "Duration"): {"FunctionName"},
    ("AWS/Lambda", "Invocations"): {"FunctionName"},
    ("AWS/Lambda", "ConcurrentExecutions"): {"FunctionName"},
    ("AWS/DynamoDB", "ReadThrottleEvents"): {"TableName"},
    ("AWS/DynamoDB", "WriteThrottleEvents"): {"TableName"},
    ("AWS/DynamoDB", "SystemErrors"): {"TableName", "Operation"},
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): {"QueueName"},
}
# One value that is bad news, for each metric of a service that an alarm looks at.
BAD = {"Duration": 899_000.0, "Errors": 12.0}


@pytest.fixture(scope="module")
def alarms(template: Template) -> dict[str, Alarm]:
    return read_alarms(template)


def of_aws(alarms: dict[str, Alarm]) -> list[Alarm]:
    return [each for each in alarms.values() if all(s.namespace != NAMESPACE for s in each.series.values())]


def waking_alarms(template: Template, alarms: dict[str, Alarm]) -> set[str]:
    pager = {"Ref": logical_id(template, "AWS::SNS::Topic", "AlarmsPagerTopic")}
    return {name for name, alarm in alarms.items() if pager in alarm.properties["AlarmActions"]}


def test_every_alarm_tells_the_topic_and_says_what_to_do(template: Template, alarms: dict[str, Alarm]) -> None:
    topic = {"Ref": logical_id(template, "AWS::SNS::Topic", "AlarmsTopic")}
    for alarm in alarms.values():
        assert topic in alarm.properties["AlarmActions"]
        assert alarm.properties["AlarmActions"] == alarm.properties["OKActions"]
        assert len(alarm.properties["AlarmDescription"].split(". ")) >= 2


def test_the_guide_has_a_paragraph_for_every_alarm_and_says_which_of_them_wake(
    template: Template, alarms: dict[str, Alarm]
) -> None:
    guide = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    paragraphs = re.findall(r"^\*\*(\w+)(-&lt;load&gt;)?\*\*( \(\*pager\*\))?\. \S", guide, re.MULTILINE)
    loads = load_directory(ROOT / "loads")
    names = {f"{name}{load}": bool(pager) for name, each, pager in paragraphs for load in (loads if each else [""])}
    waking = waking_alarms(template, alarms)
    assert names == {name: name in waking for name in alarms}


def test_each_load_has_alarms_of_its_own_with_its_own_criterion(alarms: dict[str, Alarm]) -> None:
    for name, load in load_directory(ROOT / "loads").items():
        assert alarms[f"SuccessRate{name}"].properties["Threshold"] == load.success_criterion_percent
        (series,) = alarms[f"SuccessRate{name}"].series.values()
        assert series.dimensions == {("service", "MassiveUpload"), ("load", name)}
        assert f"LockErrors{name}" in alarms


def test_every_aws_metric_of_an_alarm_is_one_that_the_service_writes(alarms: dict[str, Alarm]) -> None:
    series = [s for alarm in alarms.values() for s in alarm.series.values() if s.namespace != NAMESPACE]
    assert series
    for each in series:
        assert {name for name, _ in each.dimensions} == AWS_METRICS[(each.namespace, each.name)]


def test_lanes_are_watched_under_the_arn_that_ends_in_the_map_s_label(
    template: Template, alarms: dict[str, Alarm]
) -> None:
    machine = logical_id(template, "AWS::StepFunctions::StateMachine", "LoadMachine")
    load = read_definition(template, "LoadMachine")
    (label,) = {state.body["Label"] for state in iterate_states(load) if state.body["Type"] == "Map"}
    arns = {value for series in alarms["LaneFailed"].series.values() for _, value in series.dimensions}
    assert arns == {f"${{{machine}}}/{label}"}


def test_function_alarms_watch_every_function_with_its_own_time(template: Template, alarms: dict[str, Alarm]) -> None:
    functions = {f"${{{name}}}" for name in resources(template, "AWS::Lambda::Function")}
    for name in ("FunctionErrors", "FunctionThrottles", "FunctionNearTimeout"):
        watched = {value for series in alarms[name].series.values() for _, value in series.dimensions}
        assert watched == functions
        assert len(alarms[name].series) == len(FUNCTIONS) <= 10  # an alarm's expression takes no more metrics
    near = alarms["FunctionNearTimeout"]
    short = next(spec for spec in FUNCTIONS if spec.timeout_seconds < 300)
    (series,) = [s for s in near.series.values() if any(short.name in value for _, value in s.dimensions)]
    assert near.state([series.point(0.81 * 1000 * short.timeout_seconds)]) == "ALARM"
    assert near.state([series.point(0.79 * 1000 * short.timeout_seconds)]) == "OK"


def test_errors_of_the_table_are_watched_for_every_operation_that_a_function_may_call(alarms: dict[str, Alarm]) -> None:
    watched = {dict(series.dimensions)["Operation"] for series in alarms["TableErrors"].series.values()}
    of_a_transaction = {"PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"}  # granted one by one
    called = {action for spec in FUNCTIONS for action in spec.table} - of_a_transaction
    assert watched == called | {"TransactWriteItems", "UpdateItem"}  # the native tasks update single items


def test_metrics_of_the_table_are_0_where_they_are_missing_so_that_their_alarms_end(alarms: dict[str, Alarm]) -> None:
    for name in ("TableThrottles", "TableErrors"):
        alarm = alarms[name]
        assert evaluate(alarm.expression, dict.fromkeys(alarm.series)) == 0


def test_one_bad_value_of_any_aws_metric_is_an_alarm_and_ends_with_it(alarms: dict[str, Alarm]) -> None:
    for alarm in of_aws(alarms):
        periods = alarm.properties["EvaluationPeriods"]
        for series in alarm.series.values():
            bad = [series.point(BAD.get(series.name, 1.0))]
            good: list[Point] = [series.point(0.0)]
            if (series.name, periods) == ("Duration", 1) and "PlanRun" not in str(series.dimensions):
                continue  # each function has a time of its own
            assert alarm.state(*[bad] * periods) == "ALARM", (alarm.name, series)
            assert alarm.state(*[bad] * periods, *[good] * periods) == "OK"
            assert alarm.state() == "OK"


def test_an_org_that_stays_short_is_one_alarm_although_it_is_looked_at_once_an_hour(alarms: dict[str, Alarm]) -> None:
    for name in ("ApiRequests", "BulkBatches"):
        (series,) = alarms[name].series.values()
        hour = [[series.point(97.0)], *([()] * 11)]
        states = {alarms[name].state(*hour, *hour[:periods]) for periods in range(1, 13)}
        assert states == {"ALARM"}
        assert alarms[name].state(*hour, [series.point(90.0)]) == "ALARM"
        assert alarms[name].state(*hour, [series.point(90.0)], ()) == "OK"


def test_each_alarm_that_cannot_wait_tells_the_pager_whatever_else_is_wrong(
    template: Template, alarms: dict[str, Alarm]
) -> None:
    assert not resources(template, "AWS::CloudWatch::CompositeAlarm"), "it tells of its first alarm alone"
    assert alarms.keys() - waking_alarms(template, alarms) == {
        "RunSkipped",
        "LockErrorsaccount",
        "LockErrorsflights",
        "LockErrorsopportunity",
        "FunctionErrors",
        "FunctionThrottles",
        "FunctionNearTimeout",
        "TableThrottles",
        "TableErrors",
    }


def test_only_alarms_of_this_account_may_publish_and_only_over_tls(template: Template) -> None:
    policies = resources(template, "AWS::SNS::TopicPolicy").values()
    assert len(policies) == 2
    for policy in policies:
        statements = policy["Properties"]["PolicyDocument"]["Statement"]
        allowed = [each for each in statements if each["Effect"] == "Allow"]
        denied = [each for each in statements if each["Effect"] == "Deny"]
        assert [each["Principal"] for each in allowed] == [{"Service": "cloudwatch.amazonaws.com"}]
        assert allowed[0]["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
        assert [each["Condition"] for each in denied] == [{"Bool": {"aws:SecureTransport": "false"}}]
