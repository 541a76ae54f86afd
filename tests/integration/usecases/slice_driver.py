"""Runs slices in this process: the definition of the slice machine, with the use cases as its functions.

Waits move the org's clock. A Task's Retry and Catch, and the expressions of the native DynamoDB tasks, are those of the
synthesized definition.
"""

import copy
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from massive_upload.contracts import CheckPatienceInput, Next, SliceInput, Step
from massive_upload.usecases.check_job import check_job
from massive_upload.usecases.check_patience import check_patience
from massive_upload.usecases.fetch_page import fetch_page
from massive_upload.usecases.settle_batch import settle_batch
from massive_upload.usecases.slice_tasks import SliceServices
from massive_upload.usecases.upload_batch import upload_batch
from tests.infra.definitions import Definition
from tests.integration.adapters.stack import TABLE, slice_definition
from tests.integration.usecases.repetition import Repetition
from tests.integration.usecases.roles import acting_as


class Crash(Exception):
    """A function's environment died; Step Functions calls it Lambda.Unknown and tries again."""


class ConditionFailed(Exception):
    """A native update's condition did not hold."""


class AnswerLost(Exception):
    """A native update was carried out, and its answer got lost."""


def error_name(error: Exception) -> str:
    """The name that Step Functions has for an error."""
    names = {
        Crash: "Lambda.Unknown",
        ConditionFailed: "DynamoDB.ConditionalCheckFailedException",
        AnswerLost: "DynamoDB.InternalServerError",
    }
    return names.get(type(error), type(error).__name__)


def _of_a_slice(task: Callable[[SliceInput, SliceServices], Step]) -> Callable[[dict[str, Any], SliceServices], Step]:
    return lambda payload, services: task(SliceInput.model_validate(payload), services)


def _check_patience(payload: dict[str, Any], services: SliceServices) -> Step:
    return check_patience(CheckPatienceInput.model_validate(payload), services.store, services.configs)


TASKS: Mapping[str, Callable[[dict[str, Any], SliceServices], Step]] = {
    "FetchPage": _of_a_slice(fetch_page),
    "UploadBatch": _of_a_slice(upload_batch),
    "CheckJob": _of_a_slice(check_job),
    "SettleBatch": _of_a_slice(settle_batch),
    "CheckPatience": _check_patience,
}


def _in_role(name: str, payload: dict[str, Any], services: SliceServices) -> Step:
    with acting_as(name):
        return TASKS[name](payload, services)


