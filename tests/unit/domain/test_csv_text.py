"""CSV as the Bulk API takes it ("Prepare CSV Files"), beside what Python's own module reads."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massive_upload.domain.csv_text import JoinedRows, to_csv

cells = st.text(alphabet=st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["", " ", "a,b", '"', "a\nb", "\r", "x\r\n", "\x1f", "\x1e", "\x1f\x1e", "\n", "plain", "é"]
)
tables = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=12))


def read(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))


@given(tables)
def test_what_is_written_is_what_is_read(rows):
    assert read(to_csv(rows)) == rows


@given(tables)
def test_only_what_the_csv_module_would_quote_is_quoted(rows):
    def line(row: list[str]) -> str:
        written = io.StringIO(newline="")
        csv.writer(written, lineterminator="\r\n").writerow(row)
        return written.getvalue().removesuffix("\r\n")

    assert to_csv(rows).decode() == "".join(f"{line(row)}\n" for row in rows)


@given(tables)
def test_a_part_is_written_as_it_would_be_alone(rows):
    middle = len(rows) // 2
    joined = JoinedRows.of(rows)
    assert joined.part(0, middle).to_csv() == to_csv(rows[:middle])
    assert joined.part(middle, len(rows)).to_csv() == to_csv(rows[middle:])


def test_only_cells_that_need_it_are_quoted():
    rows = [["a", "b c"], ["x,y", "plain"], ['say "no"', ""], ["one\ntwo", "three\rfour"]]
    assert to_csv(rows) == b'a,b c\n"x,y",plain\n"say ""no""",\n"one\ntwo","three\rfour"\n'


@pytest.mark.parametrize("cell", ["a,b", "a\nb", "a\rb"])
def test_a_comma_or_a_line_end_alone_is_quoted(cell):
    assert to_csv([["plain", cell], ["x", "y"]]) == f'plain,"{cell}"\nx,y\n'.encode()


def test_a_quote_alone_is_doubled():
    assert to_csv([["plain", 'a"b'], ["x", "y"]]) == b'plain,"a""b"\nx,y\n'


def test_a_row_of_one_empty_cell_is_no_empty_line():
    assert to_csv([["a"], [""]]) == b'a\n""\n'


@given(tables)
def test_no_empty_or_blank_cell_is_missed(rows):
    if any(cell[:1] <= " " for row in rows for cell in row):
        assert JoinedRows.of(rows).has_blank_starts()


def test_a_blank_inside_a_cell_is_no_start():
    assert not JoinedRows.of([["a b", "c,\n d"], ["e\tf", "g "]]).has_blank_starts()


def test_a_cell_that_is_no_text_is_refused():
    with pytest.raises(TypeError):
        JoinedRows.of([["a", None]])  # type: ignore[list-item]  # as JSON may have it


def test_half_of_a_surrogate_pair_is_refused():
    with pytest.raises(UnicodeEncodeError):
        to_csv([["a", "\ud800"]])
