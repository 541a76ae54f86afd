"""A run that goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from massive_upload.constants import STATE_KEPT_DAYS
from massive_upload.contracts import Mode, Plan
from massive_upload.domain.breaker import run_failures
from massive_upload.domain.presets import start_delay_seconds
from massive_upload.domain.progress import Lease, Partition, PartitionStatus, Run, RunFailures, RunStatus, partition_id
from massive_upload.errors import AnotherRunActive, FencedOut, InvalidInput, RunNotResumable, StateChanged
from massive_upload.observability import Event, Marker, log
from massive_upload.ports import PlannedLane, ProgressStore
from massive_upload.usecases.drain import Left
from massive_upload.usecases.left_jobs import end_jobs_of
from massive_upload.usecases.plan_file import read_plan
from massive_upload.usecases.planning.lane_plan import lane_item
from massive_upload.usecases.planning.request import Planner
from massive_upload.usecases.planning.target_lease import jobs_left, take_over
from massive_upload.usecases.run_age import check_age


def later_writer(store: ProgressStore, run: Run) -> str | None:
    """The run that was planned for the target after this one, which was planned to write itself; None if there is none.

    None for a retry, too: its rows are as old as the run that rejected them in any case.
    """
    if run.lease_key is None or run.retry_of is not None:
        return None
    writer = store.last_writer(run.lease_key)
    return None if writer == run.run_id else writer


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
            next_step="Let its execution end, then start a new run."
            if run.is_unfinished
            else "Start a new run with mode full.",
        )
    check_age(run, store, begins_at=begins_at)
    return run


class ResumeRun(Planner):
    """A run that goes on: with all partitions that have not completed, or with those that a person names."""

    def plan(self) -> Plan:
        """Take the target again, reopen the lanes that are wanted and go on with them.

        Raises:
            RunNotResumable: there is nothing to go on with, or a later run has written to the target.
            AnotherRunActive: another execution is loading the target.
            JobsLeft: the run that held the target last, or the sweep of this one, has left jobs in flight.
            InvalidInput: the input asks for what a resumed run cannot have.
        """
        self._check_input()
        run = self._resumable_run()
        lanes = read_plan(self._services.tasks.files, run)
        self._check_partitions(lanes)
        if run.execution_arn != self._execution.arn:
            self._check_ended(run)
            self._check_org(run)
            lease = Lease(key=run.lease_key or "", run_id=self._run_id, execution_arn=self._execution.arn)
            take_over(lease, self._services, is_patient=self._waited_seconds < self.patience_seconds())
            if lanes:
                self._check_not_overtaken(run, lease)
            self._end_job_of_sweep(run)
            run = self._store.reopen_run(
                run, execution_arn=self._execution.arn, failures_before=self._failures_before()
            )
        config = self._services.tasks.configs.of(self._run_id)
        self._store.create_partitions(run, lanes)
        concurrency = config.load.partitioning.max_concurrency
        stagger_seconds = config.load.effective_pace.stagger_seconds
        chosen, items = self._chosen(), []
        begun = sum(partition.has_begun for partition in chosen)
        for index, partition in enumerate(chosen):
            delay_seconds = start_delay_seconds(index, stagger_seconds, max_concurrency=concurrency, begun=begun)
            self._reopen(partition, delay_seconds if index < concurrency else None)
            items.append(lane_item(partition.partition, delay_seconds))
        for partition in self._left_at_work():
            self._reopen(partition, None)
        self._store.count_run_requests(self._run_id, self._org.take_requests())
        self._store.look_again(self._org.org_id)
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
        changes = self._start.given("pace", "partitioning", "sample")
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
                f"Run {run.run_id} is still being carried out.",
                next_step=f"Let it end, or pause it first: massive-upload pause {run.run_id}.",
            )

    def _check_org(self, run: Run) -> None:
        """In another org the rows that are settled would be missing."""
        if run.lease_key is not None and not run.lease_key.startswith(f"{self._org.org_id}#"):
            raise RunNotResumable(
                f"Run {run.run_id} began in another org than the one that the login leads to.",
                next_step="Log in to the org that it began in, or start a new run.",
            )

    def _check_not_overtaken(self, run: Run, lease: Lease) -> None:
        """What the run has staged would replace what a later one has brought, for good: that one has set a watermark.

        The target is held already, so that no other run can come in between.
        """
        writer = later_writer(self._store, run)
        if writer is None:
            return
        self._store.release_lease(lease)
        raise RunNotResumable(
            f"Run {writer} has written to the target since run {run.run_id} ended; its staged rows are older.",
            next_step="Start a new run of the load, with mode full unless an incremental one is enough.",
        )

    def _end_job_of_sweep(self, run: Run) -> None:
        """Settle or abort the job that the sweep was left with: its rows have the parents of the lanes that go on.

        FinishRun has done so, unless it has not heard of the execution's end yet, or the job did not end in time.
        """
        sweeps = [partition for partition in self._store.partitions(self._run_id) if partition.is_sweep]
        if end_jobs_of(run, sweeps, self._services.tasks) is Left.JOB:
            raise jobs_left(self._run_id, sweeps, self._store)

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
        """The partitions to go on with, those first that had begun."""
        lanes = [partition for partition in self._store.partitions(self._run_id) if not partition.is_sweep]
        unfinished = [lane for lane in lanes if lane.status is not PartitionStatus.COMPLETED]
        wanted = [lane for lane in unfinished if self._is_wanted(lane)]
        return sorted(wanted, key=lambda lane: not lane.has_begun)
