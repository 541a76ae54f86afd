"""Runs, partitions and batches as the tests begin with them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.domain.progress import Batch, BatchState, Lease, Partition, Run, RunStatus, SourceRange
from massive_upload.ports import Heartbeat, PlannedLane
from tests.integration.adapters.stack import TABLE

STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)
RUN = "run-1"
ARN = "arn:aws:states:eu-west-1:123456789012:execution:load:run-1"
OTHER_ARN = ARN.replace("run-1", "run-2")
BEAT = Heartbeat(api_requests=2, wake_after_seconds=60)
LEASE = Lease(key="00D#Opportunity", run_id=RUN, execution_arn=ARN)


@dataclass
class FixedClock:
    """Stands still until a test moves it."""

    time: datetime = STARTED_AT

    def now(self) -> datetime:
        return self.time

    def move(self, seconds: int) -> None:
        self.time += timedelta(seconds=seconds)


def a_run(**changes: Any) -> Run:
    run = Run(
        run_id=RUN,
        load="opportunity",
        mode="full",
        status=RunStatus.PLANNING,
        execution_arn=ARN,
        started_at=STARTED_AT,
        lease_key=LEASE.key,
    )
    return replace(run, **changes)


def a_lane(index: int = 0, **changes: Any) -> PlannedLane:
    keys = SourceRange(after=f"k{index:04d}" if index else None, upto=f"k{index + 1:04d}", rows=100)
    lane = PlannedLane(partition=f"{index:04d}", reads=keys, start_delay_seconds=index * 60)
    return replace(lane, **changes)


def a_batch(**changes: Any) -> Batch:
    batch = Batch(
        run_id=RUN,
        partition="0000",
        number=0,
        state=BatchState.PLANNED,
        attempt=0,
        rows=10,
        first_rows=10,
        size_bytes=500,
        file_key="staged/a.csv",
        next_cursor="k0010",
        next_offset=10,
    )
    return replace(batch, **changes)


def begin(store: DynamoDbProgress, *, lanes: int = 1) -> Run:
    """A run that is Running, with its lanes Pending."""
    run = store.begin_run(a_run())
    run = store.commit_plan(replace(run, plan_name="plan", source_rows=100 * lanes))
    store.create_partitions(run, [a_lane(index) for index in range(lanes)])
    return run


def claim(dynamodb: Any, store: DynamoDbProgress, partition: str = "0000") -> Partition:
    """As ClaimPartition does it."""
    force_partition(dynamodb, "Running", partition=partition)
    return store.take_over_partition(store.partition(RUN, partition), execution_arn=ARN)


def force_run(dynamodb: Any, status: str) -> None:
    """Put a run into a status without asking whether that is allowed."""
    _force(dynamodb, f"RUN#{RUN}", "META", "status", status)


def force_partition(dynamodb: Any, status: str, *, partition: str = "0000") -> None:
    _force(dynamodb, f"RUN#{RUN}", f"PART#{partition}", "status", status)


def force_batch(dynamodb: Any, state: str) -> None:
    _force(dynamodb, f"RUN#{RUN}#PART#0000", "BATCH#000000", "state", state)


def _force(dynamodb: Any, pk: str, sk: str, name: str, value: str) -> None:
    dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": pk}, "sk": {"S": sk}},
        UpdateExpression="SET #name = :value",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":value": {"S": value}},
    )
