"""Carries a run out from the start to its summary: what ``run`` and ``demo`` have in common."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from rich.console import Console

from cli.errors import ExitCode, exit_code_of
from cli.interrupts import Interrupts
from cli.kept_runs import KeptRun, KeptRuns
from cli.local_run import LocalRun, RunRequest, start_local_run
from cli.progress import ProgressDisplay
from cli.results import LOGS_NAME, make_private_directory, rejected_by_reason, save_results
from cli.summary import NO_ACCOUNT, RunFacts, RunSummary, partition_failures, summarize, summary_view
from massive_upload.domain.account import account_of
from massive_upload.domain.progress import Partition, RunStatus
from massive_upload.usecases.slice_tasks import open_batch

_LOOK_SECONDS = 0.25
_SHARE_OF_LOOKING = 4
"""After a look that took long, the next one comes so many times later: looking must not slow the run down."""

_STOPPING = (
    "Stopping at the next batch edge; rows in flight are settled first, and a wait may last up to 10 minutes of the "
    "run's time. Press Ctrl-C again to stop at once."
)
_STOPPING_NOW = "Stopping at once: jobs in flight are settled or aborted."
_RUN_AGAIN = (
    "The state of this run ended with this command. Run it again once the cause is mended: rows that are already in "
    "the org are updated, not doubled."
)


def new_run_id(load_name: str) -> str:
    """A run id that says what and when, and is unique."""
    return f"{load_name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"


def carry_out(request: RunRequest, *, out: Path, as_json: bool, kept: KeptRuns | None = None) -> ExitCode:
    """Bring a run to its end, show how it goes, keep what it leaves behind and say how it ended.

    Args:
        request: what is to be run.
        out: the directory for the receipt, the rejected rows and the logs.
        as_json: whether the summary is one JSON object, the last line of the standard output. Everything else goes
            to the standard error output then.
        kept: the runs of the state directory, where there is one: a run that it knows goes on.
    """
    log_dir = make_private_directory(make_private_directory(out) / LOGS_NAME)
    display = ProgressDisplay(Console(stderr=True))
    started_at = datetime.now(UTC)
    if kept is not None:
        kept.take_up(_as_kept(request))
        display.say(
            f"Run {request.run_id} is kept in {kept.state.path}. Should this process die: {_resume(kept, request)}"
        )
    with (
        _library_logs_to(log_dir / "command.log"),
        _work_dir(kept) as work_dir,
        start_local_run(
            request, work_dir=work_dir, log_dir=log_dir, say=display.say, state=kept.state if kept else None
        ) as run,
        Interrupts() as interrupts,
    ):
        with display:
            _follow(run, display, interrupts, has_progress=request.mode != "plan")
        facts = _gather(run, request, out, started_at)
    summary = summarize(facts)
    was_planned = facts.run is not None and facts.run.plan_name is not None
    code = exit_code_of(status=facts.status, error=facts.error, was_planned=was_planned)
    if was_planned:
        Console(stderr=as_json, highlight=False).print(summary_view(summary, facts.partitions))
    _explain(summary, facts.partitions, code, log_dir, advice=_RUN_AGAIN if kept is None else _go_on(kept, request))
    if as_json:
        print(summary.as_json(), flush=True)
    if kept is not None:
        kept.mark_reported(request.run_id)
    return code


def _as_kept(request: RunRequest) -> KeptRun:
    return KeptRun(
        run_id=request.run_id,
        load=request.load,
        mode=request.mode,
        org_url=request.secret["login_url"],
        time_scale=request.time_scale,
        begun_at=datetime.now(UTC),
    )


def _resume(kept: KeptRuns, request: RunRequest) -> str:
    return f"massive-upload resume {request.run_id} --local --state-dir {kept.state.path}"


def _go_on(kept: KeptRuns, request: RunRequest) -> str:
    return f"Once the cause is mended, go on with: {_resume(kept, request)}"


@contextmanager
def _work_dir(kept: KeptRuns | None) -> Iterator[Path]:
    """For files of this process alone."""
    if kept is not None:
        with kept.work_dir() as path:
            yield path
        return
    with TemporaryDirectory(prefix="massive-upload-") as name:
        yield Path(name)


def _follow(run: LocalRun, display: ProgressDisplay, interrupts: Interrupts, *, has_progress: bool) -> None:
    """Show the run until it has ended. The first Ctrl-C asks it to stop, the second stops its execution."""
    has_said = has_asked = False
    pause_seconds = _LOOK_SECONDS
    while not run.has_ended(within_seconds=pause_seconds):
        if interrupts.count and not has_said:
            display.say(_STOPPING)
            has_said = True
        if interrupts.count and not has_asked:
            has_asked = run.request_stop()
        if interrupts.count > 1:
            display.say(_STOPPING_NOW)
            run.abort()
            continue
        began_seconds = time.monotonic()
        if has_progress:
            display.show(run.snapshot(), at_seconds=began_seconds)
        pause_seconds = max(_LOOK_SECONDS, _SHARE_OF_LOOKING * (time.monotonic() - began_seconds))


def _gather(run: LocalRun, request: RunRequest, out: Path, started_at: datetime) -> RunFacts:
    """Everything about an ended run that outlives the embedded AWS."""
    item = run.store.run(run.run_id)
    partitions = run.store.partitions(run.run_id)
    open_batches = {p.partition: batch for p in partitions if (batch := open_batch(run.store, p)) is not None}
    results = save_results(run.files, run.run_id, out)
    ended = run.result
    was_aborted = ended is not None and ended.status == "ABORTED"
    status = item.status if item is not None else RunStatus.FAILED
    figures = run.figures
    return RunFacts(
        run_id=run.run_id,
        load=request.load,
        mode=request.mode,
        run=item,
        partitions=partitions,
        account=account_of(item, partitions, open_batches) if item is not None else NO_ACCOUNT,
        status=RunStatus.STOPPED if was_aborted else status,
        error=ended.error if ended is not None and not was_aborted else None,
        cause=ended.cause if ended is not None and not was_aborted else None,
        state_transitions=figures.state_transitions,
        max_history_events=figures.max_history_events,
        started_at=started_at,
        ended_at=datetime.now(UTC),
        rejected_files=results.rejected_files,
        rejected_by_reason=rejected_by_reason(results.rejected_files),
        out=out,
    )


def _explain(
    summary: RunSummary, partitions: Sequence[Partition], code: ExitCode, log_dir: Path, *, advice: str
) -> None:
    """Say on the standard error output why a run did not end well, and what to do."""
    if code is ExitCode.OK:
        return
    if summary.error is not None:
        print(f"{summary.error}: {summary.cause}", *partition_failures(partitions), sep="\n", file=sys.stderr)
    if code is ExitCode.INTERNAL_FAILURE:
        print(f"This is a defect. Please report it with the logs in {log_dir}", file=sys.stderr)
    elif code is not ExitCode.WRONG_CONFIGURATION:
        print(advice, file=sys.stderr)


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
