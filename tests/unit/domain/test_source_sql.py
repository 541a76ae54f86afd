"""The statements on DuckDB, whose dialect follows PostgreSQL as Data Cloud's does."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest

from massive_upload.domain.identity import Identity
from massive_upload.domain.lanes import Bucket, cut_lanes
from massive_upload.domain.load import Load
from massive_upload.domain.progress import LaneKind
from massive_upload.domain.source_sql import (
    BUCKETS,
    ColumnType,
    Reading,
    Statement,
    page_statement,
    plan_statement,
    type_column,
)
from massive_upload.domain.stored_text import BLANKS, stored
from tests.unit.domain.loads import KEY, a_load

TEXT, WHOLE, NUMBER = ColumnType(name="Varchar"), ColumnType(name="BigInt"), ColumnType(name="Numeric", scale=18)


@pytest.fixture
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


class Source:
    """Deals in DuckDB, read as a run reads them: planned, cut into lanes, lane by lane."""

    def __init__(
        self, database: duckdb.DuckDBPyConnection, select: str, load: Load, key_type: ColumnType = TEXT
    ) -> None:
        self._database = database
        self._load = load
        self.column_types = dict.fromkeys(load.fields, TEXT) | {KEY: key_type}
        self.case_sensitive_key = False
        self.parent_is_id = False
        self.sample_rows: int | None = None
        self.modified_after: datetime | None = None
        database.execute(f'CREATE TABLE "Deal__dlm" AS {select}')

    def plan(self) -> list[tuple[Any, ...]]:
        statement = plan_statement(
            self._load,
            identity=self._identity,
            sample_rows=self.sample_rows,
            modified_after=self.modified_after,
        )
        return self._run(statement)

    def lanes(self, count: int) -> list[list[tuple[Any, ...]]]:
        lanes = cut_lanes(self.buckets(), count)
        read = [self.read(lane.after, lane.upto, lane.kind) for lane in lanes]
        assert [len(rows) for rows in read] == [lane.rows for lane in lanes]
        return read

    def buckets(self) -> list[Bucket]:
        planned = (row[:4] for row in self.plan())
        return [
            Bucket(kind=LaneKind(kind), last=last, rows=rows, parents=parents) for kind, last, rows, parents in planned
        ]

    def read(self, after: str | None, upto: str, kind: LaneKind = LaneKind.KEY) -> list[tuple[Any, ...]]:
        return self.read_on(Reading(kind=kind, after=after, upto=upto))

    def read_on(self, reading: Reading) -> list[tuple[Any, ...]]:
        statement = page_statement(
            self._load,
            reading,
            identity=self._identity,
            sample_rows=self.sample_rows,
            column_types=self.column_types,
            modified_after=self.modified_after,
        )
        return self._run(statement)

    @property
    def _identity(self) -> Identity:
        return Identity(case_sensitive_key=self.case_sensitive_key, parent_is_id=self.parent_is_id)

    def _run(self, statement: Statement) -> list[tuple[Any, ...]]:
        sql = re.sub(r":(\w+)", r"$\1", statement.sql)
        return self._database.execute(sql, statement.values).fetchall()


def keys(rows: list[tuple[Any, ...]]) -> list[Any]:
    return [row[0] for row in rows]


NUMBERED = f"SELECT format('K{{:05d}}', i) AS \"{KEY}\" FROM range(1, 2501) AS numbers(i)"


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_lanes_read_every_row_once_and_the_first_row_first(database, count):
    lanes = Source(database, NUMBERED, a_load()).lanes(count)
    read = [key for lane in lanes for key in keys(lane)]
    assert read == [f"K{number:05d}" for number in range(1, 2501)]
    assert len(lanes) == count


def test_the_counts_and_the_edges_come_from_one_statement(database):
    rows = f"{NUMBERED} UNION ALL SELECT NULL FROM range(3) UNION ALL SELECT 'k00001'"
    source = Source(database, rows, a_load(partitioning={"count": 5}))
    assert {row[4:8] for row in source.plan()} == {(2504, 2501, 2500, 0)}
    source.case_sensitive_key = True
    assert {row[4:8] for row in source.plan()} == {(2504, 2501, 2501, 0)}


ENDS = f"""
    SELECT chr(CAST(i AS INTEGER)) || 'K' || chr(CAST(j AS INTEGER)) AS "{KEY}"
    FROM range(1, 42) AS before(i), range(1, 42) AS behind(j)
    UNION ALL SELECT unnest(['K', 'k', 'K' || chr(160), 'K' || chr(133), chr(8232) || 'K', 'K' || chr(12288)])
