"""A transport whose answers a test writes down: no sockets."""

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from massive_upload.salesforce.connection import Connection
from massive_upload.salesforce.credentials import ClientSecret, Credentials
from massive_upload.salesforce.login import TOKEN_PATH
from massive_upload.salesforce.transport import Request, Response

LOGIN_URL = "https://example.my.salesforce.com"
INSTANCE_URL = "https://instance.my.salesforce.com"
ORG_ID = "00D5g00000AbCdEEAV"
CREDENTIALS = ClientSecret(login_url=LOGIN_URL, client_id="the-client", client_secret="the-secret")


def json_response(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(status=status, headers=headers or {}, body=orjson.dumps(body))


def error_response(status: int, code: str, message: str = "") -> Response:
    return json_response([{"errorCode": code, "message": message}], status=status)


NO_ANSWER_OF_THE_ORG = Response(status=404, body=b"<html><body>URL No Longer Exists</body></html>")


def login_response(token: str) -> Response:
    return json_response(
        {
            "access_token": token,
            "instance_url": INSTANCE_URL,
            "id": f"{LOGIN_URL}/id/{ORG_ID}/0055g00000AbCdEAAV",
            "token_type": "Bearer",
            "issued_at": "1760000000000",
        }
    )


@dataclass
class ScriptedOrg:
    """Answers logins with numbered tokens and everything else by `answers`, in turn; the last one stays."""

    answers: list[Response | Exception] = field(default_factory=list)
    login: Callable[[int], Response] = field(default=lambda number: login_response(f"token-{number}"))
    logins: list[Request] = field(default_factory=list)
    calls: list[Request] = field(default_factory=list)

    def send(self, request: Request) -> Response:
        if request.url.endswith(TOKEN_PATH):
            self.logins.append(request)
            return self.login(len(self.logins))
        self.calls.append(request)
        answer = self.answers[min(len(self.calls), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def last_call(self) -> Request:
        return self.calls[-1]

    @property
    def last_json(self) -> dict[str, object]:
        assert self.last_call.body is not None
        parsed: dict[str, object] = orjson.loads(self.last_call.body)
        return parsed


def connect(org: ScriptedOrg, credentials: Credentials = CREDENTIALS, now: float = 1_760_000_000) -> Connection:
    return Connection(credentials, transport=org, clock=lambda: now)
