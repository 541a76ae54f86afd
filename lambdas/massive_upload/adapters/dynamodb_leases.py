"""Leases: who holds a target, and who has written to it last."""

from __future__ import annotations

from massive_upload.adapters import dynamodb_items as items
from massive_upload.adapters.dynamodb_store import DynamoDbStore
from massive_upload.adapters.dynamodb_table import ConditionFailed
from massive_upload.adapters.dynamodb_writes import Condition, delete, equals, is_new, is_one_of, put
from massive_upload.domain.progress import Lease


class DynamoDbLeases(DynamoDbStore):
    """The leases of `massive_upload.ports.ProgressStore`."""

    def lease(self, key: str) -> Lease | None:
        item = self._table.get(items.lease_key(key))
        return items.lease_from(item) if item else None

    def acquire_lease(self, lease: Lease, *, instead_of: Lease | None = None) -> Lease | None:
        holders = [lease.execution_arn, *([instead_of.execution_arn] if instead_of else [])]
        is_held_by_one_of_us = is_one_of("execution_arn", holders)
        free_or_ours = Condition(
            clauses=[f"{is_new().expression} OR {is_held_by_one_of_us.expression}"],
            names=is_held_by_one_of_us.names,
            values=is_held_by_one_of_us.values,
        )
        item = items.lease_key(lease.key) | items.to_item(items.fields_of(lease))
        try:
            self._table.transact(put(self._table.name, item, free_or_ours))
        except ConditionFailed as failure:
            found = failure.items_found[0]
            return items.lease_from(found) if found else self.lease(lease.key)
        return None

    def release_lease(self, lease: Lease) -> None:
        is_ours = equals("execution_arn", lease.execution_arn)
        try:
            self._table.transact(delete(self._table.name, items.lease_key(lease.key), is_ours))
        except ConditionFailed:
            return  # released before or taken over: in either case it is no longer ours to give back

    def last_writer(self, key: str) -> str | None:
        item = self._table.get(items.writer_key(key))
        return str(item["run_id"]["S"]) if item else None
