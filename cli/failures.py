"""Rejected rows of a run, by the code of their error; and all of them as one CSV file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from rich.table import Table
from rich.text import Text

from cli.errors import UsageMistake
from cli.printable import printable, printable_lines
from massive_upload.domain.csv_text import to_csv
from massive_upload.domain.kept_file import KeptFile, KeptRow
from massive_upload.domain.staged_file import REJECT_COLUMNS, index_of

_PRIVATE = 0o600


@dataclass(frozen=True)
class Rejects:
    """The rejected rows of one run.

    Attributes:
        key_column: the target's external id; empty where no row was rejected.
        files: the files that keep them, each read as it is asked for.
    """

    run_id: str
    key_column: str
    files: Iterable[KeptFile]


@dataclass
class CodeFailures:
    """The rows that failed with one code.

    Attributes:
        fields: fields that the errors name, with how many rows name each.
        keys: the first of their keys.
        message: Salesforce's text for the first of them.
    """

    code: str
    rows: int = 0
    fields: dict[str, int] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    message: str = ""


def gather_failures(
    rejects: Rejects, *, code: str | None, sample: int, writer: CsvWriter | None = None
) -> list[CodeFailures]:
    """Count rejected rows by code, the most frequent first.

    Args:
        rejects: where the rows are.
        code: count the rows with this code alone.
        sample: how many keys to give for each code.
        writer: gets each row that is counted.
    """
    found: dict[str, CodeFailures] = {}
    for file in rejects.files:
        key_index = index_of(rejects.key_column, file.columns)
        for row in file.rows:
            if code is not None and row.error.code != code:
                continue
            _count(found.setdefault(row.error.code, CodeFailures(row.error.code)), row, row.cells[key_index], sample)
            if writer is not None:
                writer.write(file, row)
    return sorted(found.values(), key=lambda failures: (-failures.rows, failures.code))


def _count(failures: CodeFailures, row: KeptRow, key: str, sample: int) -> None:
    if not failures.rows:
        failures.message = row.error.message
    failures.rows += 1
    for name in row.error.fields.split():
        failures.fields[name] = failures.fields.get(name, 0) + 1
    if len(failures.keys) < sample:
        failures.keys.append(key)


class CsvWriter:
    """Writes rejected rows with all their columns, their error and their tries; files of one run have one header."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._has_header = False

    def write(self, file: KeptFile, row: KeptRow) -> None:
        """Write one row of a file."""
        if not self._has_header:
            self._file.write(to_csv([[*file.columns, *REJECT_COLUMNS]]))
            self._has_header = True
        self._file.write(to_csv([row.error.beside(row.cells, tries=row.tries)]))


@contextmanager
def csv_file(path: Path) -> Iterator[CsvWriter]:
    """A new CSV file that only its owner may read; it takes the place of an earlier one once all of it is there.

    Raises:
        UsageMistake: it cannot be written, or what is there is no regular file.
    """
    with _csv_mistakes(path):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise UsageMistake(f"{path} is there, and is no regular file; give another --csv.")
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        part.touch(mode=_PRIVATE, exist_ok=False)
        file = part.open("wb")
    try:
        with file:
            yield CsvWriter(file)
        with _csv_mistakes(path):
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _csv_mistakes(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageMistake(f"{path} cannot be written ({type(error).__name__}); give another --csv.") from error


def failures_view(run_id: str, failures: Sequence[CodeFailures], *, code: str | None = None) -> Table | Text:
    """A table for people.

    Args:
        run_id: whose rows they are.
        failures: what was gathered.
        code: the one that was asked for.
    """
    if not failures:
        return Text(f"Run {run_id} has no rejected rows{f' with the code {code}' if code else ''}.")
    table = Table(title=f"rejected rows of {run_id}", title_justify="left", title_style="bold")
    table.add_column("code", overflow="fold")
    table.add_column("rows", justify="right")
    for name in ("fields", "first keys", "what Salesforce says of the first"):
        table.add_column(name)
    for each in failures:
        names = ", ".join(map(printable, sorted(each.fields, key=lambda name: -each.fields[name])))
        keys = "\n".join(map(printable, each.keys))
        table.add_row(
            Text(printable(each.code)), f"{each.rows:,}", Text(names), Text(keys), Text(printable_lines(each.message))
        )
    table.add_section()
    table.add_row("all", f"{sum(each.rows for each in failures):,}", style="bold")
    return table


def failures_json(run_id: str, failures: Sequence[CodeFailures]) -> str:
    """One line of JSON."""
    rows = sum(each.rows for each in failures)
    return json.dumps({"run_id": run_id, "rejected": rows, "codes": [asdict(each) for each in failures]})
