"""The end of a run, as one JSON object and as tables for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.progress import duration_text
from massive_upload.domain.account import Account
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Partition, PartitionStatus, Run, RunStatus

_REQUESTS_PER_BATCH = 6
"""Rows read once; a job created, filled and closed; looked at twice."""
_REQUESTS_PER_LANE = 2
"""The login of its first function, and the query."""
_MOST_REASONS = 10
_MOST_LANES_LISTED = 20

NO_ACCOUNT = Account(
    source_rows=0, succeeded=0, rejected=0, not_sent=0, skipped_null_key=0, duplicates_dropped=0, unsettled=0
)
"""The account of a run that was never recorded."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a planned run would take, by plain arithmetic from its lanes and its pace.

    Attributes:
        batches, jobs: one job for each batch, without what is sent again.
        api_requests: of the jobs and of reading the source.
        least_seconds: the lanes' staggered starts and the delays between batches; the work itself comes on top.
    """

    lanes: int
    batches: int
    jobs: int
    api_requests: int
    least_seconds: int


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """How a run stands or ended; the fields are the keys of the JSON object, times are ISO 8601 in UTC.

    ``ended_at`` is null while the run goes on. What Step Functions counted is known of local runs alone.
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
    success_rate_percent: float
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
    rejected_files: tuple[str, ...] = ()
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    estimate: Estimate | None = None
    out: str = ""

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
        load: its configuration; None where it ended before that was frozen.
        out: where its files are.
    """

    run_id: str
    load_name: str
    load: Load | None
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
    state_transitions: int | None = None
    max_history_events: int | None = None
    rejected_files: Sequence[str] = ()
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)

    @property
    def was_planned(self) -> bool:
        """Whether the source was counted and cut into lanes, so that rows could be written."""
        return self.run is not None and self.run.plan_name is not None


def summarize(facts: RunFacts) -> RunSummary:
    """Add up what is known of a run."""
    partitions = facts.partitions
    has_estimate = facts.mode == "plan" and facts.error is None and facts.was_planned
    return RunSummary(
        run_id=facts.run_id,
        load=facts.load_name,
        mode=facts.mode,
        status=facts.status,
        error=facts.error,
        cause=facts.cause,
        **asdict(facts.account),
        success_rate_percent=round(facts.account.success_rate_percent, 3),
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
        rejected_files=tuple(facts.rejected_files),
        rejected_by_reason=dict(facts.rejected_by_reason),
        estimate=estimate_of(facts.load, partitions) if facts.load is not None and has_estimate else None,
        out=facts.out,
    )


def estimate_of(load: Load, lanes: Sequence[Partition]) -> Estimate:
    """What the lanes of a plan would take."""
    pace = load.effective_pace
    batches = [-(-lane.planned_rows // pace.batch_rows) for lane in lanes]
    ends = [
        lane.start_delay_seconds + max(0, count - 1) * pace.delay_seconds
        for lane, count in zip(lanes, batches, strict=True)
    ]
    return Estimate(
        lanes=len(lanes),
        batches=sum(batches),
        jobs=sum(batches),
        api_requests=sum(batches) * _REQUESTS_PER_BATCH + len(lanes) * _REQUESTS_PER_LANE,
        least_seconds=max(ends, default=0),
    )


def partition_failures(partitions: Sequence[Partition]) -> list[str]:
    """Why partitions failed, each reason once, with the first partition that has it."""
    first_with: dict[str, str] = {}
    for partition in partitions:
        if partition.status is PartitionStatus.FAILED:
            first_with.setdefault(f"{partition.error}: {_message(partition.cause or '')}", partition.partition)
    return [f"partition {name}: {reason}" for reason, name in list(first_with.items())[:_MOST_REASONS]]


def _message(cause: str) -> str:
    """The message of a Lambda's error, which Step Functions keeps as JSON with a stack trace."""
    try:
        document = json.loads(cause)
    except ValueError:
        return cause
    return str(document.get("errorMessage", cause)) if isinstance(document, dict) else cause


def summary_view(summary: RunSummary, lanes: Sequence[Partition] = ()) -> RenderableType:
    """Tables for people: the account, why rows were rejected, what it took, where the files are."""
    if summary.estimate is not None:
        return _plan_view(summary, summary.estimate, lanes)
    parts: list[RenderableType] = [_headline(summary), _account_table(summary)]
    if summary.error is None and summary.loadable_rows == 0:
        parts.append(_nothing_to_load(summary))
    if summary.rejected_by_reason:
        parts.append(_reasons_table(summary))
    parts.append(_work_table(summary))
    parts.append(_files(summary))
    return Group(*parts)


