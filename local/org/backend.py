import hashlib
from collections import Counter
from typing import Any

import orjson

from local.org.clock import OrgClock, ScaledClock
from local.org.datacloud import DataCloud
from local.org.errors import not_found
from local.org.faults import FaultPlan, Faults
from local.org.identity import Identity
from local.org.ingest import IngestJobs
from local.org.limits import DailyLimits
from local.org.locks import Scheduler
from local.org.records import ObjectTable, Value
from local.org.settings import OrgSettings


class OrgBackend:
    """The state of the org; knows nothing of HTTP.

    Args:
        settings: how the org behaves.
        clock: its time; by default a clock at the settings' scale.
    """

    def __init__(self, settings: OrgSettings, clock: OrgClock | None = None) -> None:
        self.clock: OrgClock = clock or ScaledClock(settings.time_scale)
        self.requests: Counter[str] = Counter()
        self.faults = FaultPlan(settings.faults or Faults(), settings.seed, self.clock.seconds)
        self.identity = Identity(
            self.clock,
            public_key_pem=settings.public_key_pem,
            session_seconds=settings.session_seconds,
            client_secret=settings.client_secret,
            org_id=settings.org_id,
        )
        self.limits = DailyLimits(
            self.clock, api_requests=settings.daily_api_requests, bulk_batches=settings.daily_bulk_batches
        )
        self.datacloud = DataCloud(
            settings.source,
            self.clock,
            page_rows=settings.page_rows,
            page_bytes=settings.page_bytes,
            running_seconds=settings.query_running_seconds,
            kept_seconds=settings.query_kept_seconds,
        )
        self.tables = {schema.name: ObjectTable(schema) for schema in settings.source.objects}
        for seed in settings.source.seeds:
            field = self.tables[seed.object_name].schema.find(seed.field_name)
            if field is None:
                raise ValueError(f"The source seeds {seed.object_name}.{seed.field_name}, which does not exist.")
            self.tables[seed.object_name].seed(field, self.datacloud.seed_keys(seed.sql))
        self.ingest = IngestJobs(
            clock=self.clock,
            tables=self.tables,
            scheduler=Scheduler(
                workers=settings.workers,
                row_seconds=settings.row_ms / 1000,
                lock_wait_seconds=settings.lock_wait_seconds,
                locks=settings.locks,
            ),
            limits=self.limits,
            faults=self.faults,
            queue_seconds=settings.queue_seconds,
            seed=settings.seed,
        )

    def close(self) -> None:
        """Let go of the database."""
        self.datacloud.close()

    def table(self, object_name: str) -> ObjectTable:
        """The records of an object by its name in any case, as they are now.

        Raises:
            ApiError: NOT_FOUND.
        """
        self.ingest.catch_up()
        wanted = object_name.lower()
        table = next((each for name, each in self.tables.items() if name.lower() == wanted), None)
        if table is None:
            raise not_found()
        return table

    def rows(self, object_name: str) -> list[dict[str, Value]]:
        """Every record of an object; numbers as the text of their digits, times as text in UTC.

        Raises:
            ApiError: NOT_FOUND.
        """
        return list(self.table(object_name).rows())

    def digest(self, object_name: str) -> str:
        """SHA-256 over the records in the order of their content, without their ids.

        Two orgs of one source into which the same rows were loaded have the same digest, whatever the order
        of writing.

        Raises:
            ApiError: NOT_FOUND.
        """
        lines = sorted(map(orjson.dumps, self.table(object_name).contents()))
        return hashlib.sha256(b"\n".join(lines)).hexdigest()

    def statistics(self) -> dict[str, Any]:
        """Requests by kind, jobs by state, rows that could not get a lock, records, limits, the time inside."""
        jobs = self.ingest.states()
        now = self.clock.seconds()
        return {
            "requests": dict(self.requests),
            "jobs": dict(jobs),
            "rows_locked_out": self.ingest.statistics["rows_locked_out"],
            "records": {name: len(table) for name, table in self.tables.items()},
            "limits": self.limits.describe(),
            "simulated_seconds": now,
            "simulated_time": self.clock.at(now).isoformat(),
        }
