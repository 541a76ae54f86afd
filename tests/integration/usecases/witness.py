"""Looks on while a load goes, from outside the product: at the jobs that are closed, and at every write of the table.

What must hold at every moment is checked at every moment:

- a job is recorded before it is closed;
- once a batch, or an attempt of it, is recorded as over, no row that the org has written is in a job that is closed
  later; once a batch is settled, only rows that it gave up are, and those in the sweep alone;
- cursors move when a batch is settled; they, claims and counts of settled rows never go back.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from local.org.jobs import Job
from local.org.records import Saved
from local.org.results import Outcome
from massive_upload.adapters.dynamodb_items import Item, batch_from, partition_from
from massive_upload.constants import SWEEP_PARTITION
from massive_upload.domain.progress import Batch, BatchState, Partition
from tests.integration.adapters.stack import REGION, TABLE
from tests.integration.usecases.world import World

KEY = "External_ID__c"


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))


def keys_of(content: bytes) -> list[str]:
    return [row[KEY] for row in rows_of(content)]


def stored_items(run_id: str) -> Iterator[Item]:
    """A run's items of moto's table as they are in memory: a request for each look would take most of the time."""
    table = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].tables[TABLE]
    for item in table.all_items():
        attributes = item.to_json()["Attributes"]
        if f"{attributes['pk']['S']}#".startswith(f"RUN#{run_id}#"):
            yield attributes


@dataclass
class Seen:
    """What is known of a run's items since the last look."""

    partitions: dict[str, Partition] = field(default_factory=dict)
    batches: dict[tuple[str, int], Batch] = field(default_factory=dict)


class Witness:
    """Stands by a world's org and table.

    Attributes:
        closed_jobs: every job with data that was closed, in that order.
        violations: what must not have happened.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._run_id = ""
        self._seen = Seen()
        self._over: dict[str, str] = {}
        self._given_up: set[str] = set()
        self.closed_jobs: list[Job] = []
        self.violations: list[str] = []
        self._watch_org()
        count = world.fuse.count

        def look_and_count() -> None:
            self.look()
            count()

        world.fuse.count = look_and_count  # type: ignore[method-assign]  # every side effect comes by here

    def follow(self, run_id: str) -> None:
        """Look at this run from now on; what another run has sent does not count for it."""
        if run_id != self._run_id:
            self._run_id = run_id
            self._seen = Seen()
            self._over.clear()
            self._given_up.clear()

    def look(self) -> None:
        """Compare the run's items with what they were."""
        for item in stored_items(self._run_id):
            kind = item["sk"]["S"].partition("#")[0]
            if kind == "PART":
                partition = partition_from(item)
                self._compare_partition(self._seen.partitions.get(partition.partition), partition)
                self._seen.partitions[partition.partition] = partition
            elif kind == "BATCH":
                batch = batch_from(item)
                place = (batch.partition, batch.number)
                before = self._seen.batches.get(place)
                if before is not None and before != batch:
                    self._compare_batch(before, batch)
                self._seen.batches[place] = batch

    def outcome_of(self, key: str) -> Outcome:
        """What became of a row in the last job that was closed with it."""
        job = self._last_job_of(key)
        return job.outcomes[keys_of(job.content or b"").index(key)] if job else None

    def code_of_untried(self, key: str) -> str:
        """The code of a row that its last job never tried: the job's own, where that failed as a whole."""
        job = self._last_job_of(key)
        return job.error_message.partition(" : ")[0] if job and job.error_message else "UNPROCESSED"

    def _last_job_of(self, key: str) -> Job | None:
        return next((job for job in reversed(self.closed_jobs) if key in keys_of(job.content or b"")), None)

    def _watch_org(self) -> None:
        ingest = self._world.server.backend.ingest
        set_state = ingest.set_state

        def watched(job_id: str, state: str) -> dict[str, Any]:
            answer = set_state(job_id, state)
            if state == "UploadComplete":
                self._note_closed(next(job for job in ingest.jobs() if job.id == answer["id"]))
            return answer

        ingest.set_state = watched  # type: ignore[method-assign]  # the one door by which jobs are closed

    def _note_closed(self, job: Job) -> None:
        self.closed_jobs.append(job)
        owner = next((batch for batch in self._seen.batches.values() if batch.job_id == job.id), None)
        if owner is None:
            self.violations.append(f"job {job.id} was closed and is recorded nowhere")
            return
        keys = keys_of(job.content or b"")
        again = sorted(key for key in keys if key in self._over)
        if again:
            self.violations.append(f"job {job.id} of {owner.partition} sends {again} again: {self._over[again[0]]}")
        if owner.partition != SWEEP_PARTITION and self._given_up.intersection(keys):
            self.violations.append(f"job {job.id} of {owner.partition} sends rows that wait for the sweep")

    def _compare_partition(self, before: Partition | None, now: Partition) -> None:
        if before is None:
            return
        if _progress(now) < _progress(before):
            self.violations.append(f"the cursor of {now.partition} went back from {before.cursor} to {now.cursor}")
        if now.cursor != before.cursor and now.open_batch == before.open_batch:
            self.violations.append(f"the cursor of {now.partition} moved, and no batch was settled")
        for name in ("epoch", "settled_rows", "succeeded", "rejected", "deferred", "batches", "jobs", "next_batch"):
            if getattr(now, name) < getattr(before, name):
                self.violations.append(f"{name} of {now.partition} went back")

    def _compare_batch(self, before: Batch, now: Batch) -> None:
        if before.state is BatchState.SETTLED:
            self.violations.append(f"batch {now.number} of {now.partition} changed after it was settled")
        is_over = now.state is BatchState.SETTLED or (
            now.attempt > before.attempt and now.lost_jobs == before.lost_jobs
        )
        job = next((job for job in self.closed_jobs if job.id == before.job_id), None)
        if not is_over or job is None:
            return
        what = f"{now.partition}/{now.number} attempt {before.attempt} was over"
        kept = [key for file in now.deferred_files for key in keys_of(self._world.files.read(file.file_key))]
        self._given_up.update(kept)
        for key, outcome in zip(keys_of(job.content or b""), job.outcomes, strict=True):
            has_ended = isinstance(outcome, Saved) or (now.state is BatchState.SETTLED and key not in kept)
            if has_ended:
                self._over[key] = what


def reasons_of(rows: list[dict[str, str]]) -> Mapping[str, str]:
    """The error code that each rejected row is kept with."""
    return {row[KEY]: row["error_code"] for row in rows}


def _progress(partition: Partition) -> tuple[int, str, str]:
    """What a cursor is compared by: entries of the sweep's list, or a parent and a key."""
    if partition.is_sweep:
        return int(partition.cursor or 0), "", ""
    return 0, partition.cursor_parent or "", partition.cursor or ""
