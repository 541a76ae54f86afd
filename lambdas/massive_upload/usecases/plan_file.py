"""The plan of a run as a file: the lanes as they were cut, and what was counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from massive_upload.domain.file_keys import plan_key
from massive_upload.domain.lanes import SourceCount
from massive_upload.domain.progress import KeyRange, Run
from massive_upload.ports import Files, PlannedLane


def write_plan(files: Files, run_id: str, plan_name: str, lanes: Sequence[PlannedLane], count: SourceCount) -> None:
    """Write a plan; it counts once the run's item names it."""
    document = {
        "source_rows": count.all_rows,
        "skipped_null_key": count.null_keys,
        "duplicates_dropped": count.duplicates,
        "lanes": [asdict(lane) for lane in lanes],
    }
    files.write(plan_key(run_id, plan_name), json.dumps(document).encode(), content_type="application/json")


def read_plan(files: Files, run: Run) -> list[PlannedLane]:
    """The lanes of the plan that the run's item names, which may be that of a PlanRun that was faster."""
    document = json.loads(files.read(plan_key(run.run_id, run.plan_name or "")))
    return [
        PlannedLane(
            partition=lane["partition"],
            keys=KeyRange(**lane["keys"]),
            start_delay_seconds=lane["start_delay_seconds"],
        )
        for lane in document["lanes"]
    ]
