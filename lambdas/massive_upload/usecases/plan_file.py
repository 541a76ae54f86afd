"""The plan of a run as a file: the lanes as they were cut, and what was counted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from massive_upload.domain.estimate import Estimate
from massive_upload.domain.file_keys import plan_key
from massive_upload.domain.progress import KeptList, LaneKind, Run, SourceRange
from massive_upload.ports import Files, PlannedLane


def write_plan(files: Files, run: Run, lanes: Sequence[PlannedLane], estimate: Estimate) -> None:
    """Write the plan that a run is about to have; it counts once the run's item names it."""
    document = {
        "source_rows": run.source_rows,
        "skipped_null_key": run.skipped_null_key,
        "duplicates_dropped": run.duplicates_dropped,
        "estimate": asdict(estimate),
        "lanes": [asdict(lane) for lane in lanes],
    }
    key = plan_key(run.run_id, run.plan_name or "")
    files.write(key, json.dumps(document).encode(), content_type="application/json")


def read_plan(files: Files, run: Run) -> list[PlannedLane]:
    """The lanes of the plan that the run's item names, which may be that of a PlanRun that was faster."""
    document = json.loads(files.read(plan_key(run.run_id, run.plan_name or "")))
    return [
        PlannedLane(
            partition=lane["partition"],
            reads=_reads(lane["reads"]),
            start_delay_seconds=lane["start_delay_seconds"],
            is_paired=lane["is_paired"],
            job_seconds=lane["job_seconds"],
            job_rows=lane["job_rows"],
        )
        for lane in document["lanes"]
    ]


def read_estimate(files: Files, run: Run) -> Estimate | None:
    """What the plan that the run's item names expects the run to take; None without one."""
    if run.plan_name is None:
        return None
    document = json.loads(files.read(plan_key(run.run_id, run.plan_name)))
    return TypeAdapter(Estimate).validate_python(document["estimate"])


def _reads(document: Mapping[str, Any]) -> SourceRange | KeptList:
    if "key" in document:
        return KeptList(**document)
    return SourceRange(**{**document, "kind": LaneKind(document["kind"])})
