"""DynamoDB: no acknowledged write is lost, and transactions are all or nothing."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.dynamodb.models import dynamodb_backends

from local.aws.hooks.clients import in_process_client
from local.aws.identity import ACCOUNT_ID, REGION
from tests.integration.aws.world import World

THREADS = 4
ROUNDS = 100


def build(assembly):
    assembly.table("Numbers")


def key(name: str, part: str = "0") -> dict[str, Any]:
    return {"pk": {"S": name}, "sk": {"S": part}}


def read(world: World, name: str, part: str = "0") -> Any:
    return world.aws.client("dynamodb").get_item(TableName="Numbers", Key=key(name, part)).get("Item")


def put(world: World, name: str, **attributes: Any) -> None:
    world.aws.client("dynamodb").put_item(TableName="Numbers", Item={**key(name), **attributes})


def increment(name: str, seen: int, part: str = "0") -> dict[str, Any]:
    return {
        "TableName": "Numbers",
        "Key": key(name, part),
        "UpdateExpression": "SET n = :next",
        "ConditionExpression": "n = :seen",
        "ExpressionAttributeValues": {":seen": {"N": str(seen)}, ":next": {"N": str(seen + 1)}},
    }


def add_one(name: str, part: str) -> dict[str, Any]:
    return {
        "TableName": "Numbers",
        "Key": key(name, part),
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }


def in_threads(work: Callable[[int], None]) -> None:
    failures: list[BaseException] = []

    def guarded(index: int) -> None:
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001 - a thread must hand its failure to the test
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def client_of(world: World, index: int) -> Any:
    """Half of the threads come over HTTP, half from inside, as Lambdas and Task states do."""
    return world.aws.client("dynamodb") if index % 2 else in_process_client("dynamodb")


def test_no_conditional_increment_is_lost(world):
    put(world, "counter", n={"N": "0"})

    def work(index: int) -> None:
        client = client_of(world, index)
        done = 0
        while done < ROUNDS:
            seen = int(client.get_item(TableName="Numbers", Key=key("counter"))["Item"]["n"]["N"])
            try:
                client.update_item(**increment("counter", seen))
                done += 1
            except ClientError as error:
                assert error.response["Error"]["Code"] == "ConditionalCheckFailedException"  # noqa: PT017 - others must not happen

    in_threads(work)
    assert read(world, "counter")["n"] == {"N": str(THREADS * ROUNDS)}


def test_no_transaction_is_lost_beside_refused_ones_and_single_writes(world):
    put(world, "closed", state={"S": "Settled"})

    def work(index: int) -> None:
        client = client_of(world, index)
        for round_number in range(ROUNDS):
            refused = {
                "TableName": "Numbers",
                "Key": key("closed"),
                "ConditionExpression": "#state = :open",
                "ExpressionAttributeNames": {"#state": "state"},
                "ExpressionAttributeValues": {":open": {"S": "Open"}},
            }
            client.transact_write_items(
                TransactItems=[{"Update": add_one("sum", "shared")}, {"Update": add_one("sum", str(index))}]
            )
            with pytest.raises(ClientError):
                client.transact_write_items(
                    TransactItems=[{"Update": add_one("sum", "shared")}, {"ConditionCheck": refused}]
                )
            client.put_item(TableName="Numbers", Item=key(f"single-{index}", str(round_number)))

    in_threads(work)
    assert read(world, "sum", "shared")["n"] == {"N": str(THREADS * ROUNDS)}
    assert [read(world, "sum", str(index))["n"] for index in range(THREADS)] == [{"N": str(ROUNDS)}] * THREADS
    table = dynamodb_backends[ACCOUNT_ID][REGION].get_table("Numbers")
    singles = sum(len(parts) for name, parts in table.items.items() if name.value.startswith("single-"))
    assert singles == THREADS * ROUNDS


def test_a_refused_transaction_changes_nothing_and_gives_its_reasons_in_order(world):
    put(world, "a", n={"N": "1"})
    put(world, "b", n={"N": "5"})
    client = world.aws.client("dynamodb")
    with pytest.raises(client.exceptions.TransactionCanceledException) as refused:
        client.transact_write_items(
            TransactItems=[
                {"Update": increment("a", 1)},
                {"Update": {**increment("b", 9), "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}},
                {"Put": {"TableName": "Numbers", "Item": key("c")}},
                {
                    "Delete": {
                        "TableName": "Numbers",
                        "Key": key("a", "1"),
                        "ConditionExpression": "attribute_exists(pk)",
                    }
                },
            ]
        )
    reasons = refused.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == [
        "None",
        "ConditionalCheckFailed",
        "None",
        "ConditionalCheckFailed",
    ]
    assert reasons[1]["Item"] == {**key("b"), "n": {"N": "5"}}
    assert "Item" not in reasons[3]
    assert (read(world, "a")["n"], read(world, "c")) == ({"N": "1"}, None)


def test_a_transaction_that_proves_wrong_while_it_is_applied_changes_nothing(world):
    put(world, "text", n={"S": "no number"})
    client = world.aws.client("dynamodb")
    with pytest.raises(ClientError):
        client.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": "Numbers", "Item": key("new")}},
                {"Update": add_one("fresh", "0")},
                {"Update": add_one("text", "0")},
            ]
        )
    assert (read(world, "new"), read(world, "fresh")) == (None, None)
    assert read(world, "text")["n"] == {"S": "no number"}


def test_a_transaction_may_put_update_delete_and_check(world):
    put(world, "gone")
    put(world, "there", n={"N": "1"})
    world.aws.client("dynamodb").transact_write_items(
        TransactItems=[
            {"Put": {"TableName": "Numbers", "Item": key("made"), "ConditionExpression": "attribute_not_exists(pk)"}},
            {"Update": add_one("changed", "0")},
            {"Delete": {"TableName": "Numbers", "Key": key("gone")}},
            {
                "ConditionCheck": {
                    "TableName": "Numbers",
                    "Key": key("there"),
                    "ConditionExpression": "attribute_exists(n)",
                }
            },
        ]
    )
    assert read(world, "made") == key("made")
    assert read(world, "changed")["n"] == {"N": "1"}
    assert read(world, "gone") is None


def test_a_transaction_may_not_touch_an_item_twice(world):
    with pytest.raises(ClientError, match="multiple operations on one item"):
        world.aws.client("dynamodb").transact_write_items(
            TransactItems=[{"Update": add_one("twice", "0")}, {"Update": add_one("twice", "0")}]
        )
    assert read(world, "twice") is None


def test_a_failed_condition_returns_the_old_item_when_asked(world):
    put(world, "old", n={"N": "3"})
    client = world.aws.client("dynamodb")
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as refused:
        client.update_item(**increment("old", 7), ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert refused.value.response["Item"] == {**key("old"), "n": {"N": "3"}}
