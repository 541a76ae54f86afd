"""The org that is made for loads and their files."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from cli.errors import UsageMistake
from cli.rehearsal import source_of_loads
from local.org import OrgSettings, Source, SourceFileError
from local.org.backend import OrgBackend
from local.org.datacloud import open_database
from local.org.schema import Field, FieldType
from massive_upload.domain.load import Load


def load(
    name: str = "seat", *, external_id: str = "No__c", fields: Mapping[str, object] | None = None, **source: str
) -> Load:
    given = {
        "name": name,
        "source": {"object": "Seat__dlm", "key": "no"} | source,
        "target": {"object": "Seat__c", "external_id": external_id},
        "fields": {"no": {"to": external_id}, **(fields or {})},
    }
    return Load.model_validate(given)


def fields(source: Source, object_name: str) -> dict[str, Field]:
    schema = next(each for each in source.objects if each.name == object_name)
    return {each.name: each for each in schema.fields}


@pytest.fixture
def seats(tmp_path: Path) -> Path:
    path = tmp_path / "seats.csv"
    path.write_text("no,plane,price,since\n007,01,1.50,2026-01-31\n008,,,\n009,01,2,\n")
    return path


def test_the_target_has_the_fields_that_the_load_names_and_they_take_what_it_writes(seats):
    mapped = {"price": {"to": "Price__c", "type": "number"}, "since": {"to": "Since__c", "type": "date"}}
    found = fields(source_of_loads([(load(fields=mapped), seats)]), "Seat__c")
    assert {name: each.type for name, each in found.items()} == {
        "Id": FieldType.ID,
        "No__c": FieldType.STRING,
        "Price__c": FieldType.DOUBLE,
        "Since__c": FieldType.DATE,
    }
    assert found["No__c"].external_id


def test_columns_that_the_load_writes_as_text_are_read_as_they_are_written(seats):
    source = source_of_loads([(load(fields={"price": {"to": "Price__c"}, "since": {"to": "Since__c"}}), seats)])
    with open_database(source) as connection:
        rows = connection.execute('SELECT "no", "price", "since" FROM "Seat__dlm" ORDER BY 1').fetchall()
    assert rows == [("007", "1.50", "2026-01-31"), ("008", None, None), ("009", "2", None)]


def test_the_time_of_a_change_stays_a_time_though_the_load_writes_it_as_text(seats):
    source = source_of_loads([(load(fields={"since": {"to": "Since__c"}}, modified="since"), seats)])
    with open_database(source) as connection:
        assert connection.execute('SELECT typeof(max("since")) FROM "Seat__dlm"').fetchall() == [("DATE",)]


def test_parents_that_no_load_brings_are_there_from_the_start(seats):
    source = source_of_loads([(load(fields={"plane": {"to": "Plane__r.Tail__c"}}, parent="plane"), seats)])
    lookup = fields(source, "Seat__c")["Plane__c"]
    assert (lookup.relationship_name, lookup.reference_to) == ("Plane__r", "Plane__c")
    with closing(OrgBackend(OrgSettings(source=source))) as org:
        assert [row["Tail__c"] for row in org.rows("Plane__c")] == ["01"]
    assert [each.name for each in source.objects] == ["Plane__c", "Seat__c"]


def test_parents_that_another_load_brings_are_not(seats, tmp_path):
    (tmp_path / "planes.csv").write_text("tail,seats\n01,2\n")
    planes = Load.model_validate(
        {
            "name": "plane",
            "source": {"object": "Plane__dlm", "key": "tail"},
            "target": {"object": "plane__c", "external_id": "Tail__c"},
            "fields": {"tail": {"to": "Tail__c"}, "seats": {"to": "Seats__c", "type": "number"}},
        }
    )
    referring = load(fields={"plane": {"to": "Plane__r.Number__c"}})
    source = source_of_loads([(referring, seats), (planes, tmp_path / "planes.csv")])
    assert source.seeds == ()
    assert [each.name for each in source.objects] == ["Seat__c", "plane__c"]
    lookup = fields(source, "Seat__c")["Plane__c"]
    assert (lookup.relationship_name, lookup.reference_to) == ("Plane__r", "plane__c")
    assert {name for name, each in fields(source, "plane__c").items() if each.external_id} == {"Tail__c", "Number__c"}


def test_a_field_that_parents_are_found_by_is_an_external_id_whoever_else_writes_it(tmp_path):
    (tmp_path / "people.csv").write_text("no,name,boss\n1,A,\n2,B,A\n")
    people = load(fields={"name": {"to": "Name"}, "boss": {"to": "Seat__r.Name"}})
    source = source_of_loads([(people, tmp_path / "people.csv")])
    assert fields(source, "Seat__c")["Name"].external_id


def test_two_loads_may_read_one_source_and_write_to_one_object_by_keys_of_their_own(seats, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = load("first", fields={"price": {"to": "Price__c", "type": "number"}, "since": {"to": "Since__c"}})
    second = load("second", object="seat__dlm", external_id="Other__c", modified="since")
    source = source_of_loads([(first, seats), (second, Path(seats.name))])
    assert [each.name for each in source.tables] == ["Seat__dlm"]
    found = fields(source, "Seat__c").values()
    assert {each.name for each in found if each.external_id} == {"No__c", "Other__c"}
    assert not any(each.required for each in found)
    with open_database(source) as connection:
        assert connection.execute('SELECT typeof(max("since")) FROM "Seat__dlm"').fetchall() == [("DATE",)]


@pytest.mark.parametrize("rows", ["", "1,\n"])
def test_the_time_of_a_change_is_a_time_where_the_file_has_none(tmp_path, rows):
    path = tmp_path / "seats.csv"
    path.write_text(f"no,since\n{rows}")
    source = source_of_loads([(load(modified="since"), path)])
    with open_database(source) as connection:
        assert connection.execute('SELECT typeof(max("since")) FROM "Seat__dlm"').fetchall() == [("TIMESTAMP",)]


def test_a_lookup_stays_one_where_its_field_is_written_as_well(seats):
    mapped = {"price": {"to": "AccountId"}, "plane": {"to": "Account.Key__c"}}
    found = fields(source_of_loads([(load(fields=mapped), seats)]), "Seat__c")
    assert found["AccountId"].reference_to == "Account"


def test_one_source_has_one_file(seats, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("no\n1\n")
    with pytest.raises(
        UsageMistake, match=r"Seat__dlm is to hold .*seats.csv and .*other.csv; give its loads one file"
    ):
        source_of_loads([(load("first"), seats), (load("second"), other)])


@pytest.mark.parametrize(
    "named", [{"fields": {"cost": {"to": "Cost__c"}}}, {"modified": "cost"}, {"parent": "cost"}], ids=repr
)
def test_a_file_without_a_column_that_its_load_names_is_refused(seats, named):
    with pytest.raises(SourceFileError, match=r"seats.csv has no column 'cost': it has no, plane, price, since"):
        source_of_loads([(load(**named), seats)])


@pytest.mark.parametrize("to", ["Account:Owner.Key__c", "Plane__r.Id", "Id"])
def test_records_that_a_simulated_org_cannot_find_are_refused(seats, to):
    with pytest.raises(UsageMistake, match=f"The load seat finds records by {to}, which a simulated org cannot"):
        source_of_loads([(load(fields={"plane": {"to": to}}), seats)])


def test_a_load_that_finds_its_records_by_their_ids_is_refused(seats):
    with pytest.raises(UsageMistake, match="finds records by Id, which a simulated org cannot"):
        source_of_loads([(load(external_id="Id"), seats)])
