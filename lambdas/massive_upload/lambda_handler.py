"""What every handler has in common: a model in, a model out, a line in the log, and errors that tell no content."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from massive_upload.constants import GARBAGE_THRESHOLD
from massive_upload.errors import FinalError, InternalError, LoadError
from massive_upload.observability import Event, Marker, log, task_ids

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out", bound=BaseModel)
Handler = Callable[[Mapping[str, Any], Any], dict[str, Any]]

_IDS = ("run_id", "partition")

gc.set_threshold(GARBAGE_THRESHOLD)


def lambda_handler(model: type[In]) -> Callable[[Callable[[In], Out]], Handler]:
    """Make a Lambda handler of a function from one model to another.

    Every log line of the invocation carries the task's ids. An error of our tree is raised as it is, as Step Functions
    goes by its name; any other becomes an InternalError that says where it happened and not what it was about, because
    an unexpected error's text may quote a record.
    """

    def decorate(task: Callable[[In], Out]) -> Handler:
        @wraps(task)
        def handle(event: Mapping[str, Any], context: object) -> dict[str, Any]:
            name = task.__module__.rpartition(".")[2]
            ids = {key: event[key] for key in _IDS if key in event}
            with task_ids(task=name, request_id=getattr(context, "aws_request_id", None), **ids):
                return _attempt(task, model, event)

        return handle

    return decorate


def _attempt(task: Callable[[In], Out], model: type[In], event: Mapping[str, Any]) -> dict[str, Any]:
    try:
        result = task(model.model_validate(event)).model_dump(mode="json")
    except LoadError as error:
        log(
            Marker.ERROR if isinstance(error, FinalError) else Marker.RETRY,
            Event.TASK_FAILED,
            error=type(error).__name__,
            code=error.code,
            reason=str(error),
        )
        raise
    except Exception as error:  # noqa: BLE001 - the border to Lambda: nothing may pass untranslated
        raise _internal_error(error) from None
    log(Marker.SUCCESS, Event.TASK_DONE, next=result.get("next"))
    return result


def _internal_error(error: Exception) -> InternalError:
    """An unexpected error without its text; where it was raised is logged, line by line."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    kind = type(error).__name__
    if isinstance(error, ValidationError):
        kind = f"{kind} of {error.title} at " + ", ".join(
            ".".join(str(part) for part in item["loc"]) for item in error.errors(include_input=False)
        )
    told = InternalError(
        f"{kind} in {places[-1] if places else 'the handler'}.",
        next_step="This is a defect of massive-upload; its log has the whole trace.",
    )
    log(Marker.ERROR, Event.UNEXPECTED_ERROR, error=InternalError.__name__, reason=str(told), places=places)
    return told
