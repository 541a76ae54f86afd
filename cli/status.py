"""How runs stand: the newest ones, or one with each of its partitions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.printable import printable_lines
from cli.progress import STATUS_STYLES
from cli.run_ids import newest_runs
from cli.snapshot import snapshot_of
from cli.summary import RunFacts, partition_failures, summarize, summary_view
from cli.tables import table_that_fits
from massive_upload.domain.progress import Partition, Run
from massive_upload.ports import ProgressStore
from massive_upload.usecases.receipt import PARTITION_FIGURES

MOST_LISTED = 10
_RUN_FIGURES = ("source rows", "settled", "succeeded", "rejected")
_RUN_STACKS = (
    ("run", "mode", "error"),
    ("status", "began (UTC)"),
    ("source rows", "settled"),
    ("succeeded", "rejected"),
)
_BESIDE_RUN_WIDTH = 38
"""Of the other columns beside the ids of runs, where each has two cells."""
_PARTITION_FIGURES = ("rows", "settled", "succeeded", "rejected", "batches", "lock errors")
_PARTITION_STACKS = (
    *(("partition",), ("status", "error"), ("rows", "settled"), ("succeeded", "rejected"), ("batches", "lock errors")),
)


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """One run of the list; the fields are the keys of the JSON objects."""

    run_id: str
    load: str
    mode: str
    status: str
    is_left: bool | None
    asked_to: str | None
    started_at: str
    source_rows: int
    settled: int
    succeeded: int
    rejected: int
    error: str | None


def show_newest(
    store: ProgressStore, *, none: str, as_json: bool, are_left: bool | None = None, refused: Sequence[str] = ()
) -> None:
    """List the newest runs.

    Args:
        store: holds the runs.
        none: what is said where there are none.
        as_json: whether to print one JSON array.
        are_left: whether nothing carries out those that are unfinished; None where nobody has looked.
        refused: what was to begin and is no run, with the reason; not in the JSON array, which is of runs.
    """
    newest = newest_runs(store, MOST_LISTED)
    lines = [_line_of(run, store.partitions(run.run_id), are_left and run.is_unfinished) for run in newest]
    if as_json:
        print(json.dumps([asdict(line) for line in lines]))
    elif not lines:
        print(none)
    else:
        console = Console(highlight=False)
        console.print(_runs_table(lines, console))
    if refused and not as_json:
        print("\n".join(["Failed before a run was recorded (the status of the name tells why):", *refused]))


def show_run(facts: RunFacts, *, as_json: bool, advice: str | None = None) -> None:
    """Show one run with its account and its partitions.

    Args:
        facts: what is known of it.
        as_json: whether to print one JSON object.
        advice: how to go on with it.
    """
    run = facts.run
    summary = summarize(facts)
    if as_json:
        lines = [_partition_line(partition) for partition in facts.partitions]
        print(json.dumps(asdict(summary) | {"asked_to": run.asked_to if run else None, "lanes": lines}))
        return
    console = Console(highlight=False)
    console.print(summary_view(summary, facts.partitions))
    if facts.partitions and not summary.is_plan:
        console.print(_partitions_table(facts.partitions, console))
    if run is not None and run.asked_to is not None and not summary.is_left:
        console.print(f"It is asked to {run.asked_to}: its lanes end at their next batch edge.")
    if summary.error is not None:
        failures = partition_failures(facts.partitions)
        console.print(Text(printable_lines("\n".join([f"{summary.error}: {summary.cause}", *failures]))))
    elif summary.cause is not None:
        console.print(Text(printable_lines(summary.cause)))
    if advice is not None:
        console.print(Text(advice), soft_wrap=True)


def _line_of(run: Run, partitions: Sequence[Partition], is_left: bool | None) -> RunLine:
    total = snapshot_of(partitions, {}).total
    return RunLine(
        run_id=run.run_id,
        load=run.load,
        mode=run.mode,
        status=run.status,
        is_left=is_left,
        asked_to=run.asked_to,
        started_at=run.started_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        source_rows=run.source_rows,
        settled=total.settled,
        succeeded=total.succeeded,
        rejected=total.rejected,
        error=run.error,
    )


def _partition_line(partition: Partition) -> dict[str, object]:
    return {name: getattr(partition, name) for name in PARTITION_FIGURES}


def _runs_table(lines: Sequence[RunLine], console: Console) -> Table:
    """A row for each run, in less room with what it is about above its figures; no figure is cut."""
    rows = [_cells_of_run(line) for line in lines]
    longest = max(len(line.run_id) for line in lines)
    return table_that_fits(
        console,
        _plain_table,
        rows,
        _RUN_STACKS,
        whole=("run", "mode", "status", "began (UTC)"),
        whole_of_stacks=("run",) if longest <= console.width - _BESIDE_RUN_WIDTH else (),
        figures=_RUN_FIGURES,
    )


def _plain_table() -> Table:
    return Table(box=None, pad_edge=False, header_style="dim")


def _cells_of_run(line: RunLine) -> dict[str, Text]:
    began = datetime.fromisoformat(line.started_at)
    asked = f" ({line.asked_to} asked for)" if line.asked_to else ""
    note = " (no process)" if line.is_left else asked
    counts = (line.source_rows, line.settled, line.succeeded, line.rejected)
    return {
        "run": Text(line.run_id),
        "mode": Text(line.mode),
        "status": Text(f"{line.status}{note}"),
        "began (UTC)": Text(f"{began:%Y-%m-%d %H:%M}"),
        **_figures(_RUN_FIGURES, counts),
        "error": Text(line.error or ""),
    }


def _partitions_table(partitions: Sequence[Partition], console: Console) -> Table:
    """A row for each partition, in less room with two figures in a column; no figure is cut."""
    rows = [_cells_of_partition(each) for each in partitions]
    return table_that_fits(
        console,
        _titled_table,
        rows,
        _PARTITION_STACKS,
        whole=("partition", "status"),
        whole_of_stacks=("partition",),
        figures=_PARTITION_FIGURES,
    )


def _titled_table() -> Table:
    return Table(title="partitions", title_justify="left", title_style="bold", header_style="dim")


def _cells_of_partition(each: Partition) -> dict[str, Text]:
    counts = (each.source_rows, each.settled_rows, each.succeeded, each.rejected, each.batches, each.lock_errors)
    return {
        "partition": Text(each.partition),
        "status": Text(each.status, style=STATUS_STYLES[each.status]),
        **_figures(_PARTITION_FIGURES, counts),
        "error": Text(each.error or ""),
    }


def _figures(names: Sequence[str], counts: Sequence[int]) -> dict[str, Text]:
    return {name: Text(f"{count:,}") for name, count in zip(names, counts, strict=True)}
