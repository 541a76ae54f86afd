"""The runs of a state directory: what each was asked for, how far it has come, and how to go on with it."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import Enum, unique
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from cli.errors import UsageMistake
from cli.kept_records import KeptFiles, kept_store
from cli.run_ids import LATEST, has_lanes, new_run_id
from local.aws.state import StateDirectory
from massive_upload.contracts import Mode
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Run, RunStatus
from massive_upload.ports import Files, ProgressStore
from massive_upload.usecases.planning.resume import later_writer


class KeptRun(BaseModel):
    """What a run was asked for; the login is not kept.

    Attributes:
        retry_of: with mode retry_failed, the first run of those whose rejected rows it sends once more.
        retry_only: with mode retry_failed, the code of the errors that it takes up; all where it is None.
        followed_by: the loads that come after it in its sequence, which are runs of their own.
        begun_at: when the command that began it was started.
        is_reported: whether a command has shown how it ended, and left its receipt and its rejected rows behind.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    load: Load
    mode: str
    retry_of: str | None = None
    retry_only: str | None = None
    followed_by: tuple[str, ...] = ()
    org_url: str
    time_scale: float
    begun_at: datetime
    is_reported: bool = False

    @property
    def first_run_id(self) -> str:
        """The run that a family of retries began with; this one, where it is no retry."""
        return self.retry_of or self.run_id

    def as_retry(self, only: str | None) -> KeptRun:
        """A new run that sends the rejected rows of this one once more; all else that it is asked for is the same."""
        changes = {
            "run_id": new_run_id(f"{self.load.name}-retry"),
            "mode": Mode.RETRY_FAILED.value,
            "retry_of": self.first_run_id,
            "retry_only": only,
            "followed_by": (),
        }
        return self.model_copy(update=changes)


@unique
class Course(Enum):
    """How to go on with a run."""

    BEGIN = "its execution is started, or started again: nothing of it is planned"
    RESUME = "another execution goes on with it"
    REPORT = "it has ended for good: only its account is left to show"


def course_of(run: Run | None) -> Course:
    """How to go on with a run whose execution is gone; None where it was never recorded.

    A PlanRun that is repeated under its execution's name is the same run, so a run that has no plan yet, and one that
    only plans, begin again. Where a run of either kind has ended, core has nothing to resume.
    """
    if run is None:
        return Course.BEGIN
    if run.is_unfinished:
        return Course.RESUME if has_lanes(run) else Course.BEGIN
    return Course.RESUME if has_lanes(run) and run.status is not RunStatus.COMPLETED else Course.REPORT


def course_left(kept: KeptRun, run: Run) -> Course | None:
    """How to go on with a run that is kept and recorded; None where nothing is left to do."""
    return None if _is_over(kept, run) else course_of(run)


