"""The account of a run: where every source row ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from massive_upload.constants import SWEEP_PARTITION
from massive_upload.domain.error_counts import add_counts
from massive_upload.domain.key_digest import NO_KEYS, KeyDigest
from massive_upload.domain.progress import Batch, Partition, PartitionStatus, Run

AWAITS_SWEEP = "AWAITS_SWEEP"
"""Our code, in an account, for rows given up for a passing reason that the sweep has not settled; their own codes are
in the files that keep them."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Rows by how they ended; what they add up to is `source_rows`."""

    source_rows: int
    succeeded: int
    rejected: int
    not_sent: int
    skipped_null_key: int
    duplicates_dropped: int
    unsettled: int

    @property
    def balances(self) -> bool:
        """Whether every source row is in exactly one class."""
        classes = (
            self.succeeded,
            self.rejected,
            self.not_sent,
            self.skipped_null_key,
            self.duplicates_dropped,
            self.unsettled,
        )
        return min(classes) >= 0 and sum(classes) == self.source_rows

    @property
    def success_rate_percent(self) -> float | None:
        """Succeeded among the rows that succeeded or were rejected; None where there are none."""
        settled = self.succeeded + self.rejected
        return 100.0 * self.succeeded / settled if settled else None

    @property
    def told_success_rate_percent(self) -> float | None:
        """The rate as people and scripts are told it."""
        return None if self.success_rate_percent is None else round(self.success_rate_percent, 3)


def account_of(run: Run, partitions: Sequence[Partition], open_batches: Sequence[Batch]) -> Account:
    """Add up a run.

    Args:
        run: whose plan counted the rows that no lane reads.
        partitions: all of the run's; the sweep's rows are rows of the others and are not counted twice.
        open_batches: the batches that were not settled when the partitions were read, those staged ahead included.

    Rows whose job is recorded are unsettled, as they may have reached the org. Rows given up for a passing reason
    count as rejected until the sweep has settled them: they are kept, with their reason.
    """
    lanes = [partition for partition in partitions if not partition.is_sweep]
    succeeded = rejected = unsettled = not_sent = 0
    parts: list[Partition | Batch] = [*partitions, *open_batches]
    for part in parts:
        succeeded += part.succeeded
        rejected += part.rejected
    for lane in lanes:
        not_sent += lane.source_rows - lane.settled_rows
    for batch in open_batches:
        unsettled += batch.rows if batch.has_job else 0
        if batch.partition != SWEEP_PARTITION:
            not_sent -= batch.first_rows - batch.rows_not_sent
    rejected += _awaiting_sweep(partitions, open_batches)
    return Account(
        source_rows=sum(lane.source_rows for lane in lanes) + run.skipped_null_key + run.duplicates_dropped,
        succeeded=succeeded,
        rejected=rejected,
        not_sent=not_sent,
        skipped_null_key=run.skipped_null_key,
        duplicates_dropped=run.duplicates_dropped,
        unsettled=unsettled,
    )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a run's rows, as its partitions tell.

    Attributes:
        rejected_by_code: the rejected rows by the code of their error.
        succeeded_keys: the digest of the keys of the rows that succeeded.
        partitions_add_up: whether each partition by itself accounts for the rows that it has settled.
    """

    account: Account
    rejected_by_code: Mapping[str, int]
    succeeded_keys: KeyDigest
    partitions_add_up: bool

    @property
    def adds_up(self) -> bool:
        """Whether every figure agrees with the others; only then a run may be called completed."""
        is_every_code_known = sum(self.rejected_by_code.values()) == self.account.rejected
        return self.account.balances and is_every_code_known and self.partitions_add_up


def outcome_of(run: Run, partitions: Sequence[Partition], open_batches: Sequence[Batch]) -> Outcome:
    """Add up a run, as `account_of` does, with its codes and keys."""
    by_code: dict[str, int] = {}
    keys = NO_KEYS
    parts: list[Partition | Batch] = [*partitions, *open_batches]
    for each in parts:
        by_code = add_counts(by_code, each.rejected_codes)
        keys += each.succeeded_keys
    awaiting = _awaiting_sweep(partitions, open_batches)
    return Outcome(
        account=account_of(run, partitions, open_batches),
        rejected_by_code=by_code | ({AWAITS_SWEEP: awaiting} if awaiting else {}),
        succeeded_keys=keys,
        partitions_add_up=all(map(_adds_up, partitions)),
    )


def _adds_up(partition: Partition) -> bool:
    settled = partition.succeeded + partition.rejected + partition.deferred
    has_all = partition.settled_rows == partition.source_rows or partition.status is not PartitionStatus.COMPLETED
    return settled == partition.settled_rows <= partition.source_rows and has_all


def _awaiting_sweep(partitions: Sequence[Partition], open_batches: Sequence[Batch]) -> int:
    swept = sum(partition.settled_rows for partition in partitions if partition.is_sweep)
    swept += sum(_in_another_class(batch) for batch in open_batches if batch.partition == SWEEP_PARTITION)
    parts: list[Partition | Batch] = [*partitions, *open_batches]
    return sum(part.deferred for part in parts) - swept


def _in_another_class(batch: Batch) -> int:
    """Rows of the sweep's open batch that no longer await it."""
    in_flight = batch.rows if batch.has_job else 0
    return batch.succeeded + batch.rejected + in_flight
