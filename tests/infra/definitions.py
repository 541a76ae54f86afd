"""Reads state machines out of a synthesized template: as plain JSON, state by state, and counted in history events."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Template = dict[str, Any]
Definition = dict[str, Any]

LOAD = "LoadMachine"
SLICE = "SliceMachine"

_EVENTS = {"Pass": 2, "Choice": 2, "Wait": 2, "Succeed": 2, "Fail": 1}
_TASK_EVENTS = 5  # entered, scheduled, started, succeeded, exited
_RETRY_EVENTS = 3  # scheduled, started, failed
_SYNC_TASK_EVENTS = 6  # one more: submitted
_EXECUTION_EVENTS = 2  # started, and succeeded or failed


@dataclass(frozen=True)
class State:
    """One state with its name, and the states that it can go to."""

    name: str
    body: dict[str, Any]
    siblings: frozenset[str]

    @property
    def targets(self) -> set[str]:
        body = self.body
        found = {body[key] for key in ("Next", "Default") if key in body}
        found |= {choice["Next"] for choice in body.get("Choices", [])}
        return found | {catcher["Next"] for catcher in body.get("Catch", [])}


def read_template(assembly: Path) -> Template:
    (path,) = assembly.glob("*.template.json")
    template: Template = json.loads(path.read_text(encoding="utf-8"))
    return template


def resources(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """Resources of one CloudFormation type, by logical id."""
    return {key: value for key, value in template["Resources"].items() if value["Type"] == kind}


def flatten(value: Any) -> str:
    """A CloudFormation expression as text: ``{"Fn::GetAtt": ["Table", "Arn"]}`` becomes ``${Table.Arn}``."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(flatten(part) for part in parts)
        case {"Fn::Select": [index, {"Fn::Split": [separator, whole]}]}:
            return f"{flatten(whole)}[{separator}{index}]"
    raise AssertionError(f"no rule to flatten {value!r}")


def read_definition(template: Template, machine: str) -> Definition:
    """The definition of ``LOAD`` or ``SLICE``."""
    for logical_id, resource in resources(template, "AWS::StepFunctions::StateMachine").items():
        if logical_id.startswith(machine):
            definition: Definition = json.loads(flatten(resource["Properties"]["DefinitionString"]))
            return definition
    raise AssertionError(f"no {machine} in the template")


def iterate_states(definition: Definition) -> Iterator[State]:
    """Every state, those inside a Map as well."""
    names = frozenset(definition["States"])
    for name, body in definition["States"].items():
        yield State(name, body, names)
        if "ItemProcessor" in body:
            yield from iterate_states(body["ItemProcessor"])


def history_events(definition: Definition, path: list[str]) -> int:
    """The history events of an execution that goes this way, retries not counted.

    Every step of the path must be one that the definition allows.
    """
    states = {state.name: state for state in iterate_states(definition)}
    for here, there in itertools.pairwise(path):
        assert there in states[here].targets, f"{here} does not lead to {there}"
    return _EXECUTION_EVENTS + sum(_events_of(states[name].body) for name in path)


def visit_events(definition: Definition, path: list[str]) -> int:
    """The history events of going this way within an execution, retries not counted."""
    return history_events(definition, path) - _EXECUTION_EVENTS


def retry_events(policies: list[dict[str, Any]]) -> int:
    """The history events that retriers add when all of their attempts are used up."""
    return _RETRY_EVENTS * sum(int(policy["MaxAttempts"]) for policy in policies)


def _events_of(body: dict[str, Any]) -> int:
    if body["Type"] != "Task":
        return _EVENTS[body["Type"]]
    return _SYNC_TASK_EVENTS if ".sync" in body["Resource"] else _TASK_EVENTS
