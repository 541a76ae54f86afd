import io
import netrc
from collections.abc import Callable
from typing import Any

import pytest
import requests
from urllib3 import HTTPResponse

from massive_upload.errors import CredentialsRejected, SalesforceUnavailable
from massive_upload.salesforce.transport import Request, RequestsTransport, Response, Timeout

URL = "https://example.my.salesforce.com/services/data/v66.0/limits?q=hidden"


class Adapter(requests.adapters.BaseAdapter):
    """Takes the place of the network under a requests session."""

    def __init__(self, act: Callable[[requests.PreparedRequest], requests.Response]) -> None:
        super().__init__()
        self._act = act
        self.requests: list[requests.PreparedRequest] = []
        self.options: list[dict[str, Any]] = []

    def send(self, request, stream=False, timeout=None, verify=True, cert=None, proxies=None):
        self.requests.append(request)
        self.options.append({"timeout": timeout, "verify": verify, "proxies": proxies})
        answer = self._act(request)
        answer.request = request
        answer.url = request.url
        return answer

    def close(self):
        pass


def answer(status: int = 200, headers: dict[str, str] | None = None, body: bytes = b"{}") -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers or {})
    response.raw = HTTPResponse(io.BytesIO(body), preload_content=False)
    return response


def transport_over(act) -> tuple[RequestsTransport, Adapter]:
    transport = RequestsTransport()
    adapter = Adapter(act)
    transport._session.mount("https://", adapter)
    transport._session.mount("http://", adapter)
    return transport, adapter


ERRORS_OF_REQUESTS = [
    error
    for error in vars(requests.exceptions).values()
    if isinstance(error, type) and issubclass(error, requests.RequestException)
]


@pytest.mark.parametrize("error", ERRORS_OF_REQUESTS, ids=lambda error: error.__name__)
def test_every_error_of_requests_is_passing_and_chained(error):
    try:
        original = error("hidden detail")
    except TypeError:  # requests.JSONDecodeError takes a document and a position
        original = error("hidden detail", "{", 0)

    def fail(_request):
        raise original

    transport, _ = transport_over(fail)
    with pytest.raises(SalesforceUnavailable, match=error.__name__) as caught:
        transport.send(Request(method="GET", url=URL))
    assert caught.value.__cause__ is original
    assert "hidden" not in str(caught.value)
    assert "GET /services/data/v66.0/limits" in str(caught.value)


def test_both_time_outs_are_always_set():
    transport, adapter = transport_over(lambda _: answer())
    transport.send(Request(method="GET", url=URL, timeout=Timeout(connect_seconds=1, read_seconds=2)))
    transport.send(Request(method="GET", url=URL))
    assert adapter.options[0]["timeout"] == (1, 2)
    assert all(seconds is not None for seconds in adapter.options[1]["timeout"])


def test_certificates_are_verified():
    transport, adapter = transport_over(lambda _: answer())
    transport.send(Request(method="GET", url=URL))
    assert adapter.options[0]["verify"] is not False


def test_a_netrc_file_never_replaces_the_token(tmp_path, monkeypatch):
    file = tmp_path / "netrc"
    file.write_text("machine example.my.salesforce.com login somebody password hidden\n")
    assert netrc.netrc(str(file)).hosts  # the file would be understood
    monkeypatch.setenv("NETRC", str(file))
    transport, adapter = transport_over(lambda _: answer())
    transport.send(Request(method="GET", url=URL, headers={"Authorization": "Bearer t"}))
    assert adapter.requests[0].headers["Authorization"] == "Bearer t"


def test_a_proxy_of_the_environment_is_used_except_for_this_machine(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    transport, adapter = transport_over(lambda _: answer())
    transport.send(Request(method="GET", url=URL))
    transport.send(Request(method="GET", url="http://127.0.0.1:8080/"))
    assert adapter.options[0]["proxies"]["https"] == "http://proxy.example:3128"
    assert "http" not in adapter.options[1]["proxies"]


def test_plain_http_to_another_machine_is_not_sent():
    transport, adapter = transport_over(lambda _: answer())
    with pytest.raises(CredentialsRejected, match="not https"):
        transport.send(Request(method="GET", url="http://example.my.salesforce.com/limits"))
    assert adapter.requests == []


def test_the_body_has_a_length_and_is_not_chunked():
    transport, adapter = transport_over(lambda _: answer())
    transport.send(Request(method="PUT", url=URL, body=b"a,b\n1,2\n"))
    assert adapter.requests[0].headers["Content-Length"] == "8"
    assert "Transfer-Encoding" not in adapter.requests[0].headers


def test_a_get_is_redirected_within_the_host():
    def act(request):
        if request.url.endswith("/failedResults"):
            return answer(308, {"Location": "/failedResults/"})
        return answer(body=b"moved")

    transport, _ = transport_over(act)
    response = transport.send(Request(method="GET", url="https://example.my.salesforce.com/failedResults"))
    assert response.body == b"moved"


@pytest.mark.parametrize(
    ("method", "location"),
    [
        ("GET", "https://elsewhere.example/"),
        ("GET", "http://example.my.salesforce.com/"),
        ("GET", "https://example.my.salesforce.com:8443/"),
        ("GET", "https://elsewhere.example\\@example.my.salesforce.com/"),
        ("GET", "//elsewhere.example\\@example.my.salesforce.com/"),
        ("GET", "https://user@example.my.salesforce.com/"),
        ("GET", "https://example.my.salesforce.com:port/"),
        ("POST", "/other"),
    ],
)
def test_other_redirects_are_handed_back(method, location):
    transport, adapter = transport_over(lambda _: answer(302, {"Location": location}))
    assert transport.send(Request(method=method, url=URL)).status == 302
    assert len(adapter.requests) == 1


def test_redirects_in_a_circle_end():
    transport, adapter = transport_over(lambda _: answer(302, {"Location": "/again"}))
    assert transport.send(Request(method="GET", url=URL)).status == 302
    assert 1 < len(adapter.requests) < 10


def test_cookies_are_not_sent_back():
    transport, adapter = transport_over(lambda _: answer(headers={"Set-Cookie": "BrowserId=1; path=/"}))
    transport.send(Request(method="GET", url=URL))
    transport.send(Request(method="GET", url=URL))
    assert "Cookie" not in adapter.requests[1].headers


def test_response_headers_are_found_in_any_case():
    assert Response(status=200, headers={"Retry-After": "5"}).headers["retry-after"] == "5"


def test_tokens_and_records_stay_out_of_representations():
    request = Request(method="PUT", url="https://x/", headers={"Authorization": "hidden"}, body=b"hidden")
    response = Response(status=200, headers={"X": "hidden"}, body=b"hidden")
    assert "hidden" not in repr(request) + repr(response)
