"""The life of an execution: start, stop, end.

Defects: machines made by CloudFormation land in a backend that executes nothing; executions without a name collide;
two starts at once are not ordered; a stop right after the start fails; a stopped execution keeps running for everyone
who looks until its Lambda has ended, and fails instead when that Lambda fails; the error and cause of StopExecution
get lost; a crash of the interpreter leaves it running for ever; the start time in the context object is no text, and
the time at which a state was entered has microseconds and an offset; threads that have ended are kept; the history of
an execution that is just being started cannot be read, nor that of one that was stopped just before the time-out of a
task is evaluated: nothing is evaluated any more then, and another value of the stack is taken for it.
"""

import datetime
import threading
import time
import uuid

import moto.stepfunctions.models
from moto.core.responses import ActionResult
from moto.stepfunctions.exceptions import ValidationException
from moto.stepfunctions.parser import utils
from moto.stepfunctions.parser.api import ExecutionStatus, GetExecutionHistoryOutput
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import TimeoutSeconds
from moto.stepfunctions.parser.asl.component.state import state
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.program_state import ProgramStopped, ProgramTimedOut
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import StepFunctionsParserBackend, stepfunctions_parser_backends
from moto.stepfunctions.responses import StepFunctionResponse

from local.aws.active import active
from local.aws.hooks import history
from local.aws.hooks.data_limit import MAX_PAYLOAD_BYTES
from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped

_start_lock = threading.Lock()
_end_lock = threading.Lock()


def install() -> None:
    """Makes executions of deployed machines start, stop and end as on AWS."""
    replace(moto.stepfunctions.models, "stepfunctions_backends", lambda _: stepfunctions_parser_backends)
    replace(StepFunctionsParserBackend, "start_execution", _build_start_execution)
    replace(StepFunctionResponse, "stop_execution", lambda _: _stop_execution)
    replace(Execution, "start", _build_start)
    replace(Execution, "stop", _build_stop)
    replace(Execution, "to_history_output", _build_to_history_output)
    replace(ExecutionWorker, "_get_evaluation_environment", _build_environment)
    replace(ExecutionWorker, "_execution_logic", _build_execution_logic)
    replace(BaseExecutionWorkerCommunication, "terminated", _build_terminated)
    replace(Environment, "set_error", _build_set_error)
    replace(state, "StateData", _build_state_data)
    replace(TimeoutSeconds, "eval", lambda _: TimeoutSeconds._eval_body)


def _build_to_history_output(original: Untyped) -> Untyped:
    def to_history_output(self: Untyped) -> Untyped:
        return GetExecutionHistoryOutput(events=[]) if self.exec_worker is None else original(self)

    return to_history_output


def aws_time(moment: datetime.datetime) -> str:
    """Writes a moment as the context object and EventBridge do: ISO 8601, milliseconds, Z."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _build_state_data(original: Untyped) -> Untyped:
    def state_data(**fields: str) -> Untyped:
        entered = datetime.datetime.fromisoformat(fields.pop("EnteredTime"))
        return original(EnteredTime=aws_time(entered), **fields)

    return state_data


def _build_start_execution(original: Untyped) -> Untyped:
    def start_execution(
        self: Untyped,
        state_machine_arn: str,
        name: str | None = None,
        execution_input: str | None = None,
        trace_header: str | None = None,
    ) -> Untyped:
        if len((execution_input or "").encode()) > MAX_PAYLOAD_BYTES:
            raise ValidationException(
                "1 validation error detected: Value at 'input' failed to satisfy constraint: "
                f"Member must have length less than or equal to {MAX_PAYLOAD_BYTES}",
            )
        with _start_lock:
            return original(self, state_machine_arn, name or str(uuid.uuid4()), execution_input, trace_header)

    return start_execution


def _build_start(original: Untyped) -> Untyped:
    def start(self: Untyped) -> None:
        self.ended = threading.Event()
        running = active()
        if running is not None:
            self.figures = running.ledger.open(arn=self.exec_arn, name=self.name, machine=self.state_machine.name)
            self.exec_status = ExecutionStatus.RUNNING  # before it runs: a short one would be told as ended twice
            running.on_status(self)
        original(self)

    return start


def _build_environment(original: Untyped) -> Untyped:
    def environment(self: Untyped) -> Untyped:
        env = original(self)
        execution_data = env.states.context_object.context_object_data["Execution"]
        execution_data["StartTime"] = aws_time(execution_data["StartTime"])
        figures = getattr(self._execution_communication.execution, "figures", None)
        if figures is not None:
            history.account(env.event_manager, figures)
        return env

    return environment


def _build_execution_logic(original: Untyped) -> Untyped:
    def execution_logic(self: Untyped) -> None:
        execution = self._execution_communication.execution
        try:
            original(self)
        except Exception as error:  # noqa: BLE001 - whatever broke, the execution must not look alive
            execution.exec_status = ExecutionStatus.FAILED
            execution.stop_date = datetime.datetime.now(tz=datetime.UTC)
            execution.error = "States.Runtime"
            execution.cause = f"The embedded interpreter failed: {error!r}"
            _end(execution)

    return execution_logic


def _build_terminated(original: Untyped) -> Untyped:
    def terminated(self: Untyped) -> None:
        if self.execution.ended.is_set():
            return  # stopped: its status was final from that moment on
        original(self)
        _end(self.execution)

    return terminated


def _build_stop(original: Untyped) -> Untyped:
    def stop(
        self: Untyped,
        stop_date: datetime.datetime | None,
        error: str | None = None,
        cause: str | None = None,
    ) -> None:
        _await_first_state(self)
        if self.ended.is_set():
            return
        original(self, stop_date=stop_date, error=error, cause=cause)
        if isinstance(self.exec_worker.env.program_state(), ProgramStopped):
            self.exec_status = ExecutionStatus.ABORTED
            self.stop_date = datetime.datetime.now(tz=datetime.UTC)
            self.error, self.cause = error or None, cause or None
            _end(self)

    return stop


def _stop_execution(self: Untyped) -> Untyped:
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    execution.stop(stop_date=None, error=self._get_param("error"), cause=self._get_param("cause"))
    return ActionResult({"stopDate": execution.stop_date})


def _await_first_state(execution: Untyped) -> None:
    """Waits the few milliseconds that moto needs between StartExecution and an environment that can be stopped."""
    while not execution.ended.is_set():
        env = execution.exec_worker.env
        if env is not None and env.program_state() is not None:
            return
        time.sleep(0.001)


def _end(execution: Untyped) -> None:
    with _end_lock:
        if execution.ended.is_set():
            return
        utils.TMP_THREADS[:] = [thread for thread in utils.TMP_THREADS if thread.is_alive()]
        execution.ended.set()
    running = active()
    if running is not None:
        running.on_status(execution)


def _build_set_error(original: Untyped) -> Untyped:
    def set_error(self: Untyped, error: Untyped) -> None:
        if not isinstance(self.program_state(), ProgramStopped | ProgramTimedOut):
            original(self, error=error)

    return set_error
