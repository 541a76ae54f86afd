"""The org's secret, as a function reads it from Secrets Manager."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from massive_upload import container
from massive_upload.errors import CredentialsRejected
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


def test_a_value_that_is_no_json_is_refused_without_being_told(put_secret: Callable[..., None]) -> None:
    put_secret(SecretString="not-json-and-secret")
    with pytest.raises(CredentialsRejected, match="is not JSON") as refused:
        container.org()
    assert "not-json-and-secret" not in str(refused.value)


def test_a_secret_that_is_not_there_says_so(put_secret: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_ID", "another")
    with pytest.raises(CredentialsRejected, match="cannot be read: ResourceNotFoundException"):
        container.org()
