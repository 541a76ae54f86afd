"""Incremental runs: how far a load has come in time, and which rows the next run reads by it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from massive_upload.domain.documents import sha256_of
from massive_upload.domain.load import FieldType, Load
from massive_upload.domain.values import format_column

_MAPPING = {"source", "target", "fields"}
_OF_LANES = {"source": {"parent"}}
"""What decides which rows a load reads and what it makes of them; the parent column decides into which lane they go."""

NO_MAPPING = ""
"""The mapping of a watermark that counts no more: another mapping has begun to write."""


@dataclass(frozen=True, kw_only=True)
class Watermark:
    """Up to when a load's complete runs have read the source.

    Attributes:
        load: the load's name.
        as_of: each row that the source had, and had modified by then, was loaded or kept as rejected.
        target: the org and the object that it was loaded into, as a lease's key has them.
        mapping_sha256: digest of the mapping that it was loaded by.
        run_id: the run that has set this watermark; a run sets one at most.
        set_at: when.
    """

    load: str
    as_of: datetime
    target: str
    mapping_sha256: str
    run_id: str
    set_at: datetime

    def is_like(self, other: Watermark) -> bool:
        """Whether both are of the same mapping and target."""
        return (self.target, self.mapping_sha256) == (other.target, other.mapping_sha256)


def mapping_sha256(load: Load) -> str:
    """Digest of what decides which rows a load reads and what it makes of them; pace and lanes do not matter."""
    return sha256_of(load.model_dump(mode="json", include=_MAPPING, exclude=_OF_LANES))


def why_full(known: Watermark | None, load: Load, target: str) -> str | None:
    """Why only a full run can bring a target up to date; None where an incremental run can go on from ``known``."""
    if known is None:
        return f"no full run of {load.name} has completed that found a row with {load.source.modified}"
    if known.target != target:
        return f"{load.name} was last loaded into {known.target}, and the login leads to {target}"
    if known.mapping_sha256 == NO_MAPPING:
        return f"since run {known.run_id} completed, a run under another mapping has begun to write"
    if known.mapping_sha256 != mapping_sha256(load):
        return f"the mapping of {load.name} has changed since run {known.run_id} completed"
    return None


def window_start(known: Watermark, load: Load) -> datetime:
    """The moment after which a row must have been modified for an incremental run to read it."""
    return known.as_of - timedelta(seconds=load.incremental.overlap_seconds)


def may_set(new: Watermark, known: Watermark | None, *, modified_after: datetime | None, started_at: datetime) -> bool:
    """Whether a completed run sets its watermark in the place of the known one.

    It never goes back, but for a full run that began when the known one was set already: then the source itself has
    gone back, as one restored from a backup does. A run that was resumed late finds a newer one, and leaves it.

    Args:
        new: of the run.
        known: the one that there is.
        modified_after: where the run's window began; None for a full run.
        started_at: when the run began.
    """
    is_full = modified_after is None
    if known is None or not new.is_like(known):
        return is_full
    if new.as_of > known.as_of:
        return modified_after is None or modified_after <= known.as_of
    return is_full and new.as_of < known.as_of and started_at >= known.set_at


def moment_of(value: object) -> datetime | None:
    """A date or time of Data Cloud, cut to the millisecond; None for NULL.

    Raises:
        ValueError: it is neither.
    """
    (text,) = format_column([value], FieldType.DATETIME, "keep")
    moment = datetime.fromisoformat(text) if text else None
    if moment is not None and moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment
