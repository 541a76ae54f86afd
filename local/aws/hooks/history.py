"""The account of history events and transitions, and the limit of 25,000 events.

Defect: moto counts nothing and lets an execution grow without end. AWS fails it: "The execution reached the maximum
number of history events (25000)." (Step Functions quotas: 25,000 events in a single execution's history, hard.)
"""

from types import SimpleNamespace

from moto.stepfunctions.parser.api import ExecutionFailedEventDetails, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.retry.retry_outcome import RetryOutcome
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager

from local.aws.figures import ExecutionFigures
from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped

MAX_HISTORY_EVENTS = 25_000

_LAST_EVENTS = frozenset(
    {
        HistoryEventType.ExecutionSucceeded,
        HistoryEventType.ExecutionFailed,
        HistoryEventType.ExecutionAborted,
        HistoryEventType.ExecutionTimedOut,
    }
)


def install() -> None:
    """Counts the events of every execution that has figures, and ends it at the limit."""
    replace(EventManager, "add_event", _build_add_event)
    replace(ExecutionState, "_handle_retry", _build_handle_retry)


def account(event_manager: Untyped, figures: ExecutionFigures) -> None:
    """Makes the events of `event_manager` count in `figures`."""
    event_manager.figures = figures


def _build_add_event(original: Untyped) -> Untyped:
    def add_event(self: Untyped, context: Untyped, event_type: Untyped, *args: Untyped, **kwargs: Untyped) -> int:
        event_id: int = original(self, context, event_type, *args, **kwargs)
        figures = getattr(self, "figures", None)
        if figures is not None:
            figures.count_event(event_type)
        if event_id >= MAX_HISTORY_EVENTS - 1 and event_type not in _LAST_EVENTS:
            raise _history_full(context)  # the last of the 25,000 is ExecutionFailed
        return event_id

    return add_event


class _HistoryFull(FailureEventException):  # type: ignore[misc]  # moto is untyped
    """Ends the execution with AWS's own words; moto would put the name of the state before them."""

    def get_execution_failed_event_details(self) -> Untyped:
        return ExecutionFailedEventDetails(
            error=StatesErrorNameType.StatesRuntime.to_name(),
            cause=f"The execution reached the maximum number of history events ({MAX_HISTORY_EVENTS}).",
        )


def _history_full(context: Untyped) -> Exception:
    place = SimpleNamespace(next_state_name=None, event_history_context=context)
    error = _HistoryFull(
        FailureEvent(
            env=place,
            error_name=StatesErrorName(typ=StatesErrorNameType.StatesRuntime),
            event_type=HistoryEventType.ExecutionFailed,
        )
    )
    error.failure_event.event_details = EventDetails(
        executionFailedEventDetails=error.get_execution_failed_event_details()
    )
    return error


def _build_handle_retry(original: Untyped) -> Untyped:
    def handle_retry(self: Untyped, env: Untyped, failure_event: Untyped) -> Untyped:
        outcome = original(self, env=env, failure_event=failure_event)
        figures = getattr(env.event_manager, "figures", None)
        if outcome == RetryOutcome.CanRetry and figures is not None:
            figures.count_retry()
        return outcome

    return handle_retry
