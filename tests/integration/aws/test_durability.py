"""Tables and buckets in a state directory: whatever changes them, another process finds them as they were."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.embedded import EmbeddedAws
from local.aws.hooks.clients import in_process_client
from local.aws.state import ItemChange, StateDirectory, StateDirectoryError
from tests.integration.aws.assembly import STACK, Assembly, one_task
from tests.integration.aws.world import World

END_SECONDS = 20


@contextmanager
def opened(directory: Path) -> Iterator[World]:
    assembly = Assembly(directory / "cdk.out")
    assembly.table("Numbers")
    assembly.bucket("Files")
    assembly.function("Nothing", "def handler(event, context):\n    return None\n")
    assembly.machine("Works", one_task("${Nothing.Arn}"))
    written = assembly.write()
    with (
        StateDirectory(directory / "state") as state,
        EmbeddedAws(work_dir=directory / "work", state=state) as aws,
    ):
        yield World(aws, aws.deploy(written, STACK))


def key(name: str) -> dict[str, Any]:
    return {"pk": {"S": name}, "sk": {"S": "0"}}


def item(name: str, number: int) -> dict[str, Any]:
    return {**key(name), "n": {"N": str(number)}}


def numbers(world: World) -> dict[str, int]:
    found = world.aws.client("dynamodb").scan(TableName="Numbers")["Items"]
    return {each["pk"]["S"]: int(each["n"]["N"]) for each in found}


def add_one(name: str, **condition: Any) -> dict[str, Any]:
    values = {":one": {"N": "1"}}
    return {
        "TableName": "Numbers",
        "Key": key(name),
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": values,
        **condition,
    }


def change_items(client: Any) -> dict[str, int]:
    """Changes items in every way there is; returns what should be there."""
    for name in ("put", "updated", "deleted", "batched", "in transaction", "refused"):
        client.put_item(TableName="Numbers", Item=item(name, 1))
    client.update_item(**add_one("updated"))
    client.update_item(**add_one("made by update"))
    client.delete_item(TableName="Numbers", Key=key("deleted"))
    client.batch_write_item(
        RequestItems={
            "Numbers": [{"DeleteRequest": {"Key": key("batched")}}, {"PutRequest": {"Item": item("by batch", 7)}}]
        }
    )
    client.transact_write_items(
        TransactItems=[
            {"Update": add_one("updated")},
            {"Put": {"TableName": "Numbers", "Item": item("by transaction", 8)}},
            {"Delete": {"TableName": "Numbers", "Key": key("in transaction")}},
        ]
    )
    never = {"ConditionExpression": "attribute_not_exists(pk)"}
    with pytest.raises(ClientError):
        client.update_item(**add_one("refused", **never))
    with pytest.raises(ClientError):
        client.transact_write_items(TransactItems=[{"Update": add_one("put")}, {"Update": add_one("refused", **never)}])
    with pytest.raises(ClientError):  # it proves wrong while it is applied
        client.transact_write_items(
            TransactItems=[
                {"Update": add_one("put")},
                {"Update": {**add_one("refused"), "UpdateExpression": "ADD pk :one"}},
            ]
        )
    return {"put": 1, "updated": 3, "made by update": 1, "by batch": 7, "by transaction": 8, "refused": 1}


@pytest.mark.parametrize("is_inside", [False, True], ids=["over HTTP", "from a state machine"])
def test_items_are_there_after_a_new_start(tmp_path, is_inside):
    with opened(tmp_path) as world:
        client = in_process_client("dynamodb") if is_inside else world.aws.client("dynamodb")
        expected = change_items(client)
        assert numbers(world) == expected

    with opened(tmp_path) as world:
        assert numbers(world) == expected


def test_a_request_is_one_record(tmp_path, monkeypatch):
    records: list[tuple[ItemChange, ...]] = []
    original = StateDirectory.record_items

    def observed(self: StateDirectory, *changes: ItemChange) -> None:
        records.append(changes)
        original(self, *changes)

    monkeypatch.setattr(StateDirectory, "record_items", observed)
    with opened(tmp_path) as world:
        world.aws.client("dynamodb").transact_write_items(
            TransactItems=[{"Update": add_one("a")}, {"Put": {"TableName": "Numbers", "Item": item("b", 2)}}]
        )
    (changes,) = records
    assert {change.key["pk"]["S"]: change.item for change in changes} == {"a": item("a", 1), "b": item("b", 2)}


def test_objects_are_there_after_a_new_start(tmp_path):
    with opened(tmp_path) as world:
        client, bucket = world.aws.client("s3"), world.outputs["FilesName"]
        for name, content in (("kept", b"old"), ("kept", b"new\x00"), ("gone", b"gone")):
            client.put_object(Bucket=bucket, Key=name, Body=content)
        client.delete_object(Bucket=bucket, Key="gone")
        client.copy_object(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": "kept"})

    with opened(tmp_path) as world:
        client = world.aws.client("s3")
        names = [each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]]
        assert names == ["copied", "kept"]
        assert client.get_object(Bucket=bucket, Key="copied")["Body"].read() == b"new\x00"
        with pytest.raises(StateDirectoryError, match="is in use"):
            StateDirectory(tmp_path / "state")


def test_an_execution_of_before_is_not_known(tmp_path):
    with opened(tmp_path) as world:
        arn = world.aws.start_execution(world.outputs["WorksArn"], {}, "first")
        world.aws.wait_for_execution(arn, 30)
    with opened(tmp_path) as world:
        states = world.aws.client("stepfunctions")
        with pytest.raises(states.exceptions.ExecutionDoesNotExist):
            states.describe_execution(executionArn=arn)
        assert world.aws.start_execution(world.outputs["WorksArn"], {}, "first") == arn


def test_once_the_disk_is_full_nothing_is_acknowledged_or_read(tmp_path):
    with opened(tmp_path) as world:
        dynamodb, s3 = world.aws.client("dynamodb"), world.aws.client("s3")
        bucket = world.outputs["FilesName"]
        s3.put_object(Bucket=bucket, Key="before", Body=b"")
        state = world.aws._state
        assert state is not None
        state._connection.execute("PRAGMA max_page_count = 10")
        with pytest.raises(ClientError):
            s3.put_object(Bucket=bucket, Key="large", Body=bytes(100_000))
        with pytest.raises(ClientError):
            s3.get_object(Bucket=bucket, Key="before")
        with pytest.raises(ClientError):
            dynamodb.put_item(TableName="Numbers", Item=item("late", 1))
        with pytest.raises(ClientError):
            dynamodb.get_item(TableName="Numbers", Key=key("late"))
        with pytest.raises(StateDirectoryError, match="is full"):
            world.aws.check_state()


def test_state_of_another_stack_is_refused(tmp_path):
    with StateDirectory(tmp_path / "state") as state:
        state.record_items(ItemChange("Letters", key("a"), key("a")))

    with pytest.raises(StateDirectoryError, match="holds Letters, which the stack does not have"), opened(tmp_path):
        pass


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_environments_at_work_end_when_the_process_is_killed(tmp_path):
    """Otherwise they would go on talking to the org beside whoever resumes the run."""
    assembly = Assembly(tmp_path / "cdk.out")
    busy = """
        import os, sys, time
        def handler(event, context):
            with open(event["file"], "w") as file:
                file.write(f"{os.getpid()} {os.getppid()}\\n")
            time.sleep(600)
        """
    assembly.function("Stay", busy, timeout_seconds=600)
    assembly.machine("Stays", one_task("${Stay.Arn}"))
    written, seen = assembly.write(), tmp_path / "pids"
    starting = f"""
import time
from pathlib import Path
from local.aws.embedded import EmbeddedAws
aws = EmbeddedAws(work_dir=Path({str(tmp_path / "work")!r}))
aws.start()
outputs = aws.deploy(Path({str(written)!r}), {STACK!r})
aws.start_execution(outputs["StaysArn"], {{"file": {str(seen)!r}}})
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", starting])
    try:
        while not (seen.exists() and seen.read_text().endswith("\n")):
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    environment, server = (int(pid) for pid in seen.read_text().split())
    deadline = time.monotonic() + END_SECONDS
    while _is_running(environment) or _is_running(server):
        assert time.monotonic() < deadline, "they live on"
        time.sleep(0.02)


def _is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
