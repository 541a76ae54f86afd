from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import duckdb
import orjson
import pytest

from local.org.datacloud import MAX_CONCURRENT_QUERIES, DataCloud
from local.org.errors import ApiError

ALL = 'SELECT "Key__c", "N__c" FROM "Deal__dlm" ORDER BY "N__c"'


def values(datacloud: DataCloud, sql: str, parameters: list[dict[str, Any]] | None = None) -> list[list[Any]]:
    rows: list[list[Any]] = orjson.loads(datacloud.submit(sql, parameters or [], None).page.json)
    return rows


def types(datacloud: DataCloud, expressions: str) -> list[str]:
    return [column["type"] for column in datacloud.submit(f"SELECT {expressions}", [], None).metadata]


def test_rows_are_arrays_in_the_order_of_the_metadata_list(org):
    first = org.backend.datacloud.submit(ALL, [], 2)
    assert [column["name"] for column in first.metadata] == ["Key__c", "N__c"]
    assert orjson.loads(first.page.json) == [["k1", 1], ["k2", 2]]
    assert first.status["completionStatus"] == "Finished"
    assert first.status["rowCount"] == 10


def test_pages_follow_each_other_in_the_order_of_the_query(org):
    query_id = org.backend.datacloud.submit(ALL, [], 1).status["queryId"]
    rows: list[list[Any]] = []
    while len(rows) < 10:
        page, _ = org.backend.datacloud.rows(query_id, len(rows), 3)
        rows += orjson.loads(page.json)
    assert rows == [[f"k{n}", n] for n in range(1, 11)]


@pytest.mark.parametrize(
    "text", ["'a'", "' a '", "'xay'", "''", "'xyx'", "chr(160) || 'a'", "'é'", "CAST(NULL AS VARCHAR)"]
)
def test_trim_cuts_what_it_is_told_to(org, text):
    trims = f"TRIM(BOTH 'xyé' FROM {text}), TRIM({text}), TRIM(BOTH FROM {text})"
    with duckdb.connect() as connection:
        expected = connection.execute(f"SELECT {trims}").fetchall()
    assert values(org.backend.datacloud, f"SELECT {trims}") == [list(row) for row in expected]


def test_a_page_may_hold_fewer_rows_than_asked_for(make_org):
    by_rows = make_org(page_rows=4).backend.datacloud.submit(ALL, [], 9).page
    by_bytes = make_org(page_bytes=30).backend.datacloud.submit(ALL, [], 9).page
    assert by_rows.row_count == 4
    assert 1 <= by_bytes.row_count < 9
    assert by_bytes.row_count == len(orjson.loads(by_bytes.json))


def test_one_row_longer_than_a_page_is_still_answered(make_org):
    assert make_org(page_bytes=1).backend.datacloud.submit(ALL, [], None).page.row_count == 1


def test_an_offset_past_the_end_is_out_of_range(org):
    query_id = org.backend.datacloud.submit(ALL, [], 1).status["queryId"]
    with pytest.raises(ApiError, match="out of range") as refused:
        org.backend.datacloud.rows(query_id, 10, 5)
    assert refused.value.status == 400


def test_a_result_is_frozen(org):
    datacloud = org.backend.datacloud
    query_id = datacloud.submit("SELECT random(), now()", [], 1).status["queryId"]
    once, _ = datacloud.rows(query_id, 0, 1)
    again, _ = datacloud.rows(query_id, 0, 1)
    assert once == again


def test_a_result_is_kept_for_24_hours(org):
    query_id = org.backend.datacloud.submit(ALL, [], 1).status["queryId"]
    org.clock.move(24 * 3600 - 1)
    assert org.backend.datacloud.status(query_id, 0)["rowCount"] == 10
    org.clock.move(1)
    with pytest.raises(ApiError) as refused:
        org.backend.datacloud.status(query_id, 0)
    assert refused.value.status == 404


def test_a_cancelled_query_is_unknown(org):
    query_id = org.backend.datacloud.submit(ALL, [], 1).status["queryId"]
    org.backend.datacloud.cancel(query_id)
    with pytest.raises(ApiError) as refused:
        org.backend.datacloud.rows(query_id, 0, 1)
    assert refused.value.status == 404


