"""A run that begins with the rejected rows of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from uuid import uuid4

from massive_upload.contracts import Mode
from massive_upload.domain.file_keys import kept_list_key
from massive_upload.domain.lanes import cut_evenly
from massive_upload.domain.load import Load
from massive_upload.domain.progress import KeptList, Lease, Run, SourceRange, partition_id
from massive_upload.domain.shown import Shown
from massive_upload.errors import InvalidInput
from massive_upload.usecases.check_target import check_target
from massive_upload.usecases.count_source import StillRunning
from massive_upload.usecases.kept_rows import KeptRows, write_kept_list
from massive_upload.usecases.planning.begin import BeginRun, with_overrides
from massive_upload.usecases.planning.lane_plan import lanes_for
from massive_upload.usecases.retry_failed import first_run, still_rejected


class RetryRun(BeginRun):
    """A run that begins with the rejected rows of another, under the configuration that this one had.

    Kept rows hold the target's columns as they were sent, so a mapping that was changed since could not be applied to
    them; pace and partitioning can be given anew.
    """

    def _load(self) -> Load:
        unfit = self._start.given("load", "sample")
        if unfit:
            raise InvalidInput(
                f"{unfit[0]} cannot be given with mode {Mode.RETRY_FAILED}: the run that is retried decides it.",
                next_step=f"Leave {', '.join(unfit)} out.",
            )
        return with_overrides(self._services.tasks.configs.of(self._first.run_id).load, self._start)

    @cached_property
    def _first(self) -> Run:
        if self._start.of is None:
            raise InvalidInput(
                f"mode {Mode.RETRY_FAILED} needs the run whose rejected rows are sent once more.",
                next_step='Name it: "of": "...".',
            )
        return first_run(self._store, self._start.of, begins_at=self._execution.started_at)

    def _lease(self, load: Load) -> Lease | None:
        lease = super()._lease(load)
        if lease is not None and lease.key != self._first.lease_key:
            raise InvalidInput(
                f"Run {self._first.run_id} wrote to {self._first.lease_key}; the login leads to {lease.key}.",
                next_step="Put the login of the same org into the secret.",
            )
        return lease

    @property
    def _retry_of(self) -> str | None:
        return self._first.run_id

    def _decide(self, run: Run, load: Load) -> Run | StillRunning:
        tasks = self._services.tasks
        before = tasks.configs.of(self._first.run_id)
        entries = still_rejected(
            self._store,
            tasks.files,
            self._first,
            only=self._start.only,
            most_rows=load.effective_pace.batch_rows,
        )
        own = {"load": load, "sample_rows": None, "keeps_window": self._start.scheduled}
        config = before.model_copy(update={**own, **asdict(check_target(load, self._org.metadata))})
        rows = sum(entry.rows for entry in entries)
        planned = replace(run, plan_name=uuid4().hex, source_rows=rows)
        known = self._shown(load)
        return self._commit_to(planned, config, self._write_lists(planned, load, entries, known), known)

    def _writes(self, reads: Sequence[SourceRange | KeptList]) -> bool:
        """Its rows are those of the run that it retries, which may still go on."""
        return False

    def _write_lists(
        self, planned: Run, load: Load, entries: Sequence[KeptRows], known: Shown | None
    ) -> list[KeptList]:
        """A list for each lane, under the plan's name: one that was left half done is never read."""
        lists: list[KeptList] = []
        by_parent = load.lanes_by_parent  # kept rows have no parent to tell
        lanes = 1 if by_parent else lanes_for(load, planned.source_rows, known)
        for cut in cut_evenly([entry.rows for entry in entries], lanes):
            part = entries[cut.start : cut.stop]
            key = kept_list_key(planned.run_id, f"{planned.plan_name}-{partition_id(len(lists))}")
            write_kept_list(self._services.tasks.files, key, part)
            lists.append(KeptList(key=key, rows=sum(entry.rows for entry in part)))
        return lists
