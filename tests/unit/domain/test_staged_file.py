import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massive_upload.constants import MAX_JOB_BYTES
from massive_upload.domain.csv_text import to_csv
from massive_upload.domain.kept_file import parse_kept_file
from massive_upload.domain.key_digest import KeyDigest
from massive_upload.domain.staged_file import (
    REJECT_COLUMNS,
    RowError,
    StagedFile,
    StagedFileWriter,
    selection_of,
)
from massive_upload.domain.stored_text import BLANKS
from massive_upload.domain.values import CLEAR
from tests.unit.domain.loads import EXTERNAL_ID, a_load

LOAD = a_load({"Name__c": {"to": "Name", "null": "keep"}, "Note__c": {"to": "Note__c"}})
HEADER = [EXTERNAL_ID, "Name", "Note__c"]

texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["a\nb", "a\r\nb", "\r", '"', '""', ",", "a\x00b", "👩‍🚀", " around ", "#N/A", "=1+1", "\ufeff"]
)
pages = st.lists(st.tuples(st.integers(0, 10**6).map(str), st.none() | texts, st.none() | texts), max_size=40)


def read(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))


def write(rows: list[Any], *, max_rows: int = 1000, max_bytes: int = MAX_JOB_BYTES) -> StagedFileWriter:
    writer = StagedFileWriter(LOAD, max_rows=max_rows, max_bytes=max_bytes)
    writer.append([list(row) for row in rows])
    return writer


def expected(value: str | None, empty: str) -> str:
    return empty if value is None or value.strip("".join(map(chr, range(33)))) == "" else value


@given(pages)
def test_what_a_csv_reader_reads_is_what_was_written(page):
    writer = write(page)
    written = [[key, expected(name, ""), expected(note, CLEAR)] for key, name, note in page]
    assert read(writer.selection().content) == [HEADER, *written]
    assert writer.rows == len(page)
    assert writer.size_bytes == len(writer.selection().content)
    assert writer.last_key == (page[-1][0] if page else None)


@given(pages)
def test_lines_end_in_a_line_feed_and_the_file_has_no_byte_order_mark(page):
    content = write(page).selection().content
    assert content.startswith(EXTERNAL_ID.encode())
    assert content.endswith(b"\n")
    assert not content.endswith(b"\r\n")


@given(pages, st.integers(60, 400))
def test_the_limit_of_bytes_cuts_between_rows(page, max_bytes):
    writer = write(page, max_bytes=max_bytes)
    whole = read(write(page).selection().content)
    assert read(writer.selection().content) == whole[: writer.rows + 1]
    if writer.rows > 1:
        assert writer.size_bytes <= max_bytes
    if writer.rows < len(page):
        assert writer.is_full
        # No smaller than it needs to be: written row by row, the next one would be over the limit.
        one_more = write(page[writer.rows : writer.rows + 1]).size_bytes - write([]).size_bytes
        assert writer.size_bytes + one_more > max_bytes


def test_a_row_over_the_limit_alone_is_written_as_a_file_of_its_own():
    writer = write([("1", "x" * 500, None), ("2", "y", None)], max_bytes=100)
    assert (writer.rows, writer.last_key, writer.is_full) == (1, "1", True)


def test_the_limit_of_rows_holds_across_pages():
    writer = StagedFileWriter(LOAD, max_rows=700)
    page = [[str(number), "n", None] for number in range(600)]
    assert (writer.append(page), writer.is_full) == (600, False)
    assert (writer.append(page), writer.is_full) == (100, True)
    assert writer.append(page) == 0
    assert (writer.last_key, writer.rows, writer.taken) == ("99", 700, 700)
    keys = [row[0] for row in read(writer.selection().content)[1:]]
    assert writer.selection().keys == KeyDigest.of(keys)
    assert writer.unwritable is None


@given(
    st.lists(st.tuples(st.text(alphabet="ab \t\x1b\u00a0", min_size=1, max_size=5), texts, texts), max_size=15),
    st.data(),
)
def test_selecting_rows_gives_them_as_they_were_and_in_order(page, data):
    content = write(page).selection().content
    file = StagedFile(content, EXTERNAL_ID)
    rows = read(content)[1:]
    assert file.row_keys() == [row[0].strip(BLANKS) for row in rows]
    chosen = data.draw(st.sets(st.sampled_from(range(len(rows))))) if rows else set()
    lines = [row for number, row in enumerate(rows) if number in chosen]
    selection = file.select(chosen)
    assert read(selection.content) == [HEADER, *lines]
    assert selection.rows == len(lines)


@given(pages, pages)
def test_rows_kept_with_errors_can_be_sent_again_as_they_were(left, right):
    error = RowError(code="CODE", message='it\'s "locked",\nsaid', fields="Name Note__c")
    kept = []
    for page in (left, right):
        file = StagedFile(write(page).selection().content, EXTERNAL_ID)
        errors = dict.fromkeys(reversed(range(len(page))), error)
        kept.append(file.with_errors(errors, tries=3))
    files = [parse_kept_file(selection.content) for selection in kept]
    assert [file.columns for file in files] == [HEADER] * 2
    assert [file.content for file in files] == [selection.content for selection in kept]
    again = selection_of(files[0].columns, [row.cells for file in files for row in file.rows], EXTERNAL_ID)
    first, second = write(left).selection(), write(right).selection()
    assert read(again.content)[1:] == read(first.content)[1:] + read(second.content)[1:]
    assert (again.rows, again.keys) == (first.rows + second.rows, first.keys + second.keys)
    assert {(row.error, row.tries) for file in files for row in file.rows} <= {(error, 3)}
    header_bytes = len(to_csv([files[0].columns]))
    assert len(again.content) == header_bytes + sum(row.size_bytes for file in files for row in file.rows)


