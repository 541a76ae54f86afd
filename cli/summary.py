"""The end of a run, as one JSON object and as tables for people."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.plan_view import beside_table, plan_view
from cli.printable import printable_lines
from cli.progress import duration_text
from cli.tables import figures_table
from massive_upload.contracts import Mode
from massive_upload.domain.account import Account
from massive_upload.domain.estimate import Estimate
from massive_upload.domain.progress import Partition, PartitionStatus, Run, RunStatus
from massive_upload.errors import message_of

_MOST_REASONS = 10

NO_ACCOUNT = Account(
    source_rows=0, succeeded=0, rejected=0, not_sent=0, skipped_null_key=0, duplicates_dropped=0, unsettled=0
)
"""The account of a run that was never recorded."""


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """How a run stands or ended; the fields are the keys of the JSON object, times are ISO 8601 in UTC.

    ``ended_at`` is null while the run goes on, and ``receipt`` where there is none of the run's end. What Step
    Functions counted is known of local runs alone, and not of one that was gone on with. ``hot_parents`` are those that
    cost most lock errors, with how many.
    ``estimate`` is what the plan expected, null where there was none; its durations are those of an org whose time is
    not scaled. Of one that ``was_resumed``, or ``is_left`` unfinished by what carried it out, nobody knows for how long
    it was at work.
    """

    run_id: str
    load: str
    mode: str
    status: str
    error: str | None
    cause: str | None
    source_rows: int
    succeeded: int
    rejected: int
    not_sent: int
    skipped_null_key: int
    duplicates_dropped: int
    unsettled: int
    success_rate_percent: float | None
    partitions: int
    batches: int
    jobs: int
    resent_rows: int
    lock_errors: int
    api_requests: int
    state_transitions: int | None
    max_history_events: int | None
    started_at: str
    ended_at: str | None
    receipt: str | None = None
    rejected_files: tuple[str, ...] = ()
    unwritten_files: tuple[str, ...] = ()
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    hot_parents: Mapping[str, int] = field(default_factory=dict)
    estimate: Estimate | None = None
    advice: tuple[str, ...] = ()
    time_scale: float = 1
    is_left: bool = False
    was_resumed: bool = False
    out: str = ""

    @property
    def is_plan(self) -> bool:
        """Whether this is a plan that nothing has come of, nor was to."""
        return self.mode == Mode.PLAN and self.error is None and self.estimate is not None

    @property
    def seconds(self) -> float:
        """From the beginning of the run to its end, or until now."""
        ended_at = datetime.fromisoformat(self.ended_at) if self.ended_at else datetime.now(UTC)
        return (ended_at - datetime.fromisoformat(self.started_at)).total_seconds()

    @property
    def loadable_rows(self) -> int:
        """Rows that a run could send."""
        return self.source_rows - self.skipped_null_key - self.duplicates_dropped

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is known of a run.

    Attributes:
        estimate: what its plan expected; None where it ended before that was written.
        advice: what a person might change for the load's next run, as its receipt says.
        hot_parents: the parents that cost most lock errors, most first, as its receipt says.
        time_scale: how many times faster than real time its waits passed.
        is_left: whether nothing carries it out any more, though it is unfinished.
        was_resumed: whether it was gone on with; its partitions tell that, too, unless all of them had ended.
        out: where its files are; empty where nobody knows.
        receipt: where the receipt of its end is; None while it has not ended, as far as is recorded.
        unwritten_files: what should be there, and could not be written.
    """

    run_id: str
    load_name: str
    mode: str
    run: Run | None
    partitions: Sequence[Partition]
    account: Account
    status: RunStatus
    error: str | None
    cause: str | None
    started_at: datetime
    ended_at: datetime | None
    out: str
    estimate: Estimate | None = None
    advice: Sequence[str] = ()
    hot_parents: Mapping[str, int] = field(default_factory=dict)
    time_scale: float = 1
    is_left: bool = False
    was_resumed: bool = False
    state_transitions: int | None = None
    max_history_events: int | None = None
    receipt: str | None = None
    rejected_files: Sequence[str] = ()
    unwritten_files: Sequence[str] = ()
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)

    @property
    def was_planned(self) -> bool:
        """Whether the source was counted and cut into lanes, so that rows could be written."""
        return self.run is not None and self.run.plan_name is not None


def summarize(facts: RunFacts) -> RunSummary:
    """Add up what is known of a run."""
    partitions = facts.partitions
    return RunSummary(
        run_id=facts.run_id,
        load=facts.load_name,
        mode=facts.mode,
        status=facts.status,
        error=facts.error,
        cause=facts.cause,
        **asdict(facts.account),
        success_rate_percent=facts.account.told_success_rate_percent,
        partitions=sum(not partition.is_sweep for partition in partitions),
        batches=sum(partition.batches for partition in partitions),
        jobs=sum(partition.jobs for partition in partitions),
        resent_rows=sum(partition.resent_rows for partition in partitions),
        lock_errors=sum(partition.lock_errors for partition in partitions),
        api_requests=sum(p.api_requests for p in partitions) + (facts.run.api_requests if facts.run else 0),
        state_transitions=facts.state_transitions,
        max_history_events=facts.max_history_events,
        started_at=_iso(facts.started_at),
        ended_at=_iso(facts.ended_at) if facts.ended_at else None,
        receipt=facts.receipt,
        rejected_files=tuple(facts.rejected_files),
        unwritten_files=tuple(facts.unwritten_files),
        rejected_by_reason=dict(facts.rejected_by_reason),
        hot_parents=dict(facts.hot_parents),
        estimate=facts.estimate,
        advice=tuple(facts.advice),
        time_scale=facts.time_scale,
        is_left=facts.is_left,
        was_resumed=facts.was_resumed or any(partition.reopened_by for partition in partitions),
        out=facts.out,
    )


