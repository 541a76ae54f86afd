"""What goes wrong with invocations of Lambda functions on purpose.

```python
aws.faults = FaultPlan(Fault(function="Upload", nth=2, what=Kill(Point(request=3, moment=Moment.BEFORE))))
```

A fault names an invocation, by its function and which of them it is, and what happens to it:

- `Kill`: its process ends at once. Step Functions sees Runtime.ExitError.
- `LoseAnswer`: it runs to its end and its answer gets lost, so that a Retry repeats what has already succeeded.
- `Outlive`: it is taken for timed out (Sandbox.Timedout) at some point, and goes on from there when so many later
  invocations have ended: a zombie beside its retry.
- `Throttle`: it does not run at all (Lambda.TooManyRequestsException).
- `Call`: something happens in this process while the function waits, such as `aws.stop_execution(...)`.

A `Point` is an HTTP request that the invocation makes through urllib3, as requests and botocore do: the n-th, before it
is sent or after its answer has come back. The functions know nothing of it.

`FaultPlan.invocations` says what was invoked and how many requests each made: a plan without faults counts the points
at which a later run of the same work can be broken.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, unique
from threading import Lock


@unique
class Moment(StrEnum):
    """When something happens, seen from a request."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A request of an invocation, counted from 1."""

    request: int
    moment: Moment


@dataclass(frozen=True)
class Kill:
    """The process ends at a point."""

    at: Point


@dataclass(frozen=True)
class LoseAnswer:
    """The function succeeds or fails, and nobody hears of it."""


@dataclass(frozen=True)
class Outlive:
    """The function is taken for timed out at a point; it goes on after so many later invocations have ended."""

    at: Point
    wakes_after: int = 1


@dataclass(frozen=True)
class Throttle:
    """The function is not run."""


@dataclass(frozen=True)
class Call:
    """Something else happens at a point, then the function goes on."""

    at: Point
    action: Callable[[], object]


What = Kill | LoseAnswer | Outlive | Throttle | Call


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to the `nth` invocation (from 1) of functions whose names hold `function`, a regular expression."""

    function: str = ""
    nth: int = 1
    what: What


@dataclass(frozen=True)
class Invocation:
    """An invocation that ended by itself, and how many HTTP requests it made."""

    function: str
    requests: int


class FaultPlan:
    """Faults at work: counts the invocations and says what happens to each. Each fault strikes once."""

    def __init__(self, *faults: Fault) -> None:
        self._lock = Lock()
        self._seen = dict.fromkeys(range(len(faults)), 0)
        self._faults = faults
        self._struck: list[Fault] = []
        self._invocations: list[Invocation] = []

    def next_for(self, function: str) -> What | None:
        """What is to happen to an invocation that begins now."""
        with self._lock:
            found: What | None = None
            for number, fault in enumerate(self._faults):
                if not re.search(fault.function, function):
                    continue
                self._seen[number] += 1
                if found is None and self._seen[number] == fault.nth:
                    found = fault.what
            return found

    def strike(self, what: What) -> None:
        """Note that something has happened."""
        with self._lock:
            self._struck += [fault for fault in self._faults if fault.what is what]

    def record(self, function: str, requests: int) -> None:
        """Note an invocation that ended by itself."""
        with self._lock:
            self._invocations.append(Invocation(function, requests))

    @property
    def struck(self) -> tuple[Fault, ...]:
        """The faults that have happened; one whose invocation made fewer requests is not among them."""
        with self._lock:
            return tuple(self._struck)

    @property
    def invocations(self) -> tuple[Invocation, ...]:
        """The invocations that ended by themselves, in the order of their end."""
        with self._lock:
            return tuple(self._invocations)
