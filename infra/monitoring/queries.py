"""Saved queries of CloudWatch Logs Insights over the logs of all functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from constructs import Construct

from massive_upload.observability import Event


@dataclass(frozen=True)
class SavedQuery:
    """One query: its construct's id, what it is called in the console, and its lines.

    Attributes:
        events: the lines that it is about; all lines where there are none.
    """

    construct_id: str
    title: str
    events: tuple[Event, ...]
    commands: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """The query's commands, the choice of its events first."""
        if not self.events:
            return list(self.commands)
        chosen = ", ".join(f'"{event.value}"' for event in self.events)
        return [f"filter message in [{chosen}]", *self.commands]


ERRORS_BY_CODE = SavedQuery(
    "ErrorsByCode",
    "Failed rows by error code",
    (Event.ROWS_FAILED,),
    ("stats sum(rows) as failed_rows by code, marker", "sort failed_rows desc"),
)
FAILED_TASKS = SavedQuery(
    "FailedTasks",
    "Failed tasks by error",
    (Event.TASK_FAILED, Event.UNEXPECTED_ERROR),
    ("stats count(*) as tasks, latest(reason) as last_reason by task, error, code", "sort tasks desc"),
)
SLOWEST_BATCHES = SavedQuery(
    "SlowestBatches",
    "Slowest batches",
    (Event.BATCH_SETTLED,),
    (
        "fields run_id, partition, batch, attempt, job_id, job_seconds, rows, rejected, lock_errors",
        "sort job_seconds desc",
        "limit 25",
    ),
)
PARTITIONS = SavedQuery(
    "Partitions",
    "Rows by partition",
    (Event.BATCH_SETTLED,),
    (
        "stats sum(succeeded) as succeeded_rows, sum(rejected) as rejected_rows, sum(lock_errors) as locks, "
        "count(*) as batches, max(job_seconds) as longest_job_seconds by run_id, partition",
        "sort run_id, partition",
    ),
)
STANDING_STILL = SavedQuery(
    "StandingStill",
    "Lanes that stand still",
    (Event.PARTITION_STUCK, Event.PARTITION_NEVER_STARTED),
    ("stats latest(@timestamp) as seen_at by message, run_id, partition", "sort seen_at desc"),
)
ONE_PARTITION = SavedQuery(
    "OnePartition",
    "Story of one partition (write its run_id and number)",
    (),
    (
        'filter run_id = "RUN-ID" and partition = "0000" and task != "watchdog"',
        "fields @timestamp, marker, task, message, next, batch, attempt, job_id, rows, code, wait_seconds, error, "
        "reason",
        "sort @timestamp asc",
        "limit 10000",
    ),
)

QUERIES = (ERRORS_BY_CODE, FAILED_TASKS, SLOWEST_BATCHES, PARTITIONS, STANDING_STILL, ONE_PARTITION)


class Queries(Construct):
    """The saved queries, in a folder that is named after the stack."""

    def __init__(self, scope: Construct, construct_id: str, *, log_groups: Sequence[logs.ILogGroup]) -> None:
        super().__init__(scope, construct_id)
        folder = cdk.Stack.of(self).stack_name
        for query in QUERIES:
            logs.CfnQueryDefinition(
                self,
                query.construct_id,
                name=f"{folder}/{query.title}",
                query_string="\n| ".join(query.lines),
                log_group_names=[group.log_group_name for group in log_groups],
            )
