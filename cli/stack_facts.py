"""What is known of a run of the deployed stack."""

from __future__ import annotations

from cli.stack import ExecutionState, Stack
from cli.summary import RunFacts
from massive_upload.domain.account import account_of
from massive_upload.domain.file_keys import RUNS_PREFIX
from massive_upload.domain.progress import Run, RunStatus
from massive_upload.usecases.plan_file import read_estimate
from massive_upload.usecases.receipt import read_notes
from massive_upload.usecases.slice_tasks import unsettled_batches


def facts_of(stack: Stack, run: Run) -> RunFacts:
    """A run as it is recorded now; where its execution has ended without finishing it, with that execution's end."""
    run, execution = _as_it_stands(stack, run)
    partitions = stack.store.partitions(run.run_id)
    open_batches = unsettled_batches(stack.store, partitions)
    status, error, cause = run.status, run.error, run.cause
    if execution is not None:
        if execution.status == "ABORTED":
            status = RunStatus.STOPPED
        error = execution.error or f"Execution{execution.status.title().replace('_', '')}"
        cause = execution.cause or "The watchdog has yet to settle or abort its jobs in flight; look again."
    out = f"s3://{stack.bucket_name}/{RUNS_PREFIX}{run.run_id}/"
    notes = read_notes(stack.files, run)
    return RunFacts(
        run_id=run.run_id,
        load_name=run.load,
        mode=run.mode,
        run=run,
        partitions=partitions,
        account=account_of(run, partitions, open_batches),
        status=status,
        error=error,
        cause=cause,
        started_at=run.started_at,
        ended_at=run.ended_at,
        estimate=read_estimate(stack.files, run),
        advice=notes.advice,
        hot_parents=notes.hot_parents,
        out=out,
        receipt=None if run.is_unfinished else f"{out}receipt.json",
    )


def _as_it_stands(stack: Stack, run: Run) -> tuple[Run, ExecutionState | None]:
    """The run, and its execution where that has ended and left it unfinished.

    Once the execution is seen to have ended, the run is read again: it may have been finished since it was read, or
    another execution may go on with it.
    """
    if not run.is_unfinished:
        return run, None
    execution = stack.execution(run.execution_arn)
    if not execution.has_ended:
        return run, None
    again = stack.store.run(run.run_id) or run
    was_left = again.is_unfinished and again.execution_arn == run.execution_arn
    return again, execution if was_left else None
