"""Names of runs: how a new one is made, and which run an operator means."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

from cli.errors import UsageMistake
from massive_upload.contracts import Mode
from massive_upload.domain.progress import Run
from massive_upload.ports import ProgressStore
from massive_upload.usecases.planning.resume import later_writer

LATEST = "latest"
"""Instead of a run id: the newest run with which the command can do something."""

_LOOKED_AT = 50
"""How many runs 'latest' looks back."""
_NAMED = 3


def new_run_id(load_name: str) -> str:
    """A run id that says what and when, and is unique."""
    return f"{load_name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"


def has_lanes(run: Run | None) -> bool:
    """Whether a run was planned in order to write: without lanes there is nothing to resume, to show or to retry."""
    return run is not None and run.plan_name is not None and run.mode != Mode.PLAN


def may_be_retried(run: Run | None, store: ProgressStore) -> bool:
    """Whether 'latest' may mean a run whose rejected rows are to be sent once more: it has ended, and has some."""
    if run is None or not has_lanes(run) or run.is_unfinished:
        return False
    return any(partition.rejected for partition in store.partitions(run.run_id))


def warn_of_older_rows(run: Run, store: ProgressStore) -> None:
    """Tell who sends the rejected rows of a run once more that a later run has written to its target.

    Kept rows are as old as the run that the family of retries began with.
    """
    first = run if run.retry_of is None else store.run(run.retry_of)
    later = None if first is None else later_writer(store, first)
    if first is not None and later is not None:
        print(
            f"Warning: run {later} has written to the target since. What it has brought of these rows is set back to "
            f"what run {first.run_id} had of them; a full run brings all rows as they are now.",
            file=sys.stderr,
        )


def newest_runs(store: ProgressStore, most: int) -> list[Run]:
    """The runs that have begun last, the newest first."""
    found = (store.run(run_id) for run_id in store.newest_runs(most))
    return [run for run in found if run is not None]


def find_run(store: ProgressStore, run_id: str, *, fits: Callable[[Run], bool] = lambda _run: True) -> Run:
    """The run of an id.

    Args:
        store: the progress table.
        run_id: the id, or 'latest'.
        fits: whether 'latest' may mean a run.

    Raises:
        UsageMistake: there is no such run.
    """
    if run_id == LATEST:
        latest = next((run for run in newest_runs(store, _LOOKED_AT) if fits(run)), None)
        if latest is None:
            raise UsageMistake("There is no run that 'latest' could mean; massive-upload status lists the newest.")
        return latest
    run = store.run(run_id)
    if run is None:
        known = ", ".join(store.newest_runs(_NAMED))
        hint = f"the newest are {known}" if known else "there are none yet; begin one with massive-upload start LOAD"
        raise UsageMistake(f"There is no run {run_id!r}; {hint}.")
    return run
