"""Any run that is consistent balances: a model run is played, and the account is compared with its rows."""

import itertools
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massive_upload.constants import SWEEP_PARTITION
from massive_upload.domain.account import AWAITS_SWEEP, Account, account_of, outcome_of
from massive_upload.domain.progress import Batch, BatchState, Partition, PartitionStatus, Run, RunStatus, StagedRows

A_RUN = Run(
    run_id="r",
    load="l",
    mode="full",
    status=RunStatus.RUNNING,
    execution_arn="a",
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
)
IN_FLIGHT = st.sampled_from([BatchState.PLANNED, BatchState.CREATED, BatchState.SUBMITTED])


@dataclass
class Classes:
    """What became of the rows of the model."""

    succeeded: int = 0
    rejected: int = 0
    not_sent: int = 0
    unsettled: int = 0


@st.composite
def splits(draw: st.DrawFn, total: int, parts: int) -> list[int]:
    """A number as a sum of so many."""
    cuts = sorted(draw(st.lists(st.integers(0, total), min_size=parts - 1, max_size=parts - 1)))
    edges = [0, *cuts, total]
    return [right - left for left, right in itertools.pairwise(edges)]


def a_partition(name: str, rows: int, **changes: int | None) -> Partition:
    lane = Partition(
        run_id="r", partition=name, status=PartitionStatus.RUNNING, epoch=1, planned_rows=rows, source_rows=rows
    )
    return replace(lane, **changes)  # type: ignore[arg-type]  # counts only


@st.composite
def open_batches(draw: st.DrawFn, name: str, rows: int) -> Batch:
    """A batch of so many first rows, in some attempt: some have an outcome, some go with it, the others wait."""
    succeeded, rejected, given_up, current, waiting = draw(splits(rows, 5))
    deferred = 0 if name == SWEEP_PARTITION else given_up
    return Batch(
        run_id="r",
        partition=name,
        number=0,
        state=draw(IN_FLIGHT),
        attempt=1,
        rows=current,
        first_rows=rows,
        size_bytes=1,
        file_key="k",
        next_cursor="c",
        next_offset=0,
        succeeded=succeeded,
        rejected=rejected + given_up - deferred,
        deferred=deferred,
        waiting=(StagedRows(file_key="w", rows=waiting, size_bytes=1),) if waiting else (),
    )


@st.composite
def batches_ahead(draw: st.DrawFn, name: str, rows: int) -> Batch:
    """A batch of so many rows that is staged ahead: some of them cannot be sent at all."""
    unwritable, current = draw(splits(rows, 2))
    ahead = draw(open_batches(name, rows))
    return replace(
        ahead,
        number=1,
        state=BatchState.PLANNED,
        attempt=0,
        rows=current,
        succeeded=0,
        rejected=unwritable,
        deferred=0,
        waiting=(),
    )


@st.composite
def runs(draw: st.DrawFn) -> tuple[Run, list[Partition], list[Batch], Classes]:
    """A run in the middle of its work, with a sweep of some of the rows that were given up."""
    classes, lanes, batches = Classes(), [], []
    for index in range(draw(st.integers(0, 4))):
        name = f"{index:04d}"
        ahead, in_batch, succeeded, rejected, deferred = draw(splits(draw(st.integers(0, 1000)), 5))
        settled = succeeded + rejected + deferred
        rows = ahead + in_batch + settled
        counts = {"settled_rows": settled, "succeeded": succeeded, "rejected": rejected, "deferred": deferred}
        lanes.append(a_partition(name, rows, **counts))
        classes.succeeded += succeeded
        classes.rejected += rejected + deferred
        classes.not_sent += ahead
        if in_batch:
            batches.append(draw(open_batches(name, in_batch)))
            _count(batches[-1], classes, elsewhere="not_sent")
            staged = min(ahead, draw(st.integers(0, 100)))
            if staged:
                classes.not_sent -= staged
                batches.append(draw(batches_ahead(name, staged)))
                _count(batches[-1], classes, elsewhere="not_sent")
    waiting = sum(lane.deferred for lane in lanes)
    if waiting and draw(st.booleans()):
        _, in_batch, succeeded, rejected = draw(splits(waiting, 4))
        counts = {"settled_rows": succeeded + rejected, "succeeded": succeeded, "rejected": rejected}
        lanes.append(a_partition("sweep", waiting, **counts))
        classes.succeeded += succeeded
        classes.rejected -= succeeded + in_batch
        if in_batch:
            batches.append(draw(open_batches("sweep", in_batch)))
            _count(batches[-1], classes, elsewhere="rejected")
    run = replace(A_RUN, skipped_null_key=draw(st.integers(0, 9)), duplicates_dropped=draw(st.integers(0, 9)))
    return run, lanes, batches, classes