"""


@pytest.mark.parametrize("case_sensitive", [False, True])
def test_keys_are_the_same_if_they_are_so_for_salesforce(database, case_sensitive):
    source = Source(database, ENDS, a_load())
    source.case_sensitive_key = case_sensitive
    texts = [key for (key,) in database.execute('SELECT * FROM "Deal__dlm"').fetchall()]
    same = {stored(text) if case_sensitive else stored(text).lower() for text in texts}
    assert {row[4:7] for row in source.plan()} == {(len(texts), len(texts), len(same))}


def test_a_key_of_nothing_but_what_salesforce_trims_is_none(database):
    blanks = ", ".join(f"(chr({ord(blank)}))" for blank in BLANKS if blank != "\0")
    keys_of = (
        f"SELECT * FROM (VALUES (NULL), (''), (chr(9) || chr(13) || ' '), (chr(160)), {blanks}) AS deals(\"{KEY}\")"
    )
    source = Source(database, keys_of, a_load())
    assert source.plan()[0][4:7] == (36, 1, 1)
    assert keys(source.read(None, "\uffff")) == ["\u00a0"]


def test_a_source_without_a_key_has_one_row_that_says_so(database):
    source = Source(database, f'SELECT CAST(NULL AS VARCHAR) AS "{KEY}" FROM range(3)', a_load())
    assert source.plan() == [(None, None, None, None, 3, 0, 0, 0, None, 0, None)]


def test_there_are_no_more_buckets_than_the_payload_of_the_plan_can_take(database):
    assert len(Source(database, NUMBERED, a_load()).plan()) == BUCKETS


def test_numeric_keys_are_ordered_as_numbers(database):
    select = f'SELECT CAST(i AS BIGINT) AS "{KEY}" FROM range(1, 1301) AS numbers(i)'
    lanes = Source(database, select, a_load(), WHOLE).lanes(4)
    assert [key for lane in lanes for key in keys(lane)] == [str(number) for number in range(1, 1301)]


def test_text_keys_that_look_like_numbers_are_ordered_as_text(database):
    select = f'SELECT CAST(i AS VARCHAR) AS "{KEY}" FROM range(1, 131) AS numbers(i)'
    lanes = Source(database, select, a_load()).lanes(4)
    assert [key for lane in lanes for key in keys(lane)] == sorted(str(number) for number in range(1, 131))


def test_a_read_goes_on_behind_its_cursor(database):
    source = Source(database, NUMBERED, a_load())
    assert keys(source.read("K02498", "K02500")) == ["K02499", "K02500"]
    assert source.read("K02500", "K02500") == []


def test_keep_newest_reads_the_newest_row_of_each_key(database):
    rows = """
        ('A', 'old', DATE '2026-01-01'), ('A', 'new', DATE '2026-01-02'), ('b', 'undated', NULL),
        ('B', 'dated', DATE '2020-01-01'), (' c ', 'only', NULL), (NULL, 'no key', DATE '2026-01-01')
    """
    load = a_load({"Name__c": {"to": "Name"}}, source={"modified": "Changed__c"}, duplicates="keep_newest")
    select = f'SELECT * FROM (VALUES {rows}) AS deals("{KEY}", "Name__c", "Changed__c")'
    source = Source(database, select, load)
    read = [row for lane in source.lanes(3) for row in lane]
    assert sorted(read) == [(" c ", "only"), ("A", "new"), ("B", "dated")]
    source.case_sensitive_key = True
    read = [row for lane in source.lanes(3) for row in lane]
    assert sorted(read) == [(" c ", "only"), ("A", "new"), ("B", "dated"), ("b", "undated")]


@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_of_rows_equally_new_every_statement_takes_the_same_parents(database, order):
    load = a_load(source={"modified": "Changed__c", "parent": "Owner__c"}, duplicates="keep_newest")
    select = f"""
        SELECT 'k' AS "{KEY}", owner AS "Owner__c", DATE '2026-01-01' AS "Changed__c"
        FROM (VALUES ('a'), ('b'), (NULL)) AS owners(owner) ORDER BY owner {order} NULLS FIRST
    """
    (bucket,) = Source(database, select, load).buckets()
    assert (bucket.kind, bucket.last, bucket.rows) == (LaneKind.PARENT, "b", 1)


def test_a_sample_is_the_first_rows_by_key(database):
    source = Source(database, f"{NUMBERED} UNION ALL SELECT NULL", a_load())
    source.sample_rows = 12
    (lane,) = source.lanes(1)
    assert keys(lane) == [f"K{number:05d}" for number in range(1, 13)]
    assert {row[4:8] for row in source.plan()} == {(12, 12, 12, 0)}


@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_a_sample_ends_with_the_same_parent_in_every_statement(database, order):
    load = a_load(source={"parent": "Owner__c"})
    select = f"""
        SELECT 'k' AS "{KEY}", owner AS "Owner__c"
        FROM (VALUES ('a'), ('b'), (NULL)) AS owners(owner) ORDER BY owner {order} NULLS FIRST
    """
    source = Source(database, select, load)
    source.sample_rows = 1
    (bucket,) = source.buckets()
    assert (bucket.kind, bucket.last, bucket.rows) == (LaneKind.PARENT, "a", 1)


@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_a_sample_has_no_row_that_is_older_than_another_of_its_key(database, order):
    load = a_load({"Name__c": {"to": "Name"}}, source={"modified": "Changed__c"}, duplicates="keep_newest")
    select = f"""
        SELECT * FROM (VALUES ('A', 'old', DATE '2026-01-01'), ('B', 'old', DATE '2026-01-01'),
        ('B', 'new', DATE '2026-01-02'), ('a', 'new', DATE '2026-01-02')) AS deals("{KEY}", "Name__c", "Changed__c")
        ORDER BY "Changed__c" {order}
    """
    source = Source(database, select, load)
    source.sample_rows = 2
    (lane,) = source.lanes(1)
    assert lane == [("B", "new")]
    assert {row[4:7] for row in source.plan()} == {(2, 2, 1)}, "two rows, one of which is an older one of its key"


def test_the_loads_filter_holds_for_the_count_and_the_rows(database):
    select = f'SELECT i % 2 AS "Odd", format(\'K{{:05d}}\', i) AS "{KEY}" FROM range(10) AS numbers(i)'
    source = Source(database, select, a_load(source={"where": '"Odd" = 1 OR "Odd" > 7'}))
    (lane,) = source.lanes(1)
    assert keys(lane) == ["K00001", "K00003", "K00005", "K00007", "K00009"]
    assert source.plan()[0][4:8] == (5, 5, 5, 0)


def test_numbers_travel_digit_for_digit(database):
    amount = "1234567890123456.78"
    select = f'SELECT \'k\' AS "{KEY}", CAST({amount} AS DECIMAL(18, 2)) AS "Amount__c"'
    source = Source(database, select, a_load({"Amount__c": {"to": "Amount", "type": "number"}}))
    assert source.read(None, "k") == [("k", amount)]


@pytest.mark.parametrize("mapped_as", ["number", "text"])
@pytest.mark.parametrize(
    ("number", "written"),
    [("105", "105"), ("-100", "-100"), ("0", "0"), ("1.5", "1.5"), ("0.05", "0.05"), ("-12.30", "-12.3"), ("", "#N/A")],
)
def test_a_decimal_is_written_without_the_zeros_that_fill_its_type(database, number, written, mapped_as):
    select = f"SELECT 'k' AS \"{KEY}\", CAST(nullif('{number}', '') AS DECIMAL(38, 18)) AS \"Amount__c\""
    source = Source(database, select, a_load({"Amount__c": {"to": "Amount", "type": mapped_as}}))
    source.column_types["Amount__c"] = NUMBER
    assert source.read(None, "k") == [("k", written)]


@pytest.mark.parametrize("scale", [0, 2])
def test_a_text_of_digits_and_a_decimal_of_another_type_keep_their_zeros(database, scale):
    fields = {"Code__c": {"to": "Code"}, "Count__c": {"to": "Count"}}
    select = f'SELECT \'k\' AS "{KEY}", \'1.500\' AS "Code__c", CAST(500 AS DECIMAL(18, {scale})) AS "Count__c"'
    source = Source(database, select, a_load(fields))
    source.column_types["Count__c"] = ColumnType(name="Decimal", scale=scale)
    assert source.read(None, "k") == [("k", "1.500", "500" if scale == 0 else "500.00")]


@pytest.mark.parametrize(
    ("key_type", "bound_type"),
    [
        (TEXT, None),
        (WHOLE, "BIGINT"),
        (NUMBER, "NUMERIC(38, 18)"),
        (ColumnType(name="DECIMAL"), "NUMERIC(38, 18)"),
        (ColumnType(name="numeric", scale=0), "NUMERIC(38, 0)"),
    ],
)
def test_a_bound_key_has_the_keys_own_type(key_type, bound_type):
    assert key_type.bound_type == bound_type


def test_the_plan_tells_the_type_of_each_mapped_column(database):
    select = f'SELECT \'k\' AS "{KEY}", CAST(1 AS DECIMAL(38, 18)) AS "Amount__c", true AS "Won__c"'
    fields = {"Amount__c": {"to": "Amount"}, "Won__c": {"to": "Won", "type": "boolean"}}
    load = a_load(fields)
    source = Source(database, select, load)
    statement = plan_statement(load, identity=Identity(case_sensitive_key=False, parent_is_id=False))
    described = dict(row[:2] for row in database.execute(f"DESCRIBE {statement.sql}").fetchall())
    types = [described[type_column(place)] for place in range(3)]
    assert (list(load.fields), types) == ([KEY, *fields], ["VARCHAR", "DECIMAL(38,18)", "BOOLEAN"])
    assert {row[-3:] for row in source.plan()} == {(None, None, None)}


def test_nulls_that_clear_their_field_are_read_as_the_bulk_api_wants_them(database):
    fields = {
        "Name__c": {"to": "Name"},
        "Amount__c": {"to": "Amount", "type": "number"},
        "City__c": {"to": "City", "null": "keep"},
        "Closed__c": {"to": "Closed", "type": "date"},
    }
    nothing = ", ".join(f'NULL AS "{name}"' for name in fields)
    source = Source(database, f"SELECT 'k' AS \"{KEY}\", {nothing}", a_load(fields))
    assert source.read(None, "k") == [("k", "#N/A", "#N/A", None, None)]


def test_columns_come_in_the_mappings_order_whatever_the_key(database):
    load = a_load({"Name__c": {"to": "Name"}})
    reordered = load.model_copy(update={"fields": dict(reversed(load.fields.items()))})
    source = Source(database, f"SELECT 'k' AS \"{KEY}\", 'n' AS \"Name__c\"", reordered)
    assert source.read(None, "k") == [("n", "k")]


def test_odd_names_are_quoted(database):
    load = a_load({"select; drop": {"to": "Name"}})
    source = Source(database, f"SELECT 'k' AS \"{KEY}\", 'n' AS \"select; drop\"", load)
    assert source.read(None, "k") == [("k", "n")]


PARENTS = f"""
    SELECT format('K{{:05d}}', i) AS "{KEY}",
           CASE WHEN i % 10 = 0 THEN NULL WHEN i % 77 = 0 THEN '  ' WHEN i % 3 = 0 THEN ' Giant '
                WHEN i % 2 = 0 THEN format('p{{}}', i % 50) ELSE format('P{{}}', i % 50) END AS "Owner__c"
    FROM range(1, 2501) AS numbers(i)
