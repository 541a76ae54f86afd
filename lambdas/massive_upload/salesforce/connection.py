"""A logged-in connection to one org, kept from call to call."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlencode

import orjson

from massive_upload.errors import CredentialsRejected
from massive_upload.salesforce.api_usage import ApiUsage, parse_api_usage
from massive_upload.salesforce.credentials import Credentials
from massive_upload.salesforce.error_codes import error_for, is_session_refused
from massive_upload.salesforce.login import Session, log_in
from massive_upload.salesforce.transport import (
    CALL_TIMEOUT,
    Request,
    RequestsTransport,
    Response,
    Timeout,
    Transport,
)

API_VERSION = "66.0"

MAX_TOKEN_AGE_SECONDS = 110 * 60
"""A token lives for 2 h by default (Session Settings); one nearly as old is renewed before it is refused."""


class Connection:
    """Sends requests to the org with a token: logs in when there is none, and once more when it is refused.

    Where the login itself is refused, the credentials may have been renewed since they were read: those that
    `latest_credentials` gives are tried, if they are others for the same login URL. A connection stays with its org.

    Attributes:
        requests_made: every HTTP call sent to the org so far, logins included.
        api_usage: what the last answer that told it said about the org's daily requests.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        latest_credentials: Callable[[], Credentials] | None = None,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.requests_made = 0
        self.api_usage: ApiUsage | None = None
        self._credentials = credentials
        self._latest_credentials = latest_credentials or (lambda: credentials)
        self._transport = transport or RequestsTransport()
        self._clock = clock
        self._root = f"/services/data/v{API_VERSION}"
        self._session: Session | None = None
        self._only_org_id: str | None = None

    @contextmanager
    def only_to(self, org_id: str) -> Iterator[None]:
        """Ask that org and no other until the end of the block: a secret that was changed may lead to another one.

        A request raises CredentialsRejected then, before it is sent.
        """
        before, self._only_org_id = self._only_org_id, org_id
        try:
            yield
        finally:
            self._only_org_id = before

    @property
    def org_id(self) -> str:
        """The org's id, or its host where the login does not tell the id. Logs in if need be."""
        return self._logged_in().org_id

    @property
    def user_id(self) -> str:
        """The id of the user who is logged in, or nothing where the login does not tell it. Logs in if need be."""
        return self._logged_in().user_id

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Collection[int] = (),
        timeout: Timeout = CALL_TIMEOUT,
    ) -> Response:
        """Ask the org, and return its answer of 2xx or of a status in `expect`.

        Args:
            method: the HTTP method.
            path: below `/services/data/vXX.0`, with ids already quoted.
            params: the query string.
            json: the body, where it is JSON.
            body: the body as bytes, where it is not; its Content-Type is in `headers`.
            headers: besides the ones for the token and for JSON.
            expect: statuses other than 2xx that the caller understands itself.
            timeout: for each step of the call.

        Raises:
            SessionExpired: the token was refused, and so was a new one.
            LoadError: what `error_codes` says about the answer, or about the login.
        """
        query = f"?{urlencode(params)}" if params else ""
        content_type = {} if json is None else {"Content-Type": "application/json"}
        call = Request(
            method=method,
            url=f"{self._root}{path}{query}",
            headers={"Accept": "application/json", **content_type, **(headers or {})},
            body=body if json is None else orjson.dumps(json),
            timeout=timeout,
        )
        response = self._send_with_token(call)
        if is_session_refused(response):
            self._session = None
            response = self._send_with_token(call)
        if is_session_refused(response):
            self._session = None
        elif response.is_success or response.status in expect:
            return response
        raise error_for(call.asked, response)

    def _send_with_token(self, call: Request) -> Response:
        session = self._logged_in()
        headers = {**call.headers, "Authorization": session.authorization}
        return self._send(replace(call, url=f"{session.instance_url}{call.url}", headers=headers))

    def _logged_in(self) -> Session:
        now_seconds = self._clock()
        if self._session is None or now_seconds - self._session.issued_at_seconds > MAX_TOKEN_AGE_SECONDS:
            self._session = self._log_in(now_seconds)
        if self._only_org_id not in (None, self._session.org_id):
            raise CredentialsRejected(
                f"The login leads to org {self._session.org_id}; the run writes to org {self._only_org_id}.",
                next_step="Put the login of the run's org into the secret, then resume the run.",
            )
        return self._session

    def _log_in(self, now_seconds: float) -> Session:
        try:
            return log_in(self._credentials, send=self._send, now_seconds=now_seconds)
        except CredentialsRejected:
            latest = self._latest_credentials()
            if latest == self._credentials or latest.login_url != self._credentials.login_url:
                raise
        self._credentials = latest
        return log_in(latest, send=self._send, now_seconds=now_seconds)

    def _send(self, request: Request) -> Response:
        self.requests_made += 1  # before it is sent: a call without an answer may have been counted by the org
        response = self._transport.send(request)
        self.api_usage = parse_api_usage(response.headers) or self.api_usage
        return response
