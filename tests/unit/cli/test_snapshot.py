from datetime import timedelta

import pytest

from cli.snapshot import snapshot_of
from massive_upload.domain.progress import BatchState, PartitionStatus
from tests.unit.cli.progress_examples import STARTED_AT, a_batch, a_partition


def test_rows_of_an_open_batch_count_as_soon_as_their_own_outcome_is_known():
    partition = a_partition(settled_rows=30, succeeded=29, rejected=1, open_batch=3)

    (lane,) = snapshot_of([partition], {"0000": a_batch(succeeded=7, rejected=1)}).lanes

    assert (lane.settled, lane.succeeded, lane.rejected) == (38, 36, 2)


def test_the_rows_of_the_sweep_are_not_counted_twice():
    lane = a_partition(settled_rows=100, succeeded=90, rejected=4, deferred=6)
    sweep = a_partition("sweep", rows=6, settled_rows=6, succeeded=5, rejected=1)

    snapshot = snapshot_of([lane, sweep], {})

    assert (snapshot.total.rows, snapshot.total.settled) == (100, 100)
    assert (snapshot.total.succeeded, snapshot.total.rejected) == (95, 5)
    assert snapshot.sweep is not None
    assert [lane.name for lane in snapshot.lanes] == ["0000"]


def test_there_is_no_success_rate_before_the_first_outcome():
    (lane,) = snapshot_of([a_partition()], {}).lanes

    assert lane.success_rate_percent is None


def test_a_lane_whose_open_batch_is_no_longer_looked_at_does_not_go_back():
    lanes = [a_partition(settled_rows=30, succeeded=30, open_batch=3), a_partition("0001", settled_rows=5, succeeded=5)]
    before = snapshot_of(lanes, {"0000": a_batch(succeeded=7, rejected=1)})

    now = snapshot_of(lanes, {}).not_behind(before)

    assert now == before
    assert now.total.settled == 43


@pytest.mark.parametrize(
    ("wait_seconds", "state", "is_waiting"),
    [
        (600, BatchState.PLANNED, True),
        (60, None, True),
        (59, BatchState.PLANNED, False),
        (600, BatchState.SUBMITTED, False),
        (600, BatchState.SETTLED, False),
    ],
)
def test_a_lane_without_a_job_that_sleeps_for_long_is_waiting(wait_seconds, state, is_waiting):
    until = STARTED_AT + timedelta(seconds=wait_seconds)
    partition = a_partition(last_progress_at=STARTED_AT, next_wake_at=until, open_batch=3 if state else None)

    snapshot = snapshot_of([partition], {"0000": a_batch(state=state)} if state else {})

    assert snapshot.lanes[0].is_waiting is is_waiting
    assert snapshot.is_waiting is is_waiting


def test_a_run_is_waiting_when_all_lanes_at_work_are():
    until = STARTED_AT + timedelta(minutes=10)
    waiting = a_partition(last_progress_at=STARTED_AT, next_wake_at=until)
    others = [
        a_partition("0001", status=PartitionStatus.COMPLETED),
        a_partition("0002", status=PartitionStatus.PENDING),
    ]

    assert snapshot_of([waiting, *others], {}).is_waiting
    assert not snapshot_of([waiting, *others, a_partition("0003")], {}).is_waiting
    assert not snapshot_of(others, {}).is_waiting
