"""How runs of a state directory stand."""

from __future__ import annotations

from pathlib import Path

from cli.errors import UsageMistake
from cli.kept_runs import Course, KeptRuns, open_runs
from cli.recorded_facts import recorded_facts
from cli.status import show_newest, show_run
from massive_upload.domain.progress import Run
from massive_upload.usecases.planning.resume import later_writer


def show_kept(directory: Path, run_id: str | None, *, as_json: bool) -> None:
    """Show the newest runs of a state directory, or one of them.

    Args:
        directory: the state directory.
        run_id: the run's id, or `latest`; None for the newest runs.
        as_json: whether to print JSON.

    Raises:
        UsageMistake: there is no such run.
        StateDirectoryError: the directory cannot be used, as while a run is at work in it.
    """
    with open_runs(directory) as kept:
        store = kept.recorded()
        if run_id is None:
            show_newest(store, none=f"No run has begun in {directory}; begin one: massive-upload run", as_json=as_json)
            return
        found = kept.find(run_id, fits=lambda candidate: store.run(candidate.run_id) is not None, what="run")
        run = store.run(found.run_id)
        if run is None:
            raise UsageMistake(f"Run {found.run_id} was interrupted before it began; nothing of it was sent.")
        show_run(recorded_facts(store, kept.files, run), advice=_advice(run, kept), as_json=as_json)


def _advice(run: Run, kept: KeptRuns) -> str | None:
    """How to go on with a run, of which no process is at work; None where nothing is left to do."""
    course = kept.course(run)
    if course is None:
        return None
    later = later_writer(kept.recorded(), run) if course is Course.RESUME else None
    if later is not None:
        return f"It cannot go on: run {later} has written to its target since."
    what = "Have its files written" if course is Course.REPORT else "Go on with it"
    is_left = "No process is at work on it. " if run.is_unfinished else ""
    return f"{is_left}{what}: {kept.command('resume', run.run_id)}"
