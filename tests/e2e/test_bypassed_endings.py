"""Endings that no Catch sees: the rule on the execution's status, and the watchdog where the rule was missed."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.config import load_file
from infra.synth import ROOT
from local.org import OrgServer, OrgSettings, generated_opportunities
from massive_upload.domain.progress import RunStatus
from tests.e2e.world import World, deployed

TIME_SCALE = 500.0
ROWS = 1_000
JOB_SECONDS = 100.0
RUN_SECONDS = 5  # TimeoutSeconds is real time in the embedded AWS: more than a plan takes, less than ten paced batches

LOAD = {"load": "opportunity"}
SETS = [
    "partitioning.by=key",
    "partitioning.count=1",
    "pace.stagger_seconds=0",
    "pace.batch_rows=100",
    "pace.delay_seconds=600",
]


@pytest.fixture(scope="module")
def org() -> Iterator[OrgServer]:
    source = generated_opportunities(ROWS, seed=13, rejected_share=0)
    with OrgServer(OrgSettings(source=source, time_scale=TIME_SCALE, queue_seconds=JOB_SECONDS)) as org:
        yield org


@pytest.fixture(scope="module")
def world(org: OrgServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    loads = {"opportunity": load_file(ROOT / "loads" / "opportunity.yaml", sets=["partitioning.by=key", *SETS])}
    with deployed(tmp_path_factory.mktemp("world"), loads=loads, org_url=org.url, time_scale=TIME_SCALE) as world:
        yield world


def test_a_stopped_execution_is_finished_by_the_rule_or_begun_by_it_where_a_job_is_aborted(
    org: OrgServer, world: World
) -> None:
    world.stop_with_a_job_in_flight(LOAD, "stopped")
    while world.store.open_runs() and not _has_aborted_a_job(world, "stopped"):
        time.sleep(0.05)  # nobody but the rule has FinishRun settle or abort it; pytest's time-out bounds that
    world.await_no_open_run(is_watched=True)
    _assert_accounted_for(org, world, "stopped", RunStatus.STOPPED)


def test_an_execution_that_timed_out_is_finished(org: OrgServer, world: World) -> None:
    with _load_machine_ends_after(world, RUN_SECONDS):
        assert world.run(LOAD, "late").status == "TIMED_OUT"
    world.await_no_open_run(is_watched=True)
    _assert_accounted_for(org, world, "late", RunStatus.FAILED)


def test_an_ending_that_the_rule_missed_is_found_by_the_watchdog(org: OrgServer, world: World) -> None:
    with world.without_the_rule():
        world.stop_with_a_job_in_flight(LOAD, "missed")
        assert world.store.open_runs() == ["missed"]
        world.await_no_open_run(is_watched=True)
    _assert_accounted_for(org, world, "missed", RunStatus.STOPPED)


def test_an_execution_that_failed_in_finish_run_is_finished_once_that_works_again(world: World) -> None:
    with _broken(world, "FinishRun"):
        result = world.run({**LOAD, "mode": "sample", "sample": {"rows": 100}}, "unfinished")
        assert (result.status, result.error) == ("FAILED", "Runtime.ImportModuleError")
        assert world.store.open_runs() == ["unfinished"]
    world.look()
    world.await_no_open_run()
    run = world.store.run("unfinished")
    assert run is not None
    assert run.status is RunStatus.COMPLETED
    assert world.receipt("unfinished")["account"]["succeeded"] == 100


def _has_aborted_a_job(world: World, run_id: str) -> bool:
    lanes = world.store.partitions(run_id)
    return any(batch.aborted_at for lane in lanes for batch in world.store.batches(run_id, lane.partition))


def _assert_accounted_for(org: OrgServer, world: World, run_id: str, status: RunStatus) -> None:
    run = world.store.run(run_id)
    assert run is not None
    assert run.status is status
    account = world.receipt(run_id)["account"]
    assert account["succeeded"] + account["not_sent"] == account["source_rows"] == ROWS
    assert account["not_sent"] > 0
    assert not org.backend.statistics()["jobs"].keys() & {"UploadComplete", "InProgress"}


@contextmanager
def _load_machine_ends_after(world: World, seconds: int) -> Iterator[None]:
    states, arn = world.aws.client("stepfunctions"), world.outputs["LoadMachineArn"]
    definition = states.describe_state_machine(stateMachineArn=arn)["definition"]
    states.update_state_machine(
        stateMachineArn=arn, definition=json.dumps(json.loads(definition) | {"TimeoutSeconds": seconds})
    )
    yield
    states.update_state_machine(stateMachineArn=arn, definition=definition)


@contextmanager
def _broken(world: World, function: str) -> Iterator[None]:
    """The function cannot be loaded until the end of the block."""
    functions, name = world.aws.client("lambda"), world.function(function)
    handler = functions.get_function_configuration(FunctionName=name)["Handler"]
    functions.update_function_configuration(FunctionName=name, Handler="handlers.gone.handler")
    yield
    functions.update_function_configuration(FunctionName=name, Handler=handler)
