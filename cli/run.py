"""Carries a run out to its summary: what ``run``, ``resume``, ``retry-failed`` and ``demo`` have in common."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from rich.console import Console

from cli.credentials import WHAT_THE_SECRET_IS
from cli.errors import ExitCode
from cli.following import follow
from cli.interrupts import Interrupts
from cli.kept_runs import KeptRun, KeptRuns
from cli.local_run import LocalRun, RunRequest, start_local_run
from cli.outcome import Advice, rejected_advice, tell_outcome
from cli.progress import ProgressDisplay
from cli.recorded_facts import recorded_facts
from cli.results import LOGS_NAME, Results, make_private_directory, save_results
from cli.summary import NO_ACCOUNT, RunFacts
from massive_upload.domain.progress import RunStatus
from massive_upload.errors import CredentialsRejected, SalesforceUnavailable

_LOOK_SECONDS = 0.25
_PRESSES_TO_STOP = 2
_ROOM_BYTES = 32_000_000
"""Of the disk that the files of the moment are on; they take an eighth of it."""

_PAUSING = (
    "Pausing at the next batch edge; rows in flight are settled first, and a wait may last up to 10 minutes of the "
    "run's time. Press Ctrl-C again to stop at once."
)
_STOPPING_NOW = (
    "Stopping at once: jobs in flight are settled or aborted, which takes the org some requests for each. Press Ctrl-C "
    "again to leave them as they are; their rows are then unsettled."
)
_RUN_AGAIN = (
    "The state of this run ended with this command. Run the load again: rows that are already in the org are updated, "
    "not doubled."
)
_OF_THE_LOGIN = frozenset({CredentialsRejected.__name__, SalesforceUnavailable.__name__})
"""Errors whose next step speaks of the org's secret."""
_NAMED_FILES = 3
_FILES_ARE_LOST = (
    "They ended with this command: make room before the next run, or give it --state-dir, which keeps them."
)


def carry_out_in_order(
    requests: Sequence[RunRequest],
    *,
    out: Path | None,
    as_json: bool,
    kept: KeptRuns | None = None,
    interrupts: Interrupts | None = None,
) -> ExitCode:
    """Bring one run after the other to its end, for as long as they end well and nobody interrupts.

    Args:
        requests: what is to be run. Of a sequence that is gone on with, what follows the last of them is named.
        out: the directory for what they leave behind, with one in it for each load where there are several; by default
            `out/<run id>`.
        as_json: whether each summary is one JSON object, a line of the standard output.
        kept: the runs of the state directory, where there is one.
        interrupts: counts Ctrl-C already, where the command has more to do than the runs.
    """
    left = list(requests)
    try:
        with Interrupts() if interrupts is None else nullcontext(interrupts) as interrupts:
            while left:
                request = left.pop(0)
                of_this_run = out / request.load.name if out is not None and len(requests) > 1 else out
                of_this_run = of_this_run or Path("out") / request.run_id
                try:
                    code = _carry_out(request, out=of_this_run, as_json=as_json, kept=kept, interrupts=interrupts)
                except KeyboardInterrupt:
                    left.insert(0, request)
                    raise
                if code is not ExitCode.OK:
                    return code
                if left and interrupts.count:
                    return ExitCode.STOPPED
        return ExitCode.OK
    finally:
        if left and len(requests) > 1:
            names = ", ".join(following.load.name for following in left)
            print(f"Not begun: {names}. Run them in this order, once the load before has completed.", file=sys.stderr)
        elif requests[-1].followed_by:
            names = ", ".join(requests[-1].followed_by)
            print(
                f"Its sequence goes on with {names}: run what has not been run, in this order, once this load has "
                "completed.",
                file=sys.stderr,
            )


