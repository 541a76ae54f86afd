"""A plan as tables for people, and a plan beside what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli.printable import printable, printable_lines
from cli.progress import duration_text
from cli.tables import figures_table
from massive_upload.domain.estimate import Estimate, Parents, Range
from massive_upload.domain.progress import Partition

if TYPE_CHECKING:
    from cli.summary import RunSummary

_MOST_LANES_LISTED = 20


def plan_view(summary: RunSummary, plan: Estimate, lanes: Sequence[Partition]) -> list[RenderableType]:
    """What a run of mode plan found: rows, lanes, what they will take, locks, warnings."""
    parts: list[RenderableType] = [_rows_table(summary)]
    if plan.rows:
        parts += [_work_table(plan), _lanes_table(lanes)]
    if plan.parents is not None and plan.parents.parents:
        parts += [_parents_table(plan, plan.parents), _locks_table(plan, plan.parents)]
    if plan.org_batches_reason:
        parts.append(Text(f"\nFor {plan.org_batches:,} batches at a time: {plan.org_batches_reason}."))
    parts += [Text(f"\nWarning: {printable_lines(warning)}", style="yellow") for warning in plan.warnings]
    closing = "Run it with --mode sample, then with --mode full." if plan.rows else "Nothing to load."
    return [*parts, Text(f"\nNothing was written. {closing}")]


def beside_table(summary: RunSummary, plan: Estimate) -> Table:
    """What a run took, beside what its plan expected; its duration, unless waits were shorter or it was resumed."""
    rows = [
        ("rows", f"{plan.rows:,}", f"{summary.succeeded + summary.rejected:,}"),
        ("Bulk API 2.0 jobs", _range(plan.jobs), f"{summary.jobs:,}"),
        ("API requests", _range(plan.api_requests), f"{summary.api_requests:,}"),
    ]
    if summary.state_transitions is not None:
        rows.append(("state transitions", _range(plan.state_transitions), f"{summary.state_transitions:,}"))
    if summary.time_scale == 1 and not summary.was_resumed:
        rows.append(("duration", _durations(plan), duration_text(summary.seconds)))
    return figures_table("plan and outcome", rows, headers=("planned", "came to"))


def _rows_table(summary: RunSummary) -> Table:
    return figures_table(
        "the source",
        (
            ("rows", f"{summary.source_rows:,}"),
            ("of them without a key", f"{summary.skipped_null_key:,}"),
            ("of them repeated keys", f"{summary.duplicates_dropped:,}"),
            ("rows to load", f"{summary.loadable_rows:,}"),
        ),
    )


def _work_table(plan: Estimate) -> Table:
    return figures_table(
        "the plan",
        (
            (
                "partitions",
                f"{plan.lanes:,}, each of whole parents or of rows without one"
                if plan.by_parent
                else f"{plan.lanes:,}",
            ),
            ("rows of the heaviest partition", f"{plan.heaviest_lane_rows:,}"),
            ("batches", f"{plan.batches:,}"),
            ("Bulk API 2.0 jobs", _range(plan.jobs)),
            ("Salesforce's batches of 10,000 rows", _range(plan.bulk_batches)),
            *_left(plan.bulk_batches_left),
            ("API requests", _range(plan.api_requests)),
            *_left(plan.api_requests_left),
            ("state transitions", _range(plan.state_transitions)),
            ("their cost, USD", f"{plan.cost_usd_least:.2f} to {plan.cost_usd_most:.2f}"),
            ("duration", _durations(plan)),
            *_known(plan),
        ),
    )


def _known(plan: Estimate) -> list[tuple[str, str]]:
    """What the duration was reckoned by."""
    whence = f"by run {plan.last_run}" if plan.last_run else "a guess"
    rows = [("  by the time of a row, ms", f"{plan.row_ms_least:g} to {plan.row_ms_most:g}, {whence}")]
    if plan.org_batches:
        rows.append(("  and batches that the org works on at once", f"{plan.org_batches:,}"))
    return rows


def _left(figure: int | None) -> list[tuple[str, str]]:
    return [] if figure is None else [("  left of the org's day, beside the reserve", f"{figure:,}")]


def _parents_table(plan: Estimate, parents: Parents) -> Table:
    return figures_table(
        "the parents",
        (
            ("parents", f"{parents.parents:,}"),
            ("rows without a parent", f"{plan.rows - parents.rows:,}"),
            ("rows of a parent, on average", f"{parents.rows / parents.parents:,.1f}"),
            ("rows of the heaviest", f"{parents.most_rows:,}"),
            ("part of the heaviest hundredth", f"{100 * parents.heavy_rows / parents.rows:.1f} %"),
        ),
    )


def _locks_table(plan: Estimate, parents: Parents) -> Table:
    """Lock exposure: which parents lanes that load side by side would share."""
    rows = [(f"{shared.ranges} ranges of keys", f"{shared.parents:,}", f"{shared.rows:,}") for shared in parents.shared]
    rows.append(("lanes of parents" + (" (this plan)" if plan.by_parent else ""), "0", "0"))
    return figures_table("locks, by how lanes are cut", rows, headers=("parents in several lanes", "their rows"))


def _lanes_table(lanes: Sequence[Partition]) -> Table:
    table = Table(title="partitions", title_justify="left", title_style="bold")
    table.add_column("partition")
    table.add_column("rows", justify="right")
    table.add_column("starts after", justify="right")
    table.add_column("up to")
    for lane in lanes[:_MOST_LANES_LISTED]:
        table.add_row(
            lane.partition,
            f"{lane.planned_rows:,}",
            duration_text(lane.start_delay_seconds),
            Text(printable(lane.upto or "")),
        )
    if len(lanes) > _MOST_LANES_LISTED:
        table.add_row("...", f"{len(lanes) - _MOST_LANES_LISTED} more", "", "")
    return table


def _range(figure: Range) -> str:
    return f"{figure.least:,}" if figure.least == figure.most else f"{figure.least:,} to {figure.most:,}"


def _durations(plan: Estimate) -> str:
    return f"{duration_text(plan.duration_seconds.least)} to {duration_text(plan.duration_seconds.most)}"
