"""Ctrl-C, counted instead of obeyed at once."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Self


class Interrupts:
    """Counts signals to end while it is entered; whoever entered it looks at ``count``.

    Each SIGINT and SIGTERM counts. All SIGHUPs together count as one: when a terminal closes, the shell and the kernel
    may both send it, and it says that nobody is there any more rather than that anything is urgent. Under ``nohup``
    none counts.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        hang_up = getattr(signal, "SIGHUP", None)  # not on every platform
        if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
            self._before[hang_up] = signal.signal(hang_up, self._note_hang_up)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1

    def _note_hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self.count = max(1, self.count)
