"""The deployed stack, found by its name through its outputs."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from cli.errors import UsageMistake
from cli.local_options import REGION_VARIABLE
from cli.synthesis import STACK_NAME
from massive_upload.adapters.aws import S3Files, SystemClock
from massive_upload.adapters.aws_errors import error_code
from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.adapters.dynamodb_table import Table
from massive_upload.errors import LoadError

_OUTPUTS = ("TableName", "BucketName", "LoadMachineArn")
_CALLS = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 4})

_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    SSOError,
)
_REFUSED_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
"""As CloudFormation, DynamoDB, Step Functions and S3 call them (their API references, "Common Errors")."""
_FORBIDDEN = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_LOG_IN = "Log in with 'aws sso login' or 'aws configure', or name another profile with --profile."


@dataclass(frozen=True, kw_only=True)
class ExecutionState:
    """How an execution of the load machine stands; an error once it has failed."""

    status: str
    error: str | None
    cause: str | None
    mode: str | None = None
    """Which its input asked for, where it did."""

    @property
    def has_ended(self) -> bool:
        """Whether it goes on no more."""
        return self.status != "RUNNING"


class Stack:
    """A deployed stack: its progress table, its bucket and its load machine."""

    def __init__(
        self, session: boto3.Session, name: str, outputs: Mapping[str, str], *, options: Sequence[str] = ()
    ) -> None:
        self._session = session
        self._outputs = outputs
        self._options = options
        self.name = name

    def command(self, *words: str) -> str:
        """How a command for this stack is written, for a shell."""
        return shlex.join(["massive-upload", *words, *self._options])

    @cached_property
    def store(self) -> DynamoDbProgress:
        """The progress table."""
        return DynamoDbProgress(Table(_client(self._session, "dynamodb"), self._outputs["TableName"]), SystemClock())

    @cached_property
    def files(self) -> S3Files:
        """The bucket."""
        return S3Files(_client(self._session, "s3"), self._outputs["BucketName"])

    @property
    def bucket_name(self) -> str:
        """The bucket's name."""
        return self._outputs["BucketName"]

    def start(self, payload: Mapping[str, object], name: str) -> str:
        """Start an execution of the load machine, and return its ARN.

        Raises:
            UsageMistake: there has been an execution of this name.
        """
        try:
            answer = self._machines.start_execution(
                stateMachineArn=self._outputs["LoadMachineArn"], name=name, input=json.dumps(payload)
            )
        except ClientError as error:
            if error_code(error) != "ExecutionAlreadyExists":
                raise
            raise UsageMistake(f"There has been an execution named {name!r}; give another --run-id.") from error
        return str(answer["executionArn"])

    def execution(self, arn: str) -> ExecutionState:
        """How an execution stands."""
        answer = self._machines.describe_execution(executionArn=arn)
        given = json.loads(answer.get("input") or "{}")
        return ExecutionState(
            status=answer["status"],
            error=answer.get("error"),
            cause=answer.get("cause"),
            mode=given.get("mode") if isinstance(given, dict) else None,
        )

    def execution_named(self, name: str) -> ExecutionState | None:
        """How the execution of a name stands; None where there is none, or where Step Functions has forgotten it."""
        machine = self._outputs["LoadMachineArn"]
        try:
            return self.execution(f"{machine.replace(':stateMachine:', ':execution:')}:{name}")
        except ClientError as error:
            if error_code(error) not in {"ExecutionDoesNotExist", "InvalidArn"}:
                raise
            return None

    def failed_executions(self, most: int) -> list[tuple[str, datetime]]:
        """The executions that have failed last, the newest first: their names, and when they began."""
        arn = self._outputs["LoadMachineArn"]
        answer = self._machines.list_executions(stateMachineArn=arn, statusFilter="FAILED", maxResults=most)
        return [(str(each["name"]), each["startDate"]) for each in answer["executions"]]

    def has_ended(self, arn: str) -> bool:
        """Whether an execution that was just started has ended already; Step Functions may know nothing of it yet.

        DescribeExecution is eventually consistent (API reference).
        """
        try:
            return self.execution(arn).has_ended
        except ClientError as error:
            if error_code(error) != "ExecutionDoesNotExist":
                raise
            return False

    @cached_property
    def _machines(self) -> Any:  # noqa: ANN401 - botocore makes its clients' classes at run time
        return _client(self._session, "stepfunctions")


def find_stack(name: str, *, region: str | None, profile: str | None) -> Stack:
    """Look a stack up.

    Args:
        name: the stack's name.
        region: its region; by default that of the AWS configuration.
        profile: which profile of the AWS configuration logs in.

    Raises:
        UsageMistake: there is no such stack here, or it is no stack of this product.
        BotoCoreError, ClientError: AWS did not answer; see `aws_errors_as_mistakes`.
    """
    session = boto3.Session(profile_name=profile, region_name=region)
    try:
        (stack,) = _client(session, "cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error_code(error) != "ValidationError":  # how CloudFormation answers for a stack that it does not know
            raise
        raise UsageMistake(
            f"There is no stack {name!r} in {session.region_name}; deploy it, or give --stack, --region or --profile."
        ) from error
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if not set(_OUTPUTS) <= set(outputs):
        raise UsageMistake(
            f"The stack {name!r} is {stack['StackStatus']} and has no outputs of massive-upload; "
            "wait for its deployment to end, or give the right --stack."
        )
    return Stack(session, name, outputs, options=_options(name, region, profile))


def _options(name: str, region: str | None, profile: str | None) -> list[str]:
    """The options by which another command finds the same stack from the same shell."""
    given = {
        "--stack": name if name != STACK_NAME else None,
        "--region": region if region != os.environ.get(REGION_VARIABLE) else None,
        "--profile": profile,
    }
    return [word for option, value in given.items() if value is not None for word in (option, value)]


@contextmanager
def aws_errors_as_mistakes() -> Iterator[None]:
    """Say in one line what AWS refused, and what to do about it.

    Raises:
        UsageMistake: instead of botocore's errors, and of those that the adapters make of them.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise UsageMistake(_explanation(error)) from error
    except LoadError as error:
        if isinstance(error.__cause__, (ClientError, BotoCoreError)):
            raise UsageMistake(_explanation(error.__cause__)) from error
        raise


def _explanation(error: ClientError | BotoCoreError) -> str:
    code = error_code(error)
    if isinstance(error, ProfileNotFound):
        return f"{error}; 'aws configure list-profiles' names those that there are."
    if isinstance(error, NoRegionError):
        return "No AWS region is set; give --region, or set AWS_REGION."
    if isinstance(error, _NO_CREDENTIALS):
        return f"There are no AWS credentials ({code}). {_LOG_IN}"
    if code in _REFUSED_CREDENTIALS:
        return f"AWS refuses the credentials ({code}). {_LOG_IN}"
    if isinstance(error, ClientError) and code in _FORBIDDEN:
        # S3 answers so for an object that is gone, too, where one may not list the bucket (API reference, GetObject).
        or_gone = ", or the file has expired" if error.operation_name == "GetObject" else ""
        return (
            f"The credentials do not allow {error.operation_name}{or_gone} ({code}). "
            "Ask for what docs/architecture.md lists under 'What the command line needs', or name another --profile."
        )
    return f"AWS did not do what was asked: {error}. Whatever goes on there goes on; try again."


def _client(session: boto3.Session, service: str) -> Any:  # noqa: ANN401 - botocore makes its clients' classes at run time
    return session.client(service, config=_CALLS)  # type: ignore[call-overload]  # chosen at run time
