"""What the HTTP servers share whose clients keep their connections open."""

import socket
import sys
from contextlib import suppress
from http.server import ThreadingHTTPServer
from io import BufferedIOBase
from threading import Lock, Thread
from typing import cast

_Socket = socket.socket | tuple[bytes, socket.socket]
_LOOK_FOR_THE_END_SECONDS = 0.05


class KeptConnections(ThreadingHTTPServer):
    """Serves from a thread of its own, and one for each connection; it knows those, to end them with the server."""

    request_queue_size = 128

    def server_activate(self) -> None:
        """Begin to listen. What a server remembers is made here, as each base class is initialised in another way."""
        self._open: set[_Socket] = set()
        self._open_lock = Lock()
        self._serving = Thread(
            target=self.serve_forever, args=(_LOOK_FOR_THE_END_SECONDS,), name=type(self).__name__, daemon=True
        )
        super().server_activate()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`; it answers once the server is started."""
        return f"http://127.0.0.1:{self.server_port}"

    def start(self) -> None:
        """Serve until `stop`."""
        self._serving.start()

    def stop(self) -> None:
        """Take no more requests, and end all connections; a request that is at work goes on behind them."""
        if self._serving.is_alive():
            self.shutdown()
            self._serving.join()
        self.server_close()
        self._close_connections()

    def process_request(self, request: _Socket, client_address: tuple[str, int]) -> None:
        """Serve a new connection."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Socket) -> None:
        """End a connection."""
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def _close_connections(self) -> None:
        """Those that clients keep alive; their threads then end by themselves."""
        with self._open_lock:
            for connection in self._open:
                with suppress(OSError):  # the client was faster
                    cast("socket.socket", connection).shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: _Socket, client_address: tuple[str, int]) -> None:
        """Report what went wrong, unless a client just went away, as those that are killed do."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def read_exactly(body: BufferedIOBase, size_bytes: int) -> bytes:
    """So many bytes of a request's body.

    Raises:
        ConnectionAbortedError: it ended before. A body that is cut short is no body: the client went away meanwhile.
    """
    content = body.read(size_bytes)
    if len(content) < size_bytes:
        raise ConnectionAbortedError(f"The client sent {len(content)} of {size_bytes} bytes and went away.")
    return content
