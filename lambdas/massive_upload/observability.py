"""What the functions tell of themselves, on the standard output.

Logs: one JSON line an event, with the ids of what it is about and a marker that people can search for. Metrics: lines
in CloudWatch's embedded metric format; nothing else emits any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum, unique

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from massive_upload.domain.progress import Batch

logger = Logger(log_uncaught_exceptions=False)
"""Its service, as that of the metrics, is the stack's name: POWERTOOLS_SERVICE_NAME."""

NAMESPACE = "MassiveUpload"
LOAD_DIMENSION = "load"
SERVICE_DIMENSION = "service"

_BATCH_KEYS = ("partition", "batch", "attempt", "job_id")


@unique
class Marker(StrEnum):
    """The guide's markers ("Debug Log Analysis"), as the field ``marker`` of a line."""

    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    RETRY = "RETRY"
    WAITING = "WAITING"
    WARNING = "WARNING"
    UPLOAD = "UPLOAD"
    STOP = "STOP"


@unique
class Event(StrEnum):
    """What a line tells: its ``message``. The saved queries of the log search for these words."""

    TASK_DONE = "task done"
    TASK_FAILED = "task failed"
    UNEXPECTED_ERROR = "unexpected error"
    RUN_PLANNED = "run planned"
    ORG_BATCHES_CHOSEN = "org batches chosen"
    RUN_SKIPPED = "run skipped"
    RUN_ENDED = "run ended"
    READ_AHEAD_FAILED = "read ahead failed"
    PAGE_STAGED = "page staged"
    BATCH_UPLOADED = "batch uploaded"
    BATCH_SETTLED = "batch settled"
    ROWS_FAILED = "rows failed"
    ROWS_SENT_AGAIN = "rows to be sent again"
    JOB_HALVED = "job halved"
    PACE_CHANGED = "pace changed"
    ROWS_SWEPT = "rows to be swept"
    PARTITION_COMPLETED = "partition completed"
    PARTITION_STOPPED = "partition stopped"
    PARTITION_STUCK = "partition stuck"
    PARTITION_NEVER_STARTED = "partition never started"
    WAITING_FOR_JOB = "waiting for job"
    WAITING_FOR_QUERY = "waiting for query"
    WAITING_FOR_ORG = "waiting for org"
    WAITING_FOR_WINDOW = "waiting for the window"
    WAITING_FOR_QUOTA = "waiting for the org's allowances"
    WAITING_FOR_OLD_JOBS = "waiting for jobs in flight"
    QUERY_EXPIRED = "query expired"
    LIMITS_UNKNOWN = "the org's limits are not known"
    JOB_STALLED = "job stands still"
    JOB_GIVEN_UP = "job given up"
    JOB_GONE = "job gone"
    JOB_UNSETTLED = "job in flight cannot be settled"
    JOB_REFUSED = "job in flight refused"
    ABORT_REFUSED = "abort refused"
    TARGET_NOT_COUNTED = "the target's records are not counted"
    RUN_GIVEN_UP = "run given up"
    RUN_LEFT_OPEN = "run left open by its execution"


_WRITERS: Mapping[Marker, Callable[..., None]] = {
    Marker.ERROR: logger.error,
    Marker.WARNING: logger.warning,
    Marker.RETRY: logger.warning,
    Marker.STOP: logger.warning,
}


def log(marker: Marker, event: Event, **fields: object) -> None:
    """Write one line.

    Args:
        marker: what a person searches for.
        event: what has happened.
        fields: ids, counts and codes; never content of a record, nor a text of Salesforce, which quotes records.
    """
    write = _WRITERS.get(marker, logger.info)
    write(event.value, extra={"marker": marker.value, **fields}, stacklevel=3)


def follow(batch: Batch) -> None:
    """Put the ids of a batch into every line from here to the end of the task."""
    logger.append_keys(partition=batch.partition, batch=batch.number, attempt=batch.attempt, job_id=batch.job_id)