"""


def a_load_by_parent(**options: Any) -> Load:
    return a_load(source={"parent": "Owner__c"}, **options)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_lanes_of_parents_read_every_row_once_and_share_no_parent(database, count):
    source = Source(database, PARENTS, a_load_by_parent())
    lanes = source.lanes(count)
    assert sorted(key for lane in lanes for key in keys(lane)) == [f"K{number:05d}" for number in range(1, 2501)]
    parents = [{row[-1] for row in lane} for lane in lanes if len(lane[0]) == 2]
    assert sum(map(len, parents)) == len(set().union(*parents)) > 30
    for lane in lanes:
        order = [(*row[1:], row[0]) for row in lane]
        assert order == sorted(order)


def test_the_plan_knows_each_parent_once_and_which_one_is_heaviest(database):
    source = Source(database, PARENTS, a_load_by_parent())
    buckets = source.buckets()
    of_parents = [bucket for bucket in buckets if bucket.kind is LaneKind.PARENT]
    giant = max(of_parents, key=lambda bucket: bucket.rows)
    assert (giant.last, giant.parents) == ("giant", 1)
    assert {row[7] for row in source.plan()} == {sum(bucket.parents for bucket in of_parents)}
    orphans = sum(bucket.rows for bucket in buckets if bucket.kind is LaneKind.NO_PARENT)
    assert orphans == sum(number % 10 == 0 or number % 77 == 0 for number in range(1, 2501))


def test_a_parent_heavier_than_a_lane_has_one_of_its_own(database):
    lanes = Source(database, PARENTS, a_load_by_parent()).lanes(8)
    (giants,) = [lane for lane in lanes if lane[0][-1] == "giant"]
    assert {row[-1] for row in giants} == {"giant"}
    assert giants == lanes[0], "it takes longest, so it starts first"


WRAPPED = f"""
    SELECT format('K{{:05d}}', i) AS "{KEY}",
           chr(1 + i % 32) || CASE i % 5 WHEN 0 THEN '' ELSE format('P{{}}', i % 7) END || chr(1 + i % 31) AS "Owner__c"
    FROM (SELECT unnest(range(1, 2501))::INTEGER AS i)
