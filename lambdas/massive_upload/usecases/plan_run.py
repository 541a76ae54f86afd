"""PlanRun: find out what there is to load, and cut it into lanes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from uuid import uuid4

from pydantic import ValidationError

from massive_upload.constants import JOB_ROWS_PER_BATCH, MAX_LANES, STATE_KEPT_DAYS
from massive_upload.contracts import (
    RUN_ID_PATTERN,
    ExecutionContext,
    Lane,
    Mode,
    Plan,
    PlanRunInput,
    PlanSoFar,
    StartInput,
)
from massive_upload.domain import presets
from massive_upload.domain.breaker import run_failures
from massive_upload.domain.estimate import Estimate, LaneWork, Parents, estimate_of
from massive_upload.domain.file_keys import kept_list_key
from massive_upload.domain.identity import Identity
from massive_upload.domain.incremental import Watermark, mapping_sha256, why_full, window_start
from massive_upload.domain.lanes import cut_evenly, cut_lanes, paired
from massive_upload.domain.load import Load, LoadSequence, Schedule
from massive_upload.domain.progress import (
    KeptList,
    Lease,
    Partition,
    PartitionStatus,
    Run,
    RunFailures,
    RunStatus,
    SourceRange,
    partition_id,
)
from massive_upload.domain.quota import OrgQuota
from massive_upload.domain.shown import Shown, plan_org_batches
from massive_upload.domain.waits import plan_wait_seconds, split_stagger
from massive_upload.errors import (
    ORG_NOT_READY,
    AnotherRunActive,
    CredentialsRejected,
    DuplicateKeys,
    FencedOut,
    FullRunNeeded,
    InvalidInput,
    InvalidLoad,
    LoadError,
    OrgUnreachable,
    RunNotResumable,
    SalesforceUnavailable,
    StateChanged,
)
from massive_upload.observability import Event, Marker, log
from massive_upload.ports import Clock, Executions, PlannedLane, ProgressStore
from massive_upload.salesforce.data_cloud import QueryExpired
from massive_upload.usecases.check_target import check_target
from massive_upload.usecases.count_source import CountedSource, StillRunning, count_source, question_sha256
from massive_upload.usecases.drain import Left
from massive_upload.usecases.finish_run import finish_run
from massive_upload.usecases.kept_rows import KeptRows, write_kept_list
from massive_upload.usecases.left_jobs import end_left_jobs
from massive_upload.usecases.org_usage import tell_quota
from massive_upload.usecases.plan_file import read_plan, write_plan
from massive_upload.usecases.retry_failed import first_run, still_rejected
from massive_upload.usecases.run_age import check_age
from massive_upload.usecases.run_config import RunConfig
from massive_upload.usecases.run_ids import run_id_of
from massive_upload.usecases.slice_tasks import SliceServices, unsettled_batches
from massive_upload.usecases.watch_runs import finish_request

_FIRST_QUERY_WAIT_SECONDS = 5
_LONGEST_QUERY_WAIT_SECONDS = 60

_NAMED_JOBS = 5
"""How many of the jobs that a run has left in flight are named to the operator."""

_LONGEST_STAGGER_SECONDS = 14 * 86_400
"""So that the last lane starts well before the load machine's time-out, 30 days."""


@dataclass(frozen=True)
class PlanServices:
    """What PlanRun works with, besides what every task has."""

    tasks: SliceServices
    executions: Executions
    clock: Clock
    load_named: Callable[[str], Load]
    sequence_named: Callable[[str], LoadSequence | None]


class _JobsLeft(LoadError):
    """Jobs of the run before are still in flight.

    A signal that the plan has to wait, hence neither passing nor final.
    """


