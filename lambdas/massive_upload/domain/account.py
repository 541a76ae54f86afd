"""The account of a run: where every source row ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from massive_upload.domain.progress import Batch, BatchState, Partition, Run


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
    def success_rate_percent(self) -> float:
        """Succeeded among the rows that were sent and settled; 100 where there were none."""
        settled = self.succeeded + self.rejected
        return 100.0 * self.succeeded / settled if settled else 100.0


def account_of(run: Run, partitions: Sequence[Partition], open_batches: Mapping[str, Batch]) -> Account:
    """Add up a run.

    Args:
        run: whose plan counted the rows that no lane reads.
        partitions: all of the run's; the sweep's rows are rows of the others and are not counted twice.
        open_batches: by partition id, the batches that are not settled.

    Rows whose job is recorded are unsettled, as they may have reached the org. Rows given up for a passing reason
    count as rejected until the sweep has settled them: they are kept, with their reason.
    """
    lanes = [partition for partition in partitions if not partition.is_sweep]
    sweeps = [partition for partition in partitions if partition.is_sweep]
    succeeded = rejected = unsettled = not_sent = 0
    for partition in partitions:
        batch = open_batches.get(partition.partition)
        succeeded += partition.succeeded + (batch.succeeded if batch else 0)
        rejected += partition.rejected + (batch.rejected + batch.deferred if batch else 0)
        unsettled += batch.rows if batch and batch.state is not BatchState.PLANNED else 0
    for lane in lanes:
        batch = open_batches.get(lane.partition)
        not_sent += lane.source_rows - lane.settled_rows
        if batch:
            not_sent -= batch.first_rows - batch.rows_not_sent
    rejected += sum(lane.deferred for lane in lanes) - sum(_swept(sweep, open_batches) for sweep in sweeps)
    return Account(
        source_rows=sum(lane.source_rows for lane in lanes) + run.skipped_null_key + run.duplicates_dropped,
        succeeded=succeeded,
        rejected=rejected,
        not_sent=not_sent,
        skipped_null_key=run.skipped_null_key,
        duplicates_dropped=run.duplicates_dropped,
        unsettled=unsettled,
    )


def _swept(sweep: Partition, open_batches: Mapping[str, Batch]) -> int:
    """Rows of the sweep that are in another class by now."""
    batch = open_batches.get(sweep.partition)
    in_flight = 0
    if batch:
        in_flight = batch.succeeded + batch.rejected + (batch.rows if batch.state is not BatchState.PLANNED else 0)
    return sweep.settled_rows + in_flight
