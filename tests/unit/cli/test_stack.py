"""What the commands for the deployed stack say when AWS does not do what was asked."""

from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, SSOTokenLoadError

from cli.errors import UsageMistake
from cli.stack import aws_errors_as_mistakes, find_stack
from massive_upload.errors import InternalError


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "m"}}, "UpdateItem")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refusal("ExpiredTokenException"), r"AWS refuses the credentials \(ExpiredTokenException\)\. Log in"),
        (refusal("UnrecognizedClientException"), "AWS refuses the credentials"),
        (refusal("AccessDeniedException"), r"do not allow UpdateItem \(AccessDeniedException\)"),
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
