"""What the HTTP servers share whose clients keep their connections open."""

import socket
import sys
from contextlib import suppress
from http.server import ThreadingHTTPServer
from threading import Lock
from typing import cast

_Socket = socket.socket | tuple[bytes, socket.socket]


class KeptConnections(ThreadingHTTPServer):
    """Knows the connections that are open, each with a thread of its own, so that they can be ended with the server."""

    request_queue_size = 128

    def server_activate(self) -> None:
        """Begin to listen. What a server remembers is made here, as each base class is initialised in another way."""
        self._open: set[_Socket] = set()
        self._open_lock = Lock()
        super().server_activate()

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

    def close_connections(self) -> None:
        """End the connections that clients keep alive; their threads then end by themselves."""
        with self._open_lock:
            for connection in self._open:
                with suppress(OSError):  # the client was faster
                    cast("socket.socket", connection).shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: _Socket, client_address: tuple[str, int]) -> None:
        """Report what went wrong, unless a client just went away, as those that are killed do."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
