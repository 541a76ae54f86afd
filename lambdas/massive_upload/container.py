"""Builds what the handlers work with, once for each execution environment of a function."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import boto3
from aws_lambda_powertools.utilities import parameters
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from massive_upload.adapters.aws import S3Files, StepFunctionsExecutions, SystemClock
from massive_upload.adapters.aws_errors import error_code, is_passing
from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.adapters.dynamodb_table import Table
from massive_upload.domain.load import Load, LoadSequence
from massive_upload.errors import CredentialsRejected, InternalError, InvalidLoad, LoadError, StorageUnavailable
from massive_upload.ports import Clock, Executions, Files, ProgressStore
from massive_upload.salesforce.connection import Connection
from massive_upload.salesforce.credentials import Credentials, parse_credentials
from massive_upload.settings import OrgSettings, Settings
from massive_upload.usecases.org import Org
from massive_upload.usecases.planning.request import PlanServices
from massive_upload.usecases.run_config import RunConfigs
from massive_upload.usecases.slice_tasks import SliceServices

if TYPE_CHECKING:
    from botocore.client import BaseClient

SECRET_MAX_AGE_SECONDS = 300
"""A secret that was changed is used after five minutes at most, and at once where the org refuses the one before."""

_HOW_TO_PUT = 'Give it the value {"login_url": ..., "client_id": ..., "client_secret": ...}.'

_MAY_NOT_READ = "Look whether the function's role may read the secret and use its key; both are in the deployed stack."
_SECRET_ADVICE = {
    "AccessDeniedException": _MAY_NOT_READ,
    "DecryptionFailure": _MAY_NOT_READ,
    "InvalidRequestException": "Where it is marked for deletion, restore it: aws secretsmanager restore-secret.",
    "ResourceNotFoundException": _HOW_TO_PUT,
}
"""What to do about an error of GetSecretValue (Secrets Manager, API reference)."""

_LOADS = Path(__file__).resolve().parent.parent / "loads"
"""The compiled loads are packed beside the code."""

_SEQUENCES = _LOADS.with_name("sequences")

CALLS = Config(
    connect_timeout=3,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 3},
    parameter_validation=False,  # AWS does it too; a profile of benchmarks/data_path.py had 8 % of a call in it
    s3={"payload_signing_enabled": False},  # over https, what is uploaded is signed in no case
)
"""How AWS is called."""


@cache
def store() -> ProgressStore:
    """The progress table."""
    settings = Settings.from_environment()
    return DynamoDbProgress(Table(_client("dynamodb"), settings.table_name), clock())


@cache
def files() -> Files:
    """The bucket."""
    return S3Files(_client("s3"), Settings.from_environment().bucket_name)


@cache
def configs() -> RunConfigs:
    """The frozen configurations of runs."""
    return RunConfigs(files())


@cache
def executions() -> Executions:
    """Executions of the state machines."""
    return StepFunctionsExecutions(_client("stepfunctions"))


@cache
def clock() -> Clock:
    """The machine's clock."""
    return SystemClock()


def slice_services() -> SliceServices:
    """What the tasks of a slice work with."""
    return SliceServices(store=store(), files=files(), configs=configs(), org=org(), clock=clock())


def plan_services() -> PlanServices:
    """What PlanRun works with."""
    return PlanServices(
        tasks=slice_services(),
        executions=executions(),
        load_named=load_named,
        sequence_named=sequence_named,
    )


def org() -> Org:
    """The org of the secret; its connection, and so its token, is kept while the secret stays the same."""
    return _org(_secret())


def invoke_later(function_name: str, payload: bytes) -> None:
    """Let another function do something, without waiting for it."""
    _lambda().invoke(FunctionName=function_name, InvocationType="Event", Payload=payload)


def load_named(name: str) -> Load:
    """A load of the deployed stack.

    Raises:
        InvalidLoad: there is none of this name.
    """
    known = {path.stem: path for path in sorted(_LOADS.glob("*.json"))}
    if name not in known:
        sequences = [path.stem for path in sorted(_SEQUENCES.glob("*.json"))]
        raise InvalidLoad(
            f"There is no load {name!r}.",
            next_step=f"Deployed are: {', '.join([*known, *sequences]) or 'none'}; see loads/*.yaml.",
        )
    return Load.model_validate_json(known[name].read_bytes())


def sequence_named(name: str) -> LoadSequence | None:
    """A sequence of loads of the deployed stack; None where the name is none's."""
    known = {path.stem: path for path in _SEQUENCES.glob("*.json")}
    return LoadSequence.model_validate_json(known[name].read_bytes()) if name in known else None


@cache
def _secrets() -> parameters.SecretsProvider:
    """With a client of the session that all have, as one of its own would read AWS's descriptions once more."""
    return parameters.SecretsProvider(boto3_client=_client("secretsmanager"))


@cache
def _lambda() -> Any:  # noqa: ANN401 - botocore makes its clients' classes at run time
    return _client("lambda")


@cache
def _org(secret: str | bytes) -> Org:
    return Org(Connection(_credentials(secret), latest_credentials=lambda: _credentials(_secret(is_fresh=True))))


def _secret(*, is_fresh: bool = False) -> str | bytes:
    """The secret's value; as Secrets Manager has it now where `is_fresh`, else perhaps as it was minutes ago."""
    secret_id = OrgSettings.from_environment().secret_id
    try:
        secret = _secrets().get(secret_id, max_age=SECRET_MAX_AGE_SECONDS, force_fetch=is_fresh)
    except parameters.GetParameterError as error:
        raise _secret_error(error) from error
    return cast("str | bytes", secret)  # nothing is asked to be transformed


def _credentials(secret: str | bytes) -> Credentials:
    try:
        values = json.loads(secret)
    except ValueError as error:
        raise CredentialsRejected("The org's secret is not JSON.", next_step=_HOW_TO_PUT) from error
    if not isinstance(values, dict):
        raise CredentialsRejected("The org's secret is no JSON object.", next_step=_HOW_TO_PUT)
    return parse_credentials(values)


def _secret_error(error: parameters.GetParameterError) -> LoadError:
    """Powertools wraps whatever went wrong; the cause is botocore's error."""
    cause = error.__cause__ or error.__context__
    if not isinstance(cause, (ClientError, BotoCoreError)):
        return InternalError("The org's secret could not be read.", next_step="See the function's log.")
    code = error_code(cause)
    if is_passing(cause):
        return StorageUnavailable(f"Secrets Manager did not answer: {code}.", code=code)
    return CredentialsRejected(
        f"The org's secret cannot be read: {code}.",
        next_step=_SECRET_ADVICE.get(code, "Look at the secret in Secrets Manager."),
        code=code,
    )


def _client(service: str) -> BaseClient:
    client: BaseClient = boto3.client(service, config=CALLS)  # type: ignore[call-overload]  # chosen at run time
    return client
