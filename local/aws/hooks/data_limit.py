"""The 256 KiB that a state may hand on.

Defects: moto refuses exactly 262,144 bytes, measures JSON with spaces and with escapes (so it refuses too early),
accepts any size of execution input, and lets States.ALL catch what AWS says it cannot: States.DataLimitExceeded and
States.Runtime (Step Functions developer guide, "Handling errors").
"""

import json

from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state import state
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_lambda
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped

MAX_PAYLOAD_BYTES = 262_144  # Step Functions quotas: 256 KiB of data as a UTF-8 encoded string

_UNCATCHABLE = frozenset(
    {
        StatesErrorNameType.StatesStatesDataLimitExceeded.to_name(),
        StatesErrorNameType.StatesRuntime.to_name(),
    }
)


def install() -> None:
    """Measures payloads as AWS does and keeps States.ALL from catching a payload that is too large."""
    for module in (state, state_task_lambda, state_task_service):
        replace(module, "is_within_size_quota", lambda _: fits)
    replace(ErrorEqualsDecl, "_eval_body", _build_error_equals)


def fits(value: object) -> bool:
    """Tells whether `value` is within the limit; a string is measured as the text that it is."""
    if isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
    return len(text.encode()) <= MAX_PAYLOAD_BYTES


def check_size(env: Untyped, value: object, what: str) -> None:
    """Fails the execution of `env` if `value` is too large.

    Raises:
        FailureEventException: `value` exceeds the limit; `what` names it in the cause.
    """
    if fits(value):
        return
    limit = StatesErrorNameType.StatesStatesDataLimitExceeded
    details = TaskFailedEventDetails(
        error=limit.to_name(),
        cause=f"{what} exceeds the maximum number of bytes service limit.",
    )
    raise FailureEventException(
        FailureEvent(
            env=env,
            error_name=StatesErrorName(typ=limit),
            event_type=HistoryEventType.ExecutionFailed,
            event_details=EventDetails(taskFailedEventDetails=details),
        )
    )


def _build_error_equals(original: Untyped) -> Untyped:
    def eval_body(self: Untyped, env: Untyped) -> None:
        error_name = env.stack[-1]
        name = error_name.error_name if error_name is not None else None
        if name not in _UNCATCHABLE:
            original(self, env)
            return
        env.stack.pop()
        env.stack.append(any(declared.error_name == name for declared in self.error_names))

    return eval_body
