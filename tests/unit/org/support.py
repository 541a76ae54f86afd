import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from local.org import ManualClock, Source
from local.org.backend import OrgBackend
from local.org.opportunities import ACCOUNT, OPPORTUNITY
from local.org.schema import Field, FieldType, ObjectSchema
from local.org.sources import Seed, Table

REQUIRED = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-01-31"}

CONTACT = ObjectSchema(
    name="Contact",
    key_prefix="003",
    fields=(
        Field(name="Number__c", length=20, external_id=True, case_sensitive=True),
        Field(name="Badge__c", length=20, external_id=True),
        Field(
            name="AccountId",
            type=FieldType.REFERENCE,
            relationship_name="Account",
            reference_to="Account",
        ),
    ),
)

SOURCE = Source(
    tables=(
        Table("Deal__dlm", 'SELECT \'k\' || i AS "Key__c", i AS "N__c" FROM range(1, 11) AS numbers(i)'),
        Table("Account__dlm", "SELECT 'A' || i AS \"Key__c\" FROM range(1, 6) AS numbers(i)"),
    ),
    objects=(ACCOUNT, OPPORTUNITY, CONTACT),
    seeds=(Seed("Account", "External_ID__c", 'SELECT "Key__c" FROM "Account__dlm" ORDER BY 1'),),
)


def to_csv(rows: Sequence[dict[str, str]], delimiter: str = ",", line_ending: str = "\n") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator=line_ending)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def from_csv(content: bytes, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""), delimiter=delimiter))


@dataclass
class Org:
    """A backend, its clock, and the way from rows to an ended job."""

    backend: OrgBackend
    clock: ManualClock

    def create(self, **wanted: Any) -> str:
        body = {"object": "Opportunity", "operation": "upsert", "externalIdFieldName": "External_ID__c"}
        return str(self.backend.ingest.create({**body, **wanted}, "66.0")["id"])

    def submit(self, content: bytes, **wanted: Any) -> str:
        job_id = self.create(**wanted)
        self.backend.ingest.upload(job_id, content)
        self.backend.ingest.set_state(job_id, "UploadComplete")
        return job_id

    def submit_rows(self, rows: Sequence[dict[str, str]], **wanted: Any) -> str:
        return self.submit(to_csv(rows), **wanted)

    def finish(self, job_id: str) -> dict[str, Any]:
        self.clock.move(100_000)
        return self.backend.ingest.get(job_id)

    def upsert(self, rows: Sequence[dict[str, str]], **wanted: Any) -> dict[str, str]:
        """Load rows; returns the outcome by external id: the id of the record, or the error."""
        job_id = self.submit_rows(rows, **wanted)
        self.finish(job_id)
        key = wanted.get("externalIdFieldName", "External_ID__c")
        results = self.backend.ingest.results(job_id)
        saved = {row[key]: row["sf__Id"] for row in from_csv(results.successful())}
        return saved | {row[key]: row["sf__Error"] for row in from_csv(results.failed())}

    def deal(self, key: str, **values: str) -> str:
        """Load one opportunity with all that is required; returns its outcome."""
        return self.upsert([{"External_ID__c": key, **REQUIRED, **values}])[key]

    def only_record(self) -> dict[str, Any]:
        (record,) = self.backend.rows("Opportunity")
        return record
