"""Lets in who has a session token of this embedded AWS. Every user of the machine can reach its port."""

import hmac
import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

from moto.sts.models import sts_backends

from local.aws.identity import ACCOUNT_ID
from local.aws.requests import WsgiApp

_CODE = "InvalidClientTokenId"
_MESSAGE = (
    "The request carries no session token of this embedded AWS (header X-Amz-Security-Token): "
    "its callers find it in their AWS_SESSION_TOKEN."
)


class KnownCallers:
    """A WSGI application that hands requests with a valid session token on to another one, and refuses all others.

    Valid are the token of this embedded AWS and those that its STS has given to roles, as the CDK assumes them. What is
    compared is the token and not the signature: nobody but root can read along on the loopback interface.

    Args:
        app: the application.
        session_token: that of this embedded AWS.
    """

    def __init__(self, app: WsgiApp, session_token: str) -> None:
        self._app = app
        self._session_token = session_token

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answers one request, with 403 if nobody knows who asks."""
        if self._is_valid(_session_token(environ)):
            return self._app(environ, start_response)
        kind, body = _refusal(environ)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("x-amzn-ErrorType", _CODE)]
        start_response("403 Forbidden", headers)
        return [body]

    def _is_valid(self, token: str) -> bool:
        roles = sts_backends[ACCOUNT_ID]["aws"].assumed_roles
        valid = [self._session_token, *(role.session_token for role in roles)]
        return any(hmac.compare_digest(token.encode(), each.encode()) for each in valid)


def _session_token(environ: dict[str, Any]) -> str:
    """The token of a signed request is in a header, that of a presigned URL in its query."""
    in_query = {name.lower(): value for name, value in parse_qsl(environ["QUERY_STRING"])}
    token: str = environ.get("HTTP_X_AMZ_SECURITY_TOKEN") or in_query.get("x-amz-security-token", "")
    return token


def _refusal(environ: dict[str, Any]) -> tuple[str, bytes]:
    """The content type and the body, as the protocol of the service has its errors: JSON with a target, or else XML."""
    if "HTTP_X_AMZ_TARGET" in environ:
        return "application/x-amz-json-1.0", json.dumps({"__type": _CODE, "message": _MESSAGE}).encode()
    error = f"<Error><Code>{_CODE}</Code><Message>{_MESSAGE}</Message></Error>"
    return "text/xml", f"<ErrorResponse>{error}</ErrorResponse>".encode()
