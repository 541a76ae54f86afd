import gzip
import re
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from local.org import Source, SourceFileError, file_source, generated_opportunities
from local.org.datacloud import open_database
from local.org.opportunities import OPPORTUNITY, REJECTED_SQL
from local.org.schema import FieldType
from tests.unit.org.support import to_csv

FIELDS = {
    "ExternalId__c": "External_ID__c",
    "Name__c": "Name",
    "AccountKey__c": "Account.External_ID__c",
    "StageName__c": "StageName",
    "Description__c": "Description",
}


def one_row(source: Source, sql: str) -> tuple[Any, ...]:
    with open_database(source) as connection:
        (row,) = connection.execute(sql).fetchall()
        return row


def test_generated_opportunities_have_the_rows_that_were_asked_for():
    source = generated_opportunities(1000, null_keys=3, duplicate_keys=4, case_collisions=5)
    key = '"ExternalId__c"'
    found = one_row(
        source,
        f"SELECT count(*), count(*) - count({key}), count({key}) - count(DISTINCT {key}), "
        f'count(DISTINCT {key}) - count(DISTINCT lower({key})) FROM "Opportunity__dlm"',
    )
    assert found == (1012, 3, 4, 5)


def test_the_same_seed_gives_the_same_rows_and_another_seed_others():
    sql = 'SELECT bit_xor(hash("Opportunity__dlm")) FROM "Opportunity__dlm"'
    first = one_row(generated_opportunities(500, seed=7), sql)
    assert one_row(generated_opportunities(500, seed=7), sql) == first
    assert one_row(generated_opportunities(500, seed=8), sql) != first


def test_generated_values_are_of_the_kinds_that_are_easy_to_lose():
    kinds = one_row(
        generated_opportunities(10_000),
        """
        SELECT
            max("Amount__c"), min("Probability__c") FILTER ("Probability__c" > 0),
            count(*) FILTER ("Amount__c" IS NULL), count(*) FILTER ("AccountKey__c" IS NULL),
            count(*) FILTER ("Description__c" <> trim("Description__c")),
            count(*) FILTER (contains("Name__c", chr(10))), count(*) FILTER (contains("Name__c", '"')),
            count(*) FILTER (contains("Description__c", chr(128640)) OR contains("Name__c", chr(128640)))
        FROM "Opportunity__dlm"
        """,
    )
    widest, smallest, *counts = kinds
    assert Decimal(float(widest)) != widest
    assert smallest == 0.00001
    assert min(counts) > 0


def test_a_few_parents_have_most_of_the_children():
    sql = 'SELECT count(*) FROM "Opportunity__dlm" GROUP BY "AccountKey__c" ORDER BY 1 DESC LIMIT 1'
    assert one_row(generated_opportunities(10_000, accounts=100), sql)[0] > 10 * 10_000 / 100