def _headline(summary: RunSummary) -> Text:
    ended_at = datetime.fromisoformat(summary.ended_at) if summary.ended_at else datetime.now(UTC)
    seconds = (ended_at - datetime.fromisoformat(summary.started_at)).total_seconds()
    rate = f", {summary.succeeded / seconds:,.0f} rows/s" if seconds >= 1 and summary.succeeded else ""
    style = "bold green" if summary.error is None and summary.status == RunStatus.COMPLETED else "bold yellow"
    took = f"{summary.status} {'after' if summary.ended_at else 'for'} {duration_text(seconds)}{rate}"
    return Text(f"\nRun {summary.run_id}: {took}", style=style)


def _account_table(summary: RunSummary) -> Table:
    table = _table("the account")
    for name, rows in (
        ("succeeded", summary.succeeded),
        ("rejected (kept with their reason)", summary.rejected),
        ("not sent", summary.not_sent),
        ("without a key", summary.skipped_null_key),
        ("repeated keys, dropped", summary.duplicates_dropped),
        ("unsettled", summary.unsettled),
    ):
        table.add_row(name, f"{rows:,}")
    table.add_section()
    table.add_row("rows of the source", f"{summary.source_rows:,}", style="bold")
    return table


def _reasons_table(summary: RunSummary) -> Table:
    table = _table("rejected, by reason")
    by_rows = sorted(summary.rejected_by_reason.items(), key=lambda item: (-item[1], item[0]))
    for reason, rows in by_rows[:_MOST_REASONS]:
        table.add_row(reason, f"{rows:,}")
    rest = by_rows[_MOST_REASONS:]
    if rest:
        table.add_row(f"{len(rest)} more reasons", f"{sum(rows for _, rows in rest):,}")
    return table


def _work_table(summary: RunSummary) -> Table:
    table = _table("what it took")
    for name, number in (
        ("partitions", summary.partitions),
        ("batches", summary.batches),
        ("Bulk API 2.0 jobs", summary.jobs),
        ("lock errors", summary.lock_errors),
        ("rows sent again", summary.resent_rows),
        ("API requests", summary.api_requests),
        ("state transitions of Step Functions", summary.state_transitions),
        ("events of the longest execution (limit 25,000)", summary.max_history_events),
    ):
        if number is not None:
            table.add_row(name, f"{number:,}")
    return table


def _files(summary: RunSummary) -> Text:
    if summary.rejected_files:
        kept = f"{len(summary.rejected_files)} files with rejected rows"
    else:
        kept = "rejected rows" if summary.rejected else "no rejected rows"
    return Text(f"\nFiles: {summary.out} (receipt.json, {kept})")


def _nothing_to_load(summary: RunSummary) -> Text:
    if summary.source_rows == 0:
        return Text("Nothing to load: the source has no rows.", style="bold")
    return Text("Nothing to load: no row of the source can be sent.", style="bold")


def _plan_view(summary: RunSummary, estimate: Estimate, lanes: Sequence[Partition]) -> Group:
    table = _table("the plan")
    for name, text in (
        ("rows of the source", f"{summary.source_rows:,}"),
        ("of them without a key", f"{summary.skipped_null_key:,}"),
        ("of them repeated keys", f"{summary.duplicates_dropped:,}"),
        ("rows to load", f"{summary.loadable_rows:,}"),
        ("partitions", f"{estimate.lanes:,}"),
        ("batches", f"{estimate.batches:,}"),
        ("Bulk API 2.0 jobs (about)", f"{estimate.jobs:,}"),
        ("API requests (about)", f"{estimate.api_requests:,}"),
        ("time for staggered starts and delays", duration_text(estimate.least_seconds)),
    ):
        table.add_row(name, text)
    parts: list[RenderableType] = [table]
    if summary.loadable_rows == 0:
        parts.append(_nothing_to_load(summary))
    else:
        parts.append(_lanes_table(lanes))
    parts.append(Text("\nNothing was written. Run it with --mode sample, then with --mode full."))
    return Group(*parts)


def _lanes_table(lanes: Sequence[Partition]) -> Table:
    table = Table(title="partitions", title_justify="left", title_style="bold")
    table.add_column("partition")
    table.add_column("rows", justify="right")
    table.add_column("starts after", justify="right")
    table.add_column("up to key")
    for lane in lanes[:_MOST_LANES_LISTED]:
        table.add_row(
            lane.partition, f"{lane.planned_rows:,}", duration_text(lane.start_delay_seconds), Text(lane.upto or "")
        )
    if len(lanes) > _MOST_LANES_LISTED:
        table.add_row("...", f"{len(lanes) - _MOST_LANES_LISTED} more", "", "")
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column(min_width=48)
    table.add_column(justify="right", min_width=10)
    return table


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
