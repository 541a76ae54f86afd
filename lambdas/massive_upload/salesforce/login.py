"""Gets an access token by either kind of credentials."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import jwt

from massive_upload.errors import CredentialsRejected
from massive_upload.salesforce.answers import Answer, as_text, read_object
from massive_upload.salesforce.credentials import NEXT_STEP, ClientSecret, Credentials, PrivateKey
from massive_upload.salesforce.error_codes import LOGIN_RULES, error_for
from massive_upload.salesforce.transport import Request, Response
from massive_upload.salesforce.urls import is_confidential

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - the path of the endpoint, no token

ASSERTION_SECONDS = 180
"""How long a signed assertion is valid; Salesforce takes at most 5 min (OAuth 2.0 JWT Bearer Flow)."""


@dataclass(frozen=True)
class Session:
    """A token, and where it is good for."""

    access_token: str = field(repr=False)
    instance_url: str
    org_id: str
    user_id: str
    issued_at_seconds: float

    @property
    def authorization(self) -> str:
        """The value of the Authorization header."""
        return f"Bearer {self.access_token}"


def log_in(credentials: Credentials, *, send: Callable[[Request], Response], now_seconds: float) -> Session:
    """Ask the org for a token.

    Args:
        credentials: of either kind.
        send: sends one request.
        now_seconds: the time, in seconds since 1970.

    Raises:
        CredentialsRejected: the org refused them, or the private key cannot be read.
        SalesforceUnavailable: the org did not answer, or with a server error.
        SalesforceBusy: too many requests.
        QuotaExhausted: the org's daily requests are used up.
    """
    request = Request(
        method="POST",
        url=f"{credentials.login_url}{TOKEN_PATH}",
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        body=urlencode(_grant(credentials, now_seconds)).encode(),
    )
    response = send(request)
    if not response.is_success:
        raise error_for(request.asked, response, LOGIN_RULES)
    answer = read_object(request.asked, response)
    access_token = as_text(answer.get("access_token"))
    if not access_token:
        raise CredentialsRejected(f"{request.asked}: the answer holds no access token.", next_step=NEXT_STEP)
    instance_url = _instance_url(answer, credentials.login_url)
    org_id, user_id = _identity(answer)
    return Session(
        access_token=access_token,
        instance_url=instance_url,
        org_id=org_id or urlsplit(instance_url).netloc,
        user_id=user_id,
        issued_at_seconds=now_seconds,
    )


def _grant(credentials: Credentials, now_seconds: float) -> dict[str, str]:
    if isinstance(credentials, ClientSecret):
        return {
            "grant_type": "client_credentials",
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
        }
    return {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": _assertion(credentials, now_seconds),
    }


def _assertion(credentials: PrivateKey, now_seconds: float) -> str:
    login = urlsplit(credentials.login_url)
    claims = {
        "iss": credentials.client_id,
        "sub": credentials.username,
        "aud": f"{login.scheme}://{login.netloc}",
        "exp": int(now_seconds) + ASSERTION_SECONDS,
    }
    try:
        return jwt.encode(claims, credentials.private_key, algorithm="RS256")
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise CredentialsRejected(
            "private_key of the org's secret is no unencrypted RSA key in PEM form.", next_step=NEXT_STEP
        ) from error


def _instance_url(answer: Answer, login_url: str) -> str:
    url = as_text(answer.get("instance_url")).rstrip("/") or login_url
    if "://" not in url:
        url = f"{urlsplit(login_url).scheme}://{url}"
    if not is_confidential(url):
        raise CredentialsRejected(
            "The login's answer leads to an address that is not https.",
            next_step="Use the https URL of the org's My Domain as login_url.",
        )
    return url


def _identity(answer: Answer) -> tuple[str, str]:
    """The ids of org and user from the identity URL, `https://HOST/id/ORG_ID/USER_ID`; empty where it tells none."""
    segments = urlsplit(as_text(answer.get("id"))).path.strip("/").split("/")
    return (segments[-2], segments[-1]) if len(segments) >= 3 and segments[-3] == "id" else ("", "")
