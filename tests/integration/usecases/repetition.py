"""Tasks that are entered more than once with the same input."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from massive_upload.errors import LoadError

T = TypeVar("T")


class Repetition:
    """Enters every task once more.

    ``lag`` is None for never; 0 for at once, and then the second answer counts, as after a redrive or where the first
    answer was lost; else the task is entered once more when so many others have ended, and nobody hears its answer.
    """

    def __init__(self) -> None:
        self.lag: int | None = None
        self.repeated = 0
        self._waiting: deque[Callable[[], object]] = deque()

    def run(self, task: Callable[[], T]) -> T:
        answer = task()
        if self.lag is None:
            return answer
        if self.lag == 0:
            self.repeated += 1
            return task()
        if len(self._waiting) == self.lag:
            self._enter_again(self._waiting.popleft())
        self._waiting.append(task)
        return answer

    def flush(self) -> None:
        """Enter what still waits for its turn."""
        while self._waiting:
            self._enter_again(self._waiting.popleft())

    def _enter_again(self, task: Callable[[], object]) -> None:
        self.repeated += 1
        try:
            task()
        except LoadError:
            return  # a refusal is harmless: it is what the test wants to see change nothing
