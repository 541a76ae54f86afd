"""How runs of a state directory stand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cli.errors import UsageMistake
from cli.kept_runs import Course, KeptRun, KeptRuns, course_left, open_runs
from cli.recorded_facts import recorded_facts
from cli.status import show_newest, show_run
from massive_upload.domain.progress import Run
from massive_upload.errors import RunNotResumable
from massive_upload.ports import ProgressStore
from massive_upload.usecases.planning.resume import later_writer, resumable


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
            newest = kept.newest()
            begin = f"No run has begun in {directory}; begin one: massive-upload run"
            show_newest(store, none=_unrecorded(newest, kept) if newest else begin, as_json=as_json, are_left=True)
            return
        found = kept.find(run_id, fits=lambda _: True, what="run")
        run = store.run(found.run_id)
        if run is None:
            raise UsageMistake(_unrecorded(found, kept))
        facts = recorded_facts(store, kept.files, run)
        facts = replace(facts, time_scale=found.time_scale, is_left=run.is_unfinished)
        show_run(facts, advice=_advice(course_left(found, run), run, store, kept), as_json=as_json)


def _unrecorded(run: KeptRun, kept: KeptRuns) -> str:
    """What is told of a run of which nothing is recorded."""
    if run.is_reported:
        return f"Run {run.run_id} was refused before it began; nothing of it was sent."
    return f"Run {run.run_id} was interrupted before it began. Go on with it: {kept.command('resume', run.run_id)}"


def _advice(course: Course | None, run: Run, store: ProgressStore, kept: KeptRuns) -> str | None:
    """How to go on with a run, of which no process is at work; None where nothing is left to do."""
    if course is None:
        return None
    if course is Course.RESUME:
        later = later_writer(store, run)
        if later is not None:
            return f"It cannot go on: run {later} has written to its target since."
        try:
            resumable(store, run.run_id, begins_at=datetime.now(UTC))
        except RunNotResumable as error:
            return str(error)
    what = "Have its files written" if course is Course.REPORT else "Go on with it"
    is_left = "No process is at work on it. " if run.is_unfinished else ""
    return f"{is_left}{what}: {kept.command('resume', run.run_id)}"
