import secrets
from base64 import b64decode
from collections.abc import Callable, Mapping
from threading import Lock

import jwt

from local.org.clock import OrgClock
from local.org.credentials import CLIENT_ID, CLIENT_SECRET, USERNAME
from local.org.errors import OAuthError, session_expired

ORG_ID = "00D7Q0000000001UAA"
USER_ID = "0057Q0000000001AAA"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")


class Identity:
    """Hands out access tokens and knows which are valid.

    Args:
        clock: the org's clock; sessions are measured by it.
        public_key_pem: what assertions are verified with; without it the JWT bearer flow is off.
        session_seconds: how long an unused session lives (Salesforce: two hours by default, extended by use).
        client_secret: of the client credentials flow.
        org_id: the org's own.
    """

    def __init__(
        self,
        clock: OrgClock,
        *,
        public_key_pem: str | None,
        session_seconds: float,
        client_secret: str = CLIENT_SECRET,
        org_id: str = ORG_ID,
    ) -> None:
        self.org_id = org_id
        self._clock = clock
        self._client_secret = client_secret
        self._public_key_pem = public_key_pem
        self._session_seconds = session_seconds
        self._expires_at: dict[str, float] = {}
        self._lock = Lock()

    def log_in(self, form: Mapping[str, str], authorization: str | None, instance_url: str) -> dict[str, str]:
        """The answer of the token endpoint: all strings, with neither expires_in nor refresh_token.

        Args:
            form: the parameters of body and query string together.
            authorization: the Authorization header; Basic carries id and secret.
            instance_url: the org's own address.

        Raises:
            OAuthError: the grant is unknown or refused.
        """
        flows: Mapping[str, Callable[[], dict[str, str]]] = {
            "client_credentials": lambda: self._client_credentials(form, authorization, instance_url),
            _JWT_BEARER: lambda: self._jwt_bearer(form, instance_url),
        }
        flow = flows.get(form.get("grant_type", ""))
        if flow is None:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        return flow()

    def check(self, authorization: str | None) -> None:
        """Let a valid token pass, and extend its session.

        Raises:
            ApiError: INVALID_SESSION_ID.
        """
        token = (authorization or "").removeprefix("Bearer ")
        now = self._clock.seconds()
        with self._lock:
            if self._expires_at.get(token, 0.0) <= now:
                raise session_expired()
            self._expires_at[token] = now + self._session_seconds

    def revoke(self, token: str) -> None:
        """End a session, if there is one."""
        with self._lock:
            self._expires_at.pop(token, None)

    def _new_session(self) -> str:
        token = f"{self.org_id[:15]}!{secrets.token_urlsafe(48)}"
        with self._lock:
            self._expires_at[token] = self._clock.seconds() + self._session_seconds
        return token

    def _client_credentials(
        self, form: Mapping[str, str], authorization: str | None, instance_url: str
    ) -> dict[str, str]:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        if authorization and authorization.startswith("Basic "):
            try:
                client_id, _, secret = b64decode(authorization[6:], validate=True).decode().partition(":")
            except ValueError as wrong:
                raise OAuthError("invalid_client", "the Basic header is not base64 of id:secret") from wrong
        if client_id != CLIENT_ID:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if not secrets.compare_digest(secret.encode(), self._client_secret.encode()):
            raise OAuthError("invalid_client", "invalid client credentials")
        issued_at = round(self._clock.at(self._clock.seconds()).timestamp() * 1000)
        return self._answer(instance_url) | {
            "issued_at": str(issued_at),
            "signature": secrets.token_urlsafe(32),
        }

    def _jwt_bearer(self, form: Mapping[str, str], instance_url: str) -> dict[str, str]:
        if self._public_key_pem is None:
            raise OAuthError("invalid_grant", "no certificate is registered for this app")
        try:
            claims = jwt.decode(
                form.get("assertion", ""),
                self._public_key_pem,
                algorithms=["RS256"],
                audience=[*_AUDIENCES, instance_url],
                issuer=CLIENT_ID,
                options={"require": ["iss", "sub", "aud", "exp"]},
            )
        except jwt.InvalidIssuerError as wrong:
            raise OAuthError("invalid_client_id", "client identifier invalid") from wrong
        except jwt.ExpiredSignatureError as wrong:
            raise OAuthError("invalid_grant", "expired authorization code") from wrong
        except jwt.InvalidAudienceError as wrong:
            raise OAuthError("invalid_grant", "audience is invalid") from wrong
        except jwt.InvalidTokenError as wrong:
            raise OAuthError("invalid_grant", "invalid assertion") from wrong
        if claims["sub"] != USERNAME:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        return self._answer(instance_url)

    def _answer(self, instance_url: str) -> dict[str, str]:
        return {
            "access_token": self._new_session(),
            "instance_url": instance_url,
            "id": f"{instance_url}/id/{self.org_id}/{USER_ID}",
            "token_type": "Bearer",
            "scope": "cdp_query_api api",
        }