@contextmanager
def following(batch: Batch) -> Iterator[None]:
    """Put the ids of a batch into every line of a block, for tasks that look after several."""
    follow(batch)
    try:
        yield
    finally:
        logger.remove_keys(list(_BATCH_KEYS))


@contextmanager
def task_ids(**ids: object) -> Iterator[None]:
    """Put the ids of a task into every line of it, and forget them and its batch's afterwards."""
    logger.append_keys(**ids)
    try:
        yield
    finally:
        logger.remove_keys([*ids, *_BATCH_KEYS])


@unique
class Metric(StrEnum):
    """Every metric of the product.

    Those of rows, jobs and progress have the dimensions service and load; those of the watchdog, of the org's
    allowances and of skipped runs have the service alone. Run, partition and batch are properties of a line, never
    dimensions: each value of a dimension is a metric that is paid for.
    """

    ROWS_SENT = "RowsSent"
    ROWS_SUCCEEDED = "RowsSucceeded"
    ROWS_REJECTED = "RowsRejected"
    ROWS_RESENT = "RowsResent"
    LOCK_ERRORS = "LockErrors"
    BATCHES_SETTLED = "BatchesSettled"
    JOB_SECONDS = "JobSeconds"
    APEX_MILLISECONDS = "ApexMilliseconds"
    PROCESSING_MILLISECONDS = "ProcessingMilliseconds"
    SUCCESS_RATE_PERCENT = "SuccessRatePercent"
    PROGRESS_PERCENT = "ProgressPercent"
    ROWS_LEFT = "RowsLeft"
    API_REQUESTS_USED_PERCENT = "ApiRequestsUsedPercent"
    BULK_BATCHES_USED_PERCENT = "BulkBatchesUsedPercent"
    RUNS_SKIPPED = "RunsSkipped"
    OPEN_RUNS = "OpenRuns"
    LEFT_OPEN_RUNS = "LeftOpenRuns"
    STUCK_PARTITIONS = "StuckPartitions"
    NEVER_STARTED_PARTITIONS = "NeverStartedPartitions"
    WATCHDOG_HEARTBEAT = "WatchdogHeartbeat"

    @property
    def is_of_the_stack(self) -> bool:
        """Whether it has no load as a dimension."""
        return self in _OF_THE_STACK


_OF_THE_STACK = frozenset(
    {
        Metric.API_REQUESTS_USED_PERCENT,
        Metric.BULK_BATCHES_USED_PERCENT,
        Metric.RUNS_SKIPPED,
        Metric.OPEN_RUNS,
        Metric.LEFT_OPEN_RUNS,
        Metric.STUCK_PARTITIONS,
        Metric.NEVER_STARTED_PARTITIONS,
        Metric.WATCHDOG_HEARTBEAT,
    }
)

_UNITS = {"Percent": MetricUnit.Percent, "Milliseconds": MetricUnit.Milliseconds, "Seconds": MetricUnit.Seconds}
"""By the end of a metric's name; the others are counts. "Milliseconds" stands before "Seconds"."""


def emit(values: Mapping[Metric, float], *, load: str | None = None, **properties: str | int) -> None:
    """Write one line in the embedded metric format, of which CloudWatch makes metrics (EMF specification).

    Args:
        values: of metrics that all have the same dimensions.
        load: the load's name, for the metrics of a load.
        properties: ids, to search for in the logs.
    """
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    if load is not None:
        metrics.add_dimension(LOAD_DIMENSION, load)
    for metric, value in values.items():
        unit = next((unit for end, unit in _UNITS.items() if metric.endswith(end)), MetricUnit.Count)
        metrics.add_metric(name=metric.value, unit=unit, value=value)
    for name, text in properties.items():
        metrics.add_metadata(name, text)
    metrics.flush_metrics()


def emit_of(batch: Batch, values: Mapping[Metric, float], *, load: str) -> None:
    """The same, of what has become of a batch of a load."""
    emit(values, load=load, run_id=batch.run_id, partition=batch.partition, batch=batch.number)
