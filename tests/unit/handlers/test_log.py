"""Lines of the log: one JSON document an event, with the ids of what it is about."""

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from massive_upload.domain.progress import Batch, BatchState
from massive_upload.errors import OrgUnreachable, SalesforceUnavailable
from massive_upload.lambda_handler import lambda_handler
from massive_upload.observability import Event, Marker, follow, following, log, logger

BATCH = Batch(
    run_id="night",
    partition="0007",
    number=12,
    state=BatchState.SUBMITTED,
    attempt=1,
    rows=10,
    first_rows=10,
    size_bytes=100,
    file_key="staged/x",
    next_cursor="k",
    next_offset=10,
    job_id="750x",
)


class Task(BaseModel):
    run_id: str
    partition: str


class Answer(BaseModel):
    next: str


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every line that is written, read back."""
    found: list[dict[str, Any]] = []

    class Stream:
        def write(self, text: str) -> None:
            found.extend(json.loads(line) for line in text.splitlines())

        def flush(self) -> None:
            """Nothing is held back."""

    monkeypatch.setattr(logger.registered_handler, "stream", Stream())
    return found


def ids(line: dict[str, Any]) -> dict[str, Any]:
    names = ("run_id", "partition", "batch", "attempt", "job_id", "task")
    return {name: line[name] for name in names if name in line}


def test_a_task_s_lines_carry_its_ids_and_those_of_the_batch_that_it_follows(lines: list[dict[str, Any]]) -> None:
    @lambda_handler(Task)
    def handler(task: Task) -> Answer:
        follow(BATCH)
        log(Marker.UPLOAD, Event.BATCH_UPLOADED, rows=10)
        return Answer(next="WaitForJob")

    handler({"run_id": "night", "partition": "0007"}, None)
    uploaded, done = lines
    assert (uploaded["marker"], uploaded["message"], uploaded["rows"]) == ("UPLOAD", "batch uploaded", 10)
    assert ids(uploaded) == ids(done)
    assert ids(done) == {
        "run_id": "night",
        "partition": "0007",
        "batch": 12,
        "attempt": 1,
        "job_id": "750x",
        "task": "test_log",
    }


def test_the_next_task_of_the_same_environment_begins_without_them(lines: list[dict[str, Any]]) -> None:
    @lambda_handler(Task)
    def handler(task: Task) -> Answer:
        if task.partition == "0007":
            follow(BATCH)
        return Answer(next="Done")

    handler({"run_id": "night", "partition": "0007"}, None)
    handler({"run_id": "day", "partition": "0001"}, None)
    assert ids(lines[1]) == {"run_id": "day", "partition": "0001", "task": "test_log"}


def test_a_task_that_looks_after_several_batches_names_each_in_turn(lines: list[dict[str, Any]]) -> None:
    for number in (3, 4):
        with following(replace(BATCH, number=number)):
            log(Marker.WARNING, Event.JOB_GONE, rows=1)
    log(Marker.SUCCESS, Event.RUN_ENDED)
    assert [line.get("batch") for line in lines] == [3, 4, None]


@pytest.mark.parametrize(
    ("error", "marker", "level"),
    [
        (SalesforceUnavailable("No answer.", code="503"), "RETRY", "WARNING"),
        (OrgUnreachable("No answer for hours."), "ERROR", "ERROR"),
    ],
)
def test_an_error_is_a_retry_where_it_passes_and_an_error_where_it_does_not(
    lines: list[dict[str, Any]], error: Exception, marker: str, level: str
) -> None:
    @lambda_handler(Task)
    def handler(task: Task) -> Answer:
        raise error

    with pytest.raises(type(error)):
        handler({"run_id": "night", "partition": "0007"}, None)
    (line,) = lines
    assert (line["marker"], line["level"], line["error"]) == (marker, level, type(error).__name__)
