"""What a run leaves on disk: its receipt and its rejected rows, copied out of the embedded AWS before that is gone."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cli.errors import UsageMistake
from cli.failures import Rejects
from massive_upload.domain.csv_text import rows_of
from massive_upload.domain.file_keys import receipt_key
from massive_upload.domain.kept_file import KeptFile, parse_kept_file
from massive_upload.domain.progress import Run
from massive_upload.domain.staged_file import REJECT_COLUMNS, index_of
from massive_upload.errors import InternalError
from massive_upload.ports import Files

RECEIPT_NAME = "receipt.json"
LOGS_NAME = "logs"
_REJECTED_NAME = "rejected"
_PRIVATE, _PRIVATE_FILE = 0o700, 0o600


class _Target(BaseModel):
    external_id: str = ""


class _Receipt(BaseModel):
    """What is read again of a receipt on disk, where anything may be called so."""

    run_id: str
    rejected_files: tuple[str, ...]
    target: _Target | None = None


@dataclass(frozen=True)
class Results:
    """Where a run's files are now; no receipt where the run never began, or has not come to its end.

    Attributes:
        rejected_by_reason: rejected rows by Salesforce's code and the fields that it names.
        unwritten: files that could not be written, such as where the disk is full.
    """

    receipt: Path | None = None
    rejected_files: tuple[Path, ...] = ()
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    unwritten: tuple[Path, ...] = ()


def make_private_directory(path: Path) -> Path:
    """Make a directory that only its owner may look into: rejected rows are business data.

    Raises:
        UsageMistake: it cannot be made, such as where a file has its name.
    """
    try:
        path.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageMistake(
            f"The directory {path} cannot be made ({type(error).__name__}). Give another one with --out."
        ) from error
    return path


def save_results(files: Files, run: Run, out: Path) -> Results:
    """Copy the receipt of a run's end, and every file that the receipt names, to ``out``.

    Files of an earlier run that ``out`` holds are removed first. A receipt of an end that the run was resumed from is
    not copied: it would contradict how the run stands. No file is written in part, and one that cannot be written is
    told instead of raised: the account of the run does not depend on it.
    """
    content = _receipt_of_end(files, run)
    if content is None:
        return Results()
    keys = _Receipt.model_validate_json(content).rejected_files
    receipt, paths = out / RECEIPT_NAME, _local_paths(keys, out)
    _remove_earlier(out)
    is_written = {receipt: _write(receipt, content)}
    reasons: Counter[str] = Counter()
    for key, path in zip(keys, paths, strict=True):
        rows = files.read(key)
        reasons.update(_reasons(rows))
        is_written[path] = _write(path, rows)
    return Results(
        receipt=receipt if is_written[receipt] else None,
        rejected_files=tuple(path for path in paths if is_written[path]),
        rejected_by_reason=reasons,
        unwritten=tuple(path for path, is_there in is_written.items() if not is_there),
    )


def _receipt_of_end(files: Files, run: Run) -> bytes | None:
    """The receipt that was written when the run came to the end that is recorded; None where there is none."""
    if run.is_unfinished or run.ended_at is None:
        return None
    try:
        content = files.read(receipt_key(run.run_id))
    except InternalError as error:
        if error.code != "NoSuchKey":
            raise
        return None
    receipt = json.loads(content)
    ended_at = datetime.fromisoformat(receipt["ended_at"])
    is_of_end = receipt["status"] == run.status and _milliseconds(ended_at) == _milliseconds(run.ended_at)
    return content if is_of_end else None


def _milliseconds(moment: datetime) -> str:
    """A moment as the run's item keeps it; the receipt has it to the microsecond."""
    return moment.isoformat(timespec="milliseconds")


def saved_rejects(out: Path, run_id: str | None) -> Rejects:
    """The rejected rows that `save_results` has left in ``out``.

    Args:
        out: the directory.
        run_id: the run that is expected there; None for whichever it is.

    Raises:
        UsageMistake: there is no receipt, or that of another run, or a file that it names is missing; or, once it is
            read, a file is damaged.
    """
    path = out / RECEIPT_NAME
    try:
        receipt = _Receipt.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageMistake(f"{out} holds no {RECEIPT_NAME}; give the directory that the run called Files.") from error
    except ValidationError as error:
        raise UsageMistake(
            f"{path} is no receipt of a run, or damaged; give the directory that the run called Files."
        ) from error
    if run_id not in (None, receipt.run_id):
        raise UsageMistake(f"{out} holds run {receipt.run_id}, not {run_id}.")
    paths = _local_paths(receipt.rejected_files, out)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UsageMistake(f"{out} is incomplete: {missing[0]} could not be written, or was removed.")
    key_column = receipt.target.external_id if receipt.target is not None else ""
    return Rejects(receipt.run_id, key_column, (_saved_file(path, key_column) for path in paths))


def _saved_file(path: Path, key_column: str) -> KeptFile:
    try:
        file = parse_kept_file(path.read_bytes())
        index_of(key_column, file.columns)
    except (OSError, ValueError, StopIteration, csv.Error) as error:  # without a line it has no header
        raise UsageMistake(_damaged(path)) from error
    if any(len(row.cells) != len(file.columns) for row in file.rows):
        raise UsageMistake(_damaged(path))
    return file


def _damaged(path: Path) -> str:
    return f"{path} cannot be read as the rejected rows that the run has left: it is damaged, or has been changed."


def _reasons(rejected: bytes) -> list[str]:
    """Why each row of a file with rejected rows was."""
    rows = rows_of(rejected)
    next(rows)
    return [_reason(row) for row in rows]


def _reason(row: Sequence[str]) -> str:
    code, _message, fields, _tries = row[-len(REJECT_COLUMNS) :]
    named = fields.strip("- ")
    return f"{code} ({named})" if named else code


def _local_paths(rejected_keys: Sequence[str], out: Path) -> list[Path]:
    """``rejected/<partition>/<file>``: in the bucket a key ends so as well."""
    return [out / _REJECTED_NAME / Path(key).parent.name / Path(key).name for key in rejected_keys]


def _write(path: Path, content: bytes) -> bool:
    """Whether a file could be written, as a whole."""
    part = path.with_name(f"{path.name}.part")
    try:
        for directory in (path.parent.parent, path.parent):
            directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        part.touch(mode=_PRIVATE_FILE, exist_ok=False)
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        return False
    return True


def _remove_earlier(out: Path) -> None:
    """Remove a receipt and the files that it names; where that is refused, writing is refused next, and told.

    What is called so and is no receipt, or a damaged one, names no files.
    """
    receipt = out / RECEIPT_NAME
    with suppress(OSError, ValueError):
        for path in _local_paths(_Receipt.model_validate_json(receipt.read_bytes()).rejected_files, out):
            path.unlink(missing_ok=True)
        receipt.unlink()
