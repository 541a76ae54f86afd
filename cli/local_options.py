"""The options of commands that are for runs of this machine as well as for those of a deployed stack.

Which of the two an option is for is told by its panel of the help, and `check_options` refuses it for the other one.

It imports nothing heavy, so that help comes at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import UsageMistake

LOCAL_PANEL = "With --local"
STACK_PANEL = "On a deployed stack"

REGION_VARIABLE = "AWS_REGION"
"""The environment variable of --region; botocore itself reads AWS_DEFAULT_REGION alone."""

MOST_TIME_SCALE = 1_000_000
"""A simulated day in a tenth of a second. Infinitely fast, or nearly so, an org's clock runs out of dates."""

LOADS_DIR = Path("loads")
"""Where the loads are unless --loads-dir says otherwise."""

Local = Annotated[
    bool,
    typer.Option("--local", rich_help_panel=LOCAL_PANEL, help="For a run of this machine that was given --state-dir."),
]
StateDir = Annotated[
    Path | None, typer.Option(rich_help_panel=LOCAL_PANEL, help="The directory that the run was given.")
]
OrgUrl = Annotated[str | None, typer.Option(rich_help_panel=LOCAL_PANEL, help="The org's URL, where it has changed.")]
TimeScale = Annotated[
    float | None,
    typer.Option(
        min=1, max=MOST_TIME_SCALE, rich_help_panel=LOCAL_PANEL, help="Divide every wait; by default as before."
    ),
]
LoadsDir = Annotated[
    Path | None,
    typer.Option("--loads-dir", rich_help_panel=LOCAL_PANEL, help="As in run; the run keeps the load it has."),
]
Out = Annotated[
    Path | None,
    typer.Option(rich_help_panel=LOCAL_PANEL, help="Where the files of the run go; out/<run id> by default."),
]


def check_options(context: typer.Context, *, is_local: bool) -> None:
    """Let no option of the command line be passed over: it might have led the command to another org.

    What comes from the environment or a default is for whoever asks for it.

    Args:
        context: that of the command.
        is_local: whether the command is for this machine.

    Raises:
        UsageMistake: an option is of the other panel of the help.
    """
    for option in context.command.params:
        panel = getattr(option, "rich_help_panel", None)
        source = context.get_parameter_source(option.name or "")
        if option.name == "local" or source is None or source.name != "COMMANDLINE":
            continue
        if panel == LOCAL_PANEL and not is_local:
            raise UsageMistake(f"{option.opts[0]} is for runs of this machine: add --local.")
        if panel == STACK_PANEL and is_local:
            raise UsageMistake(f"{option.opts[0]} is for a deployed stack, and this command is for this machine.")


def checked_state_dir(local: bool, state_dir: Path | None) -> Path | None:
    """The state directory of a command for this machine; None where it is for a deployed stack.

    Raises:
        UsageMistake: it is missing.
    """
    if local and state_dir is None:
        raise UsageMistake("--state-dir is missing: give the directory that the run was given.")
    return state_dir
