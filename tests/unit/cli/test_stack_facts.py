"""What is told of a run of a deployed stack that ends while it is looked at."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest

from cli.stack import ExecutionState, Stack
from cli.stack_facts import facts_of
from massive_upload.domain.progress import Partition, Run, RunStatus
from tests.unit.cli.progress_examples import STARTED_AT, a_partition, a_run

RUNNING = a_run(status=RunStatus.RUNNING)
COMPLETED = replace(RUNNING, status=RunStatus.COMPLETED, ended_at=STARTED_AT + timedelta(hours=1))
_RANGE = {"least": 1, "most": 2}
ESTIMATE = {
    **{"rows": 100, "lanes": 1, "heaviest_lane_rows": 100, "by_parent": True, "batches": 1},
    **dict.fromkeys(("jobs", "bulk_batches", "api_requests", "state_transitions", "duration_seconds"), _RANGE),
    **{"cost_usd_least": 0.1, "cost_usd_most": 0.2},
}
RESUMED = replace(RUNNING, execution_arn="arn-of-resume")


class FakeStack:
    """The part of `cli.stack.Stack` that tells of one run; what is recorded changes as its execution is looked at."""

    bucket_name = "bucket"

    def __init__(self, after_look: Run, *, status: str) -> None:
        self.store = self.files = self
        self._recorded = RUNNING
        self._after_look = after_look
        self._status = status

    def execution(self, arn: str) -> ExecutionState:
        assert arn == RUNNING.execution_arn
        self._recorded = self._after_look
        return ExecutionState(status=self._status, error=None, cause=None)

    def run(self, run_id: str) -> Run | None:
        return self._recorded if run_id == self._recorded.run_id else None

    def partitions(self, run_id: str) -> Sequence[Partition]:
        return [a_partition(run_id=run_id, succeeded=0 if self._recorded is RUNNING else 100)]

    def read(self, _key: str) -> bytes:
        """A plan, or a receipt."""
        return json.dumps({"estimate": ESTIMATE, "advice": [], "hot_parents": {}}).encode()


@pytest.mark.parametrize(
    ("after_look", "status", "told", "error"),
    [
        (COMPLETED, "SUCCEEDED", RunStatus.COMPLETED, None),
        (RESUMED, "ABORTED", RunStatus.RUNNING, None),
        (RUNNING, "RUNNING", RunStatus.RUNNING, None),
        (RUNNING, "TIMED_OUT", RunStatus.RUNNING, "ExecutionTimedOut"),
        (RUNNING, "ABORTED", RunStatus.STOPPED, "ExecutionAborted"),
    ],
    ids=["finished meanwhile", "resumed meanwhile", "goes on", "left", "left by who stopped it"],
)
def test_an_execution_that_has_ended_is_told_of_a_run_that_it_has_left_unfinished(after_look, status, told, error):
    facts = facts_of(cast("Stack", FakeStack(after_look, status=status)), RUNNING)
    assert (facts.status, facts.error, facts.run) == (told, error, after_look)
    assert (facts.cause is None) == (error is None)
    assert facts.is_left == (error is not None)


def test_a_run_that_was_finished_meanwhile_is_told_with_its_whole_account():
    facts = facts_of(cast("Stack", FakeStack(COMPLETED, status="SUCCEEDED")), RUNNING)
    assert facts.receipt == "s3://bucket/runs/run-1/receipt.json"
    assert (facts.ended_at, facts.partitions[0].succeeded) == (COMPLETED.ended_at, 100)
