"""moto's application behind an HTTP/1.1 server on the loopback interface.

moto's own server closes each connection after one request and starts a thread for the next one, which is a fifth of
what a small request takes. AWS leaves connections open, too.
"""

from io import BytesIO, RawIOBase
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer
from werkzeug.test import run_wsgi_app

from local.aws.requests import WsgiApp
from local.connections import KeptConnections, read_exactly


class AwsServer(KeptConnections, ThreadedWSGIServer):  # type: ignore[misc]  # its handle_error has other argument types
    """Serves a WSGI application from threads of this process, on a free port.

    Args:
        app: the application.
    """

    def __init__(self, app: WsgiApp) -> None:
        super().__init__("127.0.0.1", 0, app, _Handler)


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
        return read_exactly(self.rfile, int(self.headers["Content-Length"] or 0))

    @staticmethod
    def _read_chunks(chunks: RawIOBase) -> bytes:
        try:
            return chunks.readall()
        except OSError as error:
            raise ConnectionAbortedError("The client went away within a chunked body.") from error
