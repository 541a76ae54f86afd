"""When each chunk of rows is written, and which rows cannot get the locks they need.

A discrete-event model on simulated seconds. Batches wait in one queue for the org's workers. A worker writes
its batch in chunks, one after the other; while a chunk runs it holds the locks of all parents that its rows point
to. A chunk that needs a lock which another holds waits for it, first come, first served, or by lot; after
`lock_wait_seconds` the rows whose parents are still locked fail and the others are written. (Salesforce documents
neither queue nor order; that a waiter gives up after about ten seconds is what its users report.)
"""

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Protocol


class Chunk(Protocol):
    """Up to 200 rows that are written as one transaction."""

    @property
    def parents(self) -> Sequence[tuple[str, ...]]:
        """For each row the ids of the records that its write locks."""
        ...

    def finish(self, *, at: float, running_seconds: float, locked_out: Mapping[int, tuple[str, ...]]) -> None:
        """Write all rows but those locked out: place in the chunk -> the parents still locked."""
        ...


class Batch(Protocol):
    """Up to 10,000 rows of one job, written by one worker."""

    def next_chunk(self, at: float) -> Chunk | None:
        """The next rows to write, or None when nothing is left to do."""
        ...


@dataclass(eq=False)
class _Attempt:
    batch: Batch
    chunk: Chunk
    needs: frozenset[str]
    running_seconds: float = 0.0
    locked_out: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


class Scheduler:
    """Runs batches in simulated time; `advance` brings it up to date.

    Args:
        workers: batches written at the same time, over all jobs.
        row_seconds: time to write one row.
        lock_wait_seconds: how long a chunk waits for locks before rows fail.
        locks: False writes everything without locks.
        lottery: draws which waiting chunk gets a lock that is released; None for first come, first served.
        has_barging: whether the batch whose chunk has released the lock takes part with its next one, as where those
            who wait are woken and have to ask again.
    """

    def __init__(
        self,
        *,
        workers: int,
        row_seconds: float,
        lock_wait_seconds: float,
        locks: bool = True,
        lottery: Random | None = None,
        has_barging: bool = False,
    ) -> None:
        self._idle_workers = workers
        self._row_seconds = row_seconds
        self._lock_wait_seconds = lock_wait_seconds
        self._locks = locks
        self._lottery = lottery
        self._has_barging = has_barging
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._queue: deque[Batch] = deque()
        self._waiting: list[_Attempt] = []
        self._held: set[str] = set()

    def submit(self, batch: Batch, at: float) -> None:
        """Queue a batch at a moment that is not in the past of the last `advance`."""

        def arrive(now: float) -> None:
            self._queue.append(batch)
            self._employ(now)

        self._at(at, arrive)

    def advance(self, now: float) -> None:
        """Let everything happen that is due by now."""
        while self._events and self._events[0][0] <= now:
            at, _, happen = heapq.heappop(self._events)
            happen(at)

    def _at(self, at: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at, next(self._order), happen))

    def _employ(self, now: float) -> None:
        while self._queue and self._idle_workers:
            self._idle_workers -= 1
            self._go_on(self._queue.popleft(), now)

    def _go_on(self, batch: Batch, now: float, *, waits: bool = False) -> None:
        """Start the next chunk of a batch on its worker, or let it wait for its locks, or let the worker go."""
        chunk = batch.next_chunk(now)
        if chunk is None:
            self._idle_workers += 1
            self._employ(now)
            return
        needs = frozenset().union(*chunk.parents) if self._locks else frozenset()
        attempt = _Attempt(batch, chunk, needs)
        if needs.isdisjoint(self._held) and not waits:
            self._run(attempt, now)
            return
        self._waiting.append(attempt)
        self._at(now + self._lock_wait_seconds, lambda at: self._give_up(attempt, at))

    def _run(self, attempt: _Attempt, now: float) -> None:
        self._held |= attempt.needs
        rows = len(attempt.chunk.parents) - len(attempt.locked_out)
        attempt.running_seconds = rows * self._row_seconds
        self._at(now + attempt.running_seconds, lambda at: self._end(attempt, at))

    def _give_up(self, attempt: _Attempt, now: float) -> None:
        """The wait is over: rows whose parents are free are written, the others fail."""
        if attempt not in self._waiting:
            return
        self._waiting.remove(attempt)
        locked = {
            place: tuple(sorted(self._held.intersection(parents)))
            for place, parents in enumerate(attempt.chunk.parents)
        }
        attempt.locked_out = {place: ids for place, ids in locked.items() if ids}
        free_rows = (parents for place, parents in enumerate(attempt.chunk.parents) if place not in attempt.locked_out)
        attempt.needs = frozenset().union(*free_rows)
        self._run(attempt, now)

    def _end(self, attempt: _Attempt, now: float) -> None:
        self._held -= attempt.needs
        attempt.chunk.finish(at=now, running_seconds=attempt.running_seconds, locked_out=attempt.locked_out)
        if self._has_barging:
            self._go_on(attempt.batch, now, waits=True)
        waiters = self._waiting.copy()
        if self._lottery is not None:
            self._lottery.shuffle(waiters)
        for waiter in waiters:
            if waiter.needs.isdisjoint(self._held):
                self._waiting.remove(waiter)
                self._run(waiter, now)
        if not self._has_barging:
            self._go_on(attempt.batch, now)
