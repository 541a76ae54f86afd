"""Crashes between two side effects: a fuse that counts effects and blows after one of them."""

from collections.abc import Callable
from typing import Any

from massive_upload.salesforce.transport import Request, Response, Transport
from tests.integration.usecases.slice_driver import Crash

_READS = frozenset({"lease", "run", "open_runs", "partitions", "partition", "batch", "batches", "read", "retries_of"})


class Killed(BaseException):
    """The whole execution is gone: nothing catches that, and nothing is tried again."""


class Fuse:
    """Counts side effects; after ``blows_after`` of them ``error`` is raised, once."""

    def __init__(self) -> None:
        self.blows_after: int | None = None
        self.error: type[BaseException] = Crash
        self.effects = 0

    def count(self) -> None:
        self.effects += 1
        if self.effects == self.blows_after:
            raise self.error

    @property
    def has_blown(self) -> bool:
        return self.blows_after is not None and self.effects >= self.blows_after


class FusedPort:
    """A port whose every change burns the fuse; reads change nothing."""

    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)
        if name in _READS:
            return method  # type: ignore[no-any-return]  # any method of any port

        def change(*args: Any, **options: Any) -> Any:
            result = method(*args, **options)
            self._fuse.count()
            return result

        return change


class FusedTransport:
    """Requests that change the org's jobs burn the fuse once they are carried out."""

    def __init__(self, transport: Transport, fuse: Fuse) -> None:
        self._transport = transport
        self._fuse = fuse

    def send(self, request: Request) -> Response:
        response = self._transport.send(request)
        if "/jobs/ingest" in request.url and request.method != "GET":
            self._fuse.count()
        return response
