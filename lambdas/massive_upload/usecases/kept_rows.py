"""Lanes that read kept rows instead of the source: what an entry of their list is, and the next rows to stage.

The sweep's list names the rows that the lanes of its own run gave up; the lists of a run that retries another name
that one's rejected rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter

from massive_upload.constants import MAX_JOB_BYTES
from massive_upload.domain.kept_file import KeptFile, KeptRow, parse_kept_file
from massive_upload.domain.progress import Partition
from massive_upload.domain.staged_file import Selection, selection_of
from massive_upload.errors import InternalError
from massive_upload.ports import Files

T = TypeVar("T")

_READERS = 4
"""Fewer than the ten connections that a client of boto3 keeps, and so many files of 100 MB fit in a function's 2 GB."""
_READ_AHEAD = 2 * _READERS
"""What was made of so many files at most is in memory before it is asked for."""


class KeptRows(BaseModel):
    """One entry of a list: some rows of one kept file.

    Attributes:
        key: the file's.
        codes: the codes of the errors that are taken up; None for every row.
        first: how many of these rows come before this entry's.
        rows: how many rows this entry has.
        size_bytes: what they take at most.
        tries: how often the run that reads the list has sent each of them before.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    codes: tuple[str, ...] | None = None
    first: int = 0
    rows: int
    size_bytes: int
    tries: int = 0

    def of(self, file: KeptFile) -> Sequence[KeptRow]:
        """This entry's rows of its file."""
        rows = file.rows if self.codes is None else [row for row in file.rows if row.error.code in self.codes]
        return rows[self.first : self.first + self.rows]


_LIST = TypeAdapter(list[KeptRows])


@dataclass(frozen=True)
class NextRows:
    """Rows to send once more, how often each was sent before, and the lane's cursor once they are settled."""

    rows: Selection
    tries: int
    next_cursor: str


def read_kept_list(files: Files, key: str) -> list[KeptRows]:
    """A list in the order in which its lane settles it; the lane's cursor counts its entries."""
    return _LIST.validate_json(files.read(key))


def write_kept_list(files: Files, key: str, entries: Sequence[KeptRows]) -> None:
    """Write a list."""
    files.write(key, _LIST.dump_json(list(entries)), content_type="application/json")


def next_kept_rows(files: Files, partition: Partition, *, key_column: str, max_rows: int) -> NextRows | None:
    """The next whole entries that make one batch, of rows sent equally often; None when all are settled."""
    if partition.kept_list is None:
        raise InternalError(f"Partition {partition.partition} of run {partition.run_id} has no list of kept rows.")
    listed = read_kept_list(files, partition.kept_list)
    start = int(partition.cursor or "0")
    if start == len(listed):
        return None
    tries = listed[start].tries
    end, rows, size_bytes = start, 0, 0
    while end < len(listed) and listed[end].tries == tries:
        rows, size_bytes = rows + listed[end].rows, size_bytes + listed[end].size_bytes
        if end > start and (rows > max_rows or size_bytes > MAX_JOB_BYTES):
            break
        end += 1
    return NextRows(_selection(files, listed[start:end], key_column), tries=tries, next_cursor=str(end))


def read_each(files: Files, keys: Sequence[str], work: Callable[[str, KeptFile], T]) -> Iterator[T]:
    """What ``work`` makes of each kept file, in order; several are read at a time, as there may be thousands.

    One is parsed at a time: its rows take several times its size, and Python would do no two at once.
    """
    parsing = Lock()

    def read(key: str) -> T:
        content = files.read(key)
        with parsing:
            return work(key, parse_kept_file(content))

    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(keys), _READ_AHEAD):
            yield from pool.map(read, keys[start : start + _READ_AHEAD])


def _selection(files: Files, entries: Sequence[KeptRows], key_column: str) -> Selection:
    """The entries' rows as a file to send again, without their errors; files of one list have the same columns.

    Of each file only the rows that are wanted stay in memory: there may be thousands of files with one such row each.
    """
    of_file: dict[str, list[KeptRows]] = {}
    for entry in entries:
        of_file.setdefault(entry.key, []).append(entry)

    def take(key: str, file: KeptFile) -> tuple[Sequence[str], list[Sequence[str]]]:
        return file.columns, [row.cells for entry in of_file[key] for row in _rows_of(entry, file)]

    found = list(read_each(files, list(of_file), take))
    columns, _ = found[0]
    return selection_of(columns, [line for _, wanted in found for line in wanted], key_column)


def _rows_of(entry: KeptRows, file: KeptFile) -> Sequence[KeptRow]:
    rows = entry.of(file)
    if len(rows) != entry.rows:
        raise InternalError(
            f"The kept file {entry.key} has {len(rows)} of the {entry.rows} rows that were counted in it.",
            next_step="Find out who changes files of the bucket.",
        )
    return rows
