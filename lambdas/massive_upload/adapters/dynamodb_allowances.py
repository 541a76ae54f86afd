"""What is left of an org's day, for all runs that write to it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from massive_upload.adapters import dynamodb_items as items
from massive_upload.adapters.dynamodb_store import DynamoDbStore
from massive_upload.adapters.dynamodb_table import ConditionFailed
from massive_upload.adapters.dynamodb_writes import Change, Condition, at_least, exists, has, is_before, is_new, update
from massive_upload.domain.quota import Need, OrgQuota


class DynamoDbAllowances(DynamoDbStore):
    """The org's allowances of `massive_upload.ports.ProgressStore`.

    All lanes of all runs write to one item, each change by itself. None does more harm than a wait where it is carried
    out twice, as after an answer that was lost: what is taken twice comes back with the next look, and a look begins
    and ends once.
    """

    def quota(self, org_id: str) -> OrgQuota | None:
        item = self._table.get(items.quota_key(org_id))
        return items.quota_from(item) if item else None

    def begin_look(self, org_id: str, seen: OrgQuota | None, begun_at: datetime) -> bool:
        change = Change(put={"look_begun_at": begun_at}, put_once={taken: 0 for *_told, taken in items.ALLOWANCES})
        is_as_seen = is_new()
        if seen is not None:
            is_as_seen = has("looked_at", seen.looked_at) & has("look_begun_at", seen.look_begun_at)
        try:
            self._change(org_id, change, is_as_seen)
        except ConditionFailed:
            return False
        return True

    def end_look(self, org_id: str, seen: OrgQuota | None, begun_at: datetime, found: Mapping[str, int]) -> OrgQuota:
        change = Change(put={"looked_at": begun_at, "begun": 0, "refused": 0}, remove=("look_begun_at",))
        before = seen or OrgQuota()
        for allowed, left, taken in items.ALLOWANCES:
            if left in found:
                rest = {left: (found[left] + getattr(before, taken), taken)}
                change |= Change(put={allowed: found[allowed]}, put_rest=rest)
            else:
                change |= Change(remove=(allowed, left))
        is_the_latest = is_before("looked_at", begun_at)
        with suppress(ConditionFailed):  # a later look knows better
            self._change(org_id, change, is_the_latest)
        return self.quota(org_id) or OrgQuota()

    def give_up_look(self, org_id: str, begun_at: datetime) -> None:
        with suppress(ConditionFailed):  # another has begun, or has been answered
            self._change(org_id, Change(remove=("look_begun_at",)), has("look_begun_at", begun_at))

    def look_again(self, org_id: str) -> None:
        change = Change(remove=("looked_at",))
        with suppress(ConditionFailed):  # nobody has looked yet
            self._change(org_id, change, exists())

    def take_quota(self, org_id: str, need: Need) -> bool:
        taken = {"begun": 1, "requests_taken": need.requests, "batches_taken": need.batches}
        is_enough = exists()
        for name, least, part in (
            ("requests_left", need.requests_left, need.requests),
            ("batches_left", need.batches_left, need.batches),
        ):
            if least is not None:
                taken[name] = -part
                is_enough &= at_least(name, least)
        try:
            self._change(org_id, Change(put={"refused": 0}, add=taken), is_enough)
        except ConditionFailed:
            with suppress(ConditionFailed):
                self._change(org_id, Change(add={"refused": 1}), exists())
            return False
        return True

    def _change(self, org_id: str, change: Change, condition: Condition) -> None:
        self._table.change(update(self._table.name, items.quota_key(org_id), change, condition))