def _count(batch: Batch, classes: Classes, *, elsewhere: str) -> None:
    classes.succeeded += batch.succeeded
    classes.rejected += batch.rejected + batch.deferred
    place = elsewhere if batch.state is BatchState.PLANNED else "unsettled"
    setattr(classes, place, getattr(classes, place) + batch.rows)
    waiting = sum(staged.rows for staged in batch.waiting)
    setattr(classes, elsewhere, getattr(classes, elsewhere) + waiting)


@given(runs())
def test_every_row_of_a_consistent_run_is_in_exactly_one_class(drawn):
    run, partitions, batches, classes = drawn
    account = account_of(run, partitions, batches)
    assert account.balances
    assert (account.succeeded, account.rejected) == (classes.succeeded, classes.rejected)
    assert (account.not_sent, account.unsettled) == (classes.not_sent, classes.unsettled)


@given(runs(), st.data())
def test_a_batch_that_was_settled_between_the_two_reads_is_counted_as_its_partition_counts_it_from_then_on(drawn, data):
    """Whoever looks on reads the partitions first and then their batches, while the lanes go on."""
    run, partitions, batches, _ = drawn
    for at, batch in enumerate(batches):
        if batch.number == 0 and data.draw(st.booleans()):
            succeeded = batch.first_rows - batch.rejected - batch.deferred
            batches[at] = replace(batch, state=BatchState.SETTLED, waiting=(), succeeded=succeeded)
    account = account_of(run, partitions, batches)
    settled = [batch for batch in batches if batch.state is BatchState.SETTLED]
    later = [_with_settled(partition, settled) for partition in partitions]
    left = [batch for batch in batches if batch.state is not BatchState.SETTLED]
    assert account.balances
    assert account == account_of(run, later, left)


def _with_settled(partition: Partition, batches: list[Batch]) -> Partition:
    for batch in batches:
        if batch.partition == partition.partition:
            return replace(
                partition,
                settled_rows=partition.settled_rows + batch.first_rows,
                succeeded=partition.succeeded + batch.succeeded,
                rejected=partition.rejected + batch.rejected,
                deferred=partition.deferred + batch.deferred,
            )
    return partition


AN_ACCOUNT = Account(
    source_rows=21, succeeded=1, rejected=2, not_sent=3, skipped_null_key=4, duplicates_dropped=5, unsettled=6
)


def test_a_row_too_many_a_row_too_few_and_a_negative_class_do_not_balance():
    assert AN_ACCOUNT.balances
    assert not replace(AN_ACCOUNT, source_rows=22).balances
    assert not replace(AN_ACCOUNT, succeeded=2).balances
    assert not replace(AN_ACCOUNT, succeeded=4, rejected=-1).balances


def test_the_success_rate_is_of_the_settled_rows_alone():
    assert replace(AN_ACCOUNT, succeeded=95, rejected=5).success_rate_percent == 95.0
    assert replace(AN_ACCOUNT, succeeded=0, rejected=0).success_rate_percent is None
    assert replace(AN_ACCOUNT, succeeded=0, rejected=1).success_rate_percent == 0.0


A_LANE = replace(
    a_partition("0000", 9, settled_rows=6, succeeded=3, rejected=2, deferred=1), rejected_codes={"TOO_LONG": 2}
)


def test_an_outcome_adds_up_while_a_lane_is_at_work_and_its_deferred_rows_await_the_sweep():
    outcome = outcome_of(A_RUN, [A_LANE], [])
    assert outcome.adds_up
    assert outcome.rejected_by_code == {"TOO_LONG": 2, AWAITS_SWEEP: 1}
    assert outcome_of(A_RUN, [a_partition("0000", 9)], []).rejected_by_code == {}


@pytest.mark.parametrize(
    "lanes",
    [
        [replace(A_LANE, status=PartitionStatus.COMPLETED)],
        [replace(A_LANE, rejected_codes={"TOO_LONG": 1})],
        [A_LANE, replace(A_LANE, partition="0001", source_rows=5)],
        [replace(A_LANE, settled_rows=5), replace(A_LANE, partition="0001", settled_rows=7)],
    ],
    ids=["completed early", "a code too few", "more settled than read", "one lane for another"],
)
def test_an_outcome_does_not_add_up_where_one_figure_disagrees(lanes):
    assert not outcome_of(A_RUN, lanes, []).adds_up


def test_the_account_of_a_run_counts_even_where_every_partition_and_code_agrees():
    half_counted = replace(A_RUN, duplicates_dropped=-1)
    assert not outcome_of(half_counted, [A_LANE], []).adds_up
