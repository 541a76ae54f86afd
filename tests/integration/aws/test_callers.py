"""Who may call the embedded AWS: its port is open to every user of the machine."""

import json
import subprocess
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from local.aws.identity import ACCESS_KEY_ID, ACCOUNT_ID, REGION, Access, function_access_key
from tests.integration.aws.assembly import Assembly
from tests.integration.aws.world import World

LOGIN = '{"client_secret": "of the org"}'
ROW = "a row of somebody"
KEY = {"AttributeName": "pk", "KeyType": "HASH"}
RUN = f"arn:aws:states:{REGION}:{ACCOUNT_ID}:execution"
MACHINE = "Echo"


def build(assembly: Assembly) -> None:
    assembly.function("Tell", "import os\ndef handler(event, context):\n    return dict(os.environ)\n")
    assembly.machine(MACHINE, {"StartAt": "Say", "States": {"Say": {"Type": "Pass", "Result": ROW, "End": True}}})
    assembly.resources["Bucket"] = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "files"}}
    assembly.resources["Login"] = {
        "Type": "AWS::SecretsManager::Secret",
        "Properties": {"Name": "login", "SecretString": LOGIN},
    }
    assembly.resources["Table"] = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "TableName": "rows",
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [KEY],
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        },
    }


@pytest.fixture(scope="module", autouse=True)
def rows(world: World) -> None:
    world.aws.client("s3").put_object(Bucket="files", Key="staged.csv", Body=ROW.encode())
    world.aws.client("dynamodb").put_item(TableName="rows", Item={"pk": {"S": ROW}})
    world.run(MACHINE, name="done")


def ask(
    world: World, service: str, method: str, path: str, headers: Mapping[str, str], body: str
) -> tuple[int, HTTPMessage, str]:
    """A request as anybody can make it: the keys are in the source, the signature is made up."""
    credential = f"{headers.get('key', ACCESS_KEY_ID)}/20261128/{REGION}/{service}/aws4_request"
    connection = HTTPConnection(world.aws.access.endpoint_url.removeprefix("http://"))
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"}
    connection.request(method, path, body, {**signed, **headers})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def target(name: str) -> dict[str, str]:
    return {"X-Amz-Target": name, "Content-Type": "application/x-amz-json-1.1"}


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ASSUME = f"Action=AssumeRole&Version=2011-06-15&RoleSessionName=me&RoleArn=arn:aws:iam::{ACCOUNT_ID}:role/any"
REQUESTS = {
    "a secret": ("secretsmanager", "POST", "/", target("secretsmanager.GetSecretValue"), '{"SecretId": "login"}'),
    "a table": ("dynamodb", "POST", "/", target("DynamoDB_20120810.Scan"), '{"TableName": "rows"}'),
    "the files of a bucket": ("s3", "GET", "/files", {}, ""),
    "a file": ("s3", "GET", "/files/staged.csv", {}, ""),
    "the output of an execution": (
        "states",
        "POST",
        "/",
        target("AWSStepFunctions.DescribeExecution"),
        json.dumps({"executionArn": f"{RUN}:{MACHINE}:done"}),
    ),
    "a function": ("lambda", "POST", "/2015-03-31/functions/Tell/invocations", {}, "{}"),
    "the stacks": ("cloudformation", "POST", "/", FORM, "Action=DescribeStacks&Version=2010-05-15"),
    "credentials of a role": ("sts", "POST", "/", FORM, ASSUME),
    "what moto itself offers": ("moto", "POST", "/moto-api/reset", {}, ""),
}
MADE_UP = {
    "no session token": {},
    "another session token": {"X-Amz-Security-Token": "made-up"},
    "an empty one": {"X-Amz-Security-Token": ""},
    "one that is no text": {"X-Amz-Security-Token": "\xff"},
    "the key of a function": {"key": function_access_key("Tell")},
}