"""


def test_parents_are_the_same_if_they_are_so_for_salesforce(database):
    source = Source(database, WRAPPED, a_load_by_parent())
    lanes = source.lanes(4)
    parents = [{row[-1] for row in lane} for lane in lanes if len(lane[0]) == 2]
    assert sorted(parent for each in parents for parent in each) == [f"p{number}" for number in range(7)]
    assert sum(len(lane) for lane in lanes if len(lane[0]) == 1) == 500
    rows = source.read_on(Reading(kind=LaneKind.PARENT, after="p1", upto="p4"))
    key, parent = rows[700]
    assert (
        source.read_on(Reading(kind=LaneKind.PARENT, after="p1", upto="p4", cursor=key, cursor_parent=parent))
        == rows[701:]
    )


IDS = f"""
    SELECT format('K{{:05d}}', i) AS "{KEY}",
           format('001D0000000a{{:03d}}', i % 40) || CASE WHEN i % 3 = 0 THEN 'IAZ' ELSE '' END AS "Owner__c"
    FROM range(1, 2501) AS numbers(i)
"""


@pytest.mark.parametrize(("parent_is_id", "parents"), [(True, 40), (False, 80)])
def test_an_id_of_15_characters_and_one_of_18_are_the_same_parent(database, parent_is_id, parents):
    source = Source(database, IDS, a_load_by_parent())
    source.parent_is_id = parent_is_id
    assert {row[7] for row in source.plan()} == {parents}
    lanes = source.lanes(7)
    assert sorted(key for lane in lanes for key in keys(lane)) == [f"K{number:05d}" for number in range(1, 2501)]
    shared = sum(len({row[-1][:15] for row in lane}) for lane in lanes) - 40
    assert (shared == 0) is parent_is_id
    rows = source.read_on(Reading(kind=LaneKind.PARENT, after=None, upto="001d0000000a009"))
    key, parent = rows[300]
    whole = Reading(kind=LaneKind.PARENT, after=None, upto="001d0000000a009", cursor=key, cursor_parent=parent)
    assert source.read_on(whole) == rows[301:]


@pytest.mark.parametrize("read", [0, 1, 5, 299, 750])
def test_a_lane_of_parents_goes_on_behind_its_cursor(database, read):
    source = Source(database, PARENTS, a_load_by_parent())
    whole = Reading(kind=LaneKind.PARENT, after="giant", upto="p9")
    rows = source.read_on(whole)
    assert len(rows) > 751
    key, parent = rows[read]
    assert source.read_on(replace(whole, cursor=key, cursor_parent=parent)) == rows[read + 1 :]


def test_a_window_knows_the_rows_outside_that_have_a_key_of_its_own(database):
    rows = """
        ('A', TIMESTAMP '2026-01-03'), ('a ', TIMESTAMP '2026-01-01'),
        ('B', NULL), ('C', TIMESTAMP '2026-01-01'), ('C', TIMESTAMP '2026-01-01'),
        (NULL, TIMESTAMP '2026-01-03'), (' ', TIMESTAMP '2026-01-03'), ('', TIMESTAMP '2026-01-01')
    """
    select = f'SELECT * FROM (VALUES {rows}) AS deals("{KEY}", "Changed__c")'
    source = Source(database, select, a_load(source={"modified": "Changed__c"}))
    source.modified_after = datetime(2026, 1, 2, tzinfo=UTC)
    assert {row[4:7] for row in source.plan()} == {(4, 2, 1)}, "A and B in the window, and a beside it"
    source.case_sensitive_key = True
    assert {row[4:7] for row in source.plan()} == {(4, 2, 2)}
    source.modified_after = None
    assert {row[4:7] for row in source.plan()} == {(8, 5, 4)}, "both C are told by a full run alone"
