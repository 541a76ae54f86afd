"""Rows that fail on locks: they are sent again after a while, then swept, and all of them arrive without a person."""

from pathlib import Path

import pytest

from infra.config import load_file
from infra.synth import ROOT
from local.org import Faults, OrgServer, OrgSettings, generated_opportunities
from tests.e2e.opportunities import expected_rows, target_rows
from tests.e2e.world import deployed

ATTEMPTS = 4

# Half of the rows of each of a lane's attempts find a record locked; the sweep, which comes fifth, finds none.
FAULTS = "".join(
    f"""
- match: {{object: Opportunity, nth: {number}}}
  action: {{row_failures: {{share: 0.5, code: UNABLE_TO_LOCK_ROW}}}}
"""
    for number in range(1, ATTEMPTS + 1)
)


@pytest.mark.parametrize("by", ["key", "parent"])
def test_lanes_that_start_at_once_wait_for_one_another_only_where_they_share_parents(tmp_path: Path, by: str) -> None:
    time_scale = 100.0
    source = generated_opportunities(5_400, seed=3)
    sets = [f"partitioning.by={by}", "partitioning.count=6", "pace.stagger_seconds=0", "pace.delay_seconds=0"]
    sets.append("pace.batch_rows=900")
    loads = {"opportunity": load_file(ROOT / "loads" / "opportunity.yaml", sets=sets)}
    with (
        OrgServer(OrgSettings(source=source, time_scale=time_scale, row_ms=100)) as org,
        deployed(tmp_path, loads=loads, org_url=org.url, time_scale=time_scale) as world,
    ):
        result = world.run({"load": "opportunity"}, "contended")
        lock_errors = sum(partition.lock_errors for partition in world.store.partitions("contended"))
        found = target_rows(org.backend)
        locked_out = org.backend.statistics()["rows_locked_out"]

    assert result.status == "SUCCEEDED"
    assert lock_errors == locked_out
    assert (lock_errors > 0) == (by == "key")
    assert result.output["succeeded"] == len(found)


def test_rows_that_fail_on_locks_at_every_try_are_swept(tmp_path: Path) -> None:
    time_scale = 1_000.0
    source = generated_opportunities(2_000, seed=3, rejected_share=0)
    sets = ["partitioning.by=key", "partitioning.count=1", "pace.batch_rows=2000"]
    loads = {"opportunity": load_file(ROOT / "loads" / "opportunity.yaml", sets=sets)}
    with (
        OrgServer(OrgSettings(source=source, time_scale=time_scale, faults=Faults.parse(FAULTS))) as org,
        deployed(tmp_path, loads=loads, org_url=org.url, time_scale=time_scale) as world,
    ):
        result = world.run({"load": "opportunity"}, "swept")
        lane, sweep = world.store.partitions("swept")
        found = target_rows(org.backend)

    assert result.status == "SUCCEEDED"
    assert found == expected_rows(source)
    assert result.output["succeeded"] == result.output["source_rows"] == 2_000
    assert lane.jobs == ATTEMPTS
    assert lane.deferred == sweep.source_rows == sweep.succeeded > 0
    assert lane.lock_errors == lane.resent_rows + lane.deferred
    assert sweep.resent_rows == sweep.source_rows
