"""CloudFormation: the resource types of the stack, large templates, deploying anew."""

import json

import pytest

from local.aws.deploy import DeploymentError
from local.aws.embedded import EmbeddedAws
from tests.integration.aws.assembly import STACK, Assembly

ROLE = {"Fn::GetAtt": ["Role", "Arn"]}


def build(assembly: Assembly) -> None:
    assembly.function("Answer", "def handler(event, context):\n    return 1\n")
    assembly.machine("Machine", {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
    layer = assembly.asset("layer", {"python/library.py": "VALUE = 1\n"})
    secret = {"SecretStringTemplate": '{"user": "u"}', "GenerateStringKey": "password"}
    schedule = {
        "ScheduleExpression": "rate(1 day)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": {"Ref": "Machine"}, "RoleArn": ROLE},
    }
    alarm = {
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "MetricName": "Failed",
        "Namespace": "Loads",
        "Period": 60,
        "Statistic": "Sum",
        "Threshold": 0,
        "AlarmActions": [{"Ref": "Topic"}],
    }
    transformation = {"MetricName": "Errors", "MetricNamespace": "Loads", "MetricValue": "1"}
    rule = {
        "EventPattern": {"source": ["aws.states"]},
        "Targets": [{"Id": "t", "Arn": {"Fn::GetAtt": ["Answer", "Arn"]}}],
    }
    types = {
        "Secret": ("AWS::SecretsManager::Secret", {"Name": "org", "GenerateSecretString": secret}),
        "Plain": ("AWS::SecretsManager::Secret", {"SecretString": "{}"}),
        "Schedule": ("AWS::Scheduler::Schedule", schedule),
        "Group": ("AWS::Scheduler::ScheduleGroup", {"Name": "loads"}),
        "Alarm": ("AWS::CloudWatch::Alarm", alarm),
        "Dashboard": ("AWS::CloudWatch::Dashboard", {"DashboardName": "loads", "DashboardBody": "{}"}),
        "Logs": ("AWS::Logs::LogGroup", {"LogGroupName": "/loads", "RetentionInDays": 7}),
        "Filter": (
            "AWS::Logs::MetricFilter",
            {"LogGroupName": {"Ref": "Logs"}, "FilterPattern": "ERROR", "MetricTransformations": [transformation]},
        ),
        "Topic": ("AWS::SNS::Topic", {}),
        "TopicPolicy": ("AWS::SNS::TopicPolicy", {"Topics": [{"Ref": "Topic"}], "PolicyDocument": {}}),
        "Mail": (
            "AWS::SNS::Subscription",
            {"TopicArn": {"Ref": "Topic"}, "Protocol": "email", "Endpoint": "a@b.example"},
        ),
        "Queue": ("AWS::SQS::Queue", {}),
        "QueuePolicy": ("AWS::SQS::QueuePolicy", {"Queues": [{"Ref": "Queue"}], "PolicyDocument": {}}),
        "Bucket": ("AWS::S3::Bucket", {}),
        "BucketPolicy": ("AWS::S3::BucketPolicy", {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": {}}),
        "Layer": ("AWS::Lambda::LayerVersion", {"Content": layer, "CompatibleRuntimes": ["python3.11"]}),
        "Retries": (
            "AWS::Lambda::EventInvokeConfig",
            {"FunctionName": {"Ref": "Answer"}, "Qualifier": "$LATEST", "MaximumRetryAttempts": 2},
        ),
        "Rule": ("AWS::Events::Rule", rule),
        "Permission": (
            "AWS::Lambda::Permission",
            {"FunctionName": {"Ref": "Answer"}, "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com"},
        ),
        "Metadata": ("AWS::CDK::Metadata", {"Analytics": "x"}),
    }
    for name, (resource_type, properties) in types.items():
        assembly.resources[name] = {"Type": resource_type, "Properties": properties}
    assembly.outputs["SecretArn"] = {"Value": {"Ref": "Secret"}}
    assembly.outputs["AlarmArn"] = {"Value": {"Fn::GetAtt": ["Alarm", "Arn"]}}
    # 60 KB, more than a request may carry
    assembly.resources["Wide"] = {
        "Type": "AWS::SSM::Parameter",
        "Properties": {"Name": "wide", "Type": "String", "Value": "x" * 60_000},
    }


def test_a_generated_secret_has_its_template_and_a_value(world):
    secrets = world.aws.client("secretsmanager")
    secret = json.loads(secrets.get_secret_value(SecretId=world.outputs["SecretArn"])["SecretString"])
    assert secret["user"] == "u"
    assert secret["password"]


def test_alarms_schedules_and_subscriptions_exist_in_their_services(world):
    alarms = world.aws.client("cloudwatch").describe_alarms()
    assert [alarm["AlarmArn"] for alarm in alarms["MetricAlarms"]] == [world.outputs["AlarmArn"]]
    (schedule,) = world.aws.client("scheduler").list_schedules()["Schedules"]
    assert schedule["Target"]["Arn"] == world.outputs["MachineArn"]
    assert len(world.aws.client("sns").list_subscriptions()["Subscriptions"]) == 1
    assert len(world.aws.client("logs").describe_metric_filters()["metricFilters"]) == 1


def test_deploying_again_takes_the_new_code(world, tmp_path):
    assembly = Assembly(tmp_path / "cdk.out")
    build(assembly)
    world.aws.client("lambda").invoke(FunctionName="Answer", Payload=b"{}")
    code = assembly.asset(
        "answer-2", {"handlers/__init__.py": "", "handlers/main.py": "def handler(event, context):\n    return 2\n"}
    )
    assembly.resources["Answer"]["Properties"]["Code"] = code
    world.aws.deploy(assembly.write(), STACK)
    answer = world.aws.client("lambda").invoke(FunctionName="Answer", Payload=b"{}")
    assert answer["Payload"].read() == b"2"


def test_a_change_set_gives_the_stack_its_outputs_and_may_be_deleted_twice(world):
    stacks = world.aws.client("cloudformation")
    names = {"StackName": "Changed", "ChangeSetName": "first"}
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": {"Name": {"Value": {"Ref": "Topic"}}}}
    stacks.create_change_set(**names, TemplateBody=json.dumps(template), ChangeSetType="CREATE")
    stacks.execute_change_set(**names)
    (stack,) = stacks.describe_stacks(StackName="Changed")["Stacks"]
    assert [output["OutputKey"] for output in stack["Outputs"]] == ["Name"]
    for _ in range(2):
        stacks.delete_change_set(**names)
    assert stacks.list_change_sets(StackName="Changed")["Summaries"] == []


def test_a_type_that_nobody_provides_is_named(world, tmp_path):
    assembly = Assembly(tmp_path / "cdk.out")
    assembly.resources["Odd"] = {"Type": "AWS::Nowhere::Thing"}
    with pytest.raises(DeploymentError, match="AWS::Nowhere::Thing"):
        world.aws.deploy(assembly.write(), STACK)


def test_a_stack_that_is_not_in_the_assembly_is_named(world, tmp_path):
    with pytest.raises(DeploymentError, match="Other; it holds: Tiny"):
        world.aws.deploy(Assembly(tmp_path / "cdk.out").write(), "Other")


def test_there_is_one_embedded_aws_in_a_process(world, tmp_path):
    second = EmbeddedAws(work_dir=tmp_path)
    with pytest.raises(RuntimeError, match="already running"):
        second.start()
    assert world.aws.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_what_was_made_is_removed_with_its_stack(world):
    world.aws.client("cloudformation").delete_stack(StackName=STACK)
    assert world.aws.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert world.aws.client("scheduler").list_schedules()["Schedules"] == []
    assert world.aws.client("sns").list_subscriptions()["Subscriptions"] == []
    (leaving,) = world.aws.client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"][:1]
    assert leaving["DeletedDate"]
