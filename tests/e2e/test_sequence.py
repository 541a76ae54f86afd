"""Accounts, then their opportunities, as one execution of the deployed machine."""

from collections.abc import Iterator

import pytest

from infra.config import load_file
from infra.synth import ROOT
from local.org import OrgServer, OrgSettings, generated_opportunities
from massive_upload.domain.load import LoadSequence
from massive_upload.domain.progress import RunStatus
from tests.e2e.world import World, deployed

TIME_SCALE = 1000.0
ROWS = 1_000
LOADS = ("account", "opportunity")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    loads = {name: load_file(ROOT / "loads" / f"{name}.yaml", sets=["partitioning.count=2"]) for name in LOADS}
    settings = OrgSettings(source=generated_opportunities(ROWS, rejected_share=0), time_scale=TIME_SCALE)
    nightly = LoadSequence(name="nightly", sequence=LOADS)
    with (
        OrgServer(settings) as org,
        deployed(
            tmp_path_factory.mktemp("world"),
            loads=loads,
            sequences={"nightly": nightly},
            org_url=org.url,
            time_scale=TIME_SCALE,
        ) as world,
    ):
        yield world


def test_the_loads_of_a_sequence_complete_in_order(world: World) -> None:
    result = world.run({"load": "nightly"}, "night")
    assert (result.status, result.error) == ("SUCCEEDED", None)
    first, second = world.store.run("night.account"), world.store.run("night.opportunity")
    assert first is not None
    assert second is not None
    assert (first.status, second.status) == (RunStatus.COMPLETED, RunStatus.COMPLETED)
    assert world.receipt("night.opportunity")["account"]["succeeded"] == ROWS
    assert first.ended_at is not None
    assert second.ended_at is not None
    assert first.ended_at <= second.ended_at
    assert sum(lane.jobs for lane in world.store.partitions("night.account")) > 0


def test_a_stop_in_the_second_load_leaves_the_first_as_it_is(world: World) -> None:
    arn = world.start({"load": "nightly"}, "stopped")
    while world.store.run("stopped.opportunity") is None:
        assert world.aws.client("stepfunctions").describe_execution(executionArn=arn)["status"] == "RUNNING"
    world.aws.stop_execution(arn)
    world.await_no_open_run(is_watched=True)
    first, second = world.store.run("stopped.account"), world.store.run("stopped.opportunity")
    assert first is not None
    assert second is not None
    assert first.status is RunStatus.COMPLETED
    assert second.status in (RunStatus.STOPPED, RunStatus.FAILED)
    assert world.run({"load": "opportunity"}, "afterwards").status == "SUCCEEDED", "the targets are free again"
