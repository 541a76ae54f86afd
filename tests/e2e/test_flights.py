"""Real data: flights make the whole journey, all of them in a soak, and every value is compared at the target."""

from pathlib import Path

import duckdb
import pytest

from infra.config import load_file
from infra.synth import ROOT
from local.org import OrgProcess, OrgSettings
from local.org.flights import FLIGHTS, FLIGHTS_WITHOUT_AIRCRAFT, flights_source, prepare_flights
from massive_upload.domain.load import FieldType, Load
from tests.e2e.world import deployed

TIME_SCALE = 200.0
TRANSITIONS_OF_A_RUN, REQUESTS_OF_A_RUN = 100, 40
"""Six lanes with 11 transitions each, 10 of the run, and looks that a busy machine makes too early."""
PER_MILLION_TRANSITIONS = 1_500
PER_MILLION_REQUESTS = 700


@pytest.fixture(scope="module")
def load() -> Load:
    sets = ["pace.batch_rows=10000", "pace.delay_seconds=0", "pace.stagger_seconds=0", "partitioning.count=5"]
    return load_file(ROOT / "loads" / "flights.yaml", sets=sets)


@pytest.mark.parametrize("one_in", [8, pytest.param(1, marks=pytest.mark.soak)])
def test_every_value_of_every_flight_arrives(load: Load, tmp_path: Path, one_in: int) -> None:
    parquet = _some_flights(prepare_flights(ROOT / "build" / "flights"), one_in, tmp_path / "flights.parquet")
    flights, without_aircraft = _counted(parquet)
    assert one_in > 1 or (flights, without_aircraft) == (FLIGHTS, FLIGHTS_WITHOUT_AIRCRAFT)
    with (
        OrgProcess(OrgSettings(source=flights_source(parquet), time_scale=TIME_SCALE, row_ms=0.5)) as org,
        deployed(tmp_path, loads={"flights": load}, org_url=org.url, time_scale=TIME_SCALE) as world,
    ):
        result = world.run({"load": "flights"}, "flights")
        assert (result.status, result.error) == ("SUCCEEDED", None)
        assert result.output["succeeded"] == result.output["source_rows"] == flights
        found = {str(row["Flight_Key__c"]): row for row in org.rows("Flight__c")}
        tail_numbers = {row["Id"]: row["Tail_Number__c"] for row in org.rows("Aircraft__c")}
        requests = sum(org.statistics()["requests"].values())
        figures = world.figures

    expected = _expected_rows(load, parquet)
    assert len(found) == len(expected) == flights
    for key, values in expected.items():
        row = {name.casefold(): value for name, value in found[key].items()}
        row["aircraft__r.tail_number__c"] = tail_numbers.get(row["aircraft__c"])
        without_aircraft -= row["aircraft__c"] is None
        assert {name: row[name] for name in values} == values
    assert without_aircraft == 0

    assert figures.max_history_events <= 15_000
    millions = flights / 1_000_000
    assert figures.state_transitions <= TRANSITIONS_OF_A_RUN + PER_MILLION_TRANSITIONS * millions
    assert requests <= REQUESTS_OF_A_RUN + PER_MILLION_REQUESTS * millions


def _some_flights(parquet: Path, one_in: int, path: Path) -> Path:
    """A file with so many of the flights of another, spread over all of them."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        flights = f"SELECT * FROM read_parquet('{parquet}') WHERE hash(flight_key) % {one_in} = 0"
        connection.execute(f"COPY ({flights}) TO '{path}' (FORMAT parquet)")
    return path


def _counted(parquet: Path) -> tuple[int, int]:
    """How many flights there are, and how many of them have no aircraft."""
    with duckdb.connect() as connection:
        counts = connection.execute(f"SELECT count(*), count(*) - count(tailnum) FROM read_parquet('{parquet}')")
        flights, without_aircraft = counts.fetchall()[0]
    return flights, without_aircraft


def _expected_rows(load: Load, parquet: Path) -> dict[str, dict[str, object]]:
    """The source as the target should have it, made by DuckDB and not by the product."""
    selected = ", ".join(
        f"strftime({column} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.000Z')"
        if mapping.type is FieldType.DATETIME
        else f"CAST({column} AS VARCHAR)"
        for column, mapping in load.fields.items()
    )
    names = [mapping.to.casefold() for mapping in load.fields.values()]
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT {selected} FROM read_parquet('{parquet}')").fetchall()
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}
