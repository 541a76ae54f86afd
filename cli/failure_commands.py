"""The commands for rejected rows: look at them, and send them once more.

What is heavy to import is imported by the commands that need it, so that help comes at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import errors_as_exit_codes
from cli.exit_status import EXIT_STATUS
from cli.stack_commands import PANEL, AsJson, Profile, Region, RunId, StackName, Watch, go_on, on_stack

if TYPE_CHECKING:
    from cli.failures import Rejects

failure_commands = typer.Typer()

_LATEST = "latest"


@failure_commands.command(rich_help_panel=PANEL)
def failures(
    run_id: Annotated[str, typer.Argument(help="The run, or 'latest'.")] = _LATEST,
    code: Annotated[str | None, typer.Option(help="Only rows with this code, such as STRING_TOO_LONG.")] = None,
    sample: Annotated[int, typer.Option(min=0, help="How many keys to show for each code.")] = 3,
    csv: Annotated[
        Path | None, typer.Option(help="Write the rows, with all their columns, their error and their tries.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The directory of a local run's results, in place of a deployed stack.")
    ] = None,
    as_json: AsJson = False,
    stack: StackName = "MassiveUpload",
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Show the rejected rows of a run by the code of their error; Salesforce's texts may quote values of the rows.

    [b]Examples:[/b]

    massive-upload failures latest

    massive-upload failures latest --code STRING_TOO_LONG --csv too-long.csv

    massive-upload failures --out out/opportunity-20260131-220000-1a2b
    """
    with _rejects(run_id, out, stack=stack, region=region, profile=profile) as rejects:
        from rich.console import Console

        from cli.failures import csv_file, failures_json, failures_view, gather_failures

        with csv_file(csv) if csv is not None else nullcontext() as writer:
            found = gather_failures(rejects, code=code, sample=sample, writer=writer)
        Console(stderr=as_json, highlight=False).print(failures_view(rejects.run_id, found))
        if csv is not None:
            Console(stderr=True, highlight=False).print(f"{sum(each.rows for each in found):,} rows are in {csv}")
        if as_json:
            print(failures_json(rejects.run_id, found))


@failure_commands.command("retry-failed", epilog=EXIT_STATUS, rich_help_panel=PANEL)
def retry_failed(
    run_id: RunId,
    only: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only rows with this code, such as INVALID_FIELD.")
    ] = None,
    watch: Watch = False,
    as_json: AsJson = False,
    stack: StackName = "MassiveUpload",
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Send the rejected rows of a run once more, in a run of their own, after their cause is mended at the target.

    Rows are sent as they were: a mapping that was changed since is not applied to them. A row that an earlier retry
    has taken up is not taken up again; what that one could not bring in is.

    [b]Examples:[/b]

    massive-upload retry-failed latest --watch

    massive-upload retry-failed opportunity-20260131-220000-1a2b --only INVALID_FIELD
    """
    with on_stack(stack, region, profile) as found:
        from cli.stack_run import retry_run

        go_on(retry_run(found, run_id, only=only), "begins", watch=watch, as_json=as_json)


@contextmanager
def _rejects(
    run_id: str, out: Path | None, *, stack: str, region: str | None, profile: str | None
) -> Iterator[Rejects]:
    """The rejected rows of a run, from a directory or from a deployed stack."""
    if out is not None:
        with errors_as_exit_codes():
            from cli.results import saved_rejects

            yield saved_rejects(out, None if run_id == _LATEST else run_id)
        return
    with on_stack(stack, region, profile) as found:
        from cli.stack_failures import recorded_rejects

        yield recorded_rejects(found, run_id)
