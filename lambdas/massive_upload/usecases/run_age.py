"""How old a run may be that another execution is to go on with: what it needs has to outlive that execution."""

from __future__ import annotations

from datetime import datetime, timedelta

from massive_upload.constants import LONGEST_EXECUTION_DAYS, RESUMABLE_DAYS, STATE_KEPT_DAYS
from massive_upload.domain.progress import Run
from massive_upload.errors import RunNotResumable
from massive_upload.ports import ProgressStore


def check_age(run: Run, store: ProgressStore, *, begins_at: datetime) -> None:
    """See that an execution can resume a run, or retry it, and come to its end before anything of it expires.

    A retry reads the rows that the first run of its family has kept, so that one's age counts. What has expired and is
    still there is too old in any case: DynamoDB may take days to remove it.

    Args:
        run: the run.
        store: holds the runs.
        begins_at: when the execution begins; its time-out counts from then.

    Raises:
        RunNotResumable: the run is too old.
    """
    first = run if run.retry_of is None else store.run(run.retry_of)
    if first is None or begins_at - first.started_at > timedelta(days=RESUMABLE_DAYS):
        raise RunNotResumable(
            f"Run {run.retry_of or run.run_id} began more than {RESUMABLE_DAYS} days ago: its state and its files are "
            f"kept for {STATE_KEPT_DAYS} days, and an execution may take {LONGEST_EXECUTION_DAYS}.",
            next_step="Start the load anew, with mode full.",
        )
