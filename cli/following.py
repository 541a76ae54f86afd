"""Shows a run while it goes on, wherever it is carried out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from cli.progress import ProgressDisplay
from cli.snapshot import Snapshot

_SHARE_OF_LOOKING = 4
"""After a look that took long, the next one comes so many times later: looking must not slow the run down."""


class FollowedRun(Protocol):
    """A run whose execution has been started."""

    def has_ended(self, *, within_seconds: float) -> bool:
        """Wait a while for the end of the execution."""

    def snapshot(self) -> Snapshot:
        """How far the run has come."""


def follow(
    run: FollowedRun,
    display: ProgressDisplay,
    *,
    look_seconds: float,
    has_lanes: bool = True,
    before_look: Callable[[], bool] = lambda: True,
) -> None:
    """Show a run until it has ended.

    Args:
        run: the run.
        display: where to.
        look_seconds: how long to wait between two looks, at least.
        has_lanes: whether the run is to load its lanes, and not only to plan them.
        before_look: called before each look; False leaves this look out.
    """
    pause_seconds = look_seconds
    while not run.has_ended(within_seconds=pause_seconds):
        if not before_look():
            continue
        began_seconds = time.monotonic()
        display.show(run.snapshot() if has_lanes else Snapshot(), at_seconds=began_seconds)
        pause_seconds = max(look_seconds, _SHARE_OF_LOOKING * (time.monotonic() - began_seconds))
