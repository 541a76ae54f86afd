"""The command line ``massive-upload``.

What is heavy to import (the CDK, moto, DuckDB) is imported by the commands that need it, so that help comes at once.
"""

from __future__ import annotations

import os
import signal
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import UsageMistake, errors_as_exit_codes
from cli.exit_status import EXIT_STATUS
from cli.failure_commands import failure_commands
from cli.local_options import LOADS_DIR, LOCAL_PANEL, MOST_TIME_SCALE, check_options
from cli.output import lasting_output, open_standard_streams
from cli.stack_commands import AsJson, BeginMode, Profile, Region, StackName, stack_commands, start

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(stack_commands)
app.add_typer(failure_commands)


def main() -> None:
    """The entry point. What is interrupted once a command has done its work would lose its exit status alone."""
    open_standard_streams()
    try:
        app(prog_name="massive-upload")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"massive-upload {version('massive-upload')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Loads millions of records from Salesforce Data Cloud into Salesforce Core, and accounts for every row.

    Begin with [b]massive-upload demo[/b]: a whole run on this machine, without any account.
    Then rehearse with your own file ([b]org[/b]), and load into a sandbox ([b]run --local[/b]).
    Before a load, [b]plan[/b] says what it will take.
    What is deployed is driven with [b]start[/b], [b]status[/b], [b]watch[/b], [b]stop[/b], [b]pause[/b] and
    [b]resume[/b]; [b]failures[/b] shows the rejected rows of a run, and [b]retry-failed[/b] sends them once more.
    """


@app.command(epilog=EXIT_STATUS)
def demo(
    rows: Annotated[int, typer.Option(min=1, help="Opportunities to generate.")] = 100_000,
    lanes: Annotated[int, typer.Option(min=1, max=1000, help="Lanes that load side by side.")] = 20,
    time_scale: Annotated[
        float, typer.Option(min=1, max=MOST_TIME_SCALE, help="How many times faster than real time waits pass.")
    ] = 100,
) -> None:
    """Show a whole run on this machine: a simulated org, an embedded AWS, generated opportunities.

    Nothing is needed but this installation; it takes about a minute. The receipt, the rejected rows and the logs are
    kept in out/.

    [b]Example:[/b] massive-upload demo --rows 20000 --lanes 3
    """
    with lasting_output(), errors_as_exit_codes():
        from cli.demo import run_demo

        raise typer.Exit(run_demo(rows=rows, lanes=lanes, time_scale=time_scale))


@app.command(epilog=EXIT_STATUS)
def run(
    load: Annotated[
        str, typer.Argument(help="The load, or the sequence: the name of a file in the loads directory, without .yaml.")
    ],
    org_url: Annotated[
        str | None, typer.Option(help="The org's My Domain URL (https://...), or that of a simulated org.")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Run on an AWS embedded in this process.")] = False,
    loads_dir: Annotated[Path, typer.Option(help="The directory with the loads.")] = LOADS_DIR,
    mode: BeginMode = "full",
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of a single load, such as pace.batch_rows=500."),
    ] = None,
    time_scale: Annotated[
        float,
        typer.Option(
            min=1, max=MOST_TIME_SCALE, help="Divide every wait; for a simulated org, at the scale that the org has."
        ),
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where the receipt, the rejected rows and the logs go, of several loads in a directory for each; "
            "those of an earlier run there are replaced. out/<run id> by default."
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="End with one line of JSON for each run on the standard output; all else to stderr."
        ),
    ] = False,
    state_dir: Annotated[
        Path | None,
        typer.Option(help="Keep the run on disk, so that [b]resume[/b] can finish it should this process be killed."),
    ] = None,
) -> None:
    """Load into an org: the stack that AWS would run, on an AWS embedded in this process.

    The org may be a real sandbox, or one that [b]massive-upload org[/b] serves. The login comes from the environment:
    SALESFORCE_CLIENT_ID with SALESFORCE_CLIENT_SECRET, or with SALESFORCE_USERNAME and SALESFORCE_PRIVATE_KEY_FILE.

    Ctrl-C once, or a closed terminal: the run pauses at the next batch edge. Twice: it stops at once, jobs in flight
    are settled or aborted. Three times: they are left as they are, and their rows are unsettled.

    The loads of a sequence are runs one after the other; each begins when the one before has ended well.

    [b]Examples:[/b]

    massive-upload run opportunity --local --org-url https://example--dev.sandbox.my.salesforce.com --mode plan

    massive-upload run opportunity --local --org-url http://127.0.0.1:8080 --time-scale 1000 --json
    --set partitioning.by=key --set partitioning.count=5 --set pace.batch_rows=500 --state-dir state
    """
    with lasting_output(), errors_as_exit_codes():
        if not local:
            raise UsageMistake(
                "--local is missing: add it to run on this machine. "
                f"On a deployed stack a load is started with massive-upload start {load}."
            )
        if org_url is None:
            raise UsageMistake("--org-url is missing: give the org's My Domain URL, or that of a simulated org.")
        if mode == "incremental" and state_dir is None:
            raise UsageMistake(
                "--state-dir is missing: an incremental run goes on from the last complete run, which is kept in "
                "the state directory that it was given. Give that one, or one to a run of mode full first."
            )

        from cli.kept_runs import keep_runs
        from cli.request import local_requests
        from cli.run import carry_out_in_order

        requests = local_requests(
            load,
            org_url=org_url,
            environment=os.environ,
            loads_dir=loads_dir,
            mode=mode,
            sets=sets or [],
            time_scale=time_scale,
        )
        with keep_runs(state_dir) as kept:
            code = carry_out_in_order(requests, out=out, as_json=as_json, kept=kept)
        raise typer.Exit(code)


@app.command(epilog=EXIT_STATUS)
def plan(
    context: typer.Context,
    load: Annotated[str, typer.Argument(help="The load, or the sequence: the name of its file, without .yaml.")],
    local: Annotated[
        bool,
        typer.Option("--local", rich_help_panel=LOCAL_PANEL, help="Plan on this machine; by default on the stack."),
    ] = False,
    org_url: Annotated[
        str | None,
        typer.Option(rich_help_panel=LOCAL_PANEL, help="The org's My Domain URL, or that of a simulated org."),
    ] = None,
    loads_dir: Annotated[
        Path, typer.Option(rich_help_panel=LOCAL_PANEL, help="The directory with the loads.")
    ] = LOADS_DIR,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of a single load, such as partitioning.by=key."),
    ] = None,
    time_scale: Annotated[
        float, typer.Option(min=1, max=MOST_TIME_SCALE, rich_help_panel=LOCAL_PANEL, help="Divide every wait.")
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=LOCAL_PANEL,
            help="Where the receipt goes, of several loads in a directory for each; out/<run id> by default.",
        ),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=LOCAL_PANEL,
            help="The directory of the load's runs, as given to [b]run[/b]: the plan knows what the last has shown.",
        ),
    ] = None,
    as_json: AsJson = False,
    stack: StackName = "MassiveUpload",
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Say what a load will take, and write nothing: partitions, parents, locks, jobs, quota, cost, duration, warnings.

    It counts the source, describes the target and asks what the org has left of its day. Figures are ranges, from a
    load without any failure on a fast org to one on a slow org in which every batch is sent once more.

    [b]Examples:[/b]

    massive-upload plan opportunity

    massive-upload plan opportunity --local --org-url http://127.0.0.1:8080 --set partitioning.by=key
    """
    with errors_as_exit_codes():
        check_options(context, is_local=local)
    if local:
        run(
            load,
            org_url=org_url,
            local=True,
            loads_dir=loads_dir,
            mode="plan",
            sets=sets,
            time_scale=time_scale,
            out=out,
            as_json=as_json,
            state_dir=state_dir,
        )
    else:
        start(load, mode="plan", sets=sets, watch=True, as_json=as_json, stack=stack, region=region, profile=profile)


