"""The options of commands that are for runs of this machine as well as for those of a deployed stack.

It imports nothing heavy, so that help comes at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import UsageMistake

_PANEL = "With --local"

Local = Annotated[
    bool,
    typer.Option("--local", rich_help_panel=_PANEL, help="For a run of this machine that was given --state-dir."),
]
StateDir = Annotated[Path | None, typer.Option(rich_help_panel=_PANEL, help="The directory that the run was given.")]
OrgUrl = Annotated[str | None, typer.Option(rich_help_panel=_PANEL, help="The org's URL, where it has changed.")]
TimeScale = Annotated[
    float | None, typer.Option(min=1, rich_help_panel=_PANEL, help="Divide every wait; by default as before.")
]
LoadsDir = Annotated[
    Path | None,
    typer.Option("--loads-dir", rich_help_panel=_PANEL, help="As in run; the run keeps the load it has."),
]
Out = Annotated[
    Path | None,
    typer.Option(rich_help_panel=_PANEL, help="Where the files of the run go; out/<run id> by default."),
]


def checked_state_dir(local: bool, state_dir: Path | None) -> Path | None:
    """The state directory of a command for this machine; None where it is for a deployed stack.

    Raises:
        UsageMistake: one of the two options is there without the other.
    """
    if local and state_dir is None:
        raise UsageMistake("--state-dir is missing: give the directory that the run was given.")
    if state_dir is not None and not local:
        raise UsageMistake("--state-dir is for runs of this machine: add --local.")
    return state_dir
