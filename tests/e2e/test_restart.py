"""Runs that do not go straight through: stopped, resumed, taken over, started twice, or with nothing to do."""

from collections.abc import Iterator

import pytest

from infra.config import load_file
from infra.synth import ROOT
from local.org import Faults, OrgServer, OrgSettings, generated_opportunities
from local.org.sources import Source
from tests.e2e.opportunities import expected_rows, target_rows
from tests.e2e.world import World, deployed

TIME_SCALE = 500.0

# The org refuses the second lane's jobs for good, until the fault has been used up.
FAULTS = """
- match: {method: POST, path: "jobs/ingest$", nth: 4}
  action: {status: 403, code: API_CURRENTLY_DISABLED, message: API is currently disabled for this user}
"""


@pytest.fixture(scope="module")
def source() -> Source:
    return generated_opportunities(4_000, seed=5, rejected_share=0)


@pytest.fixture(scope="module")
def org(source: Source) -> Iterator[OrgServer]:
    with OrgServer(OrgSettings(source=source, time_scale=TIME_SCALE, faults=Faults.parse(FAULTS))) as org:
        yield org


@pytest.fixture(scope="module")
def world(org: OrgServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    sets = ["partitioning.by=key", "partitioning.count=2", "pace.stagger_seconds=0", "pace.delay_seconds=0"]
    path = ROOT / "loads" / "opportunity.yaml"
    loads = {
        "opportunity": load_file(path, sets=sets),
        "account": load_file(ROOT / "loads" / "account.yaml", sets=["source.where=1 = 0"]),
    }
    with deployed(tmp_path_factory.mktemp("world"), loads=loads, org_url=org.url, time_scale=TIME_SCALE) as world:
        yield world


def test_a_failed_lane_leaves_the_other_running_and_resume_completes_the_run(
    source: Source, org: OrgServer, world: World
) -> None:
    failed = world.run({"load": "opportunity"}, "night")
    assert (failed.status, failed.error) == ("FAILED", "PartitionsFailed")
    assert "resume" in str(failed.cause)
    account = world.receipt("night")["account"]
    assert account["succeeded"] == len(target_rows(org.backend))
    assert account["not_sent"] == 4_000 - account["succeeded"] > 0
    statuses = [partition.status for partition in world.store.partitions("night")]
    assert sorted(statuses) == ["Completed", "Failed"]

    by_hand = statuses.index(statuses[0].__class__("Failed"))
    resumed = world.run({"mode": "resume", "run_id": "night", "partitions": [by_hand]}, "night-again")
    assert resumed.status == "SUCCEEDED"
    assert resumed.output["succeeded"] == resumed.output["source_rows"] == 4_000
    assert target_rows(org.backend) == expected_rows(source)


def test_a_completed_run_cannot_be_resumed(world: World) -> None:
    result = world.run({"mode": "resume", "run_id": "night"}, "night-once-more")
    assert (result.status, result.error) == ("FAILED", "RunNotResumable")


def test_a_second_start_during_a_run_fails_by_hand_and_is_skipped_by_schedule(world: World) -> None:
    slow = world.start({"load": "opportunity", "pace": {"delay_seconds": 600}}, "slow")
    while not world.store.partitions("slow"):
        assert not _has_ended(world, slow)
    by_hand = world.run({"load": "opportunity"}, "by-hand")
    by_schedule = world.run({"load": "opportunity", "scheduled": True}, "by-schedule")
    assert (by_hand.status, by_hand.error) == ("FAILED", "AnotherRunActive")
    assert by_schedule.status == "SUCCEEDED"
    assert world.store.run("by-schedule") is None

    world.aws.stop_execution(slow)
    assert world.wait(slow).status == "ABORTED"


def test_a_run_takes_over_from_an_execution_that_was_stopped(source: Source, org: OrgServer, world: World) -> None:
    result = world.run({"load": "opportunity"}, "after-the-stop")
    assert result.status == "SUCCEEDED"
    assert target_rows(org.backend) == expected_rows(source)
    stopped = world.store.run("slow")
    assert stopped is not None
    assert stopped.status == "Stopped"
    account = world.receipt("slow")["account"]
    assert account["succeeded"] + account["not_sent"] == account["source_rows"] == 4_000
    assert not world.store.open_runs()


def test_a_filter_that_leaves_no_rows_is_a_run_with_nothing_to_do(world: World) -> None:
    result = world.run({"load": "account"}, "nothing")
    assert (result.status, result.cause) == ("SUCCEEDED", None)
    assert (result.output["status"], result.output["source_rows"]) == ("Completed", 0)


def _has_ended(world: World, execution_arn: str) -> bool:
    description = world.aws.client("stepfunctions").describe_execution(executionArn=execution_arn)
    return str(description["status"]) != "RUNNING"
