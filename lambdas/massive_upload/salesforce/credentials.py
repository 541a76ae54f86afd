"""The two ways to log in to an org without a person, and the secret that holds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from massive_upload.errors import CredentialsRejected
from massive_upload.salesforce.urls import is_confidential

NEXT_STEP = "Correct the org's secret: {login_url, client_id} and either client_secret or private_key with username."


@dataclass(frozen=True)
class ClientSecret:
    """OAuth 2.0 client credentials flow; the app's run-as user does the work."""

    login_url: str
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True)
class PrivateKey:
    """OAuth 2.0 JWT bearer flow; `private_key` is an unencrypted RSA key in PEM form."""

    login_url: str
    client_id: str
    username: str
    private_key: str = field(repr=False)


_SHARED_LOGIN_HOSTS = ("login.salesforce.com", "test.salesforce.com")
"""They do not serve the client credentials flow (Salesforce Help, "OAuth 2.0 Client Credentials Flow")."""

Credentials = ClientSecret | PrivateKey


def parse_credentials(secret: Mapping[str, object]) -> Credentials:
    """Read the org's secret.

    Raises:
        CredentialsRejected: a value is missing or wrong; the message names the key, never a value.
    """
    login_url = _login_url(secret)
    client_id = _required(secret, "client_id")
    has_client_secret, has_private_key = (bool(_text(secret, key)) for key in ("client_secret", "private_key"))
    if has_client_secret and has_private_key:
        raise CredentialsRejected("The org's secret holds both client_secret and private_key.", next_step=NEXT_STEP)
    if has_private_key:
        return PrivateKey(
            login_url=login_url,
            client_id=client_id,
            username=_required(secret, "username"),
            # A key pasted into a JSON editor often arrives with its line breaks escaped twice.
            private_key=_required(secret, "private_key").replace("\\n", "\n"),
        )
    if has_client_secret and urlsplit(login_url).hostname in _SHARED_LOGIN_HOSTS:
        raise CredentialsRejected(
            "login_url of the org's secret is the shared login host, which does not serve client credentials.",
            next_step="Give the org's My Domain, such as https://example.my.salesforce.com.",
        )
    if has_client_secret:
        return ClientSecret(login_url=login_url, client_id=client_id, client_secret=_required(secret, "client_secret"))
    raise CredentialsRejected("The org's secret holds neither client_secret nor private_key.", next_step=NEXT_STEP)


def _login_url(secret: Mapping[str, object]) -> str:
    url = _required(secret, "login_url").rstrip("/")
    if not is_confidential(url) or "?" in url or "#" in url:
        raise CredentialsRejected(
            "login_url of the org's secret is not an https URL such as https://example.my.salesforce.com.",
            next_step=NEXT_STEP,
        )
    return url


def _required(secret: Mapping[str, object], key: str) -> str:
    value = _text(secret, key)
    if not value:
        raise CredentialsRejected(f"The org's secret lacks {key}.", next_step=NEXT_STEP)
    return value


def _text(secret: Mapping[str, object], key: str) -> str:
    value = secret.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CredentialsRejected(f"{key} of the org's secret is not a text.", next_step=NEXT_STEP)
    return value.strip()
