"""The one place where HTTP happens, behind a seam of one method."""

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from massive_upload.errors import CredentialsRejected, SalesforceUnavailable
from massive_upload.salesforce.urls import is_confidential, is_loopback, origin

MAX_REDIRECTS = 3

LONGEST_IDLE_SECONDS = 30
"""After that a kept connection is not trusted any more. What lies between here and the org forgets it without a word,
and the next request is reset (psf/requests#4506, from Lambda to Salesforce, after ten minutes without one)."""

_READ_BYTES = 1 << 20
"""requests reads a body that it is not told to stream in pieces of 10 KB, which takes three times the CPU time."""


@dataclass(frozen=True)
class Timeout:
    """How long to wait: `connect_seconds` to connect and per block sent, `read_seconds` per block read."""

    connect_seconds: float
    read_seconds: float


CALL_TIMEOUT = Timeout(connect_seconds=5, read_seconds=60)
"""For calls with small bodies; a query's status may be held back on purpose, for at most 10 s."""

TRANSFER_TIMEOUT = Timeout(connect_seconds=30, read_seconds=120)
"""For uploads and results of up to 100 MB; urllib3 sends a body under the connect time-out, hence 30 s."""


@dataclass(frozen=True)
class Request:
    """One HTTP request. Headers and body stay out of the representation: they hold tokens and records."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout: Timeout = CALL_TIMEOUT

    @property
    def asked(self) -> str:
        """Method and path, for messages; the query string may hold values and is left out."""
        return f"{self.method} {urlsplit(self.url).path}"


@dataclass(frozen=True)
class Response:
    """One HTTP answer; header names are looked up in any letter case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", CaseInsensitiveDict(self.headers))

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return self.status // 100 == 2


class Transport(Protocol):
    """Sends one request and returns the answer, whatever its status."""

    def send(self, request: Request) -> Response:
        """Send the request.

        Raises:
            SalesforceUnavailable: there was no complete answer.
        """
        ...


class RequestsTransport:
    """HTTP by one `requests` session, so connections are reused from call to call, unless long has passed between.

    Proxies and certificate bundles of the environment are honoured, except on the way to this machine.
    Redirects are followed for GET and on the same host only: a token goes nowhere else.
    """

    def __init__(self) -> None:
        self._session = requests.Session()
        self._used_at: dict[str, float] = {}
        # A session with an auth of its own never looks into ~/.netrc, which would replace the token.
        self._session.auth = _leave_unchanged
        # The token is the only identity; cookies that the org sets are not sent back.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers["User-Agent"] = "massive-upload"

    def send(self, request: Request) -> Response:
        """Send the request.

        Raises:
            SalesforceUnavailable: no connection, a time-out, or an answer that broke off.
            CredentialsRejected: the URL is plain http to another machine.
        """
        if not is_confidential(request.url):
            raise CredentialsRejected(
                f"{request.asked}: not sent, since the org's address is not https.",
                next_step="Use the https URL of the org's My Domain as login_url.",
            )
        host = urlsplit(request.url).netloc
        used_at = self._used_at.get(host)
        if used_at is not None and time.monotonic() - used_at > LONGEST_IDLE_SECONDS:
            self._session.close()
        try:
            with self._send_within_host(request) as answer:
                body = b"".join(answer.iter_content(_READ_BYTES))
            self._used_at[host] = time.monotonic()
        except requests.RequestException as error:
            raise SalesforceUnavailable(
                f"{request.asked}: no complete answer from {host} ({type(error).__name__}).",
                next_step="Check login_url, and that this network reaches the org.",
                code=type(error).__name__,
                answered=False,
            ) from error
        return Response(status=answer.status_code, headers=answer.headers, body=body)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._session.close()

    def _send_within_host(self, request: Request) -> requests.Response:
        url = request.url
        answer = self._send_once(request, url)
        for _ in range(MAX_REDIRECTS):
            target = answer.headers.get("Location", "")
            redirected_url = urljoin(url, target)
            if not (answer.is_redirect and request.method == "GET" and _same_origin(url, redirected_url)):
                break
            url = redirected_url
            answer = self._send_once(request, url)
        return answer

    def _send_once(self, request: Request, url: str) -> requests.Response:
        return self._session.request(
            request.method,
            url,
            headers=dict(request.headers),
            # A stream is sent in blocks, each under the time-out; bytes would be one send for the whole body.
            data=None if request.body is None else io.BytesIO(request.body),
            timeout=(request.timeout.connect_seconds, request.timeout.read_seconds),
            allow_redirects=False,
            stream=True,
            proxies={"no_proxy": urlsplit(url).hostname or ""} if is_loopback(url) else None,
        )


def _leave_unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _same_origin(url: str, other: str) -> bool:
    found = origin(other)
    return found is not None and found == origin(url)
