"""The casing of service integrations: `StateMachineArn` in a definition, `stateMachineArn` in the API.

Defect: moto left the translation out, so `states:startExecution` fails. botocore's model knows both spellings. Dates
become milliseconds since the epoch, as Step Functions shows them.
"""

import datetime
import functools
from typing import Any

import botocore.session
from botocore import xform_name
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService

from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped


def install() -> None:
    """Puts the translation of parameters and responses back."""
    replace(StateTaskService, "_normalise_parameters", lambda _: _normalise_parameters)
    replace(StateTaskService, "_normalise_response", lambda _: _normalise_response)
    replace(StateTaskService, "_from_boto_response_value", _build_response_value)


@functools.cache
def _operation(service: str, action: str) -> Untyped:
    model = botocore.session.get_session().get_service_model(service)
    for name in model.operation_names:
        if xform_name(name) == action:
            return model.operation_model(name)
    raise ValueError(f"{service} has no operation {action}: check the Resource of the Task state.")


def _operation_of(task: Untyped, service: str | None, action: str | None) -> Untyped:
    return _operation(task._get_boto_service_name(service), task._get_boto_service_action(action))


def _normalise_parameters(
    self: Untyped,
    parameters: dict[str, Any],
    boto_service_name: str | None = None,
    service_action_name: str | None = None,
) -> None:
    shape = _operation_of(self, boto_service_name, service_action_name).input_shape
    if shape is not None:
        self._to_boto_request(parameters, shape)


def _normalise_response(
    self: Untyped,
    response: Untyped,
    boto_service_name: str | None = None,
    service_action_name: str | None = None,
) -> None:
    shape = _operation_of(self, boto_service_name, service_action_name).output_shape
    if shape is not None:
        self._from_boto_response(response, shape)


def _build_response_value(original: Untyped) -> Untyped:
    def response_value(value: object) -> object:
        if isinstance(value, datetime.datetime):
            return int(value.timestamp() * 1000)
        return original(value)

    return staticmethod(response_value)
