"""What a task may ask of AWS: what its function's role grants. So a use case fails where AWS would refuse it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from infra.functions import FUNCTIONS, FunctionSpec

TRANSACTION_VERBS = {
    "ConditionCheck": "ConditionCheckItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
}
"""What IAM asks for, for each action of a transaction (DynamoDB developer guide, "IAM policies for transactions")."""

_SPECS = {spec.name: spec for spec in FUNCTIONS}
_acting: list[FunctionSpec] = []
"""The functions that are at work, the innermost last. Not by thread: some tasks read the bucket with several."""


@contextmanager
def acting_as(function: str) -> Iterator[None]:
    """Until the end of the block, calls to AWS are a function's."""
    _acting.append(_SPECS[function])
    try:
        yield
    finally:
        _acting.pop()


@contextmanager
def acting_as_nobody() -> Iterator[None]:
    """Until the end of the block, calls to AWS are the test's own, which may do anything."""
    acting = _acting.copy()
    _acting.clear()
    try:
        yield
    finally:
        _acting.extend(acting)


def keep_to_roles(client: Any) -> None:
    """Let a client refuse what the function at work may not do."""
    client.meta.events.register("provide-client-params", _refuse, unique_id="roles")


def _refuse(params: dict[str, Any], model: Any, **_: object) -> None:
    if not _acting:
        return
    spec, operation = _acting[-1], model.name
    if model.service_model.service_name == "s3":
        prefixes = {"GetObject": spec.reads, "PutObject": spec.writes}.get(operation, ())
        is_granted, code = params["Key"].startswith(prefixes), "AccessDenied"
    else:
        is_granted, code = _table_verbs(operation, params) <= set(spec.table), "AccessDeniedException"
    if not is_granted:
        message = f"{spec.name} is not authorized to perform: {operation}"
        raise ClientError({"Error": {"Code": code, "Message": message}}, operation)


def _table_verbs(operation: str, params: dict[str, Any]) -> set[str]:
    if operation == "TransactWriteItems":
        return {TRANSACTION_VERBS[kind] for write in params["TransactItems"] for kind in write}
    return {operation}