def test_rejected_rows_are_kept_with_all_columns_the_error_and_the_tries():
    content = write([("1", "one", None), (" 2 ", "two", "x\ry"), ("3", None, None)]).selection().content
    kept = StagedFile(content, EXTERNAL_ID).with_errors(
        {1: RowError(code="CODE", message="text", fields="A B")}, tries=4
    )
    assert read(kept.content) == [[*HEADER, *REJECT_COLUMNS], [" 2 ", "two", "x\ry", "CODE", "text", "A B", "4"]]
    assert (kept.rows, kept.codes, kept.keys) == (1, {"CODE": 1}, KeyDigest.of(["2"]))


def test_what_a_column_holds_is_counted_without_nulls():
    content = b"External_ID__c,Parent\n1,a\n2,a \n3,#N/A\n4,\n5,b\n"
    counted = StagedFile(content, "External_ID__c").counted("Parent", [0, 1, 2, 3])
    assert counted == {"a": 2}


@given(pages)
def test_halves_are_the_chosen_rows_in_order(page):
    first, second = StagedFile(write(page).selection().content, EXTERNAL_ID).halves(range(0, len(page), 2))
    assert read(first.content)[1:] + read(second.content)[1:] == read(write(page[::2]).selection().content)[1:]
    assert second.rows - first.rows in (0, 1)
    assert read(first.content)[0] == read(second.content)[0] == HEADER


def test_a_field_as_long_as_a_record_may_be_is_read_again():
    content = write([("1", "x" * 399_000, None)]).selection().content
    assert StagedFile(content, EXTERNAL_ID).select([0]).content == content


def test_columns_are_written_in_the_mappings_order_under_the_targets_names():
    load = a_load({"A__c": {"to": "Account.External_ID__c"}})
    writer = StagedFileWriter(load, max_rows=5)
    writer.append([["k", "a"]])
    assert read(writer.selection().content) == [[EXTERNAL_ID, "Account.External_ID__c"], ["k", "a"]]


@pytest.mark.parametrize("row", [["2", "two"], ["2", "two", None, "more"], []])
def test_a_row_of_another_width_is_refused(row):
    with pytest.raises(ValueError, match="another number of values"):
        write([["1", "one", None], row])


def test_a_file_without_the_key_column_is_refused():
    with pytest.raises(ValueError, match=EXTERNAL_ID.casefold()):
        StagedFile(b"Name\nx\n", EXTERNAL_ID)


def test_rows_that_utf_8_cannot_hold_are_kept_apart_with_their_reason_and_the_others_are_written():
    page = [(str(number), "half \ud800" if number % 3 == 1 else "whole", None) for number in range(10)]
    writer = write([*page, ("\udfff", "name", None)])
    assert [row[0] for row in read(writer.selection().content)[1:]] == ["0", "2", "3", "5", "6", "8", "9"]
    assert (writer.rows, writer.taken, writer.last_key) == (7, 11, "9")
    assert writer.unwritable is not None
    header, *kept = read(writer.unwritable.content)
    assert header == [*HEADER, *REJECT_COLUMNS]
    assert [row[0] for row in kept] == ["1", "4", "7", "\\udfff"]
    assert kept[0][1] == "half \\ud800"
    assert {(row[3], row[6]) for row in kept} == {("UNWRITABLE", "0")}
    assert (writer.unwritable.rows, writer.unwritable.codes) == (4, {"UNWRITABLE": 4})


def test_rows_that_cannot_be_written_do_not_fill_a_file():
    page = [(str(number), "\ud800" if number < 4 else "whole", None) for number in range(8)]
    writer = write(page, max_rows=3)
    assert (writer.rows, writer.taken, writer.is_full) == (3, 7, True)


def test_parents_are_taken_out_of_the_rows_once_though_rows_are_tried_again_in_smaller_parts():
    page = [[str(number), "half \ud800" if number == 3 else "whole", "note", f"P{number // 4}"] for number in range(9)]
    writer = StagedFileWriter(LOAD, max_rows=100, has_parents=True)
    assert writer.append(page) == 9
    written = [[str(number), "whole", "note"] for number in range(9) if number != 3]
    assert read(writer.selection().content)[1:] == written
    assert (writer.last_key, writer.last_parent) == ("8", "P2")


def test_a_lane_goes_on_behind_the_last_row_whose_key_and_parent_can_be_written_down():
    writer = StagedFileWriter(LOAD, max_rows=100, has_parents=True)
    assert writer.append([["1", "n", "x", "P1"], ["2", "n", "x", "\ud800"]]) == 2
    assert (writer.rows, writer.last_key, writer.last_parent) == (2, "1", "P1")


@given(pages, st.integers(60, 400))
def test_a_file_that_is_full_by_bytes_ends_with_the_parent_of_its_last_row(page, max_bytes):
    writer = StagedFileWriter(LOAD, max_rows=1000, max_bytes=max_bytes, has_parents=True)
    taken = writer.append([[*row, f"P{number // 3}"] for number, row in enumerate(page)])
    assert writer.selection() == write(page, max_bytes=max_bytes).selection()
    assert taken == writer.taken
    if taken:
        assert (writer.last_key, writer.last_parent) == (page[taken - 1][0], f"P{(taken - 1) // 3}")


def test_a_lane_goes_on_behind_the_key_as_the_source_has_it():
    writer = StagedFileWriter(a_load(), max_rows=2)
    writer.append([[1], ["2E+3"], [4]])
    assert read(writer.selection().content)[1:] == [["1"], ["2E+3"]]
    assert writer.last_key == "2E+3"