class SliceDriver:
    """One slice machine.

    ``at`` is the state that was entered last and its input; ``after_task`` is called when a task has ended somehow.

    Args:
        dynamodb: a client, for the native tasks.
        services: gives what the tasks work with; asked before each task, as a crash makes new ones.
        wait: lets time pass.
        after_update: is told of each native update; where it raises Crash, the update's answer is lost.
        now: the time at which a state is entered.

    ``on_wait`` is told of each Wait state, by name and seconds, before time passes.
    """

    def __init__(
        self,
        dynamodb: Any,
        services: Callable[[], SliceServices],
        wait: Callable[[int], None],
        after_update: Callable[[], None],
        now: Callable[[], datetime],
    ) -> None:
        self._dynamodb = dynamodb
        self._services = services
        self._wait = wait
        self._after_update = after_update
        self._now = now
        self.repetition = Repetition()
        self.at: tuple[str, dict[str, Any]] | None = None
        self.after_task: Callable[[], None] = lambda: None
        self._states: Definition = slice_definition()["States"]
        self.visited: list[str] = []
        self.most_states: int | None = None
        self.on_wait: Callable[[str, int], None] = lambda _name, _seconds: None

    def run_lane(self, run_id: str, partition: str) -> None:
        """Slice after slice, until one says that it is done.

        ``most_states`` ends a lane that would go on for ever.
        """
        while self.run_slice(run_id, partition) is Next.MORE:
            pass

    def run_slice(self, run_id: str, partition: str, *, stop_before: str | None = None) -> Next | None:
        """One slice: its outcome, or None where it was left before a state."""
        payload: dict[str, Any] = {"run_id": run_id, "partition": partition}
        return self.go_on(slice_definition()["StartAt"], payload, stop_before=stop_before)

    def go_on(self, name: str, payload: dict[str, Any], *, stop_before: str | None = None) -> Next | None:
        """A slice from a state on."""
        while True:
            if name == stop_before:
                return None
            state = self._states[name]
            if state["Type"] == "Succeed":
                return Next(payload["step"]["next"])
            assert self.most_states is None or len(self.visited) < self.most_states
            self.visited.append(name)
            self.at = (name, copy.deepcopy(payload))
            name = self._enter(name, state, payload)

    def claim(self, run_id: str, partition: str) -> SliceInput:
        """What the tasks of a slice that has just claimed its partition are given."""
        payload: dict[str, Any] = {"run_id": run_id, "partition": partition}
        payload["step"] = self._update("ClaimPartition", payload)
        return SliceInput.model_validate(payload)

    def _enter(self, name: str, state: dict[str, Any], payload: dict[str, Any]) -> str:
        match state["Type"]:
            case "Task":
                return self._work(name, state, payload)
            case "Wait":
                self.on_wait(name, payload["step"]["wait_seconds"])
                self._wait(payload["step"]["wait_seconds"])
            case "Pass":
                payload["step"] = state["Result"]
            case "Choice":
                matching = (c["Next"] for c in state["Choices"] if c["StringEquals"] == payload["step"]["next"])
                return str(next(matching, state["Default"]))
        return str(state["Next"])

    def _work(self, name: str, state: dict[str, Any], payload: dict[str, Any]) -> str:
        tries = 0
        while True:
            try:
                self._call(name, payload)
            except Exception as error:
                tries += 1
                if tries <= _retries(state, error_name(error)):
                    continue
                catcher = _catcher(state, error_name(error))
                if catcher is None:
                    raise
                payload["error"] = {"Error": error_name(error), "Cause": str(error)}
                return str(catcher["Next"])
            else:
                return str(state["Next"])

    def _call(self, name: str, payload: dict[str, Any]) -> None:
        if name not in TASKS:
            result = self._update(name, payload)
            try:
                self._after_update()
            except Crash as crash:
                raise AnswerLost from crash
            payload["step"] = result
            return
        given = copy.deepcopy(payload)
        try:
            step = self.repetition.run(lambda: _in_role(name, given, self._services()))
        finally:
            self.after_task()
        payload["step"] = step.model_dump(mode="json")

    def _update(self, name: str, payload: dict[str, Any]) -> dict[str, Any]:
        """A native conditional update; where the definition refers to the payload, its values are put in here."""
        parameters = self._states[name]["Parameters"]
        values = {key: value for key, value in parameters["ExpressionAttributeValues"].items() if not _is_path(value)}
        if name == "ClaimPartition":
            values[":entered_at"] = {"S": f"{self._now():%Y-%m-%dT%H:%M:%S}.000Z"}
        if name == "RecordFailure":
            values[":error"] = {"S": payload["error"]["Error"]}
            values[":cause"] = {"S": payload["error"]["Cause"]}
            values[":epoch"] = {"N": str(payload["step"]["epoch"])}
        try:
            answer = self._dynamodb.update_item(
                TableName=TABLE,
                Key={"pk": {"S": f"RUN#{payload['run_id']}"}, "sk": {"S": f"PART#{payload['partition']}"}},
                UpdateExpression=parameters["UpdateExpression"],
                ConditionExpression=parameters["ConditionExpression"],
                ExpressionAttributeNames=parameters["ExpressionAttributeNames"],
                ExpressionAttributeValues=values,
                ReturnValues=parameters.get("ReturnValues", "NONE"),
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise ConditionFailed from error
        selected: dict[str, Any] = dict(self._states[name]["ResultSelector"])
        if selected.pop("epoch.$", None):
            selected["epoch"] = int(answer["Attributes"]["epoch"]["N"])
        return selected


def _is_path(value: dict[str, Any]) -> bool:
    return any(kind.endswith(".$") for kind in value)


def _retries(state: dict[str, Any], error: str) -> int:
    matching = (policy["MaxAttempts"] for policy in state.get("Retry", []) if error in policy["ErrorEquals"])
    return int(next(matching, 0))


def _catcher(state: dict[str, Any], error: str) -> dict[str, Any] | None:
    catchers: list[dict[str, Any]] = state.get("Catch", [])
    return next((c for c in catchers if error in c["ErrorEquals"] or "States.ALL" in c["ErrorEquals"]), None)
