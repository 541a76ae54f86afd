"""The lease of a target: one run at a time writes to an object of an org."""

from __future__ import annotations

from collections.abc import Sequence

from massive_upload.domain.progress import Lease, Partition
from massive_upload.errors import AnotherRunActive, LoadError
from massive_upload.ports import ProgressStore
from massive_upload.usecases.drain import Left
from massive_upload.usecases.finish_run import finish_run
from massive_upload.usecases.left_jobs import end_left_jobs
from massive_upload.usecases.planning.request import PlanServices
from massive_upload.usecases.slice_tasks import unsettled_batches
from massive_upload.usecases.watch_runs import finish_request

_NAMED_JOBS = 5
"""How many of the jobs that a run has left in flight are named to the operator."""


class JobsLeft(LoadError):
    """Jobs of the run before are still in flight.

    A signal that the plan has to wait, hence neither passing nor final.
    """


def one_of_each_target(leases: Sequence[Lease]) -> list[Lease]:
    """The first lease of each target: it is never another load's, not even for a moment, while one works on it."""
    return list({lease.key: lease for lease in reversed(leases)}.values())[::-1]


def holder_at_work(lease: Lease, services: PlanServices) -> Lease | None:
    """Who else is loading the target just now."""
    holder = services.tasks.store.lease(lease.key)
    if holder is None or holder.execution_arn == lease.execution_arn:
        return None
    return holder if services.executions.ended_as(holder.execution_arn) is None else None


def take_over(lease: Lease, services: PlanServices, *, is_patient: bool) -> None:
    """Take a target whose holder's execution has ended, once the jobs that it left in flight have come to an end.

    Their rows must not be written over those of this run. Rows whose job has ended, and of which the org does not tell
    what became of them, hold nobody up for longer than patience lasts.

    Raises:
        AnotherRunActive: another run was faster, or goes on.
        JobsLeft: the jobs have not ended, or may still be settled.
    """
    store = services.tasks.store
    holder = store.acquire_lease(lease)
    if holder is None:
        return
    if services.executions.ended_as(holder.execution_arn) is None:
        raise another_run(holder)
    left = _left_by(holder, services) if holder.run_id != lease.run_id else Left.NOTHING
    if left is Left.JOB or (left is Left.ROWS and is_patient):
        raise jobs_left(holder.run_id, store.partitions(holder.run_id), store)
    holder_now = store.acquire_lease(lease, instead_of=holder)
    if holder_now is not None:
        raise another_run(holder_now)


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
        verdict = finish_run(finish_request(run, ended), tasks)
        run = store.run(run.run_id)
        if verdict.next == "Drain" or run is None:
            return Left.JOB
    return end_left_jobs(run, tasks)


def jobs_left(run_id: str, partitions: Sequence[Partition], store: ProgressStore) -> JobsLeft:
    """What a plan is told to wait for: the jobs in flight that some partitions of a run were left with."""
    jobs = [
        batch.job_id for batch in unsettled_batches(store, partitions) if batch.has_job and batch.job_id is not None
    ]
    named = f", {', '.join(jobs[:_NAMED_JOBS])}" if jobs else ""
    return JobsLeft(f"Run {run_id} has left {len(jobs)} jobs in flight{named}.")


def another_run(holder: Lease) -> AnotherRunActive:
    """What a run ends with that meets another one at its target."""
    return AnotherRunActive(
        f"Run {holder.run_id} is loading {holder.key.rpartition('#')[2]}.",
        next_step=f"Wait for it to end, or pause it: massive-upload pause {holder.run_id}.",
    )
