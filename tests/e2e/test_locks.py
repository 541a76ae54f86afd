"""Lanes that share parents and all start at once: rows fail on locks, and all of them arrive without a person."""

from pathlib import Path

from infra.config import load_file
from infra.synth import ROOT
from local.org import OrgServer, OrgSettings, generated_opportunities
from tests.e2e.opportunities import expected_rows, target_rows
from tests.e2e.world import deployed

TIME_SCALE = 500.0


def test_rows_that_fail_on_locks_are_sent_again_and_then_swept(tmp_path: Path) -> None:
    source = generated_opportunities(12_000, seed=3)
    sets = ["partitioning.count=6", "pace.stagger_seconds=0", "pace.delay_seconds=0", "pace.batch_rows=2000"]
    loads = {"opportunity": load_file(ROOT / "loads" / "opportunity.yaml", sets=sets)}
    with (
        OrgServer(OrgSettings(source=source, time_scale=TIME_SCALE, row_ms=100)) as org,
        deployed(tmp_path, loads=loads, org_url=org.url, time_scale=TIME_SCALE) as world,
    ):
        result = world.run({"load": "opportunity"}, "contended")
        partitions = {partition.partition: partition for partition in world.store.partitions("contended")}
        found = target_rows(org.backend)
        locked_out = org.backend.statistics()["rows_locked_out"]

    assert result.status == "SUCCEEDED"
    assert found == expected_rows(source)
    assert result.output["succeeded"] == len(found)

    lanes = [partition for name, partition in partitions.items() if name != "sweep"]
    sweep = partitions["sweep"]
    assert locked_out == sum(partition.lock_errors for partition in partitions.values()) > 0
    assert sum(lane.deferred for lane in lanes) == sweep.source_rows == sweep.settled_rows > 0
    assert sum(lane.resent_rows for lane in lanes) > sweep.source_rows
    assert sweep.lock_errors == 0
