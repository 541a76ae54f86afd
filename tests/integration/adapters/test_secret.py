"""The org's secret, as a function reads it from Secrets Manager."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.parameters import GetParameterError
from botocore.exceptions import ClientError
from moto import mock_aws

from massive_upload import container
from massive_upload.errors import CredentialsRejected
from massive_upload.salesforce.transport import Request, RequestsTransport, Response
from massive_upload.usecases.org import Org
from tests.integration.adapters.stack import REGION

LOGIN = json.dumps({"login_url": "https://example.my.salesforce.com", "client_id": "id", "client_secret": "s"})


@pytest.fixture
def put_secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Gives the secret of a function's environment a value."""
    for name, value in {
        "TABLE_NAME": "t",
        "BUCKET_NAME": "b",
        "SECRET_ID": "org",
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        secrets: Any = boto3.client("secretsmanager", region_name=REGION)
        secrets.create_secret(Name="org", SecretString="{}")
        container._secrets.cache_clear()
        container._org.cache_clear()
        yield lambda **value: secrets.put_secret_value(SecretId="org", **value)
    container._secrets.cache_clear()
    container._org.cache_clear()


@pytest.mark.parametrize("value", [{"SecretString": LOGIN}, {"SecretBinary": LOGIN.encode()}], ids=["text", "binary"])
def test_the_login_is_taken_from_text_and_from_bytes(put_secret: Callable[..., None], value: dict[str, Any]) -> None:
    put_secret(**value)
    assert isinstance(container.org(), Org)


def test_the_connection_is_kept_while_the_secret_is(put_secret: Callable[..., None]) -> None:
    put_secret(SecretString=LOGIN)
    assert container.org() is container.org()


def test_a_secret_that_was_rotated_is_used_at_once_where_the_org_refuses_the_one_before(
    put_secret: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_secret(SecretString=LOGIN)
    connection = container.org()
    put_secret(SecretString=LOGIN.replace('"s"', '"rotated"'))
    monkeypatch.setattr(RequestsTransport, "send", accepts("rotated"))
    assert container.org() is connection, "it is not looked at for five minutes"
    assert connection.org_id == "00D"
    assert container.org().org_id == "00D"


def accepts(client_secret: str) -> Callable[[RequestsTransport, Request], Response]:
    """An org's answers to logins."""

    def send(_: RequestsTransport, request: Request) -> Response:
        if f"client_secret={client_secret}".encode() not in (request.body or b""):
            return Response(status=401, body=b'{"error": "invalid_client"}')
        return Response(status=200, body=b'{"access_token": "t", "id": "https://example.com/id/00D/005"}')

    return send


@pytest.mark.parametrize("value", ["[1]", '"text"', "7", "null"])
def test_a_value_that_is_no_object_is_refused_without_being_told(put_secret: Callable[..., None], value: str) -> None:
    put_secret(SecretString=value)
    with pytest.raises(CredentialsRejected, match=r"no JSON object.*login_url") as refused:
        container.org()
    assert value not in str(refused.value)


def test_a_value_that_is_no_json_is_refused_without_being_told(put_secret: Callable[..., None]) -> None:
    put_secret(SecretString="not-json-and-secret")
    with pytest.raises(CredentialsRejected, match="is not JSON") as refused:
        container.org()
    assert "not-json-and-secret" not in str(refused.value)


def test_a_secret_that_is_not_there_says_so(put_secret: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_ID", "another")
    with pytest.raises(CredentialsRejected, match=r"cannot be read: ResourceNotFoundException.*login_url"):
        container.org()


def test_a_secret_that_may_not_be_read_is_not_to_be_overwritten(put_secret: Callable[..., None]) -> None:
    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetSecretValue")
    error = GetParameterError("no")
    error.__cause__ = denied
    told = str(container._secret_error(error))
    assert "cannot be read: AccessDeniedException" in told
    assert "may read the secret" in told
    assert "login_url" not in told
