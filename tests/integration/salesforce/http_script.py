"""A real HTTP server on loopback whose handling a test writes down."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import orjson

LOGIN_PATH = "/services/oauth2/token"


class Handler(BaseHTTPRequestHandler):
    """Answers logins itself and hands everything else to the server's `act`, with the body read."""

    protocol_version = "HTTP/1.1"
    server: "ScriptedServer"

    def _handle(self) -> None:
        self.content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == LOGIN_PATH:
            self.answer(200, orjson.dumps({"access_token": "t", "instance_url": self.server.url}))
            return
        self.server.client_ports.append(self.client_address[1])
        self.server.act(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the base class looks for these

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


class ScriptedServer(ThreadingHTTPServer):
    """Knows the ports its clients came from, so that a test sees whether a connection was used again."""

    def __init__(self, act: Callable[[Handler], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.act = act
        self.client_ports: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(act: Callable[[Handler], None]) -> Iterator[ScriptedServer]:
    with ScriptedServer(act) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
