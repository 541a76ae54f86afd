"""Cells as the Bulk API takes them ("Valid Date Format in Records", "Prepare CSV Files")."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massive_upload.domain.load import FieldType
from massive_upload.domain.stored_text import stored, stored_texts
from massive_upload.domain.values import CLEAR, format_column


def cell(value: object, kind: FieldType) -> str:
    (only,) = format_column([value], kind, "clear")
    return only


@pytest.mark.parametrize("kind", FieldType)
@pytest.mark.parametrize("value", [None, "", " ", "\t\n", "\x00"])
def test_null_and_blank_clear_the_field_or_leave_it_as_the_load_says(kind, value):
    assert format_column([value], kind, "clear") == [CLEAR]
    assert format_column([value], kind, "keep") == [""]


@given(st.text().filter(lambda text: text.strip("".join(map(chr, range(33)))) != ""))
def test_text_that_salesforce_stores_is_never_changed(text):
    assert cell(text, FieldType.TEXT) == text


def test_salesforce_stores_texts_without_the_blanks_and_control_characters_around_them():
    texts = [" a\tb ", "\x00\r\nc\x1f", "\u00a0d\u3000", "\x85e", "\t"]
    assert stored_texts(texts) == [stored(text) for text in texts] == ["a\tb", "c", "\u00a0d\u3000", "\x85e", ""]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("123456789012345678", "123456789012345678"),
        ("9007199254740993.17", "9007199254740993.17"),
        ("-0.10", "-0.10"),
        (0.00001, "0.00001"),
        ("1e-05", "0.00001"),
        ("1E+3", "1000"),
        ("1.50e2", "150"),
        (12, "12"),
        (0, "0"),
        ("no number", "no number"),
        ("one", "one"),
        ("1e999999999", "1e999999999"),
        ("-1e-999999999", "-1e-999999999"),
    ],
)
def test_numbers_have_no_exponent_and_keep_every_digit(value, written):
    assert cell(value, FieldType.NUMBER) == written


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**18), max_value=10**18, places=9))
def test_a_number_is_worth_the_same_after_writing(number):
    written = cell(str(number), FieldType.NUMBER)
    assert Decimal(written) == number
    assert re.fullmatch(r"-?\d+(\.\d+)?", written)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_json_float_is_worth_the_same_after_writing(number):
    written = cell(number, FieldType.NUMBER)
    assert "e" not in written
    assert float(written) == number


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"),
        (False, "false"),
        ("TRUE", "true"),
        ("t", "true"),
        ("f", "false"),
        (1, "true"),
        (0, "false"),
        ("yes", "yes"),
    ],
)
def test_booleans_are_words(value, written):
    assert cell(value, FieldType.BOOLEAN) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T23:59:59.999Z", "2026-01-31"),
        ("2026-01-31 00:00:00", "2026-01-31"),
        ("2026-01-31 00:00:00.000 UTC", "2026-01-31"),
        ("31.01.2026", "31.01.2026"),
        ("2026-01-31x", "2026-01-31x"),
    ],
)
def test_dates_lose_their_time_and_unknown_forms_stay(value, written):
    assert cell(value, FieldType.DATE) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("2026-01-31T10:20:30.123Z", "2026-01-31T10:20:30.123Z"),
        ("2026-01-31T10:20:30Z", "2026-01-31T10:20:30.000Z"),
        ("2026-01-31T10:20:30.1Z", "2026-01-31T10:20:30.100Z"),
        ("2026-01-31T10:20:30.123456789Z", "2026-01-31T10:20:30.123Z"),
        ("2026-01-31T10:20:30+00:00", "2026-01-31T10:20:30.000Z"),
        ("2026-01-31T10:20:30.5+05:30", "2026-01-31T10:20:30.500+05:30"),
        ("2026-01-31T10:20:30-0800", "2026-01-31T10:20:30.000-08:00"),
        ("2026-01-31 10:20:30+02", "2026-01-31T10:20:30.000+02:00"),
        ("2026-01-31 10:20:30.000 UTC", "2026-01-31T10:20:30.000Z"),
        ("2026-01-31 10:20:30", "2026-01-31T10:20:30.000Z"),
        ("2026-01-31", "2026-01-31T00:00:00.000Z"),
        (1_769_854_830_123, "2026-01-31T10:20:30.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        ("yesterday", "yesterday"),
        ("2026-01-31T10:20", "2026-01-31T10:20"),
        (10**20, "100000000000000000000"),
        (True, "True"),
    ],
)
def test_times_have_milliseconds_and_a_zone_and_unknown_forms_stay(value, written):
    assert cell(value, FieldType.DATETIME) == written


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001 - the zone is added
    st.integers(-14 * 60, 14 * 60),
)
def test_a_time_is_the_same_moment_after_writing(naive, offset_minutes):
    hours, minutes = divmod(abs(offset_minutes), 60)
    zone = f"{'-' if offset_minutes < 0 else '+'}{hours:02d}:{minutes:02d}"
    moment = naive.replace(tzinfo=UTC) - timedelta(minutes=offset_minutes)
    written = datetime.fromisoformat(cell(f"{naive.isoformat(timespec='microseconds')}{zone}", FieldType.DATETIME))
    assert timedelta(0) <= moment - written < timedelta(milliseconds=1)


def test_a_column_keeps_its_order():
    assert format_column(["b", None, "a"], FieldType.TEXT, "keep") == ["b", "", "a"]


def test_times_of_several_forms_in_one_column_are_each_told_by_their_own():
    column = ["2026-01-31T10:20:30+00:00", None, "2026-01-31 10:20:31.5+05:30", "2026-01-31 10:20:32.123456 UTC"]
    assert format_column(column, FieldType.DATETIME, "clear") == [
        "2026-01-31T10:20:30.000Z",
        CLEAR,
        "2026-01-31T10:20:31.500+05:30",
        "2026-01-31T10:20:32.123Z",
    ]


def test_a_column_of_few_different_times_is_told_by_each_of_them():
    midnights = ["2026-01-31T00:00:00+00:00", "2026-02-01T00:00:00+00:00"]
    written = ["2026-01-31T00:00:00.000Z", "2026-02-01T00:00:00.000Z"]
    assert format_column(midnights * 3, FieldType.DATETIME, "clear") == written * 3
    assert format_column([*midnights * 3, "noon"], FieldType.DATETIME, "clear") == [*written * 3, "noon"]


@pytest.mark.parametrize(
    ("kind", "written"),
    [(FieldType.NUMBER, ["1", "0.00001", "-2.5"]), (FieldType.TEXT, ["1", "1e-05", "-2.5"])],
)
def test_a_column_of_json_numbers_is_without_exponents_only_where_it_is_one_of_numbers(kind, written):
    assert format_column([1, 0.00001, -2.5], kind, "clear") == written


def test_numbers_that_are_equal_and_differ_in_type_are_each_told_by_their_own():
    assert format_column([1, 1.0, True] * 3, FieldType.BOOLEAN, "clear") == ["true", "1.0", "true"] * 3
    assert format_column([0.0, -0.0, 1e-7] * 3, FieldType.NUMBER, "clear") == ["0.0", "-0.0", "0.0000001"] * 3


CELLS = st.one_of(
    st.none(),
    st.text(max_size=6),
    st.integers(),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", " ", "\t x", "!", "2026-01-31", "2026-01-31 10:11:12.5", "1e3", "1.50", "true", "\u00a0"]),
    st.sampled_from(["2026-01-31T10:11:12.123Z", "2026-01-31 10:11:12.123456 UTC", "2026-01-31 10:11:12.123+02"]),
    st.just("2026-01-31T10:11:12.123Z\n2026-01-31T10:11:12.123Z"),
)
TIMES = st.builds(
    "2026-01-31{}10:20:30{}{}{}".format,
    st.sampled_from("T "),
    st.sampled_from(["", ".5", ".12", ".123", ".123456"]),
    st.sampled_from(["", " "]),
    st.sampled_from(["", "Z", "UTC", "+00:00", "-0800", "+05", "GMT"]),
)


@pytest.mark.parametrize("kind", FieldType)
@given(
    values=st.lists(CELLS, min_size=1, max_size=8)
    | st.lists(st.text(min_size=1, max_size=10), min_size=1)
    | st.lists(TIMES, min_size=2, max_size=4)
    | st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=4)
)
def test_a_cell_does_not_depend_on_the_column_around_it(kind, values):
    alone = [format_column([value], kind, "clear")[0] for value in values]
    assert list(format_column(values, kind, "clear")) == alone
