"""Whether an execution begins a run, goes on with it, or finds that it has ended."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli import local_run
from cli.local_run import LocalRun, RunRequest
from infra.config import load_file
from massive_upload.domain.progress import Run, RunStatus
from tests.unit.cli.progress_examples import a_run

OUTPUTS = dict.fromkeys(("TableName", "BucketName", "LoadMachineArn"), "x")
LOAD = load_file(Path(__file__).parents[3] / "loads" / "opportunity.yaml")
AWS: Any = SimpleNamespace(client=lambda _service: None, start_execution=lambda *_, **__: "arn")


@pytest.mark.parametrize(
    ("recorded", "goes_on"),
    [
        (None, False),
        (a_run(status=RunStatus.PLANNING, plan_name=None), True),
        (a_run(status=RunStatus.RUNNING), True),
        (a_run(status=RunStatus.FAILED), True),
        (a_run(status=RunStatus.COMPLETED), False),
    ],
    ids=["new", "died while it was planned", "died", "failed", "has ended"],
)
def test_a_run_that_an_earlier_execution_began_and_did_not_complete_goes_on(
    monkeypatch: pytest.MonkeyPatch, recorded: Run | None, goes_on: bool
) -> None:
    monkeypatch.setattr(local_run, "Table", lambda *_: None)
    monkeypatch.setattr(local_run, "DynamoDbProgress", lambda *_: SimpleNamespace(run=lambda _run_id: recorded))
    request = RunRequest(load=LOAD, mode="full", secret={}, run_id="run-1", time_scale=1)

    assert LocalRun(AWS, OUTPUTS, request).goes_on is goes_on
