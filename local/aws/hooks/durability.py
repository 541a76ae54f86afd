"""Tables and buckets that outlive the process.

Defect: moto keeps everything in memory, and names what CloudFormation makes by chance, so that a stack that is
deployed once more finds neither its table nor its bucket.

Here a name follows from the stack and the logical id. Once a state directory is given, every change of an item or an
object is on disk before its request is answered; what one request to DynamoDB changes is one record.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.cloudformation import parsing
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.s3.models import S3Backend, s3_backends

from local.aws.hooks.patching import replace
from local.aws.identity import ACCOUNT_ID, REGION
from local.aws.state import Item, ItemChange, ObjectChange, StateDirectory, StateDirectoryError
from local.aws.untyped import Untyped

_SUFFIX_LENGTH = 12  # as that of moto's own names

_state: StateDirectory | None = None
_objects_lock = threading.RLock()  # so that memory and disk see changes of an object in the same order
_touched: dict[tuple[str, str], tuple[Untyped, Item]] = {}
_depth = 0


def install() -> None:
    """Notes what requests change. DynamoDB's own hook, which comes later, puts its lock around all of this."""
    replace(parsing, "generate_resource_name", _build_resource_name)
    replace(Table, "put_item", _build_put_item)
    replace(Table, "delete_item", _build_delete_item)
    replace(DynamoDBBackend, "update_item", _build_update_item)
    replace(S3Backend, "put_object", _build_put_object)
    replace(S3Backend, "delete_object", _build_delete_object)
    replace(S3Backend, "get_object", _build_get_object)


def restore_and_keep(state: StateDirectory) -> None:
    """Put back what the directory holds, then keep every change there.

    Raises:
        StateDirectoryError: it holds a table or a bucket that the deployed stack does not have.
    """
    global _state  # noqa: PLW0603 - one embedded AWS in a process, as moto's own state
    if _state is state:
        return  # the stack is deployed once more, over what is there
    tables, s3 = dynamodb_backends[ACCOUNT_ID][REGION].tables, s3_backends[ACCOUNT_ID]["aws"]
    for table, item in state.items():
        _check_deployed(table, tables, state)
        tables[table].put_item(item)
    for bucket, key, content in state.objects():
        _check_deployed(bucket, s3.buckets, state)
        s3.put_object(bucket, key, content, disable_notification=True)
    _touched.clear()
    _state = state


def _check_deployed(name: str, deployed: Untyped, state: StateDirectory) -> None:
    if name not in deployed:
        raise StateDirectoryError(
            f"The state directory {state.path} holds {name}, which the stack does not have: use the program that has "
            "written it, or give another directory."
        )


def keep_no_more() -> None:
    """Changes from now on are in memory alone."""
    global _state  # noqa: PLW0603 - one embedded AWS in a process, as moto's own state
    _state = None


@contextmanager
def item_changes() -> Iterator[None]:
    """Makes what is changed inside one record on disk. The caller holds DynamoDB's lock; it may be entered again."""
    global _depth  # noqa: PLW0603 - DynamoDB's lock guards it
    _refuse_after_failure()
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if _depth == 0:
            _record_items()


def _record_items() -> None:
    """Record the items as they are now: also where a request has failed halfway, disk and memory agree."""
    changes = [ItemChange(table.name, key, _current(table, key)) for table, key in _touched.values()]
    _touched.clear()
    if _state is not None and changes:
        _state.record_items(*changes)


def _current(table: Untyped, key: Item) -> Item | None:
    hash_value = DynamoType(key[table.hash_key_attr])
    range_value = DynamoType(key[table.range_key_attr]) if table.range_key_attr else None
    item = table.get_item(hash_value, range_value)
    return dict(item.to_json()["Attributes"]) if item is not None else None


def _touch(table: Untyped, source: Item) -> None:
    key = {name: source[name] for name in (table.hash_key_attr, table.range_key_attr) if name}
    _touched[(table.name, str(key))] = (table, key)


def _refuse_after_failure() -> None:
    """Memory may be ahead of the disk now, which nobody must see."""
    if _state is not None and _state.failure is not None:
        raise _state.failure


def _build_resource_name(original: Untyped) -> Untyped:
    def generate_resource_name(resource_type: str, stack_name: str, logical_id: str) -> str:
        by_chance = str(original(resource_type, stack_name, logical_id))
        digest = hashlib.sha256(f"{stack_name}/{logical_id}".encode()).hexdigest()
        return f"{by_chance.rpartition('-')[0]}-{digest[:_SUFFIX_LENGTH]}"

    return generate_resource_name


def _build_put_item(original: Untyped) -> Untyped:
    def put_item(self: Untyped, item_attrs: dict[str, Any], *args: Untyped, **kwargs: Untyped) -> Untyped:
        item = original(self, item_attrs, *args, **kwargs)
        _touch(self, item_attrs)
        return item

    return put_item


def _build_delete_item(original: Untyped) -> Untyped:
    def delete_item(self: Untyped, hash_key: Untyped, range_key: Untyped) -> Untyped:
        item = original(self, hash_key, range_key)
        if item is not None:
            _touch(self, item.to_json()["Attributes"])
        return item

    return delete_item


def _build_update_item(original: Untyped) -> Untyped:
    def update_item(self: Untyped, table_name: str, key: Item, *args: Untyped, **kwargs: Untyped) -> Untyped:
        _touch(self.get_table(table_name), key)
        return original(self, table_name, key, *args, **kwargs)

    return update_item


def _build_put_object(original: Untyped) -> Untyped:
    def put_object(
        self: Untyped, bucket_name: str, key_name: str, value: bytes, *args: Untyped, **kwargs: Untyped
    ) -> Untyped:
        with _objects_lock:
            made = original(self, bucket_name, key_name, value, *args, **kwargs)
            _record_object(ObjectChange(bucket_name, key_name, bytes(value)))
            return made

    return put_object


def _build_delete_object(original: Untyped) -> Untyped:
    def delete_object(self: Untyped, bucket_name: str, key_name: str, *args: Untyped, **kwargs: Untyped) -> Untyped:
        with _objects_lock:
            outcome = original(self, bucket_name, key_name, *args, **kwargs)
            _record_object(ObjectChange(bucket_name, key_name, None))
            return outcome

    return delete_object


def _build_get_object(original: Untyped) -> Untyped:
    def get_object(self: Untyped, *args: Untyped, **kwargs: Untyped) -> Untyped:
        with _objects_lock:  # nobody reads what is not on disk yet
            _refuse_after_failure()
            return original(self, *args, **kwargs)

    return get_object


def _record_object(change: ObjectChange) -> None:
    if _state is not None:
        _state.record_object(change)