class KeptRuns:
    """The runs of an open state directory."""

    def __init__(self, state: StateDirectory) -> None:
        self.state = state

    def take_up(self, run: KeptRun) -> None:
        """Remember what a run was asked for, before anything of it is done; one that is known stays as it is.

        Another org URL or time scale may be a mistake: it is kept once the org has let the run in.
        """
        known = self._all().get(run.run_id)
        self._keep(run if known is None else known.model_copy(update={"is_reported": False}))

    def note_let_in(self, run: KeptRun) -> None:
        """Remember where the org of a run is, and its time scale, as they have proved right."""
        known = self._all()[run.run_id]
        noted = known.model_copy(update={"org_url": run.org_url, "time_scale": run.time_scale})
        if noted != known:
            self._keep(noted)

    def mark_reported(self, run_id: str) -> None:
        """Remember that a command has shown how the run ended."""
        self._keep(self._all()[run_id].model_copy(update={"is_reported": True}))

    def recorded(self) -> ProgressStore:
        """What is recorded at this moment, for reading alone."""
        return kept_store(self.state)

    @property
    def files(self) -> Files:
        """The files of the runs, for reading alone."""
        return KeptFiles(self.state)

    def unfinished(self, wanted: str) -> KeptRun:
        """The run to go on with.

        Args:
            wanted: its id, or `latest`: the newest with which there is something to do.

        Raises:
            UsageMistake: there is none, or nothing of it is left to do.
        """
        store = self.recorded()
        newest_first = self._newest_first()
        found = self._pick(
            wanted,
            newest_first,
            fits=lambda kept: _goes_on(kept, store, is_newest=kept is newest_first[0]),
            what="unfinished run",
            but=_not_begun,
        )
        run = store.run(found.run_id)
        if run is not None and _is_over(found, run):
            raise UsageMistake(
                f"Run {wanted} is {run.status} and has nothing to go on with; start a new one with massive-upload run."
            )
        return found

    def newest(self) -> KeptRun | None:
        """The run that was begun last."""
        return next(iter(self._newest_first()), None)

    def find(self, wanted: str, *, fits: Callable[[KeptRun], bool], what: str) -> KeptRun:
        """The run that a person means.

        Args:
            wanted: its id, or `latest`: the newest that fits.
            fits: whether `latest` may mean a run.
            what: what such a run is called.

        Raises:
            UsageMistake: there is none.
        """
        return self._pick(wanted, self._newest_first(), fits=fits, what=what)

    def _pick(
        self,
        wanted: str,
        newest_first: Sequence[KeptRun],
        *,
        fits: Callable[[KeptRun], bool],
        what: str,
        but: Callable[[KeptRun], str] = lambda _newest: "",
    ) -> KeptRun:
        """As `find`; ``but`` is what is said besides where there is none, of the newest run."""
        if wanted == LATEST:
            latest = next(filter(fits, newest_first), None)
            if latest is None:
                begin = but(newest_first[0]) if newest_first else "; start one with massive-upload run"
                raise UsageMistake(f"{self.state.path} has no {what}{begin}.")
            return latest
        named = next((kept for kept in newest_first if kept.run_id == wanted), None)
        if named is None:
            newest = f"its newest is {newest_first[0].run_id}" if newest_first else "it has none"
            raise UsageMistake(f"There is no run {wanted!r} in {self.state.path}; {newest}.")
        return named

    def command(self, *words: str) -> str:
        """How a command for this directory is written, for a shell."""
        return shlex.join(["massive-upload", *words, "--local", "--state-dir", str(self.state.path)])

    @contextmanager
    def work_dir(self) -> Iterator[Path]:
        """A directory for files of this process alone; what a killed one has left beside it is removed.

        Functions outlive their killed parent for a moment and may still write, so a name is never used again.
        """
        parent = self.state.work_dir
        shutil.rmtree(parent, ignore_errors=True)
        parent.mkdir(mode=0o700, exist_ok=True)
        path = Path(tempfile.mkdtemp(dir=parent))
        try:
            yield path
        finally:
            shutil.rmtree(parent, ignore_errors=True)

    def _keep(self, kept: KeptRun) -> None:
        self.state.keep_document(kept.run_id, kept.model_dump_json())

    def _newest_first(self) -> list[KeptRun]:
        return sorted(self._all().values(), key=lambda kept: kept.begun_at, reverse=True)

    def _all(self) -> dict[str, KeptRun]:
        return {name: KeptRun.model_validate_json(text) for name, text in self.state.documents().items()}


@contextmanager
def keep_runs(directory: Path | None) -> Iterator[KeptRuns | None]:
    """Open the state directory that was given, if one was.

    Raises:
        StateDirectoryError: it cannot be used.
    """
    if directory is None:
        yield None
        return
    with StateDirectory(directory) as state:
        yield KeptRuns(state)


@contextmanager
def open_runs(directory: Path) -> Iterator[KeptRuns]:
    """Open a state directory that is there already.

    Raises:
        UsageMistake: it is not there, or holds no state.
        StateDirectoryError: it cannot be used.
    """
    if not directory.is_dir():
        raise UsageMistake(f"--state-dir {directory}: there is no such directory; give the one that the run was given.")
    if not StateDirectory.is_in(directory):
        raise UsageMistake(f"--state-dir {directory}: it holds no state of runs; give the one that the run was given.")
    with StateDirectory(directory) as state:
        yield KeptRuns(state)


def _not_begun(newest: KeptRun) -> str:
    """What is left of a sequence whose process was killed between two of its loads."""
    if not newest.followed_by:
        return ""
    return f"; {newest.run_id} is over, and its sequence goes on with {', '.join(newest.followed_by)}"


def _goes_on(kept: KeptRun, store: ProgressStore, *, is_newest: bool) -> bool:
    """Whether 'latest' may mean a run.

    Of runs that were never planned only the newest, and only if it was not refused, as by a wrong login: to go on with
    another one would begin a whole load, of which nobody has thought any more. Of planned ones none whose target a
    later run has written to. Of ended ones those whose end nobody was shown.
    """
    run = store.run(kept.run_id)
    match course_of(run):
        case Course.BEGIN:
            return is_newest and not kept.is_reported
        case Course.RESUME:
            return run is None or later_writer(store, run) is None
        case Course.REPORT:
            return not kept.is_reported


def _is_over(kept: KeptRun, run: Run | None) -> bool:
    return kept.is_reported and course_of(run) is Course.REPORT
