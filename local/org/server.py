"""The simulated org as an HTTP/1.1 server on the loopback interface."""

import socket
import struct
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from local.connections import KeptConnections, read_exactly
from local.org.backend import OrgBackend
from local.org.clock import OrgClock
from local.org.messages import ConnectionCutError, NoAnswerError, Request, Response
from local.org.routes import Routes
from local.org.settings import OrgSettings

_NAMES = ("127.0.0.1", "localhost")
"""A web page may have its own name lead here (DNS rebinding), and then a browser would let it read the answers."""


class OrgServer:
    """Serves one org from threads of this process.

    Args:
        settings: how the org behaves, and its port.
        clock: its time; by default a clock at the settings' scale.
    """

    def __init__(self, settings: OrgSettings, clock: OrgClock | None = None) -> None:
        self._settings = settings
        self.backend = OrgBackend(settings, clock)
        self._http = _Server(("127.0.0.1", settings.port), Routes(self.backend))

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`; it answers once the server is started."""
        return self._http.url

    def start(self) -> None:
        """Serve until `stop`."""
        self._http.start()

    def renew(self) -> None:
        """Put a new org in the place of this one, at the same address; only sessions and time go on."""
        old = self.backend
        self.backend = OrgBackend(self._settings, old.clock)
        self.backend.identity = old.identity
        self._http.routes = Routes(self.backend)
        old.close()

    def stop(self) -> None:
        """Close all connections and forget all state."""
        self._http.stop()
        self.backend.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(KeptConnections):
    def __init__(self, address: tuple[str, int], routes: Routes) -> None:
        self.routes = routes
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def _answer(self) -> None:
        if (self.headers["Host"] or "").partition(":")[0].lower() not in _NAMES:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "This org answers to 127.0.0.1 and localhost alone")
            return
        target = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=target.path,
            query=dict(parse_qsl(target.query, keep_blank_values=True)),
            headers=self.headers,
            body=self._read_body(),
            server_url=self.server.url,
        )
        try:
            self._send(self.server.routes.answer(request))
        except ConnectionCutError:
            self._cut()
        except NoAnswerError:
            self._wait_for_the_client_to_give_up()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - the base class looks for these

    def _read_body(self) -> bytes:
        if (self.headers["Transfer-Encoding"] or "").lower() == "chunked":
            return self._read_chunks()
        return read_exactly(self.rfile, int(self.headers["Content-Length"] or 0))

    def _read_line(self) -> bytes:
        line = self.rfile.readline()
        if not line.endswith(b"\n"):
            raise ConnectionAbortedError("The client went away within a chunked body.")
        return line

    def _read_chunks(self) -> bytes:
        chunks: list[bytes] = []
        while size_bytes := int(self._read_line().partition(b";")[0], 16):
            chunks.append(read_exactly(self.rfile, size_bytes))
            self._read_line()
        while self._read_line().strip():
            """Trailer fields are read and not used."""
        return b"".join(chunks)

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        if response.status != 204:
            self.send_header("Content-Length", str(len(response.body)))
        if response.body:
            self.send_header("Content-Type", response.content_type)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)

    def _cut(self) -> None:
        """Close at once with a reset, so that the client sees no orderly end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _wait_for_the_client_to_give_up(self) -> None:
        self.close_connection = True
        with suppress(ConnectionError):  # a client may end by a reset
            self.connection.recv(1)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing; `/__org__/statistics` tells what happened."""
