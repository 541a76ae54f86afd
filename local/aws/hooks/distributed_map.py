"""The Distributed Map.

Defects: it never fails, failed children become null in the output; as many threads as MaxConcurrency start even for
one item, and one worker's items nest calls until Python's recursion limit; a child has no execution of its own: its
history is thrown away, `$$.Execution` is the parent's, the parent's variables leak in; a child's input has no size
limit.

Here a child has its own ARN, context, history budget and figures (it is not listed by ListExecutions). The output
holds the results of the children that succeeded. The tolerated failures are judged when all children have ended; AWS
would abort the rest as soon as the threshold is passed.
"""

import datetime
import uuid

from moto.stepfunctions.parser.api import ExecutionFailedEventDetails, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor.distributed_item_processor_worker import (  # noqa: E501 - moto's path
    DistributedItemProcessorWorker,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.job import JobPool
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.asl.eval.program_state import ProgramEnded, ProgramStopped
from moto.stepfunctions.parser.asl.eval.states import ExecutionData, ItemData, MapData, StateMachineData
from moto.stepfunctions.parser.asl.eval.variable_store import VariableStore

from local.aws.active import active
from local.aws.hooks import history
from local.aws.hooks.data_limit import check_size
from local.aws.hooks.executions import aws_time
from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped


class _NoResult:
    """Stands for a child that failed or was aborted, which null does not: a child may succeed with null."""


def install() -> None:
    """Gives Distributed Map children executions of their own and makes the Map heed its tolerance."""
    replace(DistributedIterationComponent, "_map_run", lambda _: _map_run)
    replace(DistributedItemProcessorWorker, "_eval_pool", lambda _: _eval_pool)
    replace(DistributedItemProcessorWorker, "_eval_job", lambda _: _eval_job)


def _map_run(self: Untyped, env: Untyped, eval_input: Untyped) -> None:
    items = env.stack.pop()
    map_run = eval_input.map_run_record
    pool = JobPool(job_program=self._get_iteration_program(), job_inputs=items)
    concurrency = min(len(items), map_run.max_concurrency or len(items))
    for _ in range(concurrency):
        self._launch_worker(env=env, eval_input=eval_input, job_pool=pool)
    pool.await_jobs()
    if env.is_running():
        _check_tolerance(env, map_run)
    outputs = [job.job_output for job in pool.get_closed_jobs()]
    env.stack.append([output for output in outputs if not isinstance(output, _NoResult)])


def _check_tolerance(env: Untyped, map_run: Untyped) -> None:
    counts = map_run.item_counter.describe()
    bad = counts["failed"] + counts["timedOut"] + counts["aborted"]
    percentage = map_run.tolerated_failure_percentage or 0
    count = map_run.tolerated_failure_count or 0
    # Exceeding either of the thresholds that are set fails the Map; without any, the first failure does.
    allowed = [limit for limit in (counts["total"] * percentage / 100, count) if limit]
    if bad <= min(allowed, default=0):
        return
    error = StatesErrorNameType.StatesExceedToleratedFailureThreshold
    details = ExecutionFailedEventDetails(
        error=error.to_name(),
        cause="The specified tolerated failure threshold was exceeded",
    )
    raise FailureEventException(
        FailureEvent(
            env=env,
            error_name=StatesErrorName(typ=error),
            event_type=HistoryEventType.MapRunFailed,
            event_details=EventDetails(mapRunFailedEventDetails=details),
        )
    )


def _eval_pool(self: Untyped, job: Untyped, worker_frame: Untyped) -> None:
    while job is not None:
        frame = worker_frame.open_inner_frame()
        frame.variable_store = VariableStore()
        job.job_output = _NoResult()
        try:
            self._eval_job(env=frame, job=job)
        finally:
            worker_frame.delete_frame(frame)
            self._job_pool.close_job(job)  # the Map waits for every job, whatever became of it
        job = self._job_pool.next_job()


def _eval_job(self: Untyped, env: Untyped, job: Untyped) -> None:
    counters = (self._map_run_record.item_counter, self._map_run_record.execution_counter)
    for counter in counters:
        counter.total.count()
    if not isinstance(env.program_state(), ProgramStopped):
        for counter in counters:
            counter.running.count()
        _run_child(self, env, job)
        for counter in counters:
            counter.running.offset(-1)
    state = env.program_state()
    if isinstance(state, ProgramEnded):
        job.job_output = env.states.get_input()
    for counter in counters:
        if isinstance(state, ProgramEnded):
            counter.succeeded.count()
            counter.results_written.count()
        elif isinstance(state, ProgramStopped):
            counter.aborted.count()
        else:
            counter.failed.count()


def _run_child(self: Untyped, env: Untyped, job: Untyped) -> None:
    context = env.states.context_object.context_object_data
    context["Map"] = MapData(Item=ItemData(Index=job.job_index, Value=job.job_input))
    env.event_manager = EventManager()
    try:
        env.states.reset(job.job_input)
        env.stack.append(env.states.get_input())
        self._eval_input(env_frame=env)
        child_input = env.states.get_input()
        check_size(env, child_input, "The input of the child execution")
    except FailureEventException as failure:
        env.set_error(failure.get_execution_failed_event_details())
        return
    except Exception as error:  # noqa: BLE001 - e.g. a path of the ItemSelector that is not there: this child failed
        cause = f"The input of the child execution could not be made: {error!r}"
        env.set_error(ExecutionFailedEventDetails(error=StatesErrorNameType.StatesRuntime.to_name(), cause=cause))
        return
    _become_execution(self, env, child_input)
    env.stack.clear()
    _add_event(env, HistoryEventType.ExecutionStarted)
    job.job_program.eval(env)
    succeeded = isinstance(env.program_state(), ProgramEnded)
    _add_event(env, HistoryEventType.ExecutionSucceeded if succeeded else HistoryEventType.ExecutionFailed)


def _become_execution(self: Untyped, env: Untyped, child_input: Untyped) -> None:
    context = env.states.context_object.context_object_data
    map_machine_arn = self._map_run_record.map_state_machine_arn
    name = str(uuid.uuid4())
    arn = f"{map_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
    context["Execution"] = ExecutionData(
        Id=arn,
        Input=child_input,
        Name=name,
        RoleArn=context["Execution"]["RoleArn"],
        StartTime=aws_time(datetime.datetime.now(tz=datetime.UTC)),
    )
    machine = map_machine_arn.rsplit(":", 1)[-1]
    context["StateMachine"] = StateMachineData(Id=map_machine_arn, Name=machine)
    running = active()
    if running is not None:
        history.account(env.event_manager, running.ledger.open(arn=arn, name=name, machine=machine))


def _add_event(env: Untyped, event_type: Untyped) -> None:
    env.event_manager.add_event(context=env.event_history_context, event_type=event_type)
