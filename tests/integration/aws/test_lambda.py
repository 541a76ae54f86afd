"""Lambda: handlers run in processes of their own and fail as AWS shows it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from local.aws.identity import REGION, function_access_key
from tests.integration.aws.assembly import Assembly, one_task
from tests.integration.aws.world import World

os.environ["ONLY_ON_THE_HOST"] = "visible"


CLIENT = """
import os

import boto3

client = boto3.client("dynamodb")

def handler(event, context):
    config = client.meta.config
    return {
        "cwd": os.getcwd(),
        "endpoint": client.meta.endpoint_url,
        "region": client.meta.region_name,
        "key": boto3.DEFAULT_SESSION.get_credentials().access_key,
        "retry_mode": config.retries["mode"],
        "user_agent": config.user_agent,
    }
"""


def build(assembly: Assembly) -> None:
    assembly.function(
        "Tell",
        """
        import os, sys, time

        def handler(event, context):
            return {
                "environment": dict(os.environ),
                "zone": time.tzname[0],
                "cwd": os.getcwd(),
                "path": sys.path,
                "context": {
                    "function_name": context.function_name,
                    "memory": context.memory_limit_in_mb,
                    "arn": context.invoked_function_arn,
                    "request_id": context.aws_request_id,
                    "log_group": context.log_group_name,
                    "log_stream": context.log_stream_name,
                    "remaining_ms": context.get_remaining_time_in_millis(),
                },
            }
        """,
        environment={"STAGE": "test"},
    )
    assembly.function(
        "Fail",
        """
        class OrgIsBusy(Exception):
            pass

        def handler(event, context):
            print("about to fail")
            raise OrgIsBusy("come again")
        """,
    )
    assembly.function("Slow", "import time\ndef handler(event, context):\n    time.sleep(30)\n", timeout_seconds=1)
    assembly.function("Exit", "import os\ndef handler(event, context):\n    os._exit(3)\n")
    assembly.function("Odd", "def handler(event, context):\n    return object()\n")
    assembly.function("Big", "def handler(event, context):\n    return 'x' * event['size']\n")
    assembly.function("Broken", "import no_such_library\n")
    assembly.function("Nameless", "", handler="handlers.main.missing")
    assembly.function(
        "Project",
        """
        import importlib

        def handler(event, context):
            found = []
            for name in ("cli", "infra", "local", "massive_upload", "tests", "boto3"):
                try:
                    importlib.import_module(name)
                    found.append(name)
                except ImportError:
                    pass
            return found
        """,
    )
    assembly.function(
        "Store",
        """
        import boto3

        def handler(event, context):
            boto3.client("s3").put_object(Bucket=event["bucket"], Key="k", Body=b"from the worker")
        """,
        timeout_seconds=30,
    )
    for name in ("Client", "OtherClient"):
        assembly.function(name, CLIENT, environment={"AWS_RETRY_MODE": "adaptive" if name == "Client" else "standard"})
    assembly.function(
        "Pid",
        """
        import os
        seen = []

        def handler(event, context):
            seen.append(1)
            return {"pid": os.getpid(), "invocations": len(seen)}
        """,
    )
    for name in ("Fail", "Slow", "Exit"):
        assembly.machine(f"Bare{name}", one_task(f"${{{name}.Arn}}"))
        parameters = {"FunctionName": f"${{{name}.Arn}}", "Payload": {}}
        assembly.machine(f"Invoke{name}", one_task("arn:aws:states:::lambda:invoke", Parameters=parameters))
    assembly.resources["Bucket"] = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "files"}}


def invoke(world: World, function: str, payload: Any = None) -> tuple[str | None, Any]:
    answer = world.aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(payload or {}))
    return answer.get("FunctionError"), json.loads(answer["Payload"].read())


def test_a_function_sees_nothing_of_the_hosts_environment(world):
    error, told = invoke(world, "Tell")
    environment = told["environment"]
    assert error is None
    assert not {"ONLY_ON_THE_HOST", "HOME", "HTTP_PROXY", "VIRTUAL_ENV", "PYTHONPATH"} & set(environment)
    assert environment["STAGE"] == "test"
    assert environment["AWS_ENDPOINT_URL"] == world.aws.access.endpoint_url
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "Tell"
    assert environment["LAMBDA_TASK_ROOT"] == told["cwd"] == told["path"][0]
    assert told["zone"] == "UTC"


def test_the_context_describes_the_function(world):
    _, told = invoke(world, "Tell")
    context = told["context"]
    assert context["function_name"] == "Tell"
    assert context["memory"] == "256"
    assert context["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:Tell"
    assert context["log_group"] == "/aws/lambda/Tell"
    assert context["log_stream"].count("/") >= 3
    assert 0 < context["remaining_ms"] <= 5000


def test_a_handler_imports_its_asset_and_libraries_but_not_the_projects_source(world):
    assert invoke(world, "Project") == (None, ["boto3"])


def test_the_working_directory_of_the_driver_is_no_import_path(world):
    _, told = invoke(world, "Tell")
    assert "" not in told["path"]
    assert str(Path.cwd()) not in told["path"]


def test_an_environment_is_used_again(world):
    _, first = invoke(world, "Pid")
    _, second = invoke(world, "Pid")
    assert second == {"pid": first["pid"], "invocations": first["invocations"] + 1}


def test_a_handler_reaches_the_embedded_aws_over_http(world):
    error, _ = invoke(world, "Store", {"bucket": "files"})
    assert error is None
    stored = world.aws.client("s3").get_object(Bucket="files", Key="k")["Body"]
    assert stored.read() == b"from the worker"


def test_a_client_goes_by_its_functions_own_environment_though_the_code_is_shared(world):
    _, one = invoke(world, "Client")
    _, other = invoke(world, "OtherClient")
    assert (one["retry_mode"], other["retry_mode"]) == ("adaptive", "standard")
    assert (one["key"], other["key"]) == (function_access_key("Client"), function_access_key("OtherClient"))
    assert one["cwd"] == other["cwd"]
    for told in (one, other):
        assert (told["endpoint"], told["region"]) == (world.aws.access.endpoint_url, REGION)
        assert "exec-env/AWS_Lambda_python3.11" in told["user_agent"]


def test_an_exception_is_described_with_its_class_name(world):
    error, body = invoke(world, "Fail")
    assert error == "Unhandled"
    assert (body["errorType"], body["errorMessage"]) == ("OrgIsBusy", "come again")
    assert "raise OrgIsBusy" in "".join(body["stackTrace"])


def test_a_function_that_exceeds_its_timeout_is_killed(world):
    error, body = invoke(world, "Slow")
    assert error == "Unhandled"
    assert body["errorType"] == "Sandbox.Timedout"
    assert body["errorMessage"].startswith("RequestId: ")
    assert body["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")


@pytest.mark.parametrize(
    ("function", "payload", "error_type"),
    [
        ("Exit", {}, "Runtime.ExitError"),
        ("Odd", {}, "Runtime.MarshalError"),
        ("Broken", {}, "Runtime.ImportModuleError"),
        ("Nameless", {}, "Runtime.HandlerNotFound"),
        ("Big", {"size": 6_291_555}, "Function.ResponseSizeTooLarge"),
    ],
)
def test_what_breaks_a_function_has_lambdas_name(world, function, payload, error_type):
    error, body = invoke(world, function, payload)
    assert error == "Unhandled"
    assert body["errorType"] == error_type


def test_a_response_below_the_limit_passes(world):
    error, body = invoke(world, "Big", {"size": 5_900_000})
    assert error is None
    assert len(body) == 5_900_000


@pytest.mark.parametrize("form", ["Bare", "Invoke"])
@pytest.mark.parametrize(
    ("function", "name"), [("Fail", "OrgIsBusy"), ("Slow", "Sandbox.Timedout"), ("Exit", "Runtime.ExitError")]
)
def test_a_state_machine_sees_the_error_by_its_name(world, form, function, name):
    result = world.run(f"{form}{function}")
    assert (result.status, result.error) == ("FAILED", name)
    assert json.loads(result.cause)["errorType"] == name


def test_an_asynchronous_invocation_is_tried_three_times(world):
    before = world.aws.figures.lambda_invocations.get("Fail", 0)
    answer = world.aws.client("lambda").invoke(FunctionName="Fail", InvocationType="Event", Payload=b"{}")
    assert answer["StatusCode"] == 202
    assert world.aws.has_invocations_in_hand
    while world.aws.has_invocations_in_hand:
        pass
    assert world.aws.figures.lambda_invocations["Fail"] == before + 3


def test_output_goes_to_the_functions_log(world):
    invoke(world, "Fail")
    log = (world.aws._log_dir / "Fail.log").read_text()
    assert "about to fail\n" in log
    assert "[ERROR] OrgIsBusy: come again" in log


def test_the_peak_memory_of_a_function_is_measured(world):
    invoke(world, "Tell")
    assert world.aws.figures.lambda_peak_memory_bytes["Tell"] > 1_000_000


def test_an_unknown_function_is_lambdas_error(world):
    client = world.aws.client("lambda")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="Nobody", Payload=b"{}")