def plan_run(task: PlanRunInput, services: PlanServices) -> Plan:
    """Begin, or resume, the run that an execution carries out, and say which lanes it has.

    A repeated PlanRun goes on where the first one was: the run's item names the plan that counts, and the partitions
    are made from that plan alone.

    Raises:
        ConfigurationError: something is wrong with the input, the load, the source or the target; nothing was written
            to the target.
        AnotherRunActive: another execution is loading the target.
        OrgUnreachable: for as long as the load's patience lasts, the org did not answer, or did not end the jobs that
            the run before has left in flight.
        PassingError: the org or AWS did not answer.
    """
    start = _parse(task.input)
    run_id = run_id_of(task.input, task.execution)
    place = None if start.load is None else _place_in_sequence(start, task.plan, services)
    if place is not None:
        run_id = f"{run_id}.{place.load}"
        start = start.model_copy(update={"load": place.load})
    elif start.start_with is not None:
        raise InvalidInput(
            "start_with is for a sequence of loads.", next_step="Name the sequence as load, or leave start_with out."
        )
    if not re.fullmatch(RUN_ID_PATTERN, run_id):
        raise InvalidInput(
            f"{run_id!r} cannot be a run's id.",
            next_step="Name the execution, or give a run_id, with letters, digits, '.', '_' and '-' alone.",
        )
    _check_names(start)
    place = place or _ALONE
    so_far = {"sequence": place.sequence, "position": task.plan.position}
    run = _begun_run(run_id, task.execution, services)
    if run is not None and run.is_unfinished and run.is_halting:  # before the org is asked, which may be down
        return Plan(next="Finish", run_id=run_id).model_copy(update=so_far)
    waited_seconds = task.plan.org_waited_seconds
    kind = _PLANNING.get(start.mode, _Begin)
    planning = kind(start, run_id, task.execution, services, place, waited_seconds)
    try:
        return planning.plan().model_copy(update=so_far)
    except (*ORG_NOT_READY, QueryExpired, _JobsLeft) as error:
        silent = isinstance(error, SalesforceUnavailable) and not error.answered
        if silent and _begun_run(run_id, task.execution, services) is None:
            raise  # its address may be wrong: nobody is to wait for hours to hear of it
        waiting = _wait_for_org(task.plan, run_id, error, planning.patience_seconds())
        return waiting.model_copy(update=so_far)


@dataclass(frozen=True)
class _Place:
    """Where a run stands in a sequence.

    Attributes:
        load: the name of its load.
        sequence: the names of all loads of its execution.
        is_first: whether its execution has loaded nothing yet.
        following: the names of those that come after it.
        schedule: the sequence's; None where it has none.
    """

    load: str
    sequence: tuple[str, ...] = ()
    is_first: bool = True
    following: tuple[str, ...] = ()
    schedule: Schedule | None = None


_ALONE = _Place(load="")
"""Of a run that belongs to no sequence."""


def _place_in_sequence(start: StartInput, so_far: PlanSoFar, services: PlanServices) -> _Place | None:
    """Which load of a sequence is next; None where the input names a load.

    Raises:
        InvalidInput: it is to begin with a load that the sequence has not, or changes what is its loads' own.
    """
    sequence = services.sequence_named(start.load or "")
    loads = so_far.sequence or (_loads_of(sequence, start) if sequence is not None else ())
    if not loads:
        return None
    return _Place(
        load=loads[so_far.position],
        sequence=loads,
        is_first=so_far.position == 0,
        following=loads[so_far.position + 1 :],
        schedule=sequence.schedule if sequence is not None else None,
    )


def _loads_of(sequence: LoadSequence, start: StartInput) -> tuple[str, ...]:
    """The loads that an execution is to carry out of a sequence as it is deployed."""
    changes = [name for name in ("pace", "partitioning", "sample") if getattr(start, name) is not None]
    if changes:
        raise InvalidInput(
            f"{changes[0]} cannot be given for a sequence, as each of its loads has its own.",
            next_step=f"Leave {', '.join(changes)} out, or start one load.",
        )
    loads = sequence.sequence
    if start.start_with is not None:
        if start.start_with not in loads:
            raise InvalidInput(
                f"The sequence {sequence.name} has no load {start.start_with!r}.",
                next_step=f"It has {', '.join(loads)}.",
            )
        return loads[loads.index(start.start_with) :]
    return loads


