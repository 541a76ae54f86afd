"""The commands for rejected rows: look at them, and send them once more.

What is heavy to import is imported by the commands that need it, so that help comes at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import UsageMistake, errors_as_exit_codes
from cli.exit_status import EXIT_STATUS_WATCHED
from cli.local_options import (
    STACK_PANEL,
    LoadsDir,
    Local,
    OrgUrl,
    Out,
    StateDir,
    TimeScale,
    check_options,
    checked_state_dir,
)
from cli.output import lasting_output
from cli.stack_commands import AsJson, Profile, Region, RunId, StackName, Watch, go_on, on_stack

if TYPE_CHECKING:
    from cli.failures import Rejects

failure_commands = typer.Typer()

_LATEST = "latest"


@failure_commands.command(rich_help_panel=STACK_PANEL)
def failures(
    context: typer.Context,
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
    local: Local = False,
    state_dir: StateDir = None,
) -> None:
    """Show the rejected rows of a run by the code of their error; Salesforce's texts may quote values of the rows.

    With --local they are those of a run of this machine that was given --state-dir; no org is asked.

    [b]Examples:[/b]

    massive-upload failures latest

    massive-upload failures latest --code STRING_TOO_LONG --csv too-long.csv

    massive-upload failures latest --local --state-dir state

    massive-upload failures --out out/opportunity-20260131-220000-1a2b
    """
    with lasting_output(), errors_as_exit_codes(interrupted="Interrupted."):
        check_options(context, is_local=local or (out is not None and state_dir is None))
        directory = checked_state_dir(local and out is None, state_dir)
        if directory is not None and out is not None:
            raise UsageMistake("--out and --state-dir both say where the rejected rows are: give one of them.")
        if directory is not None:
            source = _of_state_dir(directory, run_id)
        elif out is not None:
            source = _of_results(out, run_id)
        else:
            source = _of_stack(run_id, stack, region, profile)
        with source as rejects:
            _show(rejects, code=code, sample=sample, csv=csv, as_json=as_json)


@failure_commands.command("retry-failed", epilog=EXIT_STATUS_WATCHED, rich_help_panel=STACK_PANEL)
def retry_failed(
    context: typer.Context,
    run_id: RunId,
    only: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only rows with this code, such as INVALID_FIELD.")
    ] = None,
    watch: Watch = False,
    as_json: AsJson = False,
    stack: StackName = "MassiveUpload",
    region: Region = None,
    profile: Profile = None,
    local: Local = False,
    state_dir: StateDir = None,
    org_url: OrgUrl = None,
    time_scale: TimeScale = None,
    _loads_dir: LoadsDir = None,
    out: Out = None,
) -> None:
    """Send the rejected rows of a run once more, in a run of their own, after their cause is mended at the target.

    Rows are sent as they were: a mapping that was changed since is not applied to them. A row that an earlier retry
    has taken up is not taken up again; what that one could not bring in is.

    With --local it is a run of this machine that was given --state-dir, and the retry is kept there too; the login
    comes from the environment, as for [b]run[/b].

    [b]Examples:[/b]

    massive-upload retry-failed latest --watch

    massive-upload retry-failed opportunity-20260131-220000-1a2b --only INVALID_FIELD

    massive-upload retry-failed latest --local --state-dir state
    """
    with lasting_output(), errors_as_exit_codes():
        check_options(context, is_local=local)
        directory = checked_state_dir(local, state_dir)
        if directory is not None:
            from cli.resume import LocalOptions, retry_locally

            options = LocalOptions(
                state_dir=directory,
                org_url=org_url,
                environment=os.environ,
                time_scale=time_scale,
                out=out,
                as_json=as_json,
            )
            raise typer.Exit(retry_locally(run_id, options, only=only))
    with on_stack(stack, region, profile) as found:
        from cli.stack_run import retry_run

        go_on(retry_run(found, run_id, only=only), "begins", watch=watch, as_json=as_json)


def _show(rejects: Rejects, *, code: str | None, sample: int, csv: Path | None, as_json: bool) -> None:
    from rich.console import Console

    from cli.failures import csv_file, failures_json, failures_view, gather_failures

    with csv_file(csv) if csv is not None else nullcontext() as writer:
        found = gather_failures(rejects, code=code, sample=sample, writer=writer)
    Console(stderr=as_json, highlight=False).print(failures_view(rejects.run_id, found, code=code))
    if csv is not None:
        print(f"{sum(each.rows for each in found):,} rows are in {csv}", file=sys.stderr)
    if as_json:
        print(failures_json(rejects.run_id, found))


@contextmanager
def _of_state_dir(directory: Path, run_id: str) -> Iterator[Rejects]:
    from cli.kept_runs import open_runs
    from cli.recorded_failures import recorded_rejects
    from cli.run_ids import has_lanes

    with open_runs(directory) as kept:
        store = kept.recorded()
        run = kept.find(
            run_id, fits=lambda candidate: has_lanes(store.run(candidate.run_id)), what="run that was to write rows"
        )
        yield recorded_rejects(store, kept.files, run.run_id)


@contextmanager
def _of_results(out: Path, run_id: str) -> Iterator[Rejects]:
    from cli.results import saved_rejects

    yield saved_rejects(out, None if run_id == _LATEST else run_id)


@contextmanager
def _of_stack(run_id: str, stack: str, region: str | None, profile: str | None) -> Iterator[Rejects]:
    with on_stack(stack, region, profile) as found:
        from cli.recorded_failures import recorded_rejects
        from cli.run_ids import find_run, has_lanes

        run = find_run(found.store, run_id, fits=has_lanes)
        yield recorded_rejects(found.store, found.files, run.run_id)
