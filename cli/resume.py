"""Goes on with a run that is kept in a state directory, after its process was killed or the run was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cli.errors import ExitCode, UsageMistake
from cli.kept_runs import KeptRuns
from cli.request import resume_request
from cli.run import carry_out
from local.aws.state import StateDirectory


def resume_locally(
    run_id: str,
    *,
    state_dir: Path,
    org_url: str | None,
    environment: Mapping[str, str],
    time_scale: float | None,
    out: Path | None,
    as_json: bool,
) -> ExitCode:
    """Finish a run of a state directory.

    Args:
        run_id: the run's id, or `latest`: the newest that is unfinished.
        state_dir: where it is kept.
        org_url: the org's URL, where it is not the one that the run began with.
        environment: holds the login.
        time_scale: by how much waits are divided, where that is not as when the run began.
        out: the directory for the receipt, the rejected rows and the logs; `out/<run id>` by default.
        as_json: whether the summary is one JSON object on the standard output.

    Raises:
        UsageMistake: nothing is left to do, or an option is wrong.
        StateDirectoryError: the directory cannot be used.
    """
    if not state_dir.is_dir():
        raise UsageMistake(f"--state-dir {state_dir}: there is no such directory; give the one that the run was given.")
    with StateDirectory(state_dir) as state:
        kept = KeptRuns(state)
        run = kept.unfinished(run_id)
        request = resume_request(run, org_url=org_url, environment=environment, time_scale=time_scale)
        return carry_out(request, out=out or Path("out") / run.run_id, as_json=as_json, kept=kept)
