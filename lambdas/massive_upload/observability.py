"""Logging: one JSON line an event, with the ids of what it is about and a marker that people can search for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum, unique

from aws_lambda_powertools import Logger

from massive_upload.domain.progress import Batch

logger = Logger(service="massive-upload", log_uncaught_exceptions=False)

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
    RUN_SKIPPED = "run skipped"
    RUN_ENDED = "run ended"
    PAGE_STAGED = "page staged"
    BATCH_UPLOADED = "batch uploaded"
    BATCH_SETTLED = "batch settled"
    ROWS_FAILED = "rows failed"
    ROWS_SENT_AGAIN = "rows to be sent again"
    ROWS_SWEPT = "rows to be swept"
    PARTITION_COMPLETED = "partition completed"
    PARTITION_STOPPED = "partition stopped"
    PARTITION_STUCK = "partition stuck"
    PARTITION_NEVER_STARTED = "partition never started"
    WAITING_FOR_JOB = "waiting for job"
    WAITING_FOR_QUERY = "waiting for query"
    WAITING_FOR_ORG = "waiting for org"
    WAITING_FOR_OLD_JOBS = "waiting for jobs in flight"
    QUERY_EXPIRED = "query expired"
    JOB_GIVEN_UP = "job given up"
    JOB_GONE = "job gone"
    JOB_UNSETTLED = "job in flight cannot be settled"
    JOB_REFUSED = "job in flight refused"
    ABORT_REFUSED = "abort refused"
    RUN_LEFT_OPEN = "run left open by its execution"


_LEVELS: Mapping[Marker, int] = {
    Marker.ERROR: logging.ERROR,
    Marker.WARNING: logging.WARNING,
    Marker.RETRY: logging.WARNING,
    Marker.STOP: logging.WARNING,
}


def log(marker: Marker, event: Event, **fields: object) -> None:
    """Write one line.

    Args:
        marker: what a person searches for.
        event: what has happened.
        fields: ids, counts and codes; never content of a record, nor a text of Salesforce, which quotes records.
    """
    logger.log(_LEVELS.get(marker, logging.INFO), event.value, extra={"marker": marker.value, **fields}, stacklevel=2)


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
