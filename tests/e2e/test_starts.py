"""Every start of events/ through the real definition: what a person pastes into the Step Functions console."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.config import load_file
from infra.synth import ROOT
from local.org import Faults, OrgServer, OrgSettings, generated_opportunities
from massive_upload.domain.progress import PartitionStatus
from tests.e2e.opportunities import expected_rows, target_rows
from tests.e2e.world import World, deployed

TIME_SCALE = 1_000.0
SOURCE = generated_opportunities(2_000, seed=7, rejected_share=0)
RUN_ID = "opportunity-2026-01-31"
LANES = 8

# The org refuses the first job of each of the eight lanes, so that all of them fail and can be resumed.
FAULTS = "".join(
    f"""
- match: {{method: POST, path: "jobs/ingest$", nth: {number}}}
  action: {{status: 403, code: API_CURRENTLY_DISABLED, message: API is currently disabled for this user}}
"""
    for number in range(1, LANES + 1)
)


def start_event(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text(encoding="utf-8"))
    return event


@pytest.fixture(scope="module")
def org() -> Iterator[OrgServer]:
    with OrgServer(OrgSettings(source=SOURCE, time_scale=TIME_SCALE, faults=Faults.parse(FAULTS))) as org:
        yield org


@pytest.fixture(scope="module")
def world(org: OrgServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    loads = {"opportunity": load_file(ROOT / "loads" / "opportunity.yaml", sets=["partitioning.by=key"])}
    with deployed(tmp_path_factory.mktemp("world"), loads=loads, org_url=org.url, time_scale=TIME_SCALE) as world:
        yield world


def test_a_run_that_failed_is_resumed_by_one_partition_and_then_whole(org: OrgServer, world: World) -> None:
    failed = world.run(start_event("load_with_overrides"), "night")
    assert (failed.status, failed.error) == ("FAILED", "PartitionsFailed")
    assert {partition.status for partition in world.store.partitions(RUN_ID)} == {PartitionStatus.FAILED}

    world.run(start_event("load_one_partition"), "seven")
    completed = [p.partition for p in world.store.partitions(RUN_ID) if p.status is PartitionStatus.COMPLETED]
    assert completed == ["0007"]

    resumed = world.run(start_event("load_resume"), "all")
    assert resumed.status == "SUCCEEDED"
    assert len(world.store.partitions(RUN_ID)) == LANES
    assert target_rows(org.backend) == expected_rows(SOURCE)


@pytest.mark.parametrize(
    ("name", "succeeded"), [("load_plan", 0), ("load_sample", 500), ("load_scheduled", 2_000), ("load_full", 2_000)]
)
def test_a_start_does_what_it_says(world: World, name: str, succeeded: int) -> None:
    result = world.run(start_event(name), name.replace("_", "-"))
    assert (result.status, result.cause) == ("SUCCEEDED", None)
    assert result.output["succeeded"] == succeeded
