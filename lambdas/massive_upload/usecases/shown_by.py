"""What a run that ends has shown of the org: for its receipt, and for the load's next run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from massive_upload.contracts import Mode
from massive_upload.domain import presets
from massive_upload.domain.progress import Partition, Run
from massive_upload.domain.shown import Shown, org_took, shown_of, work_of
from massive_upload.usecases.plan_file import read_estimate
from massive_upload.usecases.slice_tasks import SliceServices

_MODES = (Mode.FULL, Mode.INCREMENTAL, Mode.SAMPLE)
"""Rows that were rejected once are not like the others, so that a retry of them shows nothing."""


def shown_by(
    run: Run, partitions: Sequence[Partition], ended_at: datetime, before: Shown | None, services: SliceServices
) -> Shown | None:
    """Add up what a run has shown, however it ends; None where no job has.

    Args:
        run: that ends.
        partitions: all of the run's.
        ended_at: when it ends.
        before: what is known of the load's runs before it.
        services: hold the run's configuration and plan.

    How many batches the org works on at a time is not told by a run that was resumed: lanes of several goes were not
    side by side.
    """
    lanes = [partition for partition in partitions if not partition.is_sweep]
    work = work_of(lanes)
    if run.plan_name is None or run.mode not in _MODES or not work.jobs:
        return None
    config = services.configs.of(run.run_id)
    before = shown_of(config.lease_key, before)
    estimate = read_estimate(services.files, run)
    at_once = min(len(lanes), config.load.partitioning.max_concurrency)
    pace = config.load.effective_pace
    run_seconds = (ended_at - run.started_at).total_seconds()
    ramp_seconds = presets.start_delay_seconds(at_once - 1, pace.stagger_seconds, max_concurrency=at_once)
    took = org_took(work, lanes=at_once, batch_rows=pace.batch_rows, ramp_seconds=ramp_seconds, run_seconds=run_seconds)
    is_in_one_go = not any(lane.reopened_by for lane in lanes)
    return Shown(
        load=run.load,
        target=config.lease_key,
        run_id=run.run_id,
        began_at=run.started_at,
        ended_at=ended_at,
        lanes=at_once,
        batch_rows=pace.batch_rows,
        jobs=work.jobs,
        rows=work.rows,
        job_seconds=work.seconds,
        processing_ms=work.processing_ms,
        contended_rows=work.contended_rows,
        org_batches=estimate.org_batches if estimate is not None else presets.ORG_BATCHES,
        org_took=took if is_in_one_go else None,
        pairs_met=any(lane.has_pairs_that_met for lane in lanes) or (before is not None and before.pairs_met),
    )