def test_a_query_runs_for_as_long_as_the_settings_say(make_org: Callable[..., Any]):
    org = make_org(query_running_seconds=60)
    first = org.backend.datacloud.submit(ALL, [], 5)
    query_id = first.status["queryId"]
    assert first.status["completionStatus"] == "Running"
    assert first.page.row_count == 0
    with pytest.raises(ApiError, match="still running"):
        org.backend.datacloud.rows(query_id, 0, 5)
    org.clock.move(60)
    assert org.backend.datacloud.status(query_id, 0)["completionStatus"] == "Finished"
    assert org.backend.datacloud.rows(query_id, 0, 5)[0].row_count == 5


def test_parameters_bind_by_their_type(org):
    sql = 'SELECT "Key__c" FROM "Deal__dlm" WHERE "Key__c" > :lo AND "N__c" <= :n ORDER BY 1'
    parameters: list[dict[str, Any]] = [
        {"name": "lo", "type": "Varchar", "value": "k5"},
        {"name": "n", "type": "Integer", "value": 7},
    ]
    assert values(org.backend.datacloud, sql, parameters) == [["k6"], ["k7"]]


def test_text_compares_by_its_bytes(org):
    sql = "SELECT x FROM (VALUES ('b'), ('B'), ('a'), ('Ä'), ('10'), ('9')) AS t(x) ORDER BY x"
    assert [x for (x,) in values(org.backend.datacloud, sql)] == ["10", "9", "B", "a", "b", "Ä"]


def test_null_is_the_greatest_value(org):
    rows = "SELECT x FROM (VALUES (1), (NULL), (2)) AS t(x) ORDER BY x"
    assert values(org.backend.datacloud, rows) == [[1], [2], [None]]
    assert values(org.backend.datacloud, f"{rows} DESC") == [[None], [2], [1]]


def test_wide_decimals_lose_digits_as_json_numbers_and_keep_them_as_text(org):
    ((number, text),) = values(
        org.backend.datacloud, "SELECT 9007199254740993.17::DECIMAL(18,2), 9007199254740993.17::DECIMAL(18,2)::varchar"
    )
    assert isinstance(number, float)
    assert f"{number:.2f}" != "9007199254740993.17"
    assert text == "9007199254740993.17"


def test_counts_and_sums_are_whole_numbers(org):
    ((count, total),) = values(org.backend.datacloud, 'SELECT count(*), sum("N__c") FROM "Deal__dlm"')
    assert (count, total) == (10, 55)
    assert isinstance(total, int)


def test_dates_and_times_are_text_in_utc(org):
    sql = "SELECT DATE '2026-02-03', TIMESTAMPTZ '2026-02-03 04:05:06.789+02:00', TIMESTAMP '2026-02-03 04:05:06'"
    assert values(org.backend.datacloud, sql) == [
        ["2026-02-03", "2026-02-03T02:05:06.789000Z", "2026-02-03T04:05:06.000000"]
    ]


def test_types_are_named_as_data_cloud_names_them(org):
    found = types(
        org.backend.datacloud,
        "'a', true, 1::BIGINT, 1::INTEGER, 1.5::DECIMAL(18,2), 1.5::DOUBLE, DATE '2026-01-01', now(), localtimestamp",
    )
    assert found == ["Varchar", "Bool", "BigInt", "Integer", "Numeric", "Double", "Date", "TimestampTZ", "Timestamp"]


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ('SELECT 1 FROM "Nope__dlm"', 'unknown table "Nope__dlm"'),
        ('SELECT "Nope__c" FROM "Deal__dlm"', 'unknown column "Nope__c"'),
        ("SELEC 1", "syntax error"),
        ("SELECT 1; SELECT 2", "one SELECT"),
        ('DROP TABLE "Deal__dlm"', "one SELECT"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled"),
    ],
)
def test_bad_sql_is_answered_400_and_says_what_is_wrong(org, sql, named):
    with pytest.raises(ApiError, match=named) as refused:
        org.backend.datacloud.submit(sql, [], None)
    assert refused.value.status == 400


def test_a_statement_may_end_in_a_semicolon(org):
    assert values(org.backend.datacloud, "SELECT 1 ;\n") == [[1]]


def test_more_than_15_concurrent_requests_are_answered_429(org):
    with ExitStack() as held:
        for _ in range(MAX_CONCURRENT_QUERIES):
            held.enter_context(org.backend.datacloud.slot())
        with pytest.raises(ApiError) as refused:
            held.enter_context(org.backend.datacloud.slot())
    assert refused.value.status == 429
    with org.backend.datacloud.slot():
        assert values(org.backend.datacloud, "SELECT 1") == [[1]]
