"""The HTTP server of the embedded AWS, asked by hand."""

import socket
import struct
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from local.aws.server import AwsServer

ASKED, GONE = threading.Event(), threading.Event()
"""A request to /late has come; its client has gone away."""


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answers with the body, but for what a path says."""
    path = environ["PATH_INFO"]
    if path == "/broken":
        raise ValueError("on purpose")
    if path in ("/204", "/304"):
        start_response(f"{path[1:]} NOTHING", [])
        return []
    if path == "/late":
        ASKED.set()
        GONE.wait(10)
    body = b"" if path == "/unread" else environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", "12")] if environ["REQUEST_METHOD"] == "HEAD" else [])
    return [b"got ", body]


@pytest.fixture
def server() -> Iterator[AwsServer]:
    server = AwsServer(echo)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def connection(server: AwsServer) -> Iterator[HTTPConnection]:
    connection = HTTPConnection(server.url.removeprefix("http://"))
    yield connection
    connection.close()


def ask(connection: HTTPConnection, method: str, path: str, body: bytes | Iterator[bytes] | None = None) -> Any:
    connection.request(method, path, body, encode_chunked=not isinstance(body, bytes | None))
    answer = connection.getresponse()
    return answer.status, answer.headers["Content-Length"], answer.read()


def host(server: AwsServer) -> tuple[str, int]:
    name, _, port = server.url.removeprefix("http://").partition(":")
    return name, int(port)


def wait_for_threads_of_connections() -> None:
    for thread in threading.enumerate():
        if "process_request_thread" in thread.name:
            thread.join(10)


def test_one_connection_carries_all_requests_whatever_the_application_leaves_unread(connection):
    asked = [
        ask(connection, "POST", "/", b"1"),
        ask(connection, "PUT", "/unread", b"x" * 1_000_000),
        ask(connection, "DELETE", "/204"),
        ask(connection, "GET", "/304"),
        ask(connection, "HEAD", "/"),
        ask(connection, "PUT", "/", iter([b"in ", b"chunks"])),
    ]
    first = connection.sock

    assert asked == [
        (200, "5", b"got 1"),
        (200, "4", b"got "),
        (204, None, b""),
        (304, None, b""),
        (200, "12", b""),
        (200, "13", b"got in chunks"),
    ]
    assert ask(connection, "POST", "/", b"last") == (200, "8", b"got last")
    assert connection.sock is first is not None


def test_a_head_is_answered_without_a_body(server):
    with socket.create_connection(host(server), timeout=10) as client:
        client.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        answers = client.makefile("rb").read()
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert answers.endswith(b"\r\n\r\ngot ")
    assert answers.count(b"got ") == 1


def test_a_client_that_asks_first_is_told_to_send_its_body(server):
    with socket.create_connection(host(server), timeout=10) as client:
        client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"body")
        assert client.makefile("rb").read(17) == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("half", [b"Content-Length: 100\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n8\r\nhalf"])
def test_a_body_that_is_cut_short_is_no_request(server, half, capsys):
    with socket.create_connection(host(server), timeout=10) as client:
        client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\n" + half)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000) == b""
    wait_for_threads_of_connections()
    assert capsys.readouterr().err == ""


def test_a_client_that_goes_away_before_its_answer_is_no_error(server, capsys):
    with socket.create_connection(host(server), timeout=10) as client:
        client.sendall(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ASKED.wait(10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends with a reset
    GONE.set()
    wait_for_threads_of_connections()
    assert capsys.readouterr().err == ""


def test_an_application_that_breaks_ends_the_connection_and_is_reported(connection, capsys):
    with pytest.raises(ConnectionError):
        ask(connection, "POST", "/broken", b"")
    assert "on purpose" in capsys.readouterr().err


def test_stop_ends_connections_that_are_kept_alive(server, connection):
    ask(connection, "POST", "/", b"1")
    server.stop()
    connection.auto_open = 0
    with pytest.raises(ConnectionError):
        ask(connection, "POST", "/", b"2")
