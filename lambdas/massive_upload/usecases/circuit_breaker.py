"""The circuit breaker at work: no rows are read and no job is created where too much fails.

What it goes by is written in the transaction that records an attempt, and judged before the next thing is begun; so a
crash in between forgets nothing, and whoever comes back finds the same verdict.
"""

from __future__ import annotations

from massive_upload.constants import BATCHES_BETWEEN_LOOKS
from massive_upload.domain.breaker import run_failures, why_lane_ends, why_run_ends
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Partition
from massive_upload.errors import BreakerTripped, InternalError
from massive_upload.observability import Event, Marker, log
from massive_upload.ports import ProgressStore


def check_lane(partition: Partition, load: Load) -> None:
    """Make sure that the lane may go on.

    Raises:
        BreakerTripped: more of it fails than the load's limits allow.
    """
    reason = why_lane_ends(partition.failures, load.breaker.lane)
    if reason is not None:
        raise BreakerTripped(
            f"The circuit breaker of partition {partition.partition} has tripped: {reason}",
            next_step="Find the cause in the rejected rows and the org's jobs, mend it, then resume the run; "
            "or raise breaker.lane in the load's file, for a new run.",
            code=partition.failures.code,
        )


def is_run_given_up(partition: Partition, load: Load, store: ProgressStore) -> bool:
    """Look at the run's other lanes now and then, and ask all of them to stop where too much fails."""
    if partition.next_batch % BATCHES_BETWEEN_LOOKS:
        return False
    run = store.run(partition.run_id)
    if run is None:
        raise InternalError(f"Run {partition.run_id} is not in the progress table.")
    failures = run_failures(store.partitions(partition.run_id))
    reason = why_run_ends(failures, load.breaker.run, before=run.failures_before)
    if reason is None:
        return False
    store.request_stop(partition, f"The run's circuit breaker has tripped: {reason}", error=BreakerTripped.__name__)
    log(Marker.STOP, Event.RUN_GIVEN_UP, reason=reason)
    return True
