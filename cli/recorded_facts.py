"""What is recorded of a run, wherever it is recorded: in a deployed stack, or in a state directory."""

from __future__ import annotations

from cli.summary import RunFacts
from massive_upload.domain.account import account_of
from massive_upload.domain.progress import Run
from massive_upload.ports import Files, ProgressStore
from massive_upload.usecases.plan_file import read_estimate
from massive_upload.usecases.receipt import read_notes
from massive_upload.usecases.slice_tasks import unsettled_batches


def recorded_facts(store: ProgressStore, files: Files, run: Run, *, out: str = "") -> RunFacts:
    """A run as it is recorded.

    Args:
        store: holds the run.
        files: holds its plan and its receipt.
        run: the run's item.
        out: where a person finds its files; empty where nobody knows.
    """
    partitions = store.partitions(run.run_id)
    notes = read_notes(files, run)
    return RunFacts(
        run_id=run.run_id,
        load_name=run.load,
        mode=run.mode,
        run=run,
        partitions=partitions,
        account=account_of(run, partitions, unsettled_batches(store, partitions)),
        status=run.status,
        error=run.error,
        cause=run.cause,
        started_at=run.started_at,
        ended_at=run.ended_at,
        out=out,
        estimate=read_estimate(files, run),
        advice=notes.advice,
        hot_parents=notes.hot_parents,
    )
