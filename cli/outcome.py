"""The end of a run, as it is told: its summary, why it did not end well, and the exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console

from cli.errors import ExitCode, exit_code_of
from cli.printable import printable_lines
from cli.summary import RunFacts, RunSummary, partition_failures, summarize, summary_view
from massive_upload.domain.progress import Partition, RunStatus


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What the operator does next, by how the run ended.

    Attributes:
        unfinished: it can go on, or be run again.
        rejected: it has completed, and too many of its rows are rejected.
        defect: this product is at fault.
    """

    unfinished: str
    rejected: str
    defect: str


def rejected_advice(run_id: str, command: Callable[..., str]) -> str:
    """What is done about the rejected rows of a run that has nothing else left to do.

    Args:
        run_id: the run.
        command: how a command for it is written, from its words.
    """
    return (
        f"See why: {command('failures', run_id)}\n"
        f"Send them once more when the cause is mended at the target: {command('retry-failed', run_id)}"
    )


def tell_outcome(facts: RunFacts, advice: Advice, *, as_json: bool) -> ExitCode:
    """Show how a run ended.

    Args:
        facts: what is known of it.
        advice: what to do next.
        as_json: whether the summary is one JSON object, the last line of the standard output. Everything else goes
            to the standard error output then.
    """
    summary = summarize(facts)
    code = exit_code_of(status=facts.status, error=facts.error, was_planned=facts.was_planned)
    if facts.was_planned:
        Console(stderr=as_json, highlight=False).print(summary_view(summary, facts.partitions))
    _explain(summary, facts.partitions, code, advice)
    if as_json:
        print(summary.as_json(), flush=True)
    return code


def _explain(summary: RunSummary, partitions: Sequence[Partition], code: ExitCode, advice: Advice) -> None:
    """Say on the standard error output why a run did not end well, and what to do."""
    if code is ExitCode.OK:
        return
    if summary.error is not None:
        # What ended a lane before says nothing of why the run cannot go on now.
        failures = [] if code is ExitCode.WRONG_CONFIGURATION else partition_failures(partitions)
        print(printable_lines("\n".join([f"{summary.error}: {summary.cause}", *failures])), file=sys.stderr)
    if code is ExitCode.INTERNAL_FAILURE:
        print(advice.defect, file=sys.stderr)
    elif summary.status == RunStatus.COMPLETED:
        if code is not ExitCode.STOPPED:  # of a load of a sequence the error's cause says how to begin those after it
            print(advice.rejected, file=sys.stderr)
    elif code is not ExitCode.WRONG_CONFIGURATION:
        print(advice.unfinished, file=sys.stderr)
