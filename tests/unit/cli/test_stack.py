"""What the commands for the deployed stack say when AWS does not do what was asked."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, SSOTokenLoadError

from cli.errors import UsageMistake
from cli.stack import Stack, aws_errors_as_mistakes
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
    ("name", "command"),
    [("MassiveUpload", "massive-upload watch r"), ("Other", "massive-upload watch r --stack Other")],
)
def test_a_command_names_a_stack_of_another_name(name, command):
    assert Stack(None, name, {}).command("watch", "r") == command  # type: ignore[arg-type]  # no call is made
