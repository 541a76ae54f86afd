"""Whether an execution begins a run, goes on with it, or finds that it has ended, and when it may be asked to pause."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli import local_run
from cli.local_run import LocalRun, RunRequest
from infra.config import load_file
from massive_upload.domain.progress import Halt, Run, RunStatus
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
    assert local_run_of(monkeypatch, SimpleNamespace(run=lambda _run_id: recorded)).goes_on is goes_on


@pytest.mark.parametrize(
    ("recorded", "is_asked"),
    [(None, False), (a_run(execution_arn="the one before"), False), (a_run(execution_arn="arn"), True)],
    ids=["not recorded yet", "not taken over yet", "carried out"],
)
def test_a_run_is_asked_to_pause_once_this_execution_carries_it_out(
    monkeypatch: pytest.MonkeyPatch, recorded: Run | None, is_asked: bool
) -> None:
    """To take a run over clears what its last execution was asked."""
    asked: list[Halt] = []
    store = SimpleNamespace(run=lambda _run_id: None, ask_to_halt=lambda _run_id, halt: asked.append(halt))
    run = local_run_of(monkeypatch, store)
    store.run = lambda _run_id: recorded

    assert run.ask_to_pause() is is_asked
    assert asked == [Halt.PAUSE] * is_asked


def local_run_of(monkeypatch: pytest.MonkeyPatch, store: Any) -> LocalRun:
    monkeypatch.setattr(local_run, "Table", lambda *_: None)
    monkeypatch.setattr(local_run, "DynamoDbProgress", lambda *_: store)
    request = RunRequest(load=LOAD, mode="full", secret={}, run_id="run-1", time_scale=1)
    return LocalRun(AWS, OUTPUTS, request)
