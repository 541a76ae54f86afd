"""What a state directory holds of table and bucket, to be read where no stack is deployed."""

from __future__ import annotations

from collections import defaultdict

from local.aws.state import StateDirectory
from massive_upload.adapters.aws import SystemClock
from massive_upload.adapters.dynamodb_items import Item
from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.adapters.dynamodb_table import Table
from massive_upload.errors import InternalError


def kept_store(state: StateDirectory) -> DynamoDbProgress:
    """The progress table as it is on disk at this moment, for reading alone."""
    return DynamoDbProgress(_KeptTable(state), SystemClock())


class KeptFiles:
    """`massive_upload.ports.Files` of a state directory, for reading alone."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state

    def read(self, key: str) -> bytes:
        """The object's content."""
        content = self._state.object(key)
        if content is None:
            raise InternalError(f"The state directory {self._state.path} has no object {key}.", code="NoSuchKey")
        return content

    def write(self, key: str, content: bytes, *, content_type: str = "text/csv") -> None:
        """Refused."""
        del content, content_type
        raise InternalError(f"Without a stack nothing can be written to {key}.")


class _KeptTable(Table):
    """Items by partition key and sort key, both of which are texts."""

    def __init__(self, state: StateDirectory) -> None:
        self.name = str(state.path)
        self._groups: dict[str, dict[str, Item]] = defaultdict(dict)
        items = [item for _table, item in state.items()]
        for item in sorted(items, key=lambda item: str(item["sk"]["S"])):
            self._groups[item["pk"]["S"]][item["sk"]["S"]] = item

    def transact(self, *writes: Item) -> None:
        del writes
        raise InternalError(f"Without a stack nothing can be written to {self.name}.")

    def get(self, key: Item) -> Item | None:
        return self._group(key["pk"]["S"]).get(key["sk"]["S"])

    def query(self, pk: str, sk_prefix: str) -> list[Item]:
        return [item for sort_key, item in self._group(pk).items() if sort_key.startswith(sk_prefix)]

    def query_newest(self, pk: str, most: int) -> list[Item]:
        return list(self._group(pk).values())[::-1][:most]

    def _group(self, pk: str) -> dict[str, Item]:
        return self._groups.get(pk, {})
