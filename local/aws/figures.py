"""What a run costs and how near it comes to the limits: events, state transitions, invocations, memory, requests."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class ExecutionFigures:
    """One execution's own budget: a Map child and a nested execution each have one, as on AWS."""

    arn: str
    name: str
    machine: str
    events: int = 0
    transitions: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def count_event(self, event_type: str) -> None:
        """Counts one history event; entering a state is also one billed transition."""
        with self._lock:
            self.events += 1
            self.transitions += event_type.endswith("StateEntered")

    def count_retry(self) -> None:
        """Counts the transition of a retry: it enters no state again, but AWS bills it (Step Functions pricing)."""
        with self._lock:
            self.transitions += 1


@dataclass(frozen=True)
class Figures:
    """A snapshot of everything that was counted since the embedded AWS started."""

    executions: list[ExecutionFigures]
    lambda_invocations: Mapping[str, int]
    lambda_peak_memory_bytes: Mapping[str, int]
    service_requests: Mapping[str, int] = field(default_factory=dict)

    @property
    def state_transitions(self) -> int:
        """Transitions of all executions together: what a bill would count."""
        return sum(execution.transitions for execution in self.executions)

    @property
    def max_history_events(self) -> int:
        """Events of the longest execution, to be held against the limit of 25,000."""
        return max((execution.events for execution in self.executions), default=0)


class Ledger:
    """Collects the figures of all executions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executions: list[ExecutionFigures] = []

    def open(self, *, arn: str, name: str, machine: str) -> ExecutionFigures:
        """Begins the account of one execution."""
        figures = ExecutionFigures(arn=arn, name=name, machine=machine)
        with self._lock:
            self._executions.append(figures)
        return figures

    def executions(self) -> list[ExecutionFigures]:
        """Returns all accounts in the order of their start."""
        with self._lock:
            return list(self._executions)
