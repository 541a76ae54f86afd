"""What is known of a run of the deployed stack."""

from __future__ import annotations

from dataclasses import replace

from cli.recorded_facts import recorded_facts
from cli.stack import ExecutionState, Stack
from cli.summary import RunFacts
from massive_upload.domain.file_keys import RUNS_PREFIX
from massive_upload.domain.progress import Run, RunStatus
from massive_upload.errors import RunError


def facts_of(stack: Stack, run: Run) -> RunFacts:
    """A run as it is recorded now; where its execution has ended without finishing it, with that execution's end."""
    run, execution = _as_it_stands(stack, run)
    out = f"s3://{stack.bucket_name}/{RUNS_PREFIX}{run.run_id}/"
    facts = recorded_facts(stack.store, stack.files, run, out=out)
    if not run.is_unfinished:
        return replace(facts, receipt=f"{out}receipt.json")
    if execution is None:
        return facts
    return replace(
        facts,
        is_left=True,
        status=RunStatus.STOPPED if execution.status == "ABORTED" else facts.status,
        error=execution.error or RunError.of_execution(execution.status),
        cause=execution.cause or "The watchdog has yet to settle or abort its jobs in flight; look again.",
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
