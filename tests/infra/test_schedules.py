"""Schedules: what EventBridge is told, and that firing one starts exactly that."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.config import load_file
from infra.synth import ROOT, STACK_NAME, synthesize
from local.aws.embedded import EmbeddedAws
from local.aws.schedules import fire_schedule
from massive_upload.contracts import Mode, StartInput
from massive_upload.domain.load import Load
from tests.infra.definitions import Template, flatten, read_template, resources
from tests.infra.test_stack import grants, logical_id

SETS = ("schedule.cron=0 22 ? * MON-FRI *", "schedule.timezone=Europe/London")


def opportunity(*sets: str) -> Load:
    return load_file(ROOT / "loads" / "opportunity.yaml", sets=sets)


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An assembly of one load with a schedule and one without."""
    loads = {"opportunity": opportunity(*SETS), "account": load_file(ROOT / "loads" / "account.yaml")}
    return synthesize(tmp_path_factory.mktemp("scheduled") / "cdk.out", loads=loads)


@pytest.fixture(scope="module")
def properties(scheduled: Path) -> dict[str, Any]:
    (schedule,) = resources(read_template(scheduled), "AWS::Scheduler::Schedule").values()
    found: dict[str, Any] = schedule["Properties"]
    return found


def test_a_load_without_a_schedule_has_none(template: Template) -> None:
    assert not resources(template, "AWS::Scheduler::Schedule")


def test_a_schedule_keeps_its_time_in_its_time_zone(properties: dict[str, Any]) -> None:
    assert properties["ScheduleExpression"] == "cron(0 22 ? * MON-FRI *)"
    assert properties["ScheduleExpressionTimezone"] == "Europe/London"
    assert properties["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert properties["State"] == "ENABLED"


def test_a_start_that_fails_is_tried_for_an_hour_and_then_kept_as_a_dead_letter(
    scheduled: Path, properties: dict[str, Any]
) -> None:
    target = properties["Target"]
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 185}
    queue = logical_id(read_template(scheduled), "AWS::SQS::Queue", "DeadLetters")
    assert flatten(target["DeadLetterConfig"]["Arn"]) == f"${{{queue}.Arn}}"


def test_a_schedule_s_role_may_start_the_load_machine_and_leave_a_dead_letter(
    scheduled: Path, properties: dict[str, Any]
) -> None:
    template = read_template(scheduled)
    machine = logical_id(template, "AWS::StepFunctions::StateMachine", "LoadMachine")
    queue = logical_id(template, "AWS::SQS::Queue", "DeadLetters")
    assert flatten(properties["Target"]["Arn"]) == f"${{{machine}}}"
    (role,) = properties["Target"]["RoleArn"].values()
    assert grants(template, role[0]) == {
        ("states:StartExecution", f"${{{machine}}}"),
        ("sqs:SendMessage", f"${{{queue}.Arn}}"),
    }
    trust = resources(template, "AWS::IAM::Role")[role[0]]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert [statement["Principal"] for statement in trust] == [{"Service": "scheduler.amazonaws.com"}]
    assert trust[0]["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_input_is_one_that_the_load_machine_takes(properties: dict[str, Any]) -> None:
    start = StartInput.model_validate_json(properties["Target"]["Input"])
    assert start == StartInput(load="opportunity", scheduled=True)


def test_firing_a_schedule_starts_its_machine_with_its_input(
    scheduled: Path, properties: dict[str, Any], tmp_path: Path
) -> None:
    with EmbeddedAws(work_dir=tmp_path, time_scale=1000) as aws:
        outputs = aws.deploy(scheduled, STACK_NAME)
        (name,) = [each["Name"] for each in aws.client("scheduler").list_schedules()["Schedules"]]
        arn = fire_schedule(aws, name)
        started = aws.client("stepfunctions").describe_execution(executionArn=arn)
        with pytest.raises(LookupError, match=f"no schedule other; there are: {name}"):
            fire_schedule(aws, "other")
    assert started["stateMachineArn"] == outputs["LoadMachineArn"]
    assert json.loads(started["input"]) == json.loads(properties["Target"]["Input"])


def test_a_schedule_starts_incremental_runs_where_the_load_says_so(tmp_path: Path) -> None:
    load = opportunity(*SETS, "schedule.mode=incremental")
    template = read_template(synthesize(tmp_path / "cdk.out", loads={"opportunity": load}))
    (schedule,) = resources(template, "AWS::Scheduler::Schedule").values()
    start = StartInput.model_validate_json(schedule["Properties"]["Target"]["Input"])
    assert start == StartInput(load="opportunity", mode=Mode.INCREMENTAL, scheduled=True)


def test_loads_whose_names_begin_with_one_another_have_a_schedule_each(tmp_path: Path) -> None:
    load = opportunity(*SETS)
    names = ("night", "night-role", "night-schedule")
    template = read_template(synthesize(tmp_path / "cdk.out", loads=dict.fromkeys(names, load)))
    targets = [
        schedule["Properties"]["Target"] for schedule in resources(template, "AWS::Scheduler::Schedule").values()
    ]
    assert sorted(StartInput.model_validate_json(target["Input"]).load or "" for target in targets) == sorted(names)
    assert len({flatten(target["RoleArn"]) for target in targets}) == len(names)