def partition_failures(partitions: Sequence[Partition]) -> list[str]:
    """Why partitions failed, each reason once, with the first partition that has it and how many others have."""
    failed_with: defaultdict[str, list[str]] = defaultdict(list)
    for partition in partitions:
        if partition.status is PartitionStatus.FAILED:
            failed_with[f"{partition.error}: {message_of(partition.cause or '')}"].append(partition.partition)
    told = [
        f"partition {first}{f' and {len(others)} more' if others else ''}: {reason}"
        for reason, (first, *others) in failed_with.items()
    ]
    rest = len(told) - _MOST_REASONS
    return told if rest <= 0 else [*told[:_MOST_REASONS], f"and {rest} more reasons"]


def summary_view(summary: RunSummary, lanes: Sequence[Partition] = ()) -> RenderableType:
    """Tables for people: the account, why rows were rejected, what it took, where the files are."""
    if summary.is_plan and summary.estimate is not None:
        return Group(*plan_view(summary, summary.estimate, lanes))
    parts: list[RenderableType] = [_headline(summary), _account_table(summary)]
    if summary.error is None and summary.loadable_rows == 0:
        parts.append(_nothing_to_load(summary))
    if summary.rejected_by_reason:
        parts.append(_reasons_table(summary))
    parts.append(_work_table(summary))
    if summary.hot_parents:
        parts.append(_hot_parents_table(summary))
    if summary.estimate is not None and summary.ended_at is not None:
        parts.append(beside_table(summary, summary.estimate))
    parts += [Text(f"\nFor the next run: {printable_lines(advice)}") for advice in summary.advice]
    if summary.out:
        parts.append(_files(summary))
    return Group(*parts)


def _headline(summary: RunSummary) -> Text:
    style = "bold green" if summary.error is None and summary.status == RunStatus.COMPLETED else "bold yellow"
    ending = Text(f"\nRun {summary.run_id}: {summary.status}{_pace(summary)}", style=style)
    return ending.append(f"\n{summary.load}, mode {summary.mode}", style="not bold default")


def _pace(summary: RunSummary) -> str:
    """How long the run took, and its rate; nothing where time has passed in which it was not carried out."""
    if summary.was_resumed or summary.is_left:
        return ""
    seconds = summary.seconds
    rate = f", {summary.succeeded / seconds:,.0f} rows/s" if seconds >= 1 and summary.succeeded else ""
    return f" {'after' if summary.ended_at else 'for'} {duration_text(seconds)}{rate}"


def _account_table(summary: RunSummary) -> Table:
    classes = (
        ("succeeded", summary.succeeded),
        ("rejected (kept with their reason)", summary.rejected),
        ("not sent", summary.not_sent),
        ("without a key", summary.skipped_null_key),
        ("repeated keys, dropped", summary.duplicates_dropped),
        ("unsettled", summary.unsettled),
    )
    table = figures_table("the account", ((name, f"{rows:,}") for name, rows in classes))
    table.add_section()
    table.add_row("rows of the source", f"{summary.source_rows:,}", style="bold")
    return table


def _reasons_table(summary: RunSummary) -> Table:
    by_rows = sorted(summary.rejected_by_reason.items(), key=lambda item: (-item[1], item[0]))
    listed, rest = by_rows[:_MOST_REASONS], by_rows[_MOST_REASONS:]
    if rest:
        listed.append((f"{len(rest)} more reasons", sum(rows for _, rows in rest)))
    return figures_table("rejected, by reason", ((reason, f"{rows:,}") for reason, rows in listed))


def _work_table(summary: RunSummary) -> Table:
    counts = (
        ("partitions", summary.partitions),
        ("batches", summary.batches),
        ("Bulk API 2.0 jobs", summary.jobs),
        ("lock errors", summary.lock_errors),
        ("rows sent again", summary.resent_rows),
        ("API requests", summary.api_requests),
        ("state transitions of Step Functions", summary.state_transitions),
        ("events of the longest execution (limit 25,000)", summary.max_history_events),
    )
    return figures_table("what it took", ((name, f"{number:,}") for name, number in counts if number is not None))


def _hot_parents_table(summary: RunSummary) -> Table:
    by_parent = summary.hot_parents.items()
    return figures_table("lock errors, by parent", ((parent, f"{rows:,}") for parent, rows in by_parent))


def _files(summary: RunSummary) -> Text:
    if summary.unwritten_files:
        return Text(f"\nFiles: {summary.out} (incomplete: {len(summary.unwritten_files)} could not be written)")
    if summary.receipt is None:
        earlier = "; one that is there is of an earlier end" if summary.was_resumed else ""
        return Text(f"\nFiles: {summary.out} (no receipt of this end{earlier})")
    if summary.rejected_files:
        files = len(summary.rejected_files)
        kept = f"rejected rows in {files} file{'' if files == 1 else 's'}"
    else:
        kept = "rejected rows" if summary.rejected else "no rejected rows"
    return Text(f"\nFiles: {summary.out} (receipt.json, {kept})")


def _nothing_to_load(summary: RunSummary) -> Text:
    if summary.source_rows == 0:
        return Text("Nothing to load: the source has no rows.", style="bold")
    return Text("Nothing to load: no row of the source can be sent.", style="bold")


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
