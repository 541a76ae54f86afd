"""The commands for the deployed stack; resume is for runs of this machine as well.

What is heavy to import is imported by the commands that need it, so that help comes at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.errors import errors_as_exit_codes
from cli.exit_status import EXIT_STATUS, EXIT_STATUS_WATCHED
from cli.local_options import (
    REGION_VARIABLE,
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

if TYPE_CHECKING:
    from cli.stack import Stack
    from cli.stack_run import StackRun
    from massive_upload.domain.progress import Halt

stack_commands = typer.Typer()

StackName = Annotated[str, typer.Option("--stack", rich_help_panel=STACK_PANEL, help="The stack's name.")]
Region = Annotated[
    str | None,
    typer.Option(
        envvar=REGION_VARIABLE,
        rich_help_panel=STACK_PANEL,
        help="The stack's region; by default that of the AWS configuration.",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(rich_help_panel=STACK_PANEL, help="The profile of the AWS configuration; by default AWS_PROFILE."),
]
RunId = Annotated[str, typer.Argument(help="The run, or 'latest'.")]
Watch = Annotated[
    bool,
    typer.Option("--watch", rich_help_panel=STACK_PANEL, help="Watch it to its end; the exit status is the run's."),
]
BeginMode = Annotated[
    Literal["full", "incremental", "sample", "plan"],
    typer.Option(
        help="full: all rows; incremental: what was modified since the last complete run; sample: the first rows only; "
        "plan: count and estimate, write nothing."
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="End with one line of JSON on the standard output; all else to stderr.")
]


@stack_commands.command(epilog=EXIT_STATUS_WATCHED, rich_help_panel=STACK_PANEL)
def start(
    load: Annotated[str, typer.Argument(help="The load, or the sequence: a file in loads/ as it was deployed.")],
    mode: BeginMode = "full",
    start_with: Annotated[
        str | None,
        typer.Option(
            metavar="LOAD", help="Of a sequence, the load to begin with: those before it have completed already."
        ),
    ] = None,
    run_id: Annotated[
        str | None, typer.Option(help="The run's id; by default one of the load's name and the time.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of pace, partitioning or sample, as in pace.batch_rows=9.",
        ),
    ] = None,
    scheduled: Annotated[
        bool,
        typer.Option(
            "--scheduled",
            help="As a schedule starts it: within the window of the schedule, and not at all while another run loads "
            "the target. Give the schedule's --mode, too.",
        ),
    ] = False,
    watch: Watch = False,
    as_json: AsJson = False,
    stack: StackName = "MassiveUpload",
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Start a load on AWS, and return once its run has begun.

    The login is that of the AWS command line: a profile, or the environment.

    [b]Examples:[/b]

    massive-upload start opportunity --mode plan --watch

    massive-upload start opportunity --set pace.batch_rows=1000 --set partitioning.count=5

    massive-upload start nightly --start-with opportunity

    massive-upload start opportunity --scheduled --mode incremental
    """
    with on_stack(stack, region, profile) as found:
        from cli.stack_run import start_input, start_run

        payload = start_input(load, mode=mode, sets=sets or [], start_with=start_with, scheduled=scheduled)
        go_on(start_run(found, payload, run_id=run_id), "begins", watch=watch, as_json=as_json)


