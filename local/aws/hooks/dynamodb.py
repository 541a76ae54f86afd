"""A DynamoDB that several threads may use.

Defects: no lock, so a conditional write may be lost between its check and its change; TransactWriteItems copies whole
tables and puts the copies back when a condition fails, which undoes what others wrote meanwhile.

One lock orders all requests; what a request changes is one record, where state is kept on disk. A transaction first
checks every condition, then applies; only the items that it touches are kept for the case that an expression proves
wrong while it is applied.
"""

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.exceptions import (
    ConditionalCheckFailed,
    MockValidationException,
    MultipleTransactionsException,
    TooManyTransactionsException,
    TransactionCanceledException,
    TransactWriteSingleOpException,
)
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.responses import DynamoHandler

from local.aws.hooks import durability
from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped

# DynamoDB API reference, TransactWriteItems: up to 100 actions.
_MAX_ACTIONS = 100
_WRITES = ("put_item", "update_item", "delete_item", "transact_write_items", "execute_statement")
_READS = ("get_item", "query", "scan", "describe_table")

_lock = threading.RLock()


def install() -> None:
    """Orders all requests and replaces TransactWriteItems."""
    replace(DynamoDBBackend, "transact_write_items", lambda _: _transact_write_items)
    for method in (*_WRITES, *_READS):
        replace_locked(DynamoDBBackend, method)
    replace_locked(DynamoHandler, "call_action")  # a request reads and writes more than one method of the backend does


def replace_locked(owner: Untyped, name: str) -> None:
    """Makes `owner.name` run under the lock."""
    method = getattr(owner, name)
    if getattr(method, "is_locked", False):
        return

    def locked(*args: Untyped, **kwargs: Untyped) -> Untyped:
        with _lock, durability.item_changes():
            return method(*args, **kwargs)

    locked.is_locked = True  # type: ignore[attr-defined]  # marks it for the next install()
    setattr(owner, name, locked)


def _transact_write_items(self: Untyped, transact_items: list[dict[str, Any]]) -> None:
    actions = [_Action(self, entry) for entry in _checked(transact_items)]
    targets = [action.target for action in actions]
    if len(set(targets)) < len(targets):
        raise MultipleTransactionsException
    reasons = [action.refusal() for action in actions]
    if any(code for code, _, _ in reasons):
        raise TransactionCanceledException(reasons)
    with _undone_on_error(actions):
        for action in actions:
            action.apply()


def _checked(transact_items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(transact_items) > _MAX_ACTIONS:
        raise TooManyTransactionsException
    if any(len(entry) > 1 for entry in transact_items):
        raise TransactWriteSingleOpException
    return transact_items


@contextmanager
def _undone_on_error(actions: list["_Action"]) -> Iterator[None]:
    before = [(action, copy.deepcopy(action.current())) for action in actions]
    try:
        yield
    except Exception:
        for action, item in before:
            action.restore(item)
        raise


class _Action:
    """One action of a transaction: ConditionCheck, Put, Update or Delete."""

    def __init__(self, backend: Untyped, entry: dict[str, Any]) -> None:
        self._backend = backend
        ((self._kind, self._request),) = entry.items()
        if self._kind not in {"ConditionCheck", "Put", "Delete", "Update"}:
            raise MockValidationException(f"Unsupported action in a transaction: {self._kind}")
        self._table = backend.get_table(self._request["TableName"])
        source = self._request["Item"] if self._kind == "Put" else self._request["Key"]
        names = [name for name in (self._table.hash_key_attr, self._table.range_key_attr) if name]
        self._key = {name: source[name] for name in names}

    @property
    def target(self) -> tuple[str, str]:
        """The item that the action is about."""
        return self._table.name, str(self._key)

    def current(self) -> Untyped:
        """Returns the item as it is now, or None."""
        return self._backend.get_item(self._request["TableName"], self._key)

    def refusal(self) -> tuple[str | None, str | None, Any]:
        """Returns code, message and item of the reason against the action; (None, None, None) if there is none."""
        expression = self._request.get("ConditionExpression")
        if expression is None:
            return None, None, None
        condition = get_filter_expression(
            expression,
            self._request.get("ExpressionAttributeNames"),
            self._request.get("ExpressionAttributeValues"),
        )
        current = self.current()
        if condition.expr(current):
            return None, None, None
        wants_item = self._request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        item = current.to_json()["Attributes"] if wants_item and current is not None else None
        return "ConditionalCheckFailed", ConditionalCheckFailed().message, item

    def apply(self) -> None:
        """Makes the change; its condition holds already."""
        table_name = self._request["TableName"]
        names = self._request.get("ExpressionAttributeNames")
        values = self._request.get("ExpressionAttributeValues")
        if self._kind == "Put":
            self._backend.put_item(table_name, self._request["Item"])
        elif self._kind == "Delete":
            self._backend.delete_item(table_name, self._key)
        elif self._kind == "Update":
            self._backend.update_item(
                table_name,
                self._key,
                update_expression=self._request["UpdateExpression"],
                expression_attribute_names=names,
                expression_attribute_values=values,
            )

    def restore(self, item: Untyped) -> None:
        """Puts the item back as it was, None meaning that there was none."""
        hash_value = DynamoType(self._key[self._table.hash_key_attr])
        range_name = self._table.range_key_attr
        range_value = DynamoType(self._key[range_name]) if range_name else None
        if item is None:
            self._table.delete_item(hash_value, range_value)
        elif range_value is not None:
            self._table.items[hash_value][range_value] = item
        else:
            self._table.items[hash_value] = item