def _begun_run(run_id: str, execution: ExecutionContext, services: PlanServices) -> Run | None:
    """The run, where this execution has begun or reopened it."""
    run = services.tasks.store.run(run_id)
    return run if run is not None and run.execution_arn == execution.arn else None


def _wait_for_org(before: PlanSoFar, run_id: str, error: LoadError, patience_seconds: int) -> Plan:
    """The next wait for an org that does not answer, which is nobody's fault before anything is written either."""
    waited_seconds = before.org_waited_seconds
    is_for_jobs = isinstance(error, _JobsLeft)
    if waited_seconds >= patience_seconds and is_for_jobs:
        raise OrgUnreachable(
            f"{error} They did not end in {waited_seconds} s, which is the load's patience.",
            next_step="Abort them in Setup, Bulk Data Load Jobs, then start the run again.",
        ) from error
    if waited_seconds >= patience_seconds:
        raise OrgUnreachable(
            f"The org did not answer for {waited_seconds} s, which is the load's patience; last: {error}",
            next_step="Start the run again when the org answers; raise pace.patience_seconds for longer outages.",
        ) from error
    wait_seconds = min(plan_wait_seconds(before.org_waits), patience_seconds - waited_seconds)
    event = Event.WAITING_FOR_OLD_JOBS if is_for_jobs else Event.WAITING_FOR_ORG
    log(Marker.WAITING, event, wait_seconds=wait_seconds, waited_seconds=waited_seconds)
    return Plan(
        next="Wait",
        run_id=run_id,
        wait_seconds=wait_seconds,
        org_waits=before.org_waits + 1,
        org_waited_seconds=waited_seconds + wait_seconds,
    )


def _parse(given: dict[str, object]) -> StartInput:
    known = {name: value for name, value in given.items() if not name.startswith("AWS_STEP_FUNCTIONS_")}
    try:
        return StartInput.model_validate(known)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "input"
        raise InvalidInput(
            f"The execution's input is wrong at {where}: {first['msg']}.",
            next_step='Start with, for example, {"load": "opportunity"}; see the files in events/.',
        ) from error


def _check_names(start: StartInput) -> None:
    """Each way to start names what it is about, and nothing else."""
    allowed = {Mode.RESUME: {"partitions"}, Mode.RETRY_FAILED: {"of", "only"}}
    for name, mode in (("partitions", Mode.RESUME), ("of", Mode.RETRY_FAILED), ("only", Mode.RETRY_FAILED)):
        if getattr(start, name) is not None and name not in allowed.get(start.mode, ()):
            raise InvalidInput(
                f"{name} can be given with mode {mode} only.", next_step=f'Add "mode": "{mode}", or leave it out.'
            )


def resumable(store: ProgressStore, run_id: str, *, begins_at: datetime) -> Run:
    """The run, if there is something that an execution which begins then can go on with.

    Raises:
        RunNotResumable: there is no such run, it has completed, it ended before its plan counted, or it is too old.
    """
    run = store.run(run_id)
    if run is None:
        raise RunNotResumable(
            f"There is no run {run_id!r}.",
            next_step=f"Look the run_id up; state is kept for {STATE_KEPT_DAYS} days. Start a new run with mode full.",
        )
    if run.status is RunStatus.COMPLETED or run.plan_name is None or run.mode == Mode.PLAN:
        raise RunNotResumable(
            f"Run {run_id} is {run.status} and has nothing to go on with.",
            next_step="Start a new run with mode full.",
        )
    check_age(run, store, begins_at=begins_at)
    return run


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


