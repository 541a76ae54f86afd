"""Runs, partitions and snapshots to make examples of."""

from datetime import UTC, datetime
from typing import Any

from cli.snapshot import LaneProgress, Snapshot
from massive_upload.domain.progress import Batch, BatchState, Partition, PartitionStatus, Run, RunStatus

STARTED_AT = datetime(2026, 1, 1, 22, tzinfo=UTC)


def a_run(**changes: Any) -> Run:
    values: dict[str, Any] = {
        "run_id": "run-1",
        "load": "opportunity",
        "mode": "full",
        "status": RunStatus.COMPLETED,
        "execution_arn": "arn",
        "started_at": STARTED_AT,
        "plan_name": "plan",
    }
    return Run(**(values | changes))


def a_partition(name: str = "0000", *, rows: int = 100, **changes: Any) -> Partition:
    values: dict[str, Any] = {
        "run_id": "run-1",
        "partition": name,
        "status": PartitionStatus.RUNNING,
        "epoch": 1,
        "planned_rows": rows,
        "source_rows": rows,
    }
    return Partition(**(values | changes))


def a_batch(**changes: Any) -> Batch:
    values: dict[str, Any] = {
        "run_id": "run-1",
        "partition": "0000",
        "number": 3,
        "state": BatchState.PLANNED,
        "attempt": 1,
        "rows": 2,
        "first_rows": 10,
        "size_bytes": 100,
        "file_key": "staged/x.csv",
        "next_cursor": "k",
        "next_offset": 0,
    }
    return Batch(**(values | changes))


def a_lane(name: str = "0000", *, rows: int = 100, settled: int = 0, **changes: Any) -> LaneProgress:
    values: dict[str, Any] = {"status": PartitionStatus.RUNNING, "succeeded": settled, "rejected": 0}
    return LaneProgress(name=name, rows=rows, settled=settled, **(values | changes))


def lanes(count: int, *, status: PartitionStatus = PartitionStatus.RUNNING) -> Snapshot:
    return Snapshot(lanes=tuple(a_lane(f"{index:04d}", status=status) for index in range(count)))