def test_the_target_refuses_exactly_the_rows_that_the_source_says(make_org):
    org = make_org(source=generated_opportunities(3000, rejected_share=0.05))
    columns = ", ".join(f"coalesce(\"{column}\", '')" for column in FIELDS)
    with open_database(generated_opportunities(3000, rejected_share=0.05)) as connection:
        rows = connection.execute(f'SELECT {columns} FROM "Opportunity__dlm" ORDER BY 1').fetchall()
        (expected,) = connection.execute(f'SELECT count(*) FROM "Opportunity__dlm" WHERE {REJECTED_SQL}').fetchall()[0]
    cells = [{**dict(zip(FIELDS.values(), row, strict=True)), "CloseDate": "2026-01-01"} for row in rows]
    outcomes = org.upsert(cells)
    errors = [outcome.partition(":")[0] for outcome in outcomes.values() if ":" in outcome]
    assert len(errors) == expected
    assert set(errors) == {"INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "STRING_TOO_LONG", "INVALID_FIELD"}


def test_more_repeated_keys_than_rows_are_refused():
    with pytest.raises(ValueError, match="ask for fewer"):
        generated_opportunities(3, duplicate_keys=4)


def test_describe_tells_what_a_client_needs_to_check_a_mapping():
    fields = {field["name"]: field for field in OPPORTUNITY.describe()["fields"]}
    assert fields["External_ID__c"]["externalId"]
    assert fields["External_ID__c"]["idLookup"]
    assert not fields["External_ID__c"]["caseSensitive"]
    assert fields["AccountId"]["referenceTo"] == ["Account"]
    assert fields["AccountId"]["relationshipName"] == "Account"
    assert (fields["Amount"]["precision"], fields["Amount"]["scale"]) == (18, 2)
    assert fields["Name"]["length"] == 120
    assert not fields["Name"]["nillable"]
    assert not fields["Id"]["createable"]
    assert fields["StageName"]["picklistValues"][0]["value"] == "Prospecting"


@pytest.fixture
def people(tmp_path):
    path = tmp_path / "people-2026.csv"
    rows = [
        {"code": "007", "team": "0042", "born": "1990-02-03", "pay": "12.50", "Full Name": "Ann, A."},
        {"code": "008", "team": "", "born": "", "pay": "", "Full Name": "Bo"},
    ]
    path.write_bytes(to_csv(rows))
    return path


def test_a_csv_becomes_a_table_whose_keys_stay_text(people):
    source = file_source(people, parent="team", parent_object="Team__c")
    assert source.tables[0].name == "people_2026__dlm"
    with open_database(source) as connection:
        rows = connection.execute('SELECT * FROM "people_2026__dlm" ORDER BY 1').fetchall()
        kinds = [kind for _, kind, *_ in connection.execute('DESCRIBE "people_2026__dlm"').fetchall()]
    assert rows[0][:2] == ("007", "0042")
    assert kinds == ["VARCHAR", "VARCHAR", "DATE", "DECIMAL(38,2)", "VARCHAR"]


def test_the_decimals_of_a_csv_keep_their_digits(tmp_path):
    path = tmp_path / "sums.csv"
    long = "1" * 37
    path.write_text(f"id,pay,size,tiny,wide,long\n1,1.50,20000000000000001,-.05,1e2,{long}.25\n2,,1.5,0.1,1.5,{long}\n")
    source = file_source(path)
    with open_database(source) as connection:
        columns = {name: kind for name, kind, *_ in connection.execute('DESCRIBE "sums__dlm"').fetchall()}
        texts = ", ".join(f'CAST("{name}" AS VARCHAR)' for name in ("pay", "size", "tiny"))
        rows = connection.execute(f'SELECT {texts} FROM "sums__dlm" ORDER BY id').fetchall()
    assert rows == [("1.50", "20000000000000001.0", "-0.05"), (None, "1.5", "0.10")]
    assert (columns["wide"], columns["long"]) == ("DOUBLE", "DOUBLE"), "an exponent, and more than 38 digits"


def test_the_target_of_a_file_takes_every_column_by_its_own_name_and_with_c(people):
    schema = file_source(people, key="code").objects[-1]
    assert schema.name == "people_2026__c"
    names = {field.name for field in schema.fields}
    assert {"External_ID__c", "code", "code__c", "born", "born__c", "Full_Name", "Full_Name__c"} <= names
    born = schema.find("BORN__c")
    assert born is not None
    assert born.type is FieldType.DATE


def test_the_parents_in_a_file_are_stored_as_salesforce_would(tmp_path, make_org):
    path = tmp_path / "people.csv"
    path.write_bytes(
        to_csv([{"code": str(n), "team": team} for n, team in enumerate(["A\t", "\nA ", "\t", "B\u00a0"])])
    )
    org = make_org(source=file_source(path, object_name="Person__c", parent="team", parent_object="Team__c"))
    assert sorted(row["External_ID__c"] for row in org.backend.rows("Team__c")) == ["A", "B\u00a0"]


def test_the_parents_in_a_file_are_there_from_the_start(people, make_org):
    source = file_source(people, object_name="Person__c", parent="team", parent_object="Team__c")
    org = make_org(source=source)
    assert [row["External_ID__c"] for row in org.backend.rows("Team__c")] == ["0042"]
    row = {"External_ID__c": "007", "Team__r.External_ID__c": "0042", "pay__c": "12.50", "born": "1990-02-03"}
    assert org.upsert([row], object="Person__c")["007"].startswith("a01")


def test_a_parquet_file_keeps_its_types(tmp_path):
    path = tmp_path / "deals.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT 'k1' AS id, 1.25::DECIMAL(18,2) AS amount, now() AS at) TO '{path}'")
    source = file_source(path)
    with open_database(source) as opened:
        kinds = [kind for _, kind, *_ in opened.execute('DESCRIBE "deals__dlm"').fetchall()]
    assert kinds == ["VARCHAR", "DECIMAL(18,2)", "TIMESTAMP WITH TIME ZONE"]
    amount = source.objects[0].find("amount")
    assert amount is not None
    assert (amount.precision, amount.scale) == (18, 2)


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("people.txt", {}, "must end in"),
        ("missing.csv", {}, "cannot be read"),
        ("people-2026.csv", {"key": "nope"}, "no column 'nope': it has code, team"),
    ],
)
def test_a_file_that_cannot_serve_says_why(people, name, options, named):
    with pytest.raises(SourceFileError, match=named):
        file_source(people.parent / name, **options)


