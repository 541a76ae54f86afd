"""The sweep's rows: the files of rows that lanes gave up for a passing reason."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, TypeAdapter

from massive_upload.constants import JOB_ROWS_PER_BATCH, MAX_JOB_BYTES
from massive_upload.domain.file_keys import sweep_key
from massive_upload.domain.progress import Partition
from massive_upload.domain.staged_file import Selection, without_errors
from massive_upload.ports import Files


class SweepFile(BaseModel):
    """One file of given-up rows."""

    model_config = ConfigDict(frozen=True)

    key: str
    rows: int
    size_bytes: int


_FILES = TypeAdapter(list[SweepFile])


@dataclass(frozen=True)
class SweepRows:
    """Rows to send once more, and the sweep's cursor once they are settled."""

    rows: Selection
    next_cursor: str


def read_sweep(files: Files, run_id: str) -> list[SweepFile]:
    """The sweep's files in the order in which it settles them; its cursor counts them."""
    return _FILES.validate_json(files.read(sweep_key(run_id)))


def write_sweep(files: Files, run_id: str, sweep: list[SweepFile]) -> None:
    """Write the sweep's list of files."""
    files.write(sweep_key(run_id), _FILES.dump_json(sweep), content_type="application/json")


def next_sweep_rows(files: Files, partition: Partition) -> SweepRows | None:
    """The next whole files that make one batch of Salesforce's, or None when all are settled."""
    listed = read_sweep(files, partition.run_id)
    start = int(partition.cursor or "0")
    end, rows, size_bytes = start, 0, 0
    while end < len(listed):
        rows, size_bytes = rows + listed[end].rows, size_bytes + listed[end].size_bytes
        if end > start and (rows > JOB_ROWS_PER_BATCH or size_bytes > MAX_JOB_BYTES):
            break
        end += 1
    if end == start:
        return None
    contents = [files.read(file.key) for file in listed[start:end]]
    return SweepRows(rows=without_errors(contents), next_cursor=str(end))
