"""Runs, partitions, batches and leases as items of the table, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from boto3.dynamodb.types import TypeSerializer

from massive_upload.domain.incremental import Watermark
from massive_upload.domain.key_digest import KeyDigest
from massive_upload.domain.pace import LanePace
from massive_upload.domain.progress import (
    Batch,
    BatchState,
    DeferredRows,
    LaneFailures,
    LaneKind,
    Lease,
    Partition,
    PartitionStatus,
    Run,
    RunFailures,
    RunStatus,
    StagedRows,
)
from massive_upload.domain.quota import OrgQuota
from massive_upload.domain.shown import Shown

Item = dict[str, Any]
T = TypeVar("T")

OPEN_RUNS_KEY = "OPEN"
RETRY_PREFIX = "RETRY#"
BEGUN_RUNS_KEY = "BEGUN"
_serialize = TypeSerializer().serialize


def run_key(run_id: str) -> Item:
    """Key of a run's item."""
    return to_item({"pk": f"RUN#{run_id}", "sk": "META"})


def retry_key(first_run_id: str, run_id: str) -> Item:
    """Key of the item, beside a run's own, that names a run which sends its rejected rows once more."""
    return to_item({"pk": f"RUN#{first_run_id}", "sk": f"{RETRY_PREFIX}{run_id}"})


def open_run_key(run_id: str) -> Item:
    """Key of the item that says that a run has not finished."""
    return to_item({"pk": OPEN_RUNS_KEY, "sk": f"RUN#{run_id}"})


def begun_run_key(run: Run) -> Item:
    """Key of the item that finds a run by when it began: such items sort by time."""
    return {"pk": to_value(BEGUN_RUNS_KEY), "sk": {"S": f"{to_value(run.started_at)['S']}#{run.run_id}"}}


def lease_key(key: str) -> Item:
    """Key of a lease's item."""
    return to_item({"pk": f"LEASE#{key}", "sk": "LEASE"})


def writer_key(key: str) -> Item:
    """Key of the item, beside a lease's own, that names the run which has written to its target last."""
    return to_item({"pk": f"LEASE#{key}", "sk": "WRITER"})


def quota_key(org_id: str) -> Item:
    """Key of the item that counts what is left of an org's day."""
    return to_item({"pk": f"ORG#{org_id}", "sk": "QUOTA"})


def watermark_key(load: str) -> Item:
    """Key of a load's watermark."""
    return to_item({"pk": f"LOAD#{load}", "sk": "WATERMARK"})


def shown_key(load: str) -> Item:
    """Key of what a load's last run has shown."""
    return to_item({"pk": f"LOAD#{load}", "sk": "SHOWN"})


def partition_key(run_id: str, partition: str) -> Item:
    """Key of a partition's item."""
    return to_item({"pk": f"RUN#{run_id}", "sk": f"PART#{partition}"})


def batch_key(run_id: str, partition: str, number: int) -> Item:
    """Key of a batch's item."""
    return to_item({"pk": f"RUN#{run_id}#PART#{partition}", "sk": f"BATCH#{number:06d}"})


def to_value(value: object) -> dict[str, Any]:
    """A value in DynamoDB's wire form."""
    if isinstance(value, StrEnum):
        value = value.value
    elif isinstance(value, datetime):
        value = value.astimezone(UTC).isoformat(timespec="milliseconds")
    elif isinstance(value, tuple):
        value = [_plain(part) for part in value]
    return dict(_serialize(_plain(value)))


def _plain(value: object) -> object:
    """A digest as text, a part of an entity as a map; anything else as it is."""
    if isinstance(value, KeyDigest):
        return value.hex
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def to_item(values: Mapping[str, object]) -> Item:
    """An item in DynamoDB's wire form; what is None is left out."""
    return {name: to_value(value) for name, value in values.items() if value is not None}


def fields_of(entity: Run | Partition | Batch | Lease | Watermark | Shown) -> dict[str, object]:
    """The attributes of an entity's item, but for its key."""
    return {field.name: getattr(entity, field.name) for field in dataclasses.fields(entity)}


def run_from(item: Item) -> Run:
    """The run of an item."""
    moments = dict.fromkeys(("started_at", "ended_at", "modified_after", "as_of"), _moment)
    parts = {"failures_before": _part(RunFailures), "loads_after": tuple, "leases_after": tuple}
    return _entity(Run, item, {"status": RunStatus, **parts, **moments})


def partition_from(item: Item) -> Partition:
    """The partition of an item."""
    moments = dict.fromkeys(("due_at", "last_progress_at", "next_wake_at"), _moment)
    parts = {
        "kind": LaneKind,
        "query_columns": tuple,
        "failures": _part(LaneFailures),
        "pace": _part(LanePace),
        **_OUTCOMES,
    }
    return _entity(Partition, item, {"status": PartitionStatus, **parts, **moments})


def batch_from(item: Item) -> Batch:
    """The batch of an item."""
    parts = {
        "rejected_files": tuple,
        "deferred_files": _deferred_rows,
        "waiting": _staged_rows,
        "keys": KeyDigest.from_hex,
        "aborted_at": _moment,
        **_OUTCOMES,
    }
    return _entity(Batch, item, {"state": BatchState, **parts})


def lease_from(item: Item) -> Lease:
    """The lease of an item."""
    return _entity(Lease, item, {})


ALLOWANCES = (
    ("requests_max", "requests_left", "requests_taken"),
    ("batches_max", "batches_left", "batches_taken"),
)
"""Of each allowance, the two figures of `OrgQuota` that the org tells, and what batches have taken of it in all."""


def quota_from(item: Item) -> OrgQuota:
    """What an item knows to be left of an org's day."""
    return _entity(OrgQuota, item, {"looked_at": _moment, "look_begun_at": _moment})


def watermark_from(item: Item) -> Watermark:
    """The watermark of an item."""
    return _entity(Watermark, item, {"as_of": _moment, "set_at": _moment})


def shown_from(item: Item) -> Shown:
    """What an item says that a load's last run has shown."""
    return _entity(Shown, item, {"began_at": _moment, "ended_at": _moment})


_OUTCOMES = {"succeeded_keys": KeyDigest.from_hex}
"""What partitions and batches tell in common of their rows."""


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _staged_rows(parts: list[dict[str, Any]]) -> tuple[StagedRows, ...]:
    return tuple(StagedRows(**part | {"keys": KeyDigest.from_hex(part["keys"])}) for part in parts)


def _deferred_rows(parts: list[dict[str, Any]]) -> tuple[DeferredRows, ...]:
    return tuple(DeferredRows(**part) for part in parts)


def _part(cls: type[T]) -> Callable[[dict[str, Any]], T]:
    """What makes a part of an entity of the map that `_plain` made of it."""
    return lambda part: cls(**part)


def _from_value(wire: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever an attribute holds
    """What `to_value` wrote.

    boto3's own reading makes a Decimal of each number, which takes several times as long; all of ours are whole.
    """
    ((kind, value),) = wire.items()
    match kind:
        case "N":
            return int(value)
        case "NULL":  # of a part; an attribute that is None is left out
            return None
        case "L":
            return [_from_value(part) for part in value]
        case "M":
            return {name: _from_value(part) for name, part in value.items()}
        case _:
            return value


def _entity(cls: type[T], item: Item, converters: Mapping[str, Any]) -> T:
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]  # T is one of our dataclasses
    values: dict[str, Any] = {}
    for name, wire in item.items():
        if name not in names:
            continue
        value = _from_value(wire)
        values[name] = converters[name](value) if name in converters else value
    return cls(**values)
