"""Calls to the table, with botocore's errors translated to ours."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from massive_upload.adapters.aws_errors import error_code, is_passing
from massive_upload.adapters.dynamodb_items import Item, to_item
from massive_upload.errors import InternalError, LoadError, StorageUnavailable

if TYPE_CHECKING:
    from botocore.client import BaseClient


class ConditionFailed(Exception):
    """A conditional write found the table otherwise than it was read.

    Attributes:
        items_found: for each write, the item that did not meet its condition.
    """

    def __init__(self, items_found: Sequence[Item | None]) -> None:
        super().__init__("a condition was not met")
        self.items_found = items_found


_PASSING_REASONS = frozenset({"ProvisionedThroughputExceeded", "ThrottlingError", "TransactionConflict"})
"""Why a transaction is cancelled that may succeed later (API reference: TransactionCanceledException). Of the other
reasons, a ValidationError is an item of more than 400 KB, say, which stays so."""

_BATCH_READ_TRIES = 3
"""BatchGetItem may leave some of its keys unread (API reference: UnprocessedKeys), a throttled table all of them."""


class Table:
    """One DynamoDB table; every read is consistent."""

    def __init__(self, client: BaseClient, name: str) -> None:
        self._client: Any = client
        events = self._client.meta.events
        events.register("before-parse.dynamodb", _take_as_it_is, unique_id="massive-upload")  # once for each client
        self.name = name

    def transact(self, *writes: Item) -> None:
        """Carry out all of some writes, or none.

        Raises:
            ConditionFailed: a condition was not met.
            StorageUnavailable: the same transaction may succeed later.
            InternalError: it was refused for good.
        """
        try:
            self._client.transact_write_items(TransactItems=list(writes))
        except ClientError as error:
            if error_code(error) != "TransactionCanceledException":
                raise _translated(error) from error
            reasons = error.response.get("CancellationReasons", [])
            codes = sorted({str(reason.get("Code")) for reason in reasons} - {"None"})
            if "ConditionalCheckFailed" in codes:
                found: list[Item | None] = [dict(reason.get("Item") or {}) or None for reason in reasons]
                raise ConditionFailed(found) from error
            raise _cancelled(codes) from error
        except BotoCoreError as error:
            raise _translated(error) from error

    def change(self, write: Item) -> None:
        """Carry out one Update by itself.

        DynamoDB cancels one of two transactions that reach an item at the same time, and lets single updates follow one
        another (Developer Guide, "Transaction conflict handling in DynamoDB"): this is for an item that many write to.
        Where an answer is lost, boto3 sends it once more, and it may be carried out twice.

        Raises:
            ConditionFailed: its condition was not met.
            StorageUnavailable: it may succeed later.
            InternalError: it was refused for good.
        """
        try:
            self._client.update_item(**write["Update"])
        except ClientError as error:
            if error_code(error) != "ConditionalCheckFailedException":
                raise _translated(error) from error
            found: Any = error.response.get("Item")
            raise ConditionFailed([found]) from error
        except BotoCoreError as error:
            raise _translated(error) from error

    def get(self, key: Item) -> Item | None:
        """The item with a key."""
        try:
            answer = self._client.get_item(TableName=self.name, Key=key, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise _translated(error) from error
        found: Item | None = answer.get("Item")
        return found

    def get_all(self, keys: Sequence[Item]) -> list[Item | None]:
        """The items with some different keys, at most 100, each read consistently, in the order of the keys."""
        found: dict[str, Item] = {}
        asked: dict[str, Any] = {self.name: {"Keys": list(keys), "ConsistentRead": True}}
        for _ in range(_BATCH_READ_TRIES):
            try:
                answer = self._client.batch_get_item(RequestItems=asked)
            except (ClientError, BotoCoreError) as error:
                raise _translated(error) from error
            found |= {_place(item): item for item in answer["Responses"].get(self.name, [])}
            asked = answer.get("UnprocessedKeys", {})
            if not asked:
                return [found.get(_place(key)) for key in keys]
        raise StorageUnavailable(f"The progress table has left keys unread {_BATCH_READ_TRIES} times.")

    def query(self, pk: str, sk_prefix: str) -> list[Item]:
        """All items of one partition key whose sort key begins in a way, in order."""
        found: list[Item] = []
        try:
            pages = self._client.get_paginator("query").paginate(
                TableName=self.name,
                KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
                ExpressionAttributeValues=to_item({":pk": pk, ":prefix": sk_prefix}),
                ConsistentRead=True,
            )
            for page in pages:
                found.extend(page["Items"])
        except (ClientError, BotoCoreError) as error:
            raise _translated(error) from error
        return found

    def query_newest(self, pk: str, most: int) -> list[Item]:
        """The last items of one partition key, the last one first; at most as many as fit into one answer (1 MB)."""
        try:
            answer = self._client.query(
                TableName=self.name,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues=to_item({":pk": pk}),
                ConsistentRead=True,
                ScanIndexForward=False,
                Limit=most,
            )
        except (ClientError, BotoCoreError) as error:
            raise _translated(error) from error
        found: list[Item] = answer["Items"]
        return found


def _take_as_it_is(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Take an answer as the JSON that it is, before botocore walks through every attribute of it.

    Our items hold no binary values, which are all that botocore would translate; the walk was a third of what a read
    costs (benchmarks/data_path.py). Errors are left to botocore, and so is an answer that is no JSON: by its checksum
    botocore knows when to ask again.
    """
    if response_dict["status_code"] != HTTPStatus.OK:
        return
    try:
        customized_response_dict.update(orjson.loads(response_dict["body"]))
    except orjson.JSONDecodeError:
        return
    response_dict["body"] = b""


def _place(item: Item) -> str:
    return f"{item['pk']['S']} {item['sk']['S']}"


def _cancelled(codes: Sequence[str]) -> LoadError:
    """The error of a transaction whose writes were cancelled for these reasons."""
    named = ", ".join(codes)
    if _PASSING_REASONS.issuperset(codes):
        return StorageUnavailable(f"A transaction was cancelled: {named}.", code=named)
    return InternalError(
        f"The progress table refused a transaction: {named}.",
        next_step="Compare the table with the deployed stack; an item may have become too large.",
        code=named,
    )


def _translated(error: ClientError | BotoCoreError) -> LoadError:
    code = error_code(error)
    if is_passing(error):
        return StorageUnavailable(f"The progress table did not answer: {code}.", code=code)
    return InternalError(
        f"The progress table refused a call: {code}.",
        next_step="Compare the function's permissions and the table with the deployed stack.",
        code=code,
    )
