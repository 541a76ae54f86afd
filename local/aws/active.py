"""The embedded AWS that runs in this process. moto keeps its state in module globals, so there can be only one."""

from dataclasses import dataclass
from typing import Protocol

from local.aws.figures import Ledger
from local.aws.untyped import Untyped


class LambdaService(Protocol):
    """Runs the deployed functions."""

    def invoke(self, function: Untyped, payload: bytes) -> "InvocationResult":
        """Runs the function and returns what it answers."""

    def invoke_later(self, function: Untyped, payload: bytes) -> None:
        """Runs the function some time later."""


class StatusListener(Protocol):
    """Is told when an execution starts and when it ends."""

    def __call__(self, execution: Untyped) -> None:
        """Takes note of the execution's present status."""


@dataclass(frozen=True)
class InvocationResult:
    """What the Lambda service answers: the payload, and whether it describes an error of the function."""

    payload: bytes
    function_error: str | None = None


@dataclass(frozen=True)
class Active:
    """What the hooks need of the embedded AWS that is running."""

    endpoint_url: str
    time_scale: float
    ledger: Ledger
    functions: LambdaService
    on_status: StatusListener


_active: Active | None = None


def activate(active: Active) -> None:
    """Makes `active` the one that the hooks serve.

    Raises:
        RuntimeError: Another embedded AWS is running in this process.
    """
    global _active  # noqa: PLW0603 - one per process, as moto's own state
    if _active is not None:
        raise RuntimeError("An embedded AWS is already running in this process; stop it before starting another.")
    _active = active


def deactivate() -> None:
    """Leaves the hooks without a service: they fall back to what moto does."""
    global _active  # noqa: PLW0603 - one per process, as moto's own state
    _active = None


def active() -> Active | None:
    """Returns the running embedded AWS, if there is one."""
    return _active
