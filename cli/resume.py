"""Runs that are kept in a state directory: finished after a crash or a stop, and their rejected rows sent once more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli.errors import ExitCode, UsageMistake
from cli.kept_runs import KeptRun, KeptRuns, open_runs
from cli.request import kept_request
from cli.run import carry_out_in_order
from cli.run_ids import may_be_retried, warn_of_older_rows
from massive_upload.usecases.retry_failed import first_run, still_rejected


@dataclass(frozen=True, kw_only=True)
class LocalOptions:
    """How a run of a state directory is carried out.

    Attributes:
        state_dir: where it is kept.
        org_url: the org's URL, where it is not the one that the run began with.
        environment: holds the login.
        time_scale: by how much waits are divided, where that is not as when the run began.
        out: the directory for the receipt, the rejected rows and the logs; `out/<run id>` by default.
        as_json: whether the summary is one JSON object on the standard output.
    """

    state_dir: Path
    org_url: str | None
    environment: Mapping[str, str]
    time_scale: float | None
    out: Path | None
    as_json: bool


def resume_locally(run_id: str, options: LocalOptions) -> ExitCode:
    """Finish a run of a state directory.

    Args:
        run_id: the run's id, or `latest`: the newest that is unfinished.
        options: how.

    Raises:
        UsageMistake: nothing is left to do, or an option is wrong.
        StateDirectoryError: the directory cannot be used.
    """
    with open_runs(options.state_dir) as kept:
        return _carry_out(kept.unfinished(run_id), options, kept)


def retry_locally(run_id: str, options: LocalOptions, *, only: str | None) -> ExitCode:
    """Send the rejected rows of a run of a state directory once more, in a run of their own beside it.

    Args:
        run_id: the run's id, or `latest`: the newest that has ended and has rejected rows.
        options: how.
        only: take up the rows with this code alone.

    Raises:
        UsageMistake: no rows are left to take up, or an option is wrong.
        InvalidInput: the run cannot be retried, or not now, or it has no rows with the code ``only``.
        RunNotResumable: it is too old.
        StateDirectoryError: the directory cannot be used.
    """
    with open_runs(options.state_dir) as kept:
        store = kept.recorded()
        found = kept.find(
            run_id,
            fits=lambda candidate: may_be_retried(store.run(candidate.run_id), store),
            what="run that has ended and has rejected rows",
        )
        _check_retry(found, only, kept)
        return _carry_out(found.as_retry(only), options, kept)


def _check_retry(run: KeptRun, only: str | None, kept: KeptRuns) -> None:
    """Look for the rows before a stack is started, so that a mistake is not kept as a run; PlanRun looks again."""
    store = kept.recorded()
    for run_id in (run.run_id, run.first_run_id):
        recorded = store.run(run_id)
        if recorded is None or recorded.is_unfinished:
            raise UsageMistake(f"Run {run_id} is unfinished; go on with it first: {kept.command('resume', run_id)}")
    first = first_run(store, run.run_id, begins_at=datetime.now(UTC))
    most_rows = run.load.effective_pace.batch_rows
    if not still_rejected(store, kept.files, first, only=only, most_rows=most_rows):
        raise UsageMistake(
            f"Run {run.run_id} has no rejected rows left to send: its retries have taken them up, or they cannot be "
            f"written as they are. What is still rejected: {kept.command('failures', 'latest')}"
        )
    warn_of_older_rows(first, store)


def _carry_out(run: KeptRun, options: LocalOptions, kept: KeptRuns) -> ExitCode:
    request = kept_request(run, org_url=options.org_url, environment=options.environment, time_scale=options.time_scale)
    return carry_out_in_order(
        [request], out=options.out or Path("out") / run.run_id, as_json=options.as_json, kept=kept
    )
