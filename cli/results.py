"""What a run leaves on disk: its receipt and its rejected rows, copied out of the embedded AWS before that is gone."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cli.errors import UsageMistake
from cli.failures import Rejects
from massive_upload.domain.file_keys import receipt_key
from massive_upload.domain.kept_file import parse_kept_file
from massive_upload.domain.progress import Run
from massive_upload.domain.staged_file import REJECT_COLUMNS
from massive_upload.errors import InternalError
from massive_upload.ports import Files

RECEIPT_NAME = "receipt.json"
LOGS_NAME = "logs"
_REJECTED_NAME = "rejected"
_PRIVATE = 0o700


@dataclass(frozen=True)
class Results:
    """Where a run's files are now; no receipt where the run never began, or has not come to its end."""

    receipt: Path | None = None
    rejected_files: tuple[Path, ...] = ()


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

    Files of an earlier run that ``out`` holds are replaced. A receipt of an end that the run was resumed from is not
    copied: it would contradict how the run stands.
    """
    content = _receipt_of_end(files, run)
    if content is None:
        return Results()
    receipt = out / RECEIPT_NAME
    if receipt.exists():
        _remove(_local_paths(receipt.read_bytes(), out))
    receipt.write_bytes(content)
    keys, paths = _rejected_keys(content), _local_paths(content, out)
    for key, path in zip(keys, paths, strict=True):
        make_private_directory(out / _REJECTED_NAME)
        make_private_directory(path.parent)
        path.write_bytes(files.read(key))
    return Results(receipt, tuple(paths))


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
        UsageMistake: there is no receipt, or that of another run.
    """
    try:
        content = (out / RECEIPT_NAME).read_bytes()
    except OSError as error:
        raise UsageMistake(f"{out} holds no {RECEIPT_NAME}; give the directory that the run called Files.") from error
    receipt = json.loads(content)
    if run_id not in (None, receipt["run_id"]):
        raise UsageMistake(f"{out} holds run {receipt['run_id']}, not {run_id}.")
    files = (parse_kept_file(path.read_bytes()) for path in _local_paths(content, out))
    return Rejects(receipt["run_id"], (receipt["target"] or {}).get("external_id", ""), files)


def rejected_by_reason(files: Sequence[Path]) -> Counter[str]:
    """Rejected rows by Salesforce's code and the fields that it names."""
    reasons: Counter[str] = Counter()
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            reasons.update(_reason(row) for row in csv.reader(_without_header(file)))
    return reasons


def _without_header(lines: Iterable[str]) -> Iterable[str]:
    rest = iter(lines)
    next(rest)
    return rest


def _reason(row: Sequence[str]) -> str:
    code, _message, fields, _tries = row[-len(REJECT_COLUMNS) :]
    named = fields.strip("- ")
    return f"{code} ({named})" if named else code


def _rejected_keys(receipt: bytes) -> list[str]:
    return [str(key) for key in json.loads(receipt)["rejected_files"]]


def _local_paths(receipt: bytes, out: Path) -> list[Path]:
    """``rejected/<partition>/<file>``: in the bucket a key ends so as well."""
    return [out / _REJECTED_NAME / Path(key).parent.name / Path(key).name for key in _rejected_keys(receipt)]


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
