"""What can happen to a task between two of its calls: it dies, or it is left for dead and lives on.

A task that dies before an effect leaves what one leaves that died after the effect before; so the fuse blows after
effects alone, and "before" is tried where processes really die, on the embedded AWS.
"""

from collections.abc import Callable
from typing import Any

from massive_upload.salesforce.transport import Request, Response, Transport
from tests.integration.usecases.roles import acting_as_nobody
from tests.integration.usecases.slice_driver import Crash

_READS = frozenset(
    {
        "lane",
        "lease",
        "run",
        "watermark",
        "shown",
        "open_runs",
        "partitions",
        "partition",
        "batch",
        "batches",
        "read",
        "retries_of",
        "quota",
    }
)


class Killed(BaseException):
    """The whole execution is gone: nothing catches that, and nothing is tried again."""


class Fuse:
    """Counts side effects; after ``blows_after`` of them ``error`` is raised, once.

    ``following`` are further effects to count from there on, and what is raised then.
    """

    def __init__(self) -> None:
        self.blows_after: int | None = None
        self.error: type[BaseException] = Crash
        self.following: list[tuple[int, type[BaseException]]] = []
        self.effects = 0
        self.has_blown = False

    def count(self) -> None:
        self.effects += 1
        if self.effects == self.blows_after:
            self.has_blown = True
            error = self.error
            self.arm()
            raise error

    def arm(self) -> None:
        """Blow after the next of the following numbers of effects."""
        if self.following:
            effects, self.error = self.following.pop(0)
            self.blows_after = self.effects + effects


class Stall:
    """Counts calls, reads too; just before the ``holds``-th something else happens, once, and then the call goes on."""

    def __init__(self) -> None:
        self.holds: int | None = None
        self.happening: Callable[[], object] = lambda: None
        self.calls = 0

    def count(self) -> None:
        self.calls += 1
        if self.calls == self.holds:
            with acting_as_nobody():
                self.happening()


class FusedPort:
    """A port whose every change burns the fuse; reads change nothing."""

    def __init__(self, port: Any, fuse: Fuse, stall: Stall) -> None:
        self._port = port
        self._fuse = fuse
        self._stall = stall

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)

        def call(*args: Any, **options: Any) -> Any:
            self._stall.count()
            result = method(*args, **options)
            if name not in _READS:
                self._fuse.count()
            return result

        return call


class FusedTransport:
    """Requests that change the org's jobs burn the fuse once they are carried out."""

    def __init__(self, transport: Transport, fuse: Fuse, stall: Stall) -> None:
        self._transport = transport
        self._fuse = fuse
        self._stall = stall

    def send(self, request: Request) -> Response:
        self._stall.count()
        response = self._transport.send(request)
        if "/jobs/ingest" in request.url and request.method != "GET":
            self._fuse.count()
        return response
