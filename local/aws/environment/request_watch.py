"""Counts the HTTP requests of an invocation, and holds it at one of them until the service says go."""

import json
import socket
from collections.abc import Callable
from typing import Any

from local.aws.environment.wire import receive_frame, send_frame


class RequestWatch:
    """Sees every request that goes through urllib3, which requests and botocore use.

    Args:
        connection: to the Lambda service, which is told of a held invocation and answers when it may go on.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._hold: dict[str, Any] | None = None
        self.requests = 0

    def install(self) -> None:
        """Puts itself between this process and its requests."""
        from urllib3.connectionpool import HTTPConnectionPool

        send: Callable[..., Any] = HTTPConnectionPool.urlopen

        def urlopen(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - handed on as they are
            self.requests += 1
            number = self.requests
            self._hold_at(number, "before")
            response = send(*args, **options)
            self._hold_at(number, "after")
            return response

        HTTPConnectionPool.urlopen = urlopen  # type: ignore[method-assign]  # the same call

    def begin(self, hold: dict[str, Any] | None) -> None:
        """Starts to count anew; `hold` is the point at which the service wants to be asked."""
        self.requests = 0
        self._hold = hold

    def _hold_at(self, number: int, moment: str) -> None:
        if self._hold != {"request": number, "moment": moment}:
            return
        self._hold = None
        send_frame(self._connection, json.dumps({"held": True}).encode())
        receive_frame(self._connection)