def _carry_out(
    request: RunRequest, *, out: Path, as_json: bool, kept: KeptRuns | None, interrupts: Interrupts
) -> ExitCode:
    """Bring a run to its end, show how it goes, keep what it leaves behind and say how it ended.

    Args:
        request: what is to be run.
        out: the directory for the receipt, the rejected rows and the logs.
        as_json: whether the summary is one JSON object, the last line of the standard output so far. Everything else
            goes to the standard error output then.
        kept: the runs of the state directory, where there is one: a run that it knows goes on.
        interrupts: counts Ctrl-C from the first step to the last.

    Raises:
        KeyboardInterrupt: Ctrl-C came before the run began.
    """
    log_dir = make_private_directory(make_private_directory(out) / LOGS_NAME)
    display = ProgressDisplay(Console(stderr=True))
    started_at = datetime.now(UTC)
    asked_for = _as_kept(request)
    if kept is not None:
        kept.take_up(asked_for)
        if request.mode != "plan":
            display.say(f"The run is kept on disk. Should this process die: {kept.command('resume', request.run_id)}")

    def begin_step(line: str) -> None:
        if interrupts.count:
            raise KeyboardInterrupt
        display.say(line)

    with _library_logs_to(log_dir / "command.log"), _work_dir(kept) as work_dir:
        state = kept.state if kept else None
        with start_local_run(request, work_dir=work_dir, log_dir=log_dir, say=begin_step, state=state) as run:
            org = _OrgOfRun(run, asked_for, kept)
            obey = _InterruptsOfRun(run, display, interrupts).obey
            with display:
                follow(
                    run,
                    display,
                    look_seconds=_LOOK_SECONDS,
                    has_lanes=request.mode != "plan",
                    before_look=lambda: org.note() and obey(),
                )
            org.note()
            facts = _gather(run, request, out, started_at)
        code = tell_outcome(facts, _advice(facts, kept, log_dir), as_json=as_json)
        if facts.error in _OF_THE_LOGIN:
            print(WHAT_THE_SECRET_IS, file=sys.stderr)
        if facts.unwritten_files:
            _tell_unwritten(facts, kept)
            return ExitCode.FILES_NOT_WRITTEN if code is ExitCode.OK else code
        if kept is not None:
            kept.mark_reported(run.run_id)
    return code


def _advice(facts: RunFacts, kept: KeptRuns | None, log_dir: Path) -> Advice:
    """What can be done after the run's end; one that is not kept can only be run again."""
    see_why = f"See why: massive-upload failures --out {shlex.quote(facts.out)}\n{_RUN_AGAIN}"
    return Advice(
        unfinished=f"Go on with it: {kept.command('resume', facts.run_id)}" if kept else _RUN_AGAIN,
        rejected=rejected_advice(facts.run_id, kept.command) if kept else see_why,
        defect=f"This is a defect. Please report it with the logs in {log_dir}",
    )


def _tell_unwritten(facts: RunFacts, kept: KeptRuns | None) -> None:
    """Say which files of a run are missing, and how to have them; a run that is kept still has them."""
    named, rest = facts.unwritten_files[:_NAMED_FILES], len(facts.unwritten_files[_NAMED_FILES:])
    print(f"Could not be written: {', '.join(named)}{f' and {rest} more' if rest else ''}", file=sys.stderr)
    if kept is None:
        print(_FILES_ARE_LOST, file=sys.stderr)
        return
    resume = f"{kept.command('resume', facts.run_id)} --out {shlex.quote(facts.out)}"
    print(
        f"They are kept. Make room, then have them written: {resume}",
        f"Rejected rows alone: {kept.command('failures', facts.run_id)} --csv FILE",
        sep="\n",
        file=sys.stderr,
    )


def _as_kept(request: RunRequest) -> KeptRun:
    return KeptRun(
        run_id=request.run_id,
        load=request.load,
        mode=request.mode,
        retry_of=request.retry_of,
        retry_only=request.retry_only,
        followed_by=request.followed_by,
        org_url=request.secret["login_url"],
        time_scale=request.time_scale,
        begun_at=datetime.now(UTC),
    )


