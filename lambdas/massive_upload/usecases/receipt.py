"""The receipt of a run: what was asked for, where every row ended, and what it took (docs/receipt.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from massive_upload.contracts import Mode
from massive_upload.domain.account import Outcome, outcome_of
from massive_upload.domain.advice import advice_for
from massive_upload.domain.file_keys import half_swept_key, receipt_key
from massive_upload.domain.hot_parents import NAMED, hottest
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Partition, Run, RunStatus
from massive_upload.domain.shown import Shown
from massive_upload.errors import LoadError
from massive_upload.observability import Event, Marker, log
from massive_upload.ports import Files
from massive_upload.usecases.plan_file import read_estimate
from massive_upload.usecases.rejected_files import rejected_files
from massive_upload.usecases.run_config import RunConfig
from massive_upload.usecases.shown_by import shown_by
from massive_upload.usecases.slice_tasks import SliceServices, unsettled_batches

_FIGURES = ("batches", "jobs", "resent_rows", "lock_errors", "api_requests")
PARTITION_FIGURES = (
    "partition",
    "status",
    "planned_rows",
    "source_rows",
    "settled_rows",
    "succeeded",
    "rejected",
    "deferred",
    *_FIGURES,
    "error",
)
"""What a receipt, and `massive-upload status`, tell of each partition."""

_SHOWN = (
    "lanes",
    "batch_rows",
    "jobs",
    "rows",
    "job_seconds",
    "processing_ms",
    "contended_rows",
    "org_batches",
    "org_took",
    "pairs_met",
)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How and when a run came to its end."""

    status: str
    error: str | None
    at: datetime


def write_receipt(run: Run, receipt: Mapping[str, object], services: SliceServices) -> bool:
    """Write a run's receipt; one that is there, of an end that the run was resumed from, is replaced.

    To be called once all is gathered, as a run may be resumed meanwhile.

    Returns:
        False where the run was resumed, or has ended, since it was read: the receipt is then for others to write.
    """
    now = services.store.run(run.run_id)
    if now is None or (now.execution_arn, now.status) != (run.execution_arn, run.status):
        return False
    services.files.write(
        receipt_key(run.run_id), json.dumps(receipt, indent=2).encode(), content_type="application/json"
    )
    return True


def renew_receipt(run: Run, ended_at: datetime, services: SliceServices) -> bool:
    """Write the receipt of a run that has ended as its partitions are now; how and when it ended stays.

    Returns:
        False where it is no longer ours to write.
    """
    partitions = services.store.partitions(run.run_id)
    outcome = outcome_of(run, partitions, unsettled_batches(services.store, partitions))
    ended = Ended(status=run.status, error=run.error, at=ended_at)
    shown = shown_by(run, partitions, ended_at, services.store.shown(run.load), services)
    target = ask_target(run, services)
    return write_receipt(run, gather_receipt(run, ended, outcome, partitions, target, shown, services), services)


def gather_receipt(
    run: Run,
    ended: Ended,
    outcome: Outcome,
    partitions: Sequence[Partition],
    target: Mapping[str, object] | None,
    shown: Shown | None,
    services: SliceServices,
) -> dict[str, object]:
    """What a run's receipt says; with many lanes that takes minutes, as the files of their rows are looked up."""
    config = services.configs.of(run.run_id) if run.plan_name is not None else None
    lanes = [partition for partition in partitions if not partition.is_sweep]
    figures = {name: sum(getattr(partition, name) for partition in partitions) for name in _FIGURES}
    return {
        "run_id": run.run_id,
        "load": run.load,
        "load_sha256": config.load_sha256 if config else None,
        "mode": run.mode,
        "retry_of": run.retry_of,
        "retry_only": run.retry_only,
        "status": ended.status,
        "error": ended.error,
        "started_at": run.started_at.isoformat(),
        "ended_at": ended.at.isoformat(),
        "account": asdict(outcome.account),
        "success_rate_percent": outcome.account.told_success_rate_percent,
        "rejected_by_code": dict(outcome.rejected_by_code),
        "succeeded_keys": outcome.succeeded_keys.hex,
        "drift": _drift(lanes),
        "window": _window(run),
        "target": target,
        "figures": figures | {"api_requests": figures["api_requests"] + run.api_requests},
        "estimate": _estimate(run, services),
        "shown": _shown(shown),
        "advice": _advice(run, ended, config.load, lanes, shown) if config else (),
        "hot_parents": _hot_parents(partitions, config) if config else {},
        "rejected_files": _rejected_files(run, partitions, services),
        "partitions": [{name: getattr(partition, name) for name in PARTITION_FIGURES} for partition in partitions],
    }