MANY_ROWS = "".join(f'k{n},"Smith, {n}"\n' for n in range(3_000))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (f'id,name\n{MANY_ROWS}k3000,"5" pipe"\n{MANY_ROWS}', "line 3002 has a quote out of place"),
        ("id,name\nk1,a\nk2\nk3,c,d\n", "line 3 has 1 values, the header has 2"),
        ("id,name\n" + "k1,a,b\n" * 50, "line 2 has 3 values, the header has 2"),
        ("id,first, last\nk1,a\n", "line 2 has 2 values, the header has 3"),
        ("id,name\n1,M\udcfcller\n", "line 2 is not UTF-8; save the file as UTF-8"),
        ("id,name\r\n" + "k1,a\r\n" * 9 + "k2,b\n", "end in more than one way"),
        ("id,Name,name\n1,a,b\n", "has the column 'Name' twice"),
        ("", "has no header"),
        ("id,name\n1,a\n".encode("utf-16").decode("utf-8", "surrogateescape"), "is UTF-16; save the file as UTF-8"),
        (f"id,name\n1,{'a' * 3_000_000}\n", "line 2 is longer than 2 MB"),
    ],
    ids=["quote", "ragged", "wider", "header", "latin-1", "line-ends", "twice", "empty", "utf-16", "long"],
)
def test_a_csv_out_of_shape_is_refused_with_its_line_and_without_what_the_line_holds(tmp_path, content, named):
    path = tmp_path / "rows.csv"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(SourceFileError, match=named) as refused:
        file_source(path)
    assert len(str(refused.value).splitlines()) == 1
    assert "pipe" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "header", "row"),
    [
        ("rows.csv", '\ufeffid;name\n1;"a, b"\n', ["id", "name"], ("1", "a, b")),
        ("rows.csv", 'id\tname\n1\t"a, b"\n', ["id", "name"], ("1", "a, b")),
        ("rows.csv", 'id,name\r\n1,"a, b"\r\n', ["id", "name"], ("1", "a, b")),
        ("rows.csv", '\nid,"name"\n\n1,"a, b"\n', ["id", "name"], ("1", "a, b")),
        ("rows.csv", 'id,"name; first; last"\n1,a\n', ["id", "name; first; last"], ("1", "a")),
        ("rows.csv", 'id;"a, b, c"\n1;x\n', ["id", "a, b, c"], ("1", "x")),
        ("rows.csv", '"id\nof it";name\n1;x\n', ["id\nof it", "name"], ("1", "x")),
        ("rows.csv", "id,a|b|c\n1,2\n", ["id", "a|b|c"], ("1", "2")),
        ("rows.csv", "id,name,,\n1,a,,\n", ["id", "name", "column2", "column3"], ("1", "a", None, None)),
        ("rows.tsv", "id\tlast, first\n1\tb, a\n", ["id", "last, first"], ("1", "b, a")),
        ("rows.csv", "id\n1\n", ["id"], ("1",)),
    ],
)
def test_what_parts_the_cells_of_a_csv_is_seen_in_its_first_records(tmp_path, name, content, header, row):
    path = tmp_path / name
    path.write_bytes(content.encode())
    source = file_source(path)
    assert list(source.columns) == header
    with open_database(source) as connection:
        found = connection.execute('SELECT COLUMNS(*)::VARCHAR FROM "rows__dlm"').fetchall()
    assert found == [row]


@pytest.mark.parametrize(
    "content",
    # A packed file holds the time at which it was packed: a name of its own, so that the test has one name always.
    [b"id,name\n1,a\n", pytest.param(gzip.compress(b"id,name\n" + b"1,a\n" * 999)[:40], id="cut short")],
)
def test_what_is_no_whole_gzip_file_is_refused(tmp_path, content):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(content)
    with pytest.raises(SourceFileError, match="no whole gzip file"):
        file_source(path)


def test_a_gzip_file_is_read(tmp_path):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"id,name\n1,a\n"))
    with open_database(file_source(path)) as connection:
        assert connection.execute('SELECT * FROM "rows__dlm"').fetchall() == [("1", "a")]


def test_a_time_that_may_be_two_days_stays_the_text_that_it_is(tmp_path):
    path = tmp_path / "rows.csv"
    header = "id,day,at,slashes,date"
    row = "1,01/02/2026,01/02/2026 10:00:00,2026/02/01,2026-02-01"
    path.write_text(f"{header}\n{row}\n2,,,,\n")
    with open_database(file_source(path)) as connection:
        kinds = [kind for _, kind, *_ in connection.execute('DESCRIBE "rows__dlm"').fetchall()]
    assert kinds == [*["VARCHAR"] * 4, "DATE"]


def test_names_that_salesforce_does_not_allow_are_made_ones_that_a_load_may_write(tmp_path):
    path = tmp_path / "2024-größe.csv"
    path.write_text("id,2nd value,Größe,__c\n1,2,3,4\n")

    source = file_source(path)

    (target,) = source.objects
    names = [target.name, *(field.name for field in target.fields)]
    assert all(re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) for name in names)
    assert (target.name, source.tables[0].name) == ("X2024_gr__e__c", "X2024_gr__e__dlm")
    assert {"X2nd_value", "X2nd_value__c", "Gr__e", "Gr__e__c"} <= set(names)


def test_an_object_that_salesforce_would_not_allow_is_refused(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text("id\n1\n")

    with pytest.raises(SourceFileError, match=r"'Big Order__c'.*letters"):
        file_source(path, object_name="Big Order__c")
