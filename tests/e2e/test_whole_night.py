"""A night in which much goes wrong: what each function did is what it may do, and nobody is told what the rows say."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from infra.config import load_file
from infra.functions import FUNCTIONS, FunctionSpec
from local.aws.embedded import ExecutionResult
from local.org import Faults, OrgServer, OrgSettings
from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from local.org.messages import Request, Response
from local.org.routes import Routes
from local.org.sources import file_source
from massive_upload.domain.staged_file import UNWRITABLE
from tests.e2e.recorder import Recorder, recording
from tests.e2e.world import World, deployed
from tests.infra.definitions import Template, read_template
from tests.infra.test_stack import function_properties, grants

TIME_SCALE = 200.0
ROWS = 600
QUERY_SECONDS = 100.0  # so that a lane waits on purpose
QUEUE_SECONDS = 200.0  # a second, so that an execution is stopped long before its job has ended
OUTAGE_REQUESTS = 12  # more than the tries of two lanes' tasks, so that CheckPatience has to wait

MARKS = ("K-ONLY-HERE-", "T-ONLY-HERE-", "N-ONLY-HERE-", "7712345", "1812-0", "1847-0")
"""What the values of each column begin with; a boolean cannot be told from any other."""

NOT_THAT_NIGHT = {"SettleBatch": {("dynamodb:Query", "table")}}
"""What a function may do and does too seldom to be seen here: with every 25th batch of a lane it looks at the others
(`tests/integration/usecases/test_breaker.py`)."""

MESSAGE = "the text of Salesforce quotes T-ONLY-HERE-1"

LOAD = """
source: {object: Parcel__dlm, key: code, modified: changed}
target: {object: Parcel__c, external_id: External_ID__c}
fields:
  code: External_ID__c
  title: title
  note: note
  amount: {to: amount, type: number}
  closed: {to: closed, type: date}
  seen: {to: seen, type: datetime}
  private: {to: private, type: boolean}
lock_risk: low
success_criterion_percent: 50
partitioning: {count: 2}
pace: {batch_rows: 200, delay_seconds: 0, stagger_seconds: 0, retry_delays_seconds: [2]}
"""

HALF = "[half]"
"""Where a text says so, Data Cloud's JSON has half of a surrogate pair: a row that cannot be sent."""
HALVES = (10, 250)  # in a page that FetchPage reads, and in one that UploadBatch does

# One lane is refused for good; of every job some rows are locked and some break a rule; one job fails half way; the org
# is down for a while.
FAULTS = f"""
- match: {{method: POST, path: "/jobs/ingest$", nth: 1}}
  action: {{status: 403, code: API_CURRENTLY_DISABLED, message: "{MESSAGE}"}}
- match: {{object: Parcel__c}}
  action: {{row_failures: {{share: 0.5, code: UNABLE_TO_LOCK_ROW, message: "{MESSAGE}"}}}}
- match: {{object: Parcel__c}}
  action: {{row_failures: {{share: 0.05, code: FIELD_CUSTOM_VALIDATION_EXCEPTION, message: "{MESSAGE}"}}}}
- match: {{object: Parcel__c, nth: 3}}
  action: {{job_fails: {{after_rows: 50, message: "InternalServerError : {MESSAGE}"}}}}
- match: {{method: GET, path: "/jobs/ingest/[^/]+$", nth: 3}}
  action: {{status: 429, code: TOO_MANY_REQUESTS, message: "{MESSAGE}"}}
""" + "".join(
    f"""
- match: {{method: GET, path: "/jobs/ingest/[^/]+$", nth: {4 + number}}}
  action: {{status: 503, code: SERVER_UNAVAILABLE, message: "{MESSAGE}"}}
"""
    for number in range(OUTAGE_REQUESTS)
)


@dataclass(frozen=True)
class Night:
    """What is left of it."""

    template: Template
    world: World
    recorder: Recorder
    ended: dict[str, ExecutionResult]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    directory = tmp_path_factory.mktemp("night")
    source = file_source(_parcels(directory), object_name="Parcel__c", key="code")
    path = directory / "parcel.yaml"
    path.write_text(LOAD, encoding="utf-8")
    settings = OrgSettings(
        source=source,
        time_scale=TIME_SCALE,
        faults=Faults.parse(FAULTS),
        query_running_seconds=QUERY_SECONDS,
        queue_seconds=QUEUE_SECONDS,
    )
    with (
        recording() as recorder,
        half_pairs(),
        OrgServer(settings) as org,
        deployed(directory, loads={"parcel": load_file(path)}, org_url=org.url, time_scale=TIME_SCALE) as world,
    ):
        yield Night(read_template(directory / "cdk.out"), world, recorder, _live_through(world))


