"""Frames between the Lambda service and an execution environment: a length of four bytes, then the bytes."""

import socket
import struct

_LENGTH = struct.Struct("!I")


def send_frame(connection: socket.socket, data: bytes) -> None:
    """Sends one frame.

    Raises:
        OSError: The other side is gone.
    """
    connection.sendall(_LENGTH.pack(len(data)) + data)


def receive_frame(connection: socket.socket) -> bytes:
    """Returns the next frame.

    Raises:
        EOFError: The other side is gone.
        TimeoutError: The connection's time-out has passed.
    """
    (length,) = _LENGTH.unpack(_receive_exactly(connection, _LENGTH.size))
    return _receive_exactly(connection, length)


def _receive_exactly(connection: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        try:
            chunk = connection.recv(min(size - len(received), 1 << 20))
        except ConnectionResetError as error:
            raise EOFError("the other side is gone") from error
        if not chunk:
            raise EOFError("the other side is gone")
        received += chunk
    return bytes(received)
