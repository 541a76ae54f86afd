"""What the commands for the deployed stack say when AWS does not do what was asked."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, SSOTokenLoadError

from cli.errors import UsageMistake
from cli.stack import Stack, aws_errors_as_mistakes, find_stack
from massive_upload.errors import InternalError


def refusal(code: str, operation: str = "UpdateItem") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "m"}}, operation)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refusal("ExpiredTokenException"), r"AWS refuses the credentials \(ExpiredTokenException\)\. Log in"),
        (refusal("UnrecognizedClientException"), "AWS refuses the credentials"),
        (refusal("AccessDeniedException"), r"do not allow UpdateItem \(AccessDeniedException\)"),
        (refusal("AccessDenied", "GetObject"), r"do not allow GetObject, or the file has expired \(AccessDenied\)"),
        (refusal("ThrottlingException"), "ThrottlingException.*try again"),
        (SSOTokenLoadError(profile_name="p", error_msg="m"), "There are no AWS credentials"),
        (EndpointConnectionError(endpoint_url="https://x"), 'Could not connect.*"https://x".*try again'),
    ],
)
@pytest.mark.parametrize("is_wrapped", [False, True], ids=["bare", "from an adapter"])
def test_what_aws_refuses_is_one_line_with_the_next_step(error, words, is_wrapped):
    def call() -> None:
        if not is_wrapped:
            raise error
        raise InternalError("The progress table refused a call.") from error

    with pytest.raises(UsageMistake, match=words) as told, aws_errors_as_mistakes():
        call()
    assert "\n" not in str(told.value)


def test_an_execution_that_is_not_known_yet_has_not_ended():
    answers: Iterator[ClientError | dict[str, str]] = iter(
        [refusal("ExecutionDoesNotExist"), {"status": "RUNNING"}, {"status": "FAILED"}, refusal("Other")]
    )

    def describe_execution(*, executionArn: str) -> dict[str, str]:  # noqa: N803 - as botocore has it
        assert executionArn == "arn"
        answer = next(answers)
        if isinstance(answer, ClientError):
            raise answer
        return answer

    session = SimpleNamespace(client=lambda *_, **__: SimpleNamespace(describe_execution=describe_execution))
    stack = Stack(cast("boto3.Session", session), "MassiveUpload", {})
    assert [stack.has_ended("arn") for _ in range(3)] == [False, False, True]
    with pytest.raises(ClientError):
        stack.has_ended("arn")


def test_a_defect_stays_a_defect():
    with pytest.raises(InternalError), aws_errors_as_mistakes():
        raise InternalError("a defect")


@pytest.mark.parametrize(
    ("named", "options"),
    [
        ({"name": "MassiveUpload", "region": None, "profile": None}, ""),
        ({"name": "MassiveUpload", "region": "eu-west-1", "profile": None}, ""),
        (
            {"name": "Other", "region": "eu-west-2", "profile": "the night"},
            " --stack Other --region eu-west-2 --profile 'the night'",
        ),
    ],
)
def test_a_command_names_what_another_shell_line_would_not_know(named, options, monkeypatch):
    """The region of the environment it knows."""
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    outputs = [{"OutputKey": key, "OutputValue": key} for key in ("TableName", "BucketName", "LoadMachineArn")]
    answer = {"Stacks": [{"StackStatus": "UPDATE_COMPLETE", "Outputs": outputs}]}
    session = SimpleNamespace(client=lambda *_, **__: SimpleNamespace(describe_stacks=lambda **_: answer))
    monkeypatch.setattr("cli.stack.boto3.Session", lambda **_: session)
    assert find_stack(**named).command("watch", "r") == f"massive-upload watch r{options}"
