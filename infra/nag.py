"""cdk-nag's AwsSolutions rules, checked at every synthesis, and why some of their findings are accepted."""

from __future__ import annotations

import re
from dataclasses import dataclass

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct

from infra.workflow.load import LANES_LABEL


@dataclass(frozen=True)
class Acceptance:
    """A rule that does not hold below a construct, and why that is as it should be.

    Attributes:
        path: of the construct.
        resources: for a rule about wildcards each one that is accepted, so that any other is found. ``$(path)`` stands
            for the logical id of another construct.
    """

    path: str
    rule: str
    reason: str
    resources: tuple[str, ...] = ()


_EXECUTIONS = "arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:"
_MACHINE_NAME = '{"Fn::Select":[6,{"Fn::Split":[":",{"Ref":"$(%s)"}]}]}'


def _versions(*functions: str) -> tuple[str, ...]:
    return tuple(f"<$(Functions/{name}).Arn>:*" for name in functions)


ACCEPTANCES = (
    Acceptance(
        "Storage/Bucket",
        "AwsSolutions-S1",
        "The bucket is private and only the functions of this stack use it, each of which logs what it does; access "
        "logs would need a second bucket that is kept as long.",
    ),
    Acceptance(
        "Storage/Secret",
        "AwsSolutions-SMG4",
        "Salesforce issues the secret; the operator renews it in the org's Setup.",
    ),
    Acceptance(
        "Functions",
        "AwsSolutions-IAM5",
        "Objects and executions are made at run time: the statements name a prefix of the one bucket, or the one "
        "machine's executions, and every action in full.",
        (
            "<$(Storage/Bucket).Arn>/runs/*",
            "<$(Storage/Bucket).Arn>/staged/*",
            f"{_EXECUTIONS}$(stack)-load:*",
        ),
    ),
    Acceptance(
        "SliceMachine",
        "AwsSolutions-IAM5",
        "Written by the CDK: versions of the very functions that the machine calls, and log delivery, which has no "
        "resources to name.",
        ("*", *_versions("FetchPage", "UploadBatch", "CheckJob", "SettleBatch", "CheckPatience")),
    ),
    Acceptance(
        "LoadMachine",
        "AwsSolutions-IAM5",
        "Written by the CDK: versions of the very functions that the machine calls, executions of its own Map and of "
        "the slice machine, and log delivery, which has no resources to name.",
        (
            "*",
            *_versions("PlanRun", "PlanSweep", "FinishRun"),
            f"{_EXECUTIONS}{_MACHINE_NAME % 'SliceMachine'}*",
            f"{_EXECUTIONS}{_MACHINE_NAME % 'LoadMachine'}:*",
            f"{_EXECUTIONS}{_MACHINE_NAME % 'LoadMachine'}/{LANES_LABEL}:*",
        ),
    ),
    *(
        Acceptance(
            machine,
            "AwsSolutions-SF2",
            "A run takes hours, which X-Ray cuts off; every log line carries run, partition, batch and job instead.",
        )
        for machine in ("LoadMachine", "SliceMachine")
    ),
    Acceptance("DeadLetters", "AwsSolutions-SQS3", "It is the dead-letter queue, and has an alarm."),
)


def check(app: cdk.App) -> None:
    """Let every synthesis of the app fail on a finding that is not accepted."""
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def accept(stack: cdk.Stack) -> None:
    """Accept what `ACCEPTANCES` lists.

    Raises:
        LookupError: there is no such construct (any more).
    """
    for acceptance in ACCEPTANCES:
        findings = [f"[Resource::{_resolved(stack, text)}]" for text in acceptance.resources] or [""]
        for finding in findings:
            cdk.Validations.of(_find(stack, acceptance.path)).acknowledge(
                cdk.Acknowledgment(id=f"{acceptance.rule}{finding}", reason=acceptance.reason)
            )


def _resolved(stack: cdk.Stack, text: str) -> str:
    def logical_id(match: re.Match[str]) -> str:
        if match[1] == "stack":
            return str(stack.stack_name)
        return str(stack.get_logical_id(_find(stack, match[1]).node.default_child))

    return re.sub(r"\$\(([^)]+)\)", logical_id, text)


def _find(stack: cdk.Stack, path: str) -> IConstruct:
    found: IConstruct = stack
    for name in path.split("/"):
        child = found.node.try_find_child(name)
        if child is None:
            raise LookupError(f"The stack has no construct {path}; correct infra/nag.py.")
        found = child
    return found