@contextmanager
def half_pairs() -> Iterator[None]:
    """Let the org tell texts that UTF-8 cannot hold."""
    answer = Routes.answer

    def spoilt(self: Routes, request: Request) -> Response:
        response = answer(self, request)
        return replace(response, body=response.body.replace(HALF.encode(), b"\\ud83d"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Routes, "answer", spoilt)
        yield


def _parcels(directory: Path) -> Path:
    path = directory / "parcels.csv"
    lines = [
        f"K-ONLY-HERE-{n:05},T-ONLY-HERE-{n},N-ONLY-HERE-{n}{HALF * (n in HALVES)},7712345{n}.25,1812-0{n % 9 + 1}-15,"
        f"1847-0{n % 9 + 1}-15T12:00:00Z,{'true' if n % 2 else 'false'},"
        f"2025-01-0{n % 9 + 1}T12:00:00Z"
        for n in range(ROWS)
    ]
    path.write_text("\n".join(["code,title,note,amount,closed,seen,private,changed", *lines]) + "\n", encoding="utf-8")
    return path


def _live_through(world: World) -> dict[str, ExecutionResult]:
    """A run that fails after its sweep and is resumed; one that is stopped and taken over; one that is stopped."""
    load = {"load": "parcel"}
    ended = {"whole": world.run_and_watch(load, "whole")}
    ended["resuming"] = world.run({"mode": "resume", "run_id": "whole"}, "resuming")
    with world.without_the_rule():  # so that nobody finishes it before the next run takes over
        world.stop_with_a_job_in_flight(load, "lost")
        ended["taking-over"] = world.run(load, "taking-over")
    world.stop_with_a_job_in_flight(load, "stopped")
    world.await_no_open_run(is_watched=True)
    return ended


def test_the_night_went_as_it_should(night: Night) -> None:
    assert {name: (result.status, result.error) for name, result in night.ended.items()} == {
        "whole": ("FAILED", "PartitionsFailed"),
        "resuming": ("SUCCEEDED", None),
        "taking-over": ("SUCCEEDED", None),
    }
    partitions = night.world.store.partitions("whole")
    assert any(partition.is_sweep for partition in partitions)
    codes = sum((Counter(partition.rejected_codes) for partition in partitions), Counter())
    assert codes[UNWRITABLE.code] == len(HALVES)
    assert len(codes) > 1
    assert not night.world.store.open_runs()


@pytest.mark.parametrize("spec", FUNCTIONS, ids=lambda spec: spec.name)
def test_what_a_function_may_do_is_what_it_did(night: Night, spec: FunctionSpec) -> None:
    role_id = function_properties(night.template, spec.name)["Role"]["Fn::GetAtt"][0]
    granted = {(action, _granted_on(resource)) for action, resource in grants(night.template, role_id)}
    # The Lambda service writes a function's log in the name of its role; the embedded one writes a file.
    granted -= {("logs:CreateLogStream", "log"), ("logs:PutLogEvents", "log")}
    done = {
        (action, _asked_of(night.world, resource))
        for caller, action, resource in night.recorder.calls
        if caller == spec.name
    }
    assert done - granted == set(), "more than it may"
    assert granted - done == NOT_THAT_NIGHT.get(spec.name, set()), "less than it may"


def _granted_on(resource: str) -> str:
    """The kind of a resource as a policy names it."""
    for kind, pattern in {
        "table": r"\$\{StorageTable\w+\.Arn\}",
        "runs": r"\$\{StorageBucket\w+\.Arn\}/runs/\*",
        "staged": r"\$\{StorageBucket\w+\.Arn\}/staged/\*",
        "secret": r"\$\{StorageSecret\w+\}",
        "execution of load": r".*:execution:MassiveUpload-load:\*",
        "log": r"\$\{Functions\w+Logs\w+\.Arn\}",
        "FinishRun": r"\$\{FunctionsFinishRun\w+\.Arn\}",
    }.items():
        if re.fullmatch(pattern, resource):
            return kind
    raise AssertionError(resource)


def _asked_of(world: World, resource: str) -> str:
    """The kind of a resource as a request names it; nothing but this stack's own has one."""
    executions = world.outputs["LoadMachineArn"].replace(":stateMachine:", ":execution:")
    beginnings = {
        world.outputs["TableName"]: "table",
        f"{world.outputs['BucketName']}/runs/": "runs",
        f"{world.outputs['BucketName']}/staged/": "staged",
        world.outputs["SecretArn"]: "secret",
        f"{executions}:": "execution of load",
        "MassiveUpload-FunctionsFinishRun": "FinishRun",
    }
    (kind,) = {kind for beginning, kind in beginnings.items() if resource.startswith(beginning)}
    return kind


def test_no_row_no_secret_and_no_text_of_salesforce_is_told(night: Night) -> None:
    traces = _traces(night.world) | {"payloads": "\n".join(night.recorder.payloads)}
    for place, text in traces.items():
        assert len(text) > 1_000, place
        for forbidden in (*MARKS, MESSAGE, CLIENT_SECRET, CLIENT_ID, "Bearer ", "access_token", "client_secret"):
            assert forbidden not in text, (place, forbidden)


def test_the_table_holds_keys_and_codes_alone(night: Night) -> None:
    client = night.world.aws.client("dynamodb")
    items = json.dumps(client.scan(TableName=night.world.outputs["TableName"])["Items"])
    assert MARKS[0] in items
    for forbidden in (*MARKS[1:], MESSAGE, CLIENT_SECRET, "Bearer ", "access_token"):
        assert forbidden not in items, forbidden


def test_what_may_not_be_told_is_in_the_bucket_where_it_belongs(night: Night) -> None:
    """So the words that the tests above look for are words that this night has written."""
    rejected = [night.world.files.read(key).decode() for key in night.world.receipt("whole")["rejected_files"]]
    assert all(mark in "".join(rejected) for mark in (*MARKS, MESSAGE))


def _traces(world: World) -> dict[str, str]:
    states = world.aws.client("stepfunctions")
    histories: list[Any] = []
    for machine in (world.outputs["LoadMachineArn"], world.outputs["SliceMachineArn"]):
        for execution in states.list_executions(stateMachineArn=machine)["executions"]:
            arn = execution["executionArn"]
            described = states.describe_execution(executionArn=arn)
            pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
            histories += [described, *(page["events"] for page in pages)]
    return {
        "logs": "\n".join(world.log_lines()),
        "histories": json.dumps(histories, default=str),
        "receipts": "".join(json.dumps(world.receipt(run_id)) for run_id in ("whole", "lost", "stopped")),
    }
