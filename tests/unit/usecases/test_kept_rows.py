"""Lanes that read kept rows: how many rows a batch takes, and what of their files is held in memory."""

import tracemalloc
from collections.abc import Mapping, Sequence
from threading import Barrier
from time import sleep

import pytest

from massive_upload.domain.csv_text import to_csv
from massive_upload.domain.kept_file import KeptFile, parse_kept_file
from massive_upload.domain.progress import Partition, PartitionStatus
from massive_upload.domain.staged_file import REJECT_COLUMNS
from massive_upload.errors import InternalError
from massive_upload.usecases import kept_rows
from massive_upload.usecases.kept_rows import KeptRows, NextRows, next_kept_rows, read_each, write_kept_list

KEY = "Id__c"
HEADER = [KEY, "Name"]
LIST = "list.json"


class MadeFiles:
    """Files that are made as they are read, but for those that were written."""

    def __init__(self, rows_of: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self.made = tuple(rows_of)
        self._rows_of = rows_of
        self._written: dict[str, bytes] = {}

    def read(self, key: str) -> bytes:
        return self._written.get(key) or to_csv([[*HEADER, *REJECT_COLUMNS], *self._rows_of[key]])

    def write(self, key: str, content: bytes, *, content_type: str = "text/csv") -> None:
        del content_type
        self._written[key] = content


def following(files: MadeFiles, entries: Sequence[KeptRows], max_rows: int = 10_000) -> NextRows:
    """What a lane with these entries stages first."""
    write_kept_list(files, LIST, entries)
    rows = sum(entry.rows for entry in entries)
    lane = Partition(
        run_id="run-1",
        partition="0000",
        status=PartitionStatus.RUNNING,
        epoch=1,
        planned_rows=rows,
        source_rows=rows,
        kept_list=LIST,
    )
    found = next_kept_rows(files, lane, key_column=KEY, max_rows=max_rows)
    assert found is not None
    return found


def kept(key: str, name: str, code: str) -> list[str]:
    return [key, name, code, "text", "", "1"]


def test_of_files_with_one_wanted_row_each_the_other_rows_are_not_held_in_memory():
    name = "x" * 100
    rows = [kept(f"{number}", name, "WANTED" if number == 7 else "OTHER") for number in range(200)]
    files = MadeFiles({f"{number}.csv": rows for number in range(200)})
    entries = [KeptRows(key=f"{number}.csv", codes=("WANTED",), rows=1, size_bytes=110) for number in range(200)]
    following(files, entries)  # what is made once is not counted below
    tracemalloc.start()
    try:
        found = following(files, entries)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found.rows.rows, found.next_cursor) == (200, "200")
    assert found.rows.content == to_csv([HEADER, *([["7", name]] * 200)])
    assert peak_bytes < 10_000_000, "a few files at a time, and no more"


def test_files_are_read_side_by_side_and_parsed_one_at_a_time():
    class SlowFiles(MadeFiles):
        def read(self, key: str) -> bytes:
            both_are_read.wait(timeout=10)
            return super().read(key)

    def work(key: str, file: KeptFile) -> str:
        at_work.append(key)
        sleep(0.02)
        most.append(len(at_work))
        at_work.remove(key)
        return f"{key} {len(file.rows)}"

    both_are_read = Barrier(2)
    at_work: list[str] = []
    most: list[int] = []
    files = SlowFiles({key: [kept(key, "n", "C")] for key in "abcdefgh"})
    assert list(read_each(files, "abcdefgh", work)) == [f"{key} 1" for key in "abcdefgh"]
    assert most == [1] * 8


def test_parts_of_files_are_staged_in_the_lists_order():
    files = MadeFiles({name: [kept(f"{name}{number}", "n", "C") for number in range(3)] for name in "ab"})
    parts = [("b", 0, 2), ("b", 2, 1), ("a", 0, 1)]
    entries = [KeptRows(key=key, first=first, rows=rows, size_bytes=10) for key, first, rows in parts]
    assert following(files, entries).rows.content == to_csv(
        [HEADER, *([f"{key}", "n"] for key in ("b0", "b1", "b2", "a0"))]
    )
    assert following(files, entries, max_rows=3).next_cursor == "2"


def test_a_batch_is_made_of_rows_that_were_sent_equally_often():
    files = MadeFiles({name: [kept(name, "n", "C")] for name in "abc"})
    entries = [KeptRows(key=key, rows=1, size_bytes=10, tries=tries) for key, tries in (("a", 2), ("b", 2), ("c", 4))]
    found = following(files, entries)
    assert (found.rows.rows, found.tries, found.next_cursor) == (2, 2, "2")


def test_a_file_that_has_lost_rows_is_not_believed():
    files = MadeFiles({"a": [kept("1", "n", "C")]})
    with pytest.raises(InternalError, match="has 1 of the 2 rows"):
        following(files, [KeptRows(key="a", rows=2, size_bytes=10)])


def test_rows_full_of_quotes_make_no_batch_larger_than_a_job_may_be(monkeypatch):
    most_bytes = 10_000
    monkeypatch.setattr(kept_rows, "MAX_JOB_BYTES", most_bytes)
    files = MadeFiles({f"{number}.csv": [kept(f"{number}", '"' * 1_000, "C")] for number in range(10)})
    sizes = {key: sum(row.size_bytes for row in parse_kept_file(files.read(key)).rows) for key in files.made}
    entries = [KeptRows(key=key, rows=1, size_bytes=size_bytes) for key, size_bytes in sizes.items()]
    found = following(files, entries)
    assert found.rows.rows == 4
    assert len(found.rows.content) <= most_bytes