@stack_commands.command(epilog=EXIT_STATUS_WATCHED, rich_help_panel=STACK_PANEL)
def resume(
    context: typer.Context,
    run_id: RunId,
    partitions: Annotated[
        list[int] | None,
        typer.Option(
            "--partition",
            min=0,
            max=9999,
            metavar="N",
            rich_help_panel=STACK_PANEL,
            help="Go on with this partition alone; repeatable.",
        ),
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
    """Go on with a run that was stopped, paused, killed, or failed: what is settled is not sent again.

    With --local it is a run of this machine that was given --state-dir; the login comes from the environment, as for
    [b]run[/b].

    [b]Examples:[/b]

    massive-upload resume latest --watch

    massive-upload resume opportunity-20260131-220000-1a2b --partition 7

    massive-upload resume latest --local --state-dir state
    """
    with lasting_output(), errors_as_exit_codes():
        check_options(context, is_local=local)
        directory = checked_state_dir(local, state_dir)
        if directory is not None:
            from cli.resume import LocalOptions, resume_locally

            options = LocalOptions(
                state_dir=directory,
                org_url=org_url,
                environment=os.environ,
                time_scale=time_scale,
                out=out,
                as_json=as_json,
            )
            raise typer.Exit(resume_locally(run_id, options))
    with on_stack(stack, region, profile) as found:
        from cli.stack_run import resume_run

        go_on(resume_run(found, run_id, partitions=partitions or []), "goes on", watch=watch, as_json=as_json)


@stack_commands.command(epilog=EXIT_STATUS, rich_help_panel=STACK_PANEL)
def watch(
    run_id: RunId,
    as_json: AsJson = False,
    stack: StackName = "MassiveUpload",
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Watch a run to its end, with the bars and the summary of a local run. Ctrl-C stops the watching alone.

    [b]Example:[/b] massive-upload watch latest
    """
    with on_stack(stack, region, profile) as found:
        from cli.stack_run import watch_run, watched_run

        raise typer.Exit(watch_run(watched_run(found, run_id), as_json=as_json))


@stack_commands.command(rich_help_panel=STACK_PANEL)
def status(
    context: typer.Context,
    run_id: Annotated[str | None, typer.Argument(help="The run, or 'latest'; by default the newest runs.")] = None,
    as_json: AsJson = False,
    stack: StackName = "MassiveUpload",
    region: Region = None,
    profile: Profile = None,
    local: Local = False,
    state_dir: StateDir = None,
) -> None:
    """Show the newest runs, or one run with its account and each of its partitions.

    With --local they are those of this machine that were given --state-dir, while no process is at work on one.

    [b]Examples:[/b]

    massive-upload status

    massive-upload status latest --json

    massive-upload status latest --local --state-dir state
    """
    with lasting_output(), errors_as_exit_codes(interrupted="Interrupted."):
        check_options(context, is_local=local)
        directory = checked_state_dir(local, state_dir)
        if directory is not None:
            from cli.kept_status import show_kept

            show_kept(directory, run_id, as_json=as_json)
            return
    with on_stack(stack, region, profile) as found:
        from cli.stack_facts import facts_of
        from cli.stack_run import refused_runs, run_on
        from cli.status import MOST_LISTED, show_newest, show_run

        if run_id is None:
            none = f"The stack {found.name} has no runs yet; begin one: {found.command('start', 'LOAD')}"
            refused = refused_runs(found, MOST_LISTED)
            show_newest(found.store, none=none, as_json=as_json, refused=refused)
        else:
            show_run(facts_of(found, run_on(found, run_id)), as_json=as_json)


@stack_commands.command(rich_help_panel=STACK_PANEL)
def stop(run_id: RunId, stack: StackName = "MassiveUpload", region: Region = None, profile: Profile = None) -> None:
    """Stop a run at the next batch edge of each lane; its execution ends as failed with RunStopped.

    A job in flight gets ten minutes to end, then it is aborted. Every row is accounted for, and the run can be resumed.

    [b]Example:[/b] massive-upload stop latest
    """
    with on_stack(stack, region, profile) as found:
        from massive_upload.domain.progress import Halt

        _halt(found, run_id, Halt.STOP)


@stack_commands.command(rich_help_panel=STACK_PANEL)
def pause(run_id: RunId, stack: StackName = "MassiveUpload", region: Region = None, profile: Profile = None) -> None:
    """Pause a run at the next batch edge of each lane; its execution succeeds, and no alarm rings.

    Before the run is planned, and where a load of a sequence has just completed, it ends as a stop does.

    Go on with [b]massive-upload resume[/b], within 60 days of the beginning of the run.

    [b]Example:[/b] massive-upload pause latest
    """
    with on_stack(stack, region, profile) as found:
        from massive_upload.domain.progress import Halt

        _halt(found, run_id, Halt.PAUSE)


@contextmanager
def on_stack(stack: str, region: str | None, profile: str | None) -> Iterator[Stack]:
    """The stack that a command is for; what goes wrong becomes a line and an exit status."""
    with lasting_output(), errors_as_exit_codes(interrupted="Interrupted; a run that has begun goes on."):
        from cli.stack import aws_errors_as_mistakes, find_stack

        with aws_errors_as_mistakes():
            yield find_stack(stack, region=region, profile=profile)


def go_on(run: StackRun, what: str, *, watch: bool, as_json: bool) -> None:
    """Watch a run that has just been started, or say how to."""
    import json
    import sys

    print(f"Run {run.run_id} {what}.", file=sys.stderr)
    if watch:
        from cli.stack_run import watch_run

        raise typer.Exit(watch_run(run, as_json=as_json))
    print(f"Watch it: {run.stack.command('watch', run.run_id)}", file=sys.stderr)
    if as_json:
        print(json.dumps({"run_id": run.run_id, "execution_arn": run.execution_arn}))


def _halt(stack: Stack, run_id: str, halt: Halt) -> None:
    from cli.stack_run import halt_run

    run = halt_run(stack, run_id, halt)
    print(f"Run {run.run_id} is asked to {halt}; each lane ends at its next batch edge, in a wait within 10 minutes.")
    print(f"Watch it: {stack.command('watch', run.run_id)}")
    if run.plan_name is not None:
        print(f"Go on later: {stack.command('resume', run.run_id)}")
    if run.loads_after:
        names, first = ", ".join(run.loads_after), run.loads_after[0]
        print(f"No resume goes on with {names} of its sequence. Once {run.load} has completed, begin there:")
        print(stack.command("start", "SEQUENCE", "--start-with", first))