@pytest.mark.parametrize("credentials", MADE_UP.values(), ids=MADE_UP)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_made_up_credentials_are_told_nothing_but_what_is_missing(world, request_, credentials):
    service, method, path, headers, body = request_
    counted = world.aws.figures.service_requests
    status, answered, text = ask(world, service, method, path, {**headers, **credentials}, body)
    assert (status, answered["x-amzn-ErrorType"]) == (403, "InvalidClientTokenId")
    assert "no session token of this embedded AWS (header X-Amz-Security-Token)" in text
    assert not any(word in text for word in ("of the org", ROW, "staged", world.aws.access.session_token))
    assert world.aws.figures.service_requests == counted


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_without_any_credentials_nothing_is_told(world, request_):
    _, method, path, headers, body = request_
    status, _, text = ask(world, "any", method, path, {**headers, "Authorization": ""}, body)
    assert status == 403
    assert "no session token" in text


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("secretsmanager", "get_secret_value", {"SecretId": "login"}),
        ("s3", "list_objects_v2", {"Bucket": "files"}),
        ("lambda", "invoke", {"FunctionName": "Tell"}),
        ("cloudformation", "describe_stacks", {}),
        ("sts", "get_caller_identity", {}),
    ],
)
def test_each_protocol_has_the_code_and_the_reason(world, service, operation, arguments):
    stranger = Access(world.aws.access.endpoint_url, "made-up").client(service)
    with pytest.raises(ClientError, match="no session token of this embedded AWS") as refused:
        getattr(stranger, operation)(**arguments)
    assert refused.value.response["Error"]["Code"] == "InvalidClientTokenId"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_who_has_the_session_token_is_answered(world):
    assert world.aws.client("secretsmanager").get_secret_value(SecretId="login")["SecretString"] == LOGIN
    told = json.loads(world.aws.client("lambda").invoke(FunctionName="Tell", Payload=b"{}")["Payload"].read())
    assert told["AWS_SESSION_TOKEN"] == world.aws.access.session_token


def test_the_variables_are_all_that_aws_own_command_line_needs(world, tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **world.aws.access.variables()}
    command = [sys.executable, "-m", "awscli", "s3", "ls", "s3://files"]
    assert "staged.csv" in subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_a_presigned_url_is_as_good_as_its_signer(world):
    url = world.aws.client("s3").generate_presigned_url("get_object", {"Bucket": "files", "Key": "staged.csv"})
    path = url.removeprefix(world.aws.access.endpoint_url)
    assert ask(world, "s3", "GET", path, {"Authorization": ""}, "")[::2] == (200, ROW)
    stranger = Access(world.aws.access.endpoint_url, "made-up").client("s3")
    url = stranger.generate_presigned_url("get_object", {"Bucket": "files", "Key": "staged.csv"})
    assert ask(world, "s3", "GET", url.removeprefix(world.aws.access.endpoint_url), {"Authorization": ""}, "")[0] == 403


def test_a_role_that_was_assumed_with_the_token_has_one_of_its_own(world):
    """As the CDK does."""
    role = world.aws.client("sts").assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT_ID}:role/any", RoleSessionName="cdk")
    given = role["Credentials"]
    session = boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=REGION)
    secrets = session.client("secretsmanager", endpoint_url=world.aws.access.endpoint_url)
    assert secrets.get_secret_value(SecretId="login")["SecretString"] == LOGIN


def test_the_session_token_is_in_no_file_and_no_command_line(world):
    world.aws.client("lambda").invoke(FunctionName="Tell", Payload=b"{}")
    token = world.aws.access.session_token
    assert token not in repr(world.aws.access)
    files = [path for path in world.aws._work_dir.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if token.encode() in path.read_bytes()]
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert token.encode() not in arguments.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile


def test_each_embedded_aws_has_a_token_of_its_own(world, tmp_path):
    making = """
import sys
from pathlib import Path
from local.aws.embedded import EmbeddedAws
with EmbeddedAws(work_dir=Path(sys.argv[1])) as aws:
    print(aws.access.session_token)
"""
    command = [sys.executable, "-c", making, str(tmp_path)]
    other = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert len(other) >= 43  # 256 bits
    assert other != world.aws.access.session_token
