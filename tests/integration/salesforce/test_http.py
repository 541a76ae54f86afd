import gzip
import hashlib
import socket
import struct
from collections.abc import Iterator
from threading import Event
from types import SimpleNamespace

import pytest

from massive_upload.errors import SalesforceBusy, SalesforceUnavailable
from massive_upload.salesforce.bulk import BulkIngest
from massive_upload.salesforce.connection import Connection
from massive_upload.salesforce.credentials import ClientSecret
from massive_upload.salesforce.transport import LONGEST_IDLE_SECONDS, Request, RequestsTransport, Timeout
from tests.integration.salesforce.http_script import Handler, serving

SHORT = Timeout(connect_seconds=5, read_seconds=0.2)


@pytest.fixture
def transport() -> Iterator[RequestsTransport]:
    transport = RequestsTransport()
    yield transport
    transport.close()


def connect(url: str, transport: RequestsTransport) -> Connection:
    credentials = ClientSecret(login_url=url, client_id="c", client_secret="s")
    return Connection(credentials, transport=transport)


def reset(handler: Handler) -> None:
    """Close with unsent data dropped, so that the client sees a reset and not an end."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def test_connections_are_used_again(transport):
    with serving(lambda handler: handler.answer(200, b"{}")) as server:
        connection = connect(server.url, transport)
        for _ in range(3):
            connection.request("GET", "/limits")
        assert len(set(server.client_ports)) == 1
        transport.close()


def test_a_connection_that_was_idle_for_long_is_not_used_again(transport, monkeypatch):
    now_seconds = [0]
    monkeypatch.setattr("massive_upload.salesforce.transport.time", SimpleNamespace(monotonic=lambda: now_seconds[0]))
    with serving(lambda handler: handler.answer(200, b"{}")) as server:
        for idle_seconds in (0, LONGEST_IDLE_SECONDS, LONGEST_IDLE_SECONDS, LONGEST_IDLE_SECONDS + 1):
            now_seconds[0] += idle_seconds
            transport.send(Request(method="GET", url=f"{server.url}/limits"))
        first, second, third, fourth = server.client_ports
        assert first == second == third != fourth
        transport.close()


def test_an_upload_arrives_whole_and_not_chunked(transport):
    data = b"0123456789abcdef" * 500_000
    seen: list[tuple[str, str | None]] = []

    def act(handler: Handler) -> None:
        seen.append((hashlib.sha256(handler.content).hexdigest(), handler.headers["Transfer-Encoding"]))
        handler.answer(201)

    with serving(act) as server:
        BulkIngest(connect(server.url, transport)).upload("750A", data)
        transport.close()
    assert seen == [(hashlib.sha256(data).hexdigest(), None)]


def test_a_compressed_answer_is_unpacked(transport):
    packed = gzip.compress(b"sf__Id\n")
    with serving(lambda handler: handler.answer(200, packed, {"Content-Encoding": "gzip"})) as server:
        assert BulkIngest(connect(server.url, transport)).failed_rows("750A") == b"sf__Id\n"
        transport.close()


def test_a_result_is_found_where_the_server_wants_a_trailing_slash(transport):
    def act(handler: Handler) -> None:
        if handler.path.endswith("/"):
            handler.answer(200, b"sf__Id\n")
        else:
            handler.answer(308, headers={"Location": f"{handler.path}/"})

    with serving(act) as server:
        assert BulkIngest(connect(server.url, transport)).failed_rows("750A") == b"sf__Id\n"
        transport.close()


def test_a_reset_connection_is_passing(transport):
    with serving(reset) as server:
        with pytest.raises(SalesforceUnavailable, match=r"GET /services/data/v66\.0/limits"):
            connect(server.url, transport).request("GET", "/limits")
        transport.close()


def test_an_upload_that_is_reset_is_passing_and_not_repeated(transport):
    with serving(reset) as server:
        with pytest.raises(SalesforceUnavailable):
            BulkIngest(connect(server.url, transport)).upload("750A", b"a" * 100_000)
        assert len(server.client_ports) == 1
        transport.close()


def test_a_late_answer_is_passing(transport):
    released = Event()

    def act(handler: Handler) -> None:
        released.wait()
        handler.close_connection = True

    with serving(act) as server:
        try:
            with pytest.raises(SalesforceUnavailable, match="ReadTimeout"):
                connect(server.url, transport).request("GET", "/limits", timeout=SHORT)
        finally:
            released.set()
        transport.close()


def test_an_answer_that_breaks_off_is_passing(transport):
    def act(handler: Handler) -> None:
        handler.answer(200, b'{"id": "750A"', {"Content-Length": "1000"})
        handler.close_connection = True

    with serving(act) as server:
        with pytest.raises(SalesforceUnavailable):
            BulkIngest(connect(server.url, transport)).get("750A")
        transport.close()


def test_a_maintenance_page_is_passing_and_its_wait_is_read(transport):
    with serving(lambda handler: handler.answer(503, b"<html>")) as server:
        with pytest.raises(SalesforceUnavailable, match="503"):
            BulkIngest(connect(server.url, transport)).get("750A")
        transport.close()
    with serving(lambda handler: handler.answer(429, b"<html>", {"Retry-After": "7"})) as server:
        with pytest.raises(SalesforceBusy) as caught:
            BulkIngest(connect(server.url, transport)).get("750A")
        assert caught.value.retry_after_seconds == 7
        transport.close()


def test_nobody_listening_is_passing(transport):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and never listening: the port refuses and stays ours
        port = taken.getsockname()[1]
        with pytest.raises(SalesforceUnavailable, match="ConnectionError"):
            transport.send(Request(method="GET", url=f"http://127.0.0.1:{port}/", timeout=SHORT))
