"""The rest of the template: functions, permissions, storage, logs."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from infra.assets import function_code
from infra.config import load_directory, sequence_directory
from infra.functions import FUNCTIONS, FunctionSpec
from infra.synth import ROOT, synthesize
from massive_upload.constants import STATE_KEPT_DAYS
from massive_upload.domain.load import Load
from tests.infra.definitions import Template, flatten, read_template, resources

by_name = pytest.mark.parametrize("spec", FUNCTIONS, ids=lambda spec: spec.name)


def function_properties(template: Template, name: str) -> dict[str, Any]:
    for logical_id, function in resources(template, "AWS::Lambda::Function").items():
        if logical_id.startswith(f"Functions{name}"):
            properties: dict[str, Any] = function["Properties"]
            return properties
    raise AssertionError(f"no function {name}")


def grants(template: Template, role_id: str) -> set[tuple[str, str]]:
    """(action, resource) of every statement of a role; there must be no Deny and no condition."""
    found: set[tuple[str, str]] = set()
    for policy in resources(template, "AWS::IAM::Policy").values():
        if {"Ref": role_id} not in policy["Properties"]["Roles"]:
            continue
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            assert set(statement) == {"Action", "Effect", "Resource"}
            for action in as_list(statement["Action"]):
                found |= {(action, flatten(resource)) for resource in as_list(statement["Resource"])}
    return found


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def logical_id(template: Template, kind: str, prefix: str) -> str:
    (found,) = [key for key in resources(template, kind) if key.startswith(prefix)]
    return found


def expected_grants(template: Template, spec: FunctionSpec) -> set[tuple[str, str]]:
    table = f"${{{logical_id(template, 'AWS::DynamoDB::Table', 'Storage')}.Arn}}"
    bucket = f"${{{logical_id(template, 'AWS::S3::Bucket', 'Storage')}.Arn}}"
    logs = f"${{{logical_id(template, 'AWS::Logs::LogGroup', f'Functions{spec.name}')}.Arn}}"
    expected = {("logs:CreateLogStream", logs), ("logs:PutLogEvents", logs)}
    expected |= {(f"dynamodb:{verb}", table) for verb in spec.table}
    expected |= {("s3:GetObject", f"{bucket}/{prefix}*") for prefix in spec.reads}
    expected |= {("s3:PutObject", f"{bucket}/{prefix}*") for prefix in spec.writes}
    if "SECRET_ID" in spec.settings.variables():
        secret = f"${{{logical_id(template, 'AWS::SecretsManager::Secret', 'Storage')}}}"
        expected.add(("secretsmanager:GetSecretValue", secret))
    if spec.describes_loads:
        executions = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution:MassiveUpload-load:*"
        expected.add(("states:DescribeExecution", executions))
    if spec.name == "Watchdog":
        finish = logical_id(template, "AWS::Lambda::Function", "FunctionsFinishRun")
        expected.add(("lambda:InvokeFunction", f"${{{finish}.Arn}}"))
    return expected


@by_name
def test_a_function_may_do_what_its_row_says_and_nothing_else(template: Template, spec: FunctionSpec) -> None:
    role_id = function_properties(template, spec.name)["Role"]["Fn::GetAtt"][0]
    assert grants(template, role_id) == expected_grants(template, spec)


def test_who_takes_a_target_over_may_do_all_that_ends_a_run(template: Template) -> None:
    """PlanRun finishes the run of an execution that ended without doing so."""
    granted = {
        name: {
            (action, resource)
            for action, resource in grants(template, function_properties(template, name)["Role"]["Fn::GetAtt"][0])
            if not action.startswith("logs:")
        }
        for name in ("PlanRun", "FinishRun")
    }
    assert granted["FinishRun"] <= granted["PlanRun"]
    plan, finish = (function_properties(template, name) for name in ("PlanRun", "FinishRun"))
    assert (plan["Timeout"], plan["MemorySize"]) >= (finish["Timeout"], finish["MemorySize"])
    assert set(finish["Environment"]["Variables"]) <= set(plan["Environment"]["Variables"])


def test_every_function_has_a_role_of_its_own(template: Template) -> None:
    roles = [
        flatten(function["Properties"]["Role"]) for function in resources(template, "AWS::Lambda::Function").values()
    ]
    assert len(set(roles)) == len(roles) == len(FUNCTIONS)


def test_no_role_has_managed_policies(template: Template) -> None:
    for role in resources(template, "AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role["Properties"]


def test_only_log_delivery_is_granted_on_every_resource(template: Template) -> None:
    for role_id in resources(template, "AWS::IAM::Role"):
        for action, resource in grants(template, role_id):
            assert "*" not in action
            assert resource != "*" or action.startswith("logs:"), (role_id, action)


@by_name
def test_a_function_has_exactly_the_environment_of_its_settings(template: Template, spec: FunctionSpec) -> None:
    variables = set(function_properties(template, spec.name)["Environment"]["Variables"])
    assert {name for name in variables if not name.startswith("POWERTOOLS_")} == set(spec.settings.variables())
    assert {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL"} <= variables


@by_name
def test_a_function_runs_on_arm_with_its_row_s_size(template: Template, spec: FunctionSpec) -> None:
    properties = function_properties(template, spec.name)
    assert properties["Architectures"] == ["arm64"]
    assert properties["Runtime"] == "python3.14"
    assert properties["Timeout"] == spec.timeout_seconds
    assert properties["MemorySize"] == spec.memory_mb
    assert properties["Handler"] == f"handlers.{spec.module}.handler"
    assert "TracingConfig" not in properties


def test_functions_share_one_asset_and_one_layer(template: Template) -> None:
    functions = [function["Properties"] for function in resources(template, "AWS::Lambda::Function").values()]
    assert len({json.dumps(function["Code"], sort_keys=True) for function in functions}) == 1
    assert len({flatten(function["Layers"][0]) for function in functions}) == 1


def test_every_log_group_forgets_after_thirty_days(template: Template) -> None:
    groups = resources(template, "AWS::Logs::LogGroup")
    assert len(groups) == len(FUNCTIONS) + 2
    assert {group["Properties"]["RetentionInDays"] for group in groups.values()} == {30}


def test_machines_log_events_without_their_data(template: Template) -> None:
    for machine in resources(template, "AWS::StepFunctions::StateMachine").values():
        logging = machine["Properties"]["LoggingConfiguration"]
        assert logging["Level"] == "ALL"
        assert logging["IncludeExecutionData"] is False
        assert "TracingConfiguration" not in machine["Properties"]


def test_the_table_is_kept_and_can_be_recovered(template: Template) -> None:
    (table,) = resources(template, "AWS::DynamoDB::Table").values()
    properties = table["Properties"]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    assert properties["DeletionProtectionEnabled"] is True
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert [key["AttributeName"] for key in properties["KeySchema"]] == ["pk", "sk"]


def test_the_bucket_is_private_and_forgets(template: Template) -> None:
    (bucket,) = resources(template, "AWS::S3::Bucket").values()
    properties = bucket["Properties"]
    assert bucket["DeletionPolicy"] == "Retain"
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    (encryption,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    rules = {rule["Id"]: rule for rule in properties["LifecycleConfiguration"]["Rules"]}
    assert (rules["staged"]["Prefix"], rules["staged"]["ExpirationInDays"]) == ("staged/", STATE_KEPT_DAYS)
    assert (rules["runs"]["Prefix"], rules["runs"]["ExpirationInDays"]) == ("runs/", STATE_KEPT_DAYS)
    assert rules["unfinished-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


def test_the_bucket_refuses_plain_http_and_old_tls(template: Template) -> None:
    (policy,) = resources(template, "AWS::S3::BucketPolicy").values()
    conditions = [
        statement["Condition"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
    ]
    assert {"Bool": {"aws:SecureTransport": "false"}} in conditions
    assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in conditions


def test_the_dead_letters_are_encrypted_and_refuse_plain_http(template: Template) -> None:
    (queue,) = resources(template, "AWS::SQS::Queue").values()
    assert queue["Properties"]["SqsManagedSseEnabled"] is True
    (policy,) = resources(template, "AWS::SQS::QueuePolicy").values()
    denied = [each for each in policy["Properties"]["PolicyDocument"]["Statement"] if each["Effect"] == "Deny"]
    assert [each["Condition"] for each in denied] == [{"Bool": {"aws:SecureTransport": "false"}}]


def test_the_secret_has_no_value_until_the_operator_puts_one(template: Template) -> None:
    (secret,) = resources(template, "AWS::SecretsManager::Secret").values()
    assert not {"SecretString", "GenerateSecretString"} & set(secret["Properties"])
    assert secret["DeletionPolicy"] == "Retain"


def test_the_watchdog_looks_every_five_minutes_and_when_a_load_ends_unfinished(template: Template) -> None:
    rules = [rule["Properties"] for rule in resources(template, "AWS::Events::Rule").values()]
    assert [rule["ScheduleExpression"] for rule in rules if "ScheduleExpression" in rule] == ["rate(5 minutes)"]
    (pattern,) = [rule["EventPattern"] for rule in rules if "EventPattern" in rule]
    assert pattern["source"] == ["aws.states"]
    assert pattern["detail"]["status"] == ["ABORTED", "TIMED_OUT", "FAILED"]
    machine = logical_id(template, "AWS::StepFunctions::StateMachine", "LoadMachine")
    assert pattern["detail"]["stateMachineArn"] == [{"Ref": machine}]


def test_outputs_name_what_the_command_line_needs(template: Template) -> None:
    assert set(template["Outputs"]) == {
        "TableName",
        "BucketName",
        "SecretArn",
        "LoadMachineArn",
        "SliceMachineArn",
        "AlarmTopicArn",
        "PagerTopicArn",
    }


def test_nothing_is_sent_to_the_makers_of_cdk(template: Template) -> None:
    assert not resources(template, "AWS::CDK::Metadata")


def code_asset(assembly: Path) -> Path:
    (directory,) = [path for path in assembly.glob("asset.*") if (path / "handlers").is_dir()]
    return directory


def test_the_code_asset_holds_the_handlers_the_package_and_the_compiled_loads(assembly: Path) -> None:
    asset = code_asset(assembly)
    assert {path.name for path in asset.iterdir()} == {"handlers", "massive_upload", "loads", "sequences"}
    compiled = {path.stem: Load.model_validate_json(path.read_bytes()) for path in (asset / "loads").iterdir()}
    assert compiled == load_directory(ROOT / "loads")
    assert [path.name for path in (asset / "sequences").iterdir()] == ["nightly.json"]
    assert not [path for path in asset.rglob("*") if path.name in {"__pycache__", "tests"}]


def test_everybody_may_read_the_code_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        function_code(tmp_path, load_directory(ROOT / "loads"), {})
    finally:
        os.umask(before)
    code = tmp_path / "code"
    assert {(path.is_dir(), path.stat().st_mode & 0o777) for path in (code, *code.rglob("*"))} == {
        (True, 0o755),
        (False, 0o644),
    }


def test_the_same_content_gives_the_same_template(template: Template, tmp_path: Path) -> None:
    loads = load_directory(ROOT / "loads")
    again = synthesize(tmp_path / "cdk.out", loads=loads, sequences=sequence_directory(ROOT / "loads", loads))
    assert read_template(again) == template


def test_another_load_gives_another_code_asset(template: Template, tmp_path: Path) -> None:
    loads = load_directory(ROOT / "loads")
    del loads["account"]
    other = read_template(synthesize(tmp_path / "cdk.out", loads=loads))
    codes = [function_properties(each, "PlanRun")["Code"] for each in (template, other)]
    assert codes[0] != codes[1]


def test_the_stack_s_name_begins_the_machines_names(tmp_path: Path) -> None:
    loads = load_directory(ROOT / "loads")
    template = read_template(synthesize(tmp_path / "cdk.out", loads=loads, stack_name="Nightly"))
    names = {
        machine["Properties"]["StateMachineName"]
        for machine in resources(template, "AWS::StepFunctions::StateMachine").values()
    }
    assert names == {"Nightly-load", "Nightly-slice"}
