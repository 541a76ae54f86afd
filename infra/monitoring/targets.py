"""What alarms and dashboard watch."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn

from infra.functions import Functions


@dataclass(frozen=True, kw_only=True)
class Watched:
    """The parts of the stack that have metrics; ``service`` is the dimension of the product's own."""

    service: str
    load_machine: sfn.StateMachine
    slice_machine: sfn.StateMachine
    functions: Functions
    table: dynamodb.Table
    dead_letters: sqs.Queue