@contextmanager
def _work_dir(kept: KeptRuns | None) -> Iterator[Path]:
    """For files of this process alone.

    Raises:
        OSError: it cannot be made, or has no room: whatever works in it would fail one by one, in words of its own.
    """
    made = kept.work_dir() if kept is not None else TemporaryDirectory(prefix="massive-upload-")
    with made as name:
        for directory in (name, gettempdir()):  # the CDK has files in both
            if shutil.disk_usage(directory).free < _ROOM_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))
        yield Path(name)


class _OrgOfRun:
    """Has it kept where the org is, as soon as it has let the run in: a resume after a crash finds it there."""

    def __init__(self, run: LocalRun, asked_for: KeptRun, kept: KeptRuns | None) -> None:
        self._run = run
        self._asked_for = asked_for
        self._kept = kept

    def note(self) -> bool:
        """Look, unless that has been done already; True, as nothing speaks against going on."""
        if self._kept is not None and self._run.was_let_in:
            self._kept.note_let_in(self._asked_for)
            self._kept = None
        return True


class _InterruptsOfRun:
    """What Ctrl-C does to a run: the first asks it to pause, the second stops it, the third leaves its jobs."""

    def __init__(self, run: LocalRun, display: ProgressDisplay, interrupts: Interrupts) -> None:
        self._run = run
        self._display = display
        self._interrupts = interrupts
        self._has_said = False
        self._has_asked = False

    def obey(self) -> bool:
        """Do what has been asked for; False where the run has just been stopped at once."""
        if self._interrupts.count and not self._has_said:
            self._display.say(_PAUSING)
            self._has_said = True
        if self._interrupts.count and not self._has_asked:
            self._has_asked = self._run.ask_to_pause()
        if self._interrupts.count >= _PRESSES_TO_STOP:
            self._display.say(_STOPPING_NOW)
            self._run.abort(is_given_up=lambda: self._interrupts.count > _PRESSES_TO_STOP)
            return False
        return True


def _gather(run: LocalRun, request: RunRequest, out: Path, started_at: datetime) -> RunFacts:
    """Everything about an ended run that outlives the embedded AWS."""
    item = run.store.run(run.run_id)
    facts = _unrecorded(request, out, started_at)
    results = Results()
    if item is not None:
        facts = recorded_facts(run.store, run.files, item, out=str(out))
        results = save_results(run.files, item, out)
    ended = run.result
    was_aborted = ended is not None and ended.status == "ABORTED"
    figures = run.figures if run.is_first else None
    return replace(
        facts,
        time_scale=request.time_scale,
        was_resumed=run.goes_on,
        status=RunStatus.STOPPED if was_aborted else facts.status,
        error=ended.error if ended is not None and not was_aborted else None,
        cause=ended.cause if ended is not None and not was_aborted else None,
        state_transitions=figures.state_transitions if figures else None,
        max_history_events=figures.max_history_events if figures else None,
        ended_at=facts.ended_at or datetime.now(UTC),
        receipt=str(results.receipt) if results.receipt is not None else None,
        rejected_files=[str(path) for path in results.rejected_files],
        rejected_by_reason=results.rejected_by_reason,
        unwritten_files=[str(path) for path in results.unwritten],
    )


def _unrecorded(request: RunRequest, out: Path, started_at: datetime) -> RunFacts:
    """A run whose execution ended before it was recorded."""
    return RunFacts(
        run_id=request.run_id,
        load_name=request.load.name,
        mode=request.mode,
        run=None,
        partitions=(),
        account=NO_ACCOUNT,
        status=RunStatus.FAILED,
        error=None,
        cause=None,
        started_at=started_at,
        ended_at=None,
        out=str(out),
    )


@contextmanager
def _library_logs_to(file: Path) -> Iterator[None]:
    """Let libraries log, and warn, to a file instead of the terminal."""
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setLevel(logging.WARNING)
    root = logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.removeHandler(handler)
        handler.close()
