"""moto's application behind an HTTP/1.1 server on the loopback interface.

moto's own server closes each connection after one request and starts a thread for the next one, which is a fifth of
what a small request takes. AWS leaves connections open, too.
"""

from io import BytesIO, RawIOBase
from threading import Thread
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer
from werkzeug.test import run_wsgi_app

from local.aws.requests import WsgiApp
from local.connections import KeptConnections


class AwsServer:
    """Serves a WSGI application from threads of this process, on a free port.

    Args:
        app: the application.
    """

    def __init__(self, app: WsgiApp) -> None:
        self._http = _Server("127.0.0.1", 0, app, _Handler)
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, name="aws", daemon=True)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`; it answers once the server is started."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def start(self) -> None:
        """Serve until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests, and close all connections; a request that is at work goes on behind them."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()
        self._http.close_connections()


class _Server(KeptConnections, ThreadedWSGIServer):  # type: ignore[misc]  # its handle_error has other argument types
    """werkzeug's server, with connections that stay open."""


class _Handler(MotoRequestHandler):  # type: ignore[misc]  # moto has no types
    """Answers one request after the other on a connection.

    werkzeug's closes it after the first one, as an application may leave a part of the body unread; here the body is
    read before the application is asked.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def run_wsgi(self) -> None:
        """Answer one request."""
        environ = self.make_environ()
        environ["wsgi.input"] = BytesIO(self._read_body(environ))
        parts, status, headers = run_wsgi_app(self.server.app, environ, buffered=True)
        body = b"".join(parts)
        code, _, reason = status.partition(" ")
        has_body = self.command != "HEAD" and code not in ("204", "304")
        if has_body:
            headers.setdefault("Content-Length", str(len(body)))
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if has_body:
            self.wfile.write(body)

    def handle_expect_100(self) -> bool:
        """Tell a client to send its body: botocore's waits for this before it sends an object to S3."""
        goes_on: bool = super().handle_expect_100()
        self.wfile.flush()
        return goes_on

    def _read_body(self, environ: dict[str, Any]) -> bytes:
        if environ.get("wsgi.input_terminated"):
            return self._read_chunks(environ["wsgi.input"])
        size_bytes = int(self.headers["Content-Length"] or 0)
        body: bytes = self.rfile.read(size_bytes)
        if len(body) < size_bytes:
            raise ConnectionAbortedError(f"The client sent {len(body)} of {size_bytes} bytes and went away.")
        return body

    @staticmethod
    def _read_chunks(chunks: RawIOBase) -> bytes:
        try:
            return chunks.readall()
        except OSError as error:
            raise ConnectionAbortedError("The client went away within a chunked body.") from error