@app.command()
def org(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port on 127.0.0.1; 0 takes any free one.")],
    source: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="A CSV or Parquet file as the source, or 'flights': 336,776 real flights from PyPI."
        ),
    ] = None,
    load_files: Annotated[
        list[str] | None,
        typer.Option(
            "--load",
            metavar="LOAD=FILE",
            help="A load, and a CSV or Parquet file as its source: the org has the objects and fields that the load "
            "names. Give it once for each load of a sequence.",
        ),
    ] = None,
    loads_dir: Annotated[Path, typer.Option(help="The directory with the loads.")] = LOADS_DIR,
    rows: Annotated[int, typer.Option(min=0, help="Opportunities to generate where no file is given.")] = 100_000,
    object_name: Annotated[
        str | None, typer.Option("--object", help="The target object of a file's rows; by default its name with __c.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="The file's key column; by default the first.")] = None,
    parent: Annotated[str | None, typer.Option(help="The file's column with the parent's key.")] = None,
    faults: Annotated[Path | None, typer.Option(help="A YAML or JSON file of what is to go wrong on purpose.")] = None,
    time_scale: Annotated[
        float, typer.Option(min=1, max=MOST_TIME_SCALE, help="How many times faster than real time it works.")
    ] = 1,
    daily_api_requests: Annotated[int | None, typer.Option(min=1, help="API requests that it has for a day.")] = None,
    daily_bulk_batches: Annotated[int | None, typer.Option(min=1, help="Bulk batches that it has for a day.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Bulk batches that it works on at once.")] = None,
    row_ms: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Milliseconds in which it writes a row. It has no batch time-out: above 30, a batch of 10,000 rows "
            "takes longer than the 5 minutes after which Salesforce tries it again, and fails the job in the end.",
        ),
    ] = None,
    lock_wait_seconds: Annotated[float | None, typer.Option(min=0, help="How long a row waits for a lock.")] = None,
) -> None:
    """Serve a simulated Salesforce org on this machine until Ctrl-C.

    It has OAuth, Data Cloud queries and Bulk API 2.0, with row locks, limits and faults; any client can use it.

    [b]Examples:[/b]

    massive-upload org --port 8080 --rows 20000 --time-scale 1000

    massive-upload org --port 8080 --source accounts.csv --key account_no --object Account --faults faults.yaml

    massive-upload org --port 8080 --load account=accounts.csv --load opportunity=opportunities.csv

    massive-upload org --port 8080 --rows 20000 --row-ms 15 --workers 8 --daily-api-requests 5000
    """
    with lasting_output(), errors_as_exit_codes():
        from cli.org import files_of_loads, org_settings, serve_org

        files = files_of_loads(load_files or [])
        for_one_file = {"--source": source, "--object": object_name, "--key": key, "--parent": parent}
        mixed = next((option for option, value in for_one_file.items() if files and value is not None), None)
        if mixed is not None:
            raise UsageMistake(f"{mixed} is for an org that serves one file of any kind: leave it out, or --load.")
        settings = org_settings(
            source=source,
            load_files=files,
            loads_dir=loads_dir,
            rows=rows,
            object_name=object_name,
            key=key,
            parent=parent,
            faults_file=faults,
            port=port,
            time_scale=time_scale,
            behaviour={
                "daily_api_requests": daily_api_requests,
                "daily_bulk_batches": daily_bulk_batches,
                "workers": workers,
                "row_ms": row_ms,
                "lock_wait_seconds": lock_wait_seconds,
            },
        )
        serve_org(settings, list(files), loads_dir)
