"""A run that begins with a plan of its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from uuid import uuid4

from pydantic import ValidationError

from massive_upload.contracts import Mode, Plan, StartInput
from massive_upload.domain.estimate import Estimate, LaneWork, Parents, estimate_of
from massive_upload.domain.identity import Identity
from massive_upload.domain.incremental import Watermark, mapping_sha256, why_full, window_start
from massive_upload.domain.lanes import cut_lanes
from massive_upload.domain.load import Load
from massive_upload.domain.progress import KeptList, Lease, Run, RunStatus, SourceRange
from massive_upload.domain.quota import OrgQuota
from massive_upload.domain.shown import Shown, shown_of
from massive_upload.domain.source_sql import repeated_keys_sql
from massive_upload.errors import (
    CredentialsRejected,
    DuplicateKeys,
    FullRunNeeded,
    InvalidInput,
    InvalidLoad,
    LoadError,
)
from massive_upload.observability import Event, Marker, Metric, emit, log
from massive_upload.salesforce.data_cloud import QueryExpired
from massive_upload.usecases.check_target import check_target
from massive_upload.usecases.count_source import (
    CountedSource,
    StillRunning,
    check_may_ask_again,
    count_source,
    question_sha256,
)
from massive_upload.usecases.org_usage import tell_quota
from massive_upload.usecases.plan_file import read_plan, write_plan
from massive_upload.usecases.planning.lane_plan import lanes_for, plan_of, staggered
from massive_upload.usecases.planning.request import Planner
from massive_upload.usecases.planning.target_lease import another_run, holder_at_work, one_of_each_target, take_over
from massive_upload.usecases.run_config import RunConfig
from massive_upload.usecases.run_ids import run_id_beside

_FIRST_QUERY_WAIT_SECONDS = 5
_LONGEST_QUERY_WAIT_SECONDS = 60


def _check_unchanged(run: Run, load: Load, lease: Lease | None) -> None:
    """What has been found out of the source and the target is true of the load and the org that the run began with.

    Raises:
        InvalidLoad: a deployment has changed the load since.
        CredentialsRejected: the secret leads to another org since.
    """
    if run.question_sha256 != question_sha256(load):
        raise InvalidLoad(
            f"The load {run.load} was changed while run {run.run_id} was being planned.", next_step="Start it again."
        )
    if run.lease_key != (lease.key if lease else None):
        raise CredentialsRejected(
            f"The login leads to another org than the one that run {run.run_id} began in.", next_step="Start it again."
        )


class BeginRun(Planner):
    """A run that begins with a plan: full, incremental, sample, or the plan alone."""

    def plan(self) -> Plan:
        """Take the target, count its source and cut it into lanes; or wait, or make way for another run.

        Raises:
            AnotherRunActive: another execution is loading one of the targets.
            JobsLeft: the run before has left jobs in flight.
            ConfigurationError: something is wrong with the input, the load, the source or the target.
        """
        load = self._load()
        loads_after = [self._services.load_named(name) for name in self._place.following]
        for to_load in (load, *loads_after):
            self._check_mode(to_load)
        lease = self._lease(load)
        leases_after = self._leases_of(loads_after)
        wanted = one_of_each_target([*([lease] if lease else []), *leases_after])
        holders = [holder for each in wanted if (holder := holder_at_work(each, self._services))]
        if holders and self._start.scheduled and self._place.is_first:
            log(Marker.WARNING, Event.RUN_SKIPPED, run_id=self._run_id, holder=holders[0].run_id)
            emit({Metric.RUNS_SKIPPED: 1}, run_id=self._run_id)
            return Plan(next="Skip", run_id=self._run_id)
        if holders:
            raise another_run(holders[0])
        is_patient = self._waited_seconds < load.effective_pace.patience_seconds
        for each in wanted:
            take_over(each, self._services, is_patient=is_patient)
        run = self._begin(load, lease, leases_after)
        if run.status is RunStatus.PLANNING:
            _check_unchanged(run, load, lease)
        try:
            return self._plan_lanes(run, load)
        finally:  # a plan that fails has cost requests too
            self._store.count_run_requests(self._run_id, self._org.take_requests())

    def patience_seconds(self) -> int:
        """For how long an org that does not answer is waited for."""
        return self._load().effective_pace.patience_seconds

    def _plan_lanes(self, run: Run, load: Load) -> Plan:
        if run.status is RunStatus.PLANNING:
            planned = self._decide(run, load)
            if isinstance(planned, StillRunning):
                return self._wait_for_query(run)
            run = planned
        lanes = read_plan(self._services.tasks.files, run)
        concurrency = load.partitioning.max_concurrency
        self._store.create_partitions(run, lanes, max_concurrency=concurrency)
        log(
            Marker.SUCCESS,
            Event.RUN_PLANNED,
            run_id=run.run_id,
            load=run.load,
            mode=run.mode,
            source_rows=run.source_rows,
            lanes=len(lanes),
        )
        if run.mode == Mode.PLAN:
            return Plan(next="Finish", run_id=self._run_id)
        self._store.look_again(self._org.org_id)
        return plan_of(run, lanes, concurrency)

    def _load(self) -> Load:
        if self._start.load is None:
            raise InvalidInput("The input does not name a load.", next_step='Start with {"load": "opportunity"}.')
        load = with_overrides(self._services.load_named(self._start.load), self._start)
        if self._place.schedule is not None:
            load = load.model_copy(update={"schedule": self._place.schedule})
        return load

    def _check_mode(self, load: Load) -> None:
        if self._start.mode is Mode.INCREMENTAL and load.source.modified is None:
            raise InvalidInput(
                f"The load {load.name} does not name the column that tells when a row was modified.",
                next_step="Give source.modified in its file, or start with mode full.",
            )

    def _lease(self, load: Load) -> Lease | None:
        """What the run is to hold of its target; one that only plans writes nothing, so it needs none.

        The key takes a login, so no run of either kind is recorded before its org has answered once.
        """
        key = self._lease_key(load)
        if self._start.mode is Mode.PLAN:
            return None
        return Lease(key=key, run_id=self._run_id, execution_arn=self._execution.arn)

    def _lease_key(self, load: Load) -> str:
        return f"{self._org.org_id}#{load.target.object.casefold()}"  # Salesforce ignores the case of names

    def _leases_of(self, loads_after: Sequence[Load]) -> list[Lease]:
        """Of the loads that are to follow: a sequence is not begun that another run would stop half way."""
        if self._start.mode is Mode.PLAN:
            return []
        keys = {load.name: self._lease_key(load) for load in loads_after}
        return [
            Lease(
                key=key,
                run_id=run_id_beside(self._run_id, self._place.load, name),
                execution_arn=self._execution.arn,
            )
            for name, key in keys.items()
        ]

    def _wait_for_query(self, run: Run) -> Plan:
        """Longer the longer the query has run: 25,000 events are enough for days."""
        running_seconds = int((self._services.tasks.clock.now() - run.started_at).total_seconds())
        wait_seconds = max(_FIRST_QUERY_WAIT_SECONDS, min(running_seconds // 4, _LONGEST_QUERY_WAIT_SECONDS))
        log(Marker.WAITING, Event.WAITING_FOR_QUERY, run_id=self._run_id, wait_seconds=wait_seconds)
        return Plan(next="Wait", run_id=self._run_id, wait_seconds=wait_seconds)

    def _begin(self, load: Load, lease: Lease | None, leases_after: Sequence[Lease]) -> Run:
        return self._store.begin_run(
            Run(
                run_id=self._run_id,
                load=load.name,
                mode=self._start.mode,
                status=RunStatus.PLANNING,
                execution_arn=self._execution.arn,
                started_at=self._execution.started_at,
                lease_key=lease.key if lease else None,
                question_sha256=question_sha256(load),
                retry_of=self._retry_of,
                retry_only=self._start.only,
                modified_after=self._modified_after(load, lease),
                loads_after=self._place.following,
                leases_after=tuple(dict.fromkeys(each.key for each in leases_after)),
            )
        )

    def _modified_after(self, load: Load, lease: Lease | None) -> datetime | None:
        """Where an incremental run's window begins: read after the target was taken, so that no other run moves it."""
        if self._start.mode is not Mode.INCREMENTAL or lease is None:
            return None
        known = self._store.watermark(load.name)
        return window_start(known, load) if known is not None and not why_full(known, load, lease.key) else None

    @property
    def _retry_of(self) -> str | None:
        """The run whose rejected rows this one takes up, if it does."""
        return None

    def _decide(self, run: Run, load: Load) -> Run | StillRunning:
        """Count the source and commit the run to a plan."""
        if run.mode == Mode.INCREMENTAL and run.modified_after is None:
            why = why_full(self._store.watermark(load.name), load, run.lease_key or "")
            raise FullRunNeeded(
                f"An incremental run has nothing to go on from: {why or 'its window is unknown'}.",
                next_step="Start the load with mode full; once that has completed, mode incremental goes on from it.",
            )
        counted = self._count(run, load)
        return counted if isinstance(counted, StillRunning) else self._commit(run, load, *counted)

    def _count(self, run: Run, load: Load) -> tuple[CountedSource, Identity] | StillRunning:
        identity = run.identity or check_target(load, self._org.metadata)
        source = self._org.data_cloud(load.source.dataspace)
        count = partial(
            count_source,
            source,
            load,
            identity=identity,
            sample_rows=self._sample_rows(load),
            modified_after=run.modified_after,
            with_parents=self._start.mode is Mode.PLAN,
        )
        query_id = run.plan_query_id
        try:
            counted = count(query_id=query_id)
        except QueryExpired:
            check_may_ask_again(
                f"The query that counts {load.source.object}",
                queries=run.plan_queries,
                next_step="Look at the query in Data Cloud; mend or narrow source.where.",
            )
            query_id = None
            counted = count(query_id=None)
        if isinstance(counted, StillRunning):
            if counted.query_id != query_id:
                self._store.note_plan_query(run, counted.query_id, identity)
            return counted
        return counted, identity

    def _sample_rows(self, load: Load) -> int | None:
        return load.sample.rows if self._start.mode is Mode.SAMPLE else None

    def _commit(self, run: Run, load: Load, counted: CountedSource, identity: Identity) -> Run:
        count = counted.count
        if count.duplicates and load.duplicates == "stop":
            raise DuplicateKeys(
                f"{load.source.object} has {count.duplicates} rows more than it has different {load.source.key}; "
                f"blanks around it{'' if identity.case_sensitive_key else ', and case,'} make no difference.",
                next_step="Mend the source, narrow source.where, or say duplicates: keep_newest. Data Cloud lists such "
                f"keys of the whole object: {repeated_keys_sql(load, identity)}",
            )
        known = self._shown(load)
        lanes = 1 if self._start.mode is Mode.SAMPLE else lanes_for(load, count.loadable_rows, known)
        config = RunConfig(
            load=load,
            column_types=counted.column_types,
            **asdict(identity),
            sample_rows=self._sample_rows(load),
            lease_key=run.lease_key or "",
            keeps_window=self._start.scheduled,
            modified_after=run.modified_after,
        )
        planned = replace(
            run,
            plan_name=uuid4().hex,
            source_rows=count.all_rows,
            skipped_null_key=count.null_keys,
            duplicates_dropped=count.duplicates,
            as_of=counted.as_of,
            undated_rows=counted.undated_rows,
        )
        return self._commit_to(planned, config, cut_lanes(count.buckets, lanes), known, counted.parents)

    def _commit_to(
        self,
        planned: Run,
        config: RunConfig,
        reads: Sequence[SourceRange | KeptList],
        known: Shown | None,
        parents: Parents | None = None,
    ) -> Run:
        """Write down what the run's tasks go by, then make it count."""
        lanes = staggered(config.load, reads, known)
        work = [
            LaneWork(rows=lane.reads.rows, start_delay_seconds=lane.start_delay_seconds, is_paired=lane.is_paired)
            for lane in lanes
        ]
        estimate = estimate_of(config.load, work, parents=parents, quota=self._quota(), known=known)
        _log_org_batches(estimate, config.load)
        self._services.tasks.configs.freeze(self._run_id, config)
        write_plan(self._services.tasks.files, planned, lanes, estimate)
        voids = self._voided_watermark(planned, config.load)
        return self._store.commit_plan(
            planned, voids=voids, writes_to=planned.lease_key if self._writes(reads) else None
        )

    def _writes(self, reads: Sequence[SourceRange | KeptList]) -> bool:
        """Whether the run is going to write rows as the source has them now."""
        return bool(reads) and self._start.mode is not Mode.PLAN

    def _shown(self, load: Load) -> Shown | None:
        """What the load's last run has shown of this org and object."""
        return shown_of(self._lease_key(load), self._store.shown(load.name))

    def _quota(self) -> OrgQuota | None:
        """What the org has left, for a plan that people are to read; a run that loads asks before its first batch."""
        if self._start.mode is not Mode.PLAN:
            return None
        try:
            found = tell_quota(self._org.metadata.limits())
        except LoadError as error:  # the rest of the plan is worth reading without it
            log(Marker.WARNING, Event.LIMITS_UNKNOWN, error=type(error).__name__, code=error.code)
            return None
        return OrgQuota(looked_at=self._services.tasks.clock.now(), look_begun_at=None, **found)

    def _voided_watermark(self, planned: Run, load: Load) -> Watermark | None:
        """The watermark, where this run begins to write by another mapping: the target is then of two mappings.

        Unless this run completes as a full one, only another full run makes it whole again.
        """
        if planned.mode not in (Mode.FULL, Mode.SAMPLE):
            return None
        known = self._store.watermark(load.name)
        is_same_target = known is not None and known.target == planned.lease_key
        return known if known and is_same_target and known.mapping_sha256 != mapping_sha256(load) else None


def _log_org_batches(estimate: Estimate, load: Load) -> None:
    if not load.lanes_meet:
        log(
            Marker.SUCCESS,
            Event.ORG_BATCHES_CHOSEN,
            org_batches=estimate.org_batches,
            reason=estimate.org_batches_reason,
            lanes=estimate.lanes,
        )


def with_overrides(load: Load, start: StartInput) -> Load:
    """The load as an execution's input changes it.

    Raises:
        InvalidInput: the changes do not fit the load.
    """
    try:
        return load.with_overrides(pace=start.pace, partitioning=start.partitioning, sample=start.sample)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        raise InvalidInput(
            f"The input's overrides do not fit the load {load.name}: {where}: {first['msg']}."
        ) from error
