"""What an execution asks PlanRun for, and what it works with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from massive_upload.contracts import ExecutionContext, Plan, StartInput
from massive_upload.domain.load import Load, LoadSequence
from massive_upload.domain.progress import Run
from massive_upload.ports import Executions
from massive_upload.usecases.planning.sequence_place import SequencePlace
from massive_upload.usecases.slice_tasks import SliceServices


@dataclass(frozen=True)
class PlanServices:
    """What PlanRun works with, besides what every task has."""

    tasks: SliceServices
    executions: Executions
    load_named: Callable[[str], Load]
    sequence_named: Callable[[str], LoadSequence | None]


@dataclass(frozen=True)
class PlanRequest:
    """One run that an execution is to carry out.

    Attributes:
        start: the execution's input; in a sequence it names the load whose turn it is.
        run_id: the run's.
        execution: the execution that asks.
        place: where the run stands in a sequence.
        waited_seconds: for how long the org has been waited for so far.
    """

    start: StartInput
    run_id: str
    execution: ExecutionContext
    place: SequencePlace
    waited_seconds: int


class Planner(ABC):
    """Plans one kind of run; a repeated plan() goes on where the first one was."""

    def __init__(self, request: PlanRequest, services: PlanServices) -> None:
        self._start = request.start
        self._run_id = request.run_id
        self._execution = request.execution
        self._place = request.place
        self._waited_seconds = request.waited_seconds
        self._services = services
        self._store = services.tasks.store
        self._org = services.tasks.org

    @abstractmethod
    def plan(self) -> Plan:
        """The lanes that the execution is to load, or what it is to do instead."""

    @abstractmethod
    def patience_seconds(self) -> int:
        """For how long an org that does not answer is waited for."""


def begun_run(request: PlanRequest, services: PlanServices) -> Run | None:
    """The run, where this execution has begun or reopened it."""
    run = services.tasks.store.run(request.run_id)
    return run if run is not None and run.execution_arn == request.execution.arn else None