def _rejected_files(run: Run, partitions: Sequence[Partition], services: SliceServices) -> tuple[str, ...]:
    """Files that hold the rejected rows and no others; where the sweep was left half way, one is written for that."""
    found = rejected_files(partitions, services.store, services.files)
    if found.half_swept is None:
        return found.whole
    key = half_swept_key(run.run_id)
    services.files.write(key, found.half_swept.content)
    return (*found.whole, key)


@dataclass(frozen=True, kw_only=True)
class ReceiptNotes:
    """What a receipt says beside the account, for people.

    Attributes:
        advice: what might be changed for the load's next run.
        hot_parents: the parents that cost most lock errors, most first, with how many.
    """

    advice: tuple[str, ...] = ()
    hot_parents: Mapping[str, int] = field(default_factory=dict)


def read_notes(files: Files, run: Run) -> ReceiptNotes:
    """The notes of a run's receipt; none where the run has not ended, or was never planned."""
    if run.is_unfinished or run.plan_name is None:
        return ReceiptNotes()
    receipt = json.loads(files.read(receipt_key(run.run_id)))
    return ReceiptNotes(advice=tuple(receipt["advice"]), hot_parents=receipt["hot_parents"])


def _shown(shown: Shown | None) -> dict[str, object] | None:
    """The figures by which the load's next run may plan."""
    return None if shown is None else {name: getattr(shown, name) for name in _SHOWN}


def _hot_parents(partitions: Sequence[Partition], config: RunConfig) -> dict[str, int]:
    return hottest((partition.hot_parents for partition in partitions), NAMED, config.identity)


def _window(run: Run) -> dict[str, object]:
    """The times of modification that a run was about, as far as its plan knew them."""
    moments = {"modified_after": run.modified_after, "as_of": run.as_of}
    known = {name: moment.isoformat() if moment else None for name, moment in moments.items()}
    return {**known, "undated_rows": run.undated_rows}


def _estimate(run: Run, services: SliceServices) -> dict[str, object] | None:
    """What the plan expected the run to take."""
    estimate = read_estimate(services.files, run)
    return None if estimate is None else asdict(estimate)


def _advice(run: Run, ended: Ended, load: Load, lanes: Sequence[Partition], shown: Shown | None) -> tuple[str, ...]:
    """The run's advice.

    Only a full run that has completed asks for another one: after an incremental run the next one reads what has
    changed since, and an unfinished run is resumed.
    """
    may_ask = run.mode == Mode.FULL and ended.status == RunStatus.COMPLETED
    changed_lanes = sum(lane.source_rows != lane.planned_rows for lane in lanes) if may_ask else 0
    return advice_for(load, shown, partitions=len(lanes), changed_lanes=changed_lanes)


def _drift(lanes: Sequence[Partition]) -> dict[str, int]:
    """What the lanes found to read, beside what the plan had counted: the source may change in between."""
    planned, read = sum(lane.planned_rows for lane in lanes), sum(lane.source_rows for lane in lanes)
    return {"planned_rows": planned, "read_rows": read, "more_rows": read - planned}


def ask_target(run: Run, services: SliceServices) -> Mapping[str, object] | None:
    """Ask the target how many of its records the run's user was the last to modify since the run began.

    The answer is told and decides nothing, as others may write to the target as well.

    Returns:
        None for a run that wrote nothing. ``modified_rows`` is None where the org did not tell.
    """
    if run.plan_name is None or run.lease_key is None:
        return None
    config = services.configs.of(run.run_id)
    target = config.load.target
    modified_rows: int | None = None
    try:
        with services.org.only_to(config.org_id):
            modified_rows = services.org.metadata.count_modified(target.object, since=run.started_at)
    except LoadError as error:
        log(Marker.WARNING, Event.TARGET_NOT_COUNTED, error=type(error).__name__, code=error.code)
    return {**target.model_dump(), "since": run.started_at.isoformat(), "modified_rows": modified_rows}
