"""What the target should hold after a load of generated opportunities: made by DuckDB, not by the product."""

import csv
import io
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from local.org.backend import OrgBackend
from local.org.datacloud import open_database
from local.org.opportunities import REJECTED_SQL
from local.org.sources import Source
from tests.e2e.world import World

_NEWEST_OF_EACH_KEY = """
    SELECT * FROM "Opportunity__dlm" WHERE "ExternalId__c" IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY lower("ExternalId__c") ORDER BY "LastModified__c" DESC, "ExternalId__c" DESC
    ) = 1
"""
_COLUMNS = """
    "ExternalId__c" AS "External_ID__c", trim("Name__c") AS "Name", "AccountKey__c" AS "Account",
    CAST("Amount__c" AS VARCHAR) AS "Amount", "Probability__c" AS "Probability", "StageName__c" AS "StageName",
    CAST("CloseDate__c" AS VARCHAR) AS "CloseDate", "IsPrivate__c" AS "IsPrivate",
    trim("Description__c") AS "Description",
    strftime("LastModified__c" AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ') AS "Source_Modified__c"
"""
_NUMBERS = ("Amount", "Probability")


def expected_rows(source: Source, *, refused_sql: str = REJECTED_SQL) -> dict[str, dict[str, Any]]:
    """Of every key the newest row, but for those that the target refuses."""
    rows = _select(source, f"SELECT {_COLUMNS} FROM ({_NEWEST_OF_EACH_KEY}) WHERE NOT {refused_sql}")
    return {row["External_ID__c"]: _with_numbers(row) for row in rows}


def expected_rejects(source: Source) -> set[str]:
    """The keys of the rows that the target refuses."""
    rows = _select(source, f'SELECT "ExternalId__c" FROM ({_NEWEST_OF_EACH_KEY}) WHERE {REJECTED_SQL}')
    return {row["ExternalId__c"] for row in rows}


def target_rows(org: OrgBackend) -> dict[str, dict[str, Any]]:
    """What the org holds, with accounts by their key."""
    accounts = {row["Id"]: row["External_ID__c"] for row in org.rows("Account")}
    found: dict[str, dict[str, Any]] = {}
    for row in org.rows("Opportunity"):
        fields = {name: value for name, value in row.items() if name not in ("Id", "AccountId")}
        fields["Account"] = accounts.get(row["AccountId"])
        found[str(row["External_ID__c"])] = _with_numbers(fields)
    return found


def rejected_rows(world: World, run_id: str) -> list[dict[str, str]]:
    """Every row of the rejected files that the receipt names."""
    rows: list[dict[str, str]] = []
    for key in world.receipt(run_id)["rejected_files"]:
        rows += csv.DictReader(io.StringIO(world.files.read(key).decode(), newline=""))
    return rows


def _with_numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: Decimal(str(value)) if name in _NUMBERS and value is not None else value for name, value in row.items()
    }


def _select(source: Source, sql: str) -> list[dict[str, Any]]:
    with open_database(source) as connection:
        cursor = connection.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