class _Begin:
    """A run that begins with a plan: full, incremental, sample, or the plan alone."""

    def __init__(
        self,
        start: StartInput,
        run_id: str,
        execution: ExecutionContext,
        services: PlanServices,
        place: _Place,
        waited_seconds: int,
    ) -> None:
        self._start = start
        self._place = place
        self._run_id = run_id
        self._execution = execution
        self._services = services
        self._waited_seconds = waited_seconds
        self._store = services.tasks.store
        self._org = services.tasks.org

    def plan(self) -> Plan:
        load = self._load()
        lease = self._lease(load)
        leases_after = self._leases_after()
        wanted = _one_of_each_target([*([lease] if lease else []), *leases_after])
        holders = [holder for holder in map(self._holder_at_work, wanted) if holder is not None]
        if holders and self._start.scheduled and self._place.is_first:
            log(Marker.WARNING, Event.RUN_SKIPPED, run_id=self._run_id, holder=holders[0].run_id)
            return Plan(next="Skip", run_id=self._run_id)
        if holders:
            raise _another_run(holders[0])
        is_patient = self._waited_seconds < load.effective_pace.patience_seconds
        for each in wanted:
            _take_over(each, self._services, is_patient=is_patient)
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
                return _wait(self._run_id, self._query_wait_seconds(run), Event.WAITING_FOR_QUERY)
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
        return _plan_of(run, lanes, concurrency)

    def _load(self) -> Load:
        if self._start.load is None:
            raise InvalidInput("The input does not name a load.", next_step='Start with {"load": "opportunity"}.')
        load = _with_overrides(self._services.load_named(self._start.load), self._start)
        if self._place.schedule is not None:
            load = load.model_copy(update={"schedule": self._place.schedule})
        if self._start.mode is Mode.INCREMENTAL and load.source.modified is None:
            raise InvalidInput(
                f"The load {load.name} does not name the column that tells when a row was modified.",
                next_step="Give source.modified in its file, or start with mode full.",
            )
        return load

    def _lease(self, load: Load) -> Lease | None:
        """A run that only plans writes nothing, so it needs no lease."""
        if self._start.mode is Mode.PLAN:
            return None
        return Lease(key=self._lease_key(load), run_id=self._run_id, execution_arn=self._execution.arn)

    def _lease_key(self, load: Load) -> str:
        return f"{self._org.org_id}#{load.target.object.casefold()}"  # Salesforce ignores the case of names

    def _leases_after(self) -> list[Lease]:
        """Of the loads that are to follow: a sequence is not begun that another run would stop half way."""
        if self._start.mode is Mode.PLAN:
            return []
        keys = {name: self._lease_key(self._services.load_named(name)) for name in self._place.following}
        own = self._run_id.removesuffix(self._place.load)
        return [Lease(key=key, run_id=f"{own}{name}", execution_arn=self._execution.arn) for name, key in keys.items()]

    def _holder_at_work(self, lease: Lease) -> Lease | None:
        """Who else is loading the target just now."""
        holder = self._store.lease(lease.key)
        if holder is None or holder.execution_arn == lease.execution_arn:
            return None
        return holder if self._services.executions.ended_as(holder.execution_arn) is None else None

    def _query_wait_seconds(self, run: Run) -> int:
        """Longer the longer the query has run: 25,000 events are enough for days."""
        running = self._services.clock.now() - run.started_at
        return max(_FIRST_QUERY_WAIT_SECONDS, min(int(running.total_seconds()) // 4, _LONGEST_QUERY_WAIT_SECONDS))

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
                f"{load.source.object} has {count.duplicates} rows whose {load.source.key} is not the only one"
                f"{'' if identity.case_sensitive_key else ' (case is ignored, as the target does)'}.",
                next_step="Mend the source, narrow source.where, or say duplicates: keep_newest.",
            )
        known = self._shown(load)
        lanes = 1 if self._start.mode is Mode.SAMPLE else _lanes_for(load, count.loadable_rows, known)
        config = RunConfig(
            load=load,
            key_type=counted.key_type,
            **asdict(identity),
            sample_rows=self._sample_rows(load),
            lease_key=run.lease_key or "",
            keeps_window=self._start.scheduled,
            modified_after=run.modified_after,
            started_at=run.started_at,
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
        lanes = _staggered(config.load, reads, known)
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
        known = self._store.shown(load.name)
        return known if known is not None and known.target == self._lease_key(load) else None

    def _quota(self) -> OrgQuota | None:
        """What the org has left, for a plan that people are to read; a run that loads asks before its first batch."""
        if self._start.mode is not Mode.PLAN:
            return None
        try:
            found = tell_quota(self._org.metadata.limits(), self._org.api_usage)
        except LoadError as error:  # the rest of the plan is worth reading without it
            log(Marker.WARNING, Event.LIMITS_UNKNOWN, error=type(error).__name__, code=error.code)
            return None
        return OrgQuota(looked_at=self._services.clock.now(), look_begun_at=None, **found)

    def _voided_watermark(self, planned: Run, load: Load) -> Watermark | None:
        """The watermark, where this run begins to write by another mapping: the target is then of two mappings.

        Unless this run completes as a full one, only another full run makes it whole again.
        """
        if planned.mode not in (Mode.FULL, Mode.SAMPLE):
            return None
        known = self._store.watermark(load.name)
        is_same_target = known is not None and known.target == planned.lease_key
        return known if known and is_same_target and known.mapping_sha256 != mapping_sha256(load) else None


class _Retry(_Begin):
    """A run that begins with the rejected rows of another, under the configuration that this one had.

    Kept rows hold the target's columns as they were sent, so a mapping that was changed since could not be applied to
    them; pace and partitioning can be given anew.
    """

    def _load(self) -> Load:
        unfit = [name for name in ("load", "sample") if getattr(self._start, name) is not None]
        if unfit:
            raise InvalidInput(
                f"{unfit[0]} cannot be given with mode {Mode.RETRY_FAILED}: the run that is retried decides it.",
                next_step=f"Leave {', '.join(unfit)} out.",
            )
        return _with_overrides(self._services.tasks.configs.of(self._first.run_id).load, self._start)

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
        own = {"load": load, "sample_rows": None, "keeps_window": self._start.scheduled, "started_at": run.started_at}
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
        lanes = 1 if by_parent else _lanes_for(load, planned.source_rows, known)
        for cut in cut_evenly([entry.rows for entry in entries], lanes):
            part = entries[cut.start : cut.stop]
            key = kept_list_key(planned.run_id, f"{planned.plan_name}-{partition_id(len(lists))}")
            write_kept_list(self._services.tasks.files, key, part)
            lists.append(KeptList(key=key, rows=sum(entry.rows for entry in part)))
        return lists


class _Resume:
    """A run that goes on: with all partitions that have not completed, or with those that a person names."""

    def __init__(
        self,
        start: StartInput,
        run_id: str,
        execution: ExecutionContext,
        services: PlanServices,
        _place: _Place,
        waited_seconds: int,
    ) -> None:
        self._start = start
        self._run_id = run_id
        self._execution = execution
        self._services = services
        self._waited_seconds = waited_seconds
        self._store = services.tasks.store

    def plan(self) -> Plan:
        self._check_input()
        run = self._resumable_run()
        lanes = read_plan(self._services.tasks.files, run)
        self._check_partitions(lanes)
        if run.execution_arn != self._execution.arn:
            self._check_ended(run)
            self._check_org(run)
            lease = Lease(key=run.lease_key or "", run_id=self._run_id, execution_arn=self._execution.arn)
            _take_over(lease, self._services, is_patient=self._waited_seconds < self.patience_seconds())
            self._check_not_overtaken(run, lease)
            run = self._store.reopen_run(
                run, execution_arn=self._execution.arn, failures_before=self._failures_before()
            )
        config = self._services.tasks.configs.of(self._run_id)
        self._store.create_partitions(run, lanes)
        delays = {lane.partition: lane.start_delay_seconds for lane in lanes}
        concurrency = config.load.partitioning.max_concurrency
        chosen = self._chosen()
        first_delay = min((delays[partition.partition] for partition in chosen), default=0)
        for index, partition in enumerate(chosen):
            delay_seconds = delays[partition.partition] - first_delay
            due_after_seconds = delay_seconds if index < concurrency else None
            self._reopen(partition, due_after_seconds)
        for partition in self._left_at_work():
            self._reopen(partition, None)
        self._store.count_run_requests(self._run_id, self._services.tasks.org.take_requests())
        items = [_lane_item(partition.partition, delays[partition.partition] - first_delay) for partition in chosen]
        log(Marker.SUCCESS, Event.RUN_PLANNED, run_id=run.run_id, load=run.load, mode=Mode.RESUME, lanes=len(items))
        return Plan(next="Load", run_id=self._run_id, max_concurrency=concurrency, lanes=tuple(items))

    def _reopen(self, partition: Partition, due_after_seconds: int | None) -> None:
        """Once for each execution: a repeated PlanRun must not take a partition from the slices that work on it."""
        if partition.reopened_by == self._execution.arn:
            return
        try:
            self._store.reopen_partition(
                partition, execution_arn=self._execution.arn, due_after_seconds=due_after_seconds
            )
        except FencedOut as error:
            raise StateChanged(
                f"Partition {partition.partition} of run {partition.run_id} was changed in between.",
                next_step="It is read again by itself.",
            ) from error

    def patience_seconds(self) -> int:
        """For how long an org that does not answer is waited for."""
        return self._services.tasks.configs.of(self._run_id).load.effective_pace.patience_seconds

    def _resumable_run(self) -> Run:
        if self._start.run_id is None:
            raise InvalidInput(
                "mode resume needs the run_id of the run to go on with.",
                next_step="It is the name of the run's first execution.",
            )
        return resumable(self._store, self._run_id, begins_at=self._execution.started_at)

    def _check_input(self) -> None:
        changes = [name for name in ("pace", "partitioning", "sample") if getattr(self._start, name) is not None]
        if changes:
            raise InvalidInput(
                f"A run that is resumed keeps the configuration that it was planned with; {changes[0]} cannot change.",
                next_step=f"Leave {', '.join(changes)} out, or start a new run.",
            )

    def _check_partitions(self, lanes: Sequence[PlannedLane]) -> None:
        """Before the run is reopened: a mistake must leave it as it is."""
        unknown = self._wanted() - {lane.partition for lane in lanes}
        if unknown:
            raise InvalidInput(
                f"Run {self._run_id} has no partition {', '.join(sorted(unknown))}.",
                next_step=f"Its partitions are 0 to {len(lanes) - 1}.",
            )

    def _wanted(self) -> set[str]:
        return {partition_id(index) for index in self._start.partitions or ()}

    def _check_ended(self, run: Run) -> None:
        if run.status is RunStatus.RUNNING and self._services.executions.ended_as(run.execution_arn) is None:
            raise AnotherRunActive(
                f"Run {run.run_id} is still being carried out.", next_step="Stop its execution first, or let it end."
            )

    def _check_org(self, run: Run) -> None:
        """In another org the rows that are settled would be missing."""
        if run.lease_key is not None and not run.lease_key.startswith(f"{self._services.tasks.org.org_id}#"):
            raise RunNotResumable(
                f"Run {run.run_id} began in another org than the one that the login leads to.",
                next_step="Log in to the org that it began in, or start a new run.",
            )

    def _check_not_overtaken(self, run: Run, lease: Lease) -> None:
        """What the run has staged would replace what a later one has brought, for good: that one has set a watermark.

        Rows of a retry are as old as the run that rejected them in any case. The target is held already, so that no
        other run can come in between.
        """
        writer = self._store.last_writer(lease.key)
        if writer in (None, run.run_id) or run.retry_of is not None:
            return
        self._store.release_lease(lease)
        raise RunNotResumable(
            f"Run {writer} has written to the target since run {run.run_id} ended; its staged rows are older.",
            next_step="Start a new run of the load, with mode full unless an incremental one is enough.",
        )

    def _failures_before(self) -> RunFailures:
        """What has failed until now, but for the lanes that are about to go on."""
        partitions = self._store.partitions(self._run_id)
        chosen = {partition.partition for partition in partitions if self._is_wanted(partition)}
        left = [partition for partition in partitions if partition.partition not in chosen]
        return replace(run_failures(partitions), failed_lanes=run_failures(left).failed_lanes)

    def _is_wanted(self, lane: Partition) -> bool:
        """Whether a person wants to go on with a lane: with all of them, where none is named."""
        wanted = self._wanted()
        return not wanted or lane.partition in wanted

    def _left_at_work(self) -> list[Partition]:
        """What the ended execution was at, and this one does not go on with at once: nobody works on it now.

        Nothing that was claimed since this execution began: a PlanRun that lives on beside its own retry must not take
        the sweep from the slice that works on it.
        """
        partitions = self._store.partitions(self._run_id)
        others = [partition for partition in partitions if partition.is_sweep or not self._is_wanted(partition)]
        return [
            partition
            for partition in others
            if partition.status is PartitionStatus.RUNNING
            and (partition.last_progress_at is None or partition.last_progress_at < self._execution.started_at)
        ]

    def _chosen(self) -> list[Partition]:
        """The partitions to go on with."""
        lanes = [partition for partition in self._store.partitions(self._run_id) if not partition.is_sweep]
        unfinished = [lane for lane in lanes if lane.status is not PartitionStatus.COMPLETED]
        return [lane for lane in unfinished if self._is_wanted(lane)]


_PLANNING: Mapping[Mode, type[_Begin | _Resume]] = {Mode.RESUME: _Resume, Mode.RETRY_FAILED: _Retry}
"""How a run is planned; all other modes count the source."""


def _with_overrides(load: Load, start: StartInput) -> Load:
    try:
        return load.with_overrides(pace=start.pace, partitioning=start.partitioning, sample=start.sample)
    except ValidationError as error:
        raise InvalidInput(f"The input's overrides do not fit the load {load.name}: {error}.") from error


def _lanes_for(load: Load, rows: int, known: Shown | None) -> int:
    partitioning = load.partitioning
    if not load.lanes_meet:
        org_batches = plan_org_batches(partitioning.org_batches, known).number
        batch_rows = load.effective_pace.batch_rows
        return partitioning.count or presets.filling_lanes_for(rows, org_batches=org_batches, batch_rows=batch_rows)
    wanted = partitioning.count or presets.lanes_for(rows, load.lock_risk, lane_rows=partitioning.lane_rows)
    if rows and wanted > MAX_LANES:
        raise InvalidInput(
            f"{rows} rows make {wanted} lanes; at most {MAX_LANES} are possible.",
            next_step="Raise partitioning.lane_rows.",
        )
    return wanted


def _log_org_batches(estimate: Estimate, load: Load) -> None:
    if not load.lanes_meet:
        log(
            Marker.SUCCESS,
            Event.ORG_BATCHES_CHOSEN,
            org_batches=estimate.org_batches,
            reason=estimate.org_batches_reason,
            lanes=estimate.lanes,
        )


def _staggered(load: Load, reads: Sequence[SourceRange | KeptList], known: Shown | None = None) -> list[PlannedLane]:
    stagger_seconds = load.effective_pace.stagger_seconds
    if (len(reads) - 1) * stagger_seconds > _LONGEST_STAGGER_SECONDS:
        raise InvalidInput(
            f"{len(reads)} lanes that start {stagger_seconds} s apart would take more than 14 days to start.",
            next_step="Lower pace.stagger_seconds, or raise partitioning.lane_rows.",
        )
    paired_lanes = _paired(load, reads, known)
    return [
        PlannedLane(
            partition=partition_id(index),
            reads=each,
            start_delay_seconds=presets.start_delay_seconds(
                index, stagger_seconds, max_concurrency=load.partitioning.max_concurrency
            ),
            is_paired=each in paired_lanes,
            job_seconds=known.typical_job_seconds if known else None,
            job_rows=known.typical_job_rows if known else None,
        )
        for index, each in enumerate(reads)
    ]


def _paired(load: Load, reads: Sequence[SourceRange | KeptList], known: Shown | None) -> frozenset[SourceRange]:
    """The lanes that are paired; none where the last run showed that a batch might wait too long for the other.

    A load that sets smaller jobs keeps them.
    """
    is_slow = known is not None and (known.row_ms > presets.MOST_PAIR_ROW_MS or known.is_contended)
    if is_slow or load.effective_pace.batch_rows < JOB_ROWS_PER_BATCH:
        return frozenset()
    org_batches = plan_org_batches(load.partitioning.org_batches, known).number
    return paired([each for each in reads if isinstance(each, SourceRange)], org_batches=org_batches)


def _plan_of(run: Run, lanes: Sequence[PlannedLane], max_concurrency: int) -> Plan:
    items = tuple(_lane_item(lane.partition, lane.start_delay_seconds) for lane in lanes)
    following = "Load" if items else "Finish"
    return Plan(next=following, run_id=run.run_id, max_concurrency=max_concurrency, lanes=items)


def _lane_item(partition: str, delay_seconds: int) -> Lane:
    short_wait_seconds, long_waits = split_stagger(delay_seconds)
    return Lane(partition=partition, short_wait_seconds=short_wait_seconds, long_waits=long_waits)


def _one_of_each_target(leases: Sequence[Lease]) -> list[Lease]:
    """The first lease of each target: it is never another load's, not even for a moment, while one works on it."""
    return list({lease.key: lease for lease in reversed(leases)}.values())[::-1]


def _take_over(lease: Lease, services: PlanServices, *, is_patient: bool) -> None:
    """Take a target whose holder's execution has ended, once the jobs that it left in flight have come to an end.

    Their rows must not be written over those of this run. Rows whose job has ended, and of which the org does not tell
    what became of them, hold nobody up for longer than patience lasts.

    Raises:
        AnotherRunActive: another run was faster, or goes on.
        _JobsLeft: the jobs have not ended, or may still be settled.
    """
    store = services.tasks.store
    holder = store.acquire_lease(lease)
    if holder is None:
        return
    if services.executions.ended_as(holder.execution_arn) is None:
        raise _another_run(holder)
    left = _left_by(holder, services) if holder.run_id != lease.run_id else Left.NOTHING
    if left is Left.JOB or (left is Left.ROWS and is_patient):
        raise _jobs_left(holder, services)
    holder_now = store.acquire_lease(lease, instead_of=holder)
    if holder_now is not None:
        raise _another_run(holder_now)


def _left_by(holder: Lease, services: PlanServices) -> Left:
    """Finish the run of an execution that ended without doing so, and end what jobs it left behind.

    A holder may have taken the target for a run id that another execution carries out, and still does: that one is
    left alone.
    """
    store, tasks = services.tasks.store, services.tasks
    run = store.run(holder.run_id)
    ended = services.executions.ended_as(run.execution_arn) if run is not None else None
    if run is None or ended is None:
        return Left.NOTHING
    if run.is_unfinished:
        verdict = finish_run(finish_request(run, ended), tasks, services.clock)
        run = store.run(run.run_id)
        if verdict.next == "Drain" or run is None:
            return Left.JOB
    return end_left_jobs(run, tasks)


def _jobs_left(holder: Lease, services: PlanServices) -> _JobsLeft:
    store = services.tasks.store
    batches = unsettled_batches(store, store.partitions(holder.run_id))
    jobs = [batch.job_id for batch in batches if batch.has_job and batch.job_id is not None]
    named = f", {', '.join(jobs[:_NAMED_JOBS])}" if jobs else ""
    return _JobsLeft(f"Run {holder.run_id} has left {len(jobs)} jobs in flight{named}.")


def _wait(run_id: str, wait_seconds: int, event: Event) -> Plan:
    log(Marker.WAITING, event, run_id=run_id, wait_seconds=wait_seconds)
    return Plan(next="Wait", run_id=run_id, wait_seconds=wait_seconds)


def _another_run(holder: Lease) -> AnotherRunActive:
    return AnotherRunActive(
        f"Run {holder.run_id} is loading {holder.key.rpartition('#')[2]}.",
        next_step="Wait for it to end, or stop its execution.",
    )
