"""How many lanes a run has, when each starts and which have jobs of two batches."""

from __future__ import annotations

from collections.abc import Sequence

from massive_upload.constants import JOB_ROWS_PER_BATCH, MAX_LANES
from massive_upload.contracts import Lane, Plan
from massive_upload.domain import presets
from massive_upload.domain.lanes import paired
from massive_upload.domain.load import Load
from massive_upload.domain.progress import KeptList, Run, SourceRange, partition_id
from massive_upload.domain.shown import Shown, plan_org_batches
from massive_upload.domain.waits import split_stagger
from massive_upload.errors import InvalidInput
from massive_upload.ports import PlannedLane

LONGEST_STAGGER_SECONDS = 12 * 86_400
"""So that the last lane starts well before the load machine's time-out, 30 days, and has history events left for its
slices: while it waits, its looks at the run's flags use 13 of the 25,000 every ten minutes."""


def lanes_for(load: Load, rows: int, known: Shown | None) -> int:
    """How many lanes a load of so many rows is to have, by what its last run has shown of the org.

    Raises:
        InvalidInput: they would be more than an execution can have.
    """
    partitioning = load.partitioning
    if not load.lanes_meet:
        org_batches = plan_org_batches(partitioning.org_batches, known).number
        batch_rows = load.effective_pace.batch_rows
        return partitioning.count or presets.filling_lanes_for(rows, org_batches=org_batches, batch_rows=batch_rows)
    wanted = partitioning.count or presets.lanes_for(rows, load.lock_risk, lane_rows=partitioning.lane_rows)
    if rows and wanted > MAX_LANES:
        raise InvalidInput(
            f"{rows} rows make {wanted} lanes; at most {MAX_LANES} are possible.",
            next_step="Raise partitioning.lane_rows.",
        )
    return wanted


def staggered(load: Load, reads: Sequence[SourceRange | KeptList], known: Shown | None = None) -> list[PlannedLane]:
    """The lanes of a run, each with its start, whether it is paired, and how long a job of it took the last time.

    Raises:
        InvalidInput: the last of them would begin too late.
    """
    stagger_seconds = load.effective_pace.stagger_seconds
    at_once = min(len(reads), load.partitioning.max_concurrency)
    if (at_once - 1) * stagger_seconds > LONGEST_STAGGER_SECONDS:
        raise InvalidInput(
            f"{at_once} lanes that start {stagger_seconds} s apart would take more than 12 days to start.",
            next_step="Lower pace.stagger_seconds, or have fewer lanes at the same time: see partitioning in the load.",
        )
    paired_lanes = _paired(load, reads, known)
    return [
        PlannedLane(
            partition=partition_id(index),
            reads=each,
            start_delay_seconds=presets.start_delay_seconds(
                index, stagger_seconds, max_concurrency=load.partitioning.max_concurrency
            ),
            is_paired=each in paired_lanes,
            job_seconds=known.typical_job_seconds if known else None,
            job_rows=known.typical_job_rows if known else None,
        )
        for index, each in enumerate(reads)
    ]


def _paired(load: Load, reads: Sequence[SourceRange | KeptList], known: Shown | None) -> frozenset[SourceRange]:
    """The lanes that are paired; none where the runs before showed that a batch may wait too long for the other.

    A load that sets smaller jobs keeps them.
    """
    waits_too_long = known is not None and (
        known.row_ms > presets.MOST_PAIR_ROW_MS or known.is_contended or known.pairs_met
    )
    if waits_too_long or load.effective_pace.batch_rows < JOB_ROWS_PER_BATCH:
        return frozenset()
    org_batches = plan_org_batches(load.partitioning.org_batches, known).number
    return paired([each for each in reads if isinstance(each, SourceRange)], org_batches=org_batches)


def plan_of(run: Run, lanes: Sequence[PlannedLane], max_concurrency: int) -> Plan:
    """What the execution goes on with: its lanes, or its end where there are none."""
    items = tuple(lane_item(lane.partition, lane.start_delay_seconds) for lane in lanes)
    following = "Load" if items else "Finish"
    return Plan(next=following, run_id=run.run_id, max_concurrency=max_concurrency, lanes=items)


def lane_item(partition: str, delay_seconds: int) -> Lane:
    """A lane as the Distributed Map gets it."""
    short_wait_seconds, long_waits = split_stagger(delay_seconds)
    return Lane(partition=partition, short_wait_seconds=short_wait_seconds, long_waits=long_waits)
