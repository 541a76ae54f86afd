"""What all parts of the progress table have in common."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from massive_upload.adapters import dynamodb_items as items
from massive_upload.adapters.dynamodb_items import Item
from massive_upload.adapters.dynamodb_table import Table
from massive_upload.constants import STATE_KEPT_DAYS
from massive_upload.errors import FencedOut, InternalError
from massive_upload.ports import Clock


class DynamoDbStore:
    """Items of one table, some of which expire."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def _expiring(self, values: Mapping[str, object]) -> Item:
        return items.to_item({**values, "expires_at": self._expires_at()})

    def _expires_at(self) -> int:
        return int((self._clock.now() + timedelta(days=STATE_KEPT_DAYS)).timestamp())


def fenced(what: str) -> FencedOut:
    """The error of a write by somebody who has been overtaken."""
    return FencedOut(
        f"{what} has been taken over or has moved on.",
        next_step="Nothing to do: whoever has taken over goes on from what is recorded.",
    )


def missing(what: str) -> InternalError:
    """The error of a look for an item that must be there."""
    return InternalError(
        f"{what} is not in the progress table.",
        next_step="See whether the run has been cleaned up meanwhile.",
    )
