"""An org that is too busy and says for how long: the deployed machine keeps the pause before it asks again."""

import json
from pathlib import Path

from infra.config import load_file
from infra.synth import ROOT
from local.org import Faults, OrgServer, OrgSettings, generated_opportunities
from tests.e2e.opportunities import expected_rows, target_rows
from tests.e2e.world import deployed

# The first job, and the three retries of its task.
FAULTS = "".join(
    f"""
- match: {{method: PUT, nth: {number}}}
  action: {{status: 429, code: REQUEST_LIMIT_EXCEEDED, message: "ConcurrentRequests", headers: {{Retry-After: "700"}}}}
"""
    for number in range(1, 5)
)


def test_a_pause_that_is_longer_than_one_wait_is_kept(tmp_path: Path) -> None:
    time_scale = 1_000.0
    source = generated_opportunities(500, seed=3, rejected_share=0)
    sets = ["partitioning.by=key", "partitioning.count=1"]
    loads = {"opportunity": load_file(ROOT / "loads" / "opportunity.yaml", sets=sets)}
    with (
        OrgServer(OrgSettings(source=source, time_scale=time_scale, faults=Faults.parse(FAULTS))) as org,
        deployed(tmp_path, loads=loads, org_url=org.url, time_scale=time_scale) as world,
    ):
        result = world.run({"load": "opportunity"}, "busy")
        lines = [json.loads(line) for line in world.log_lines() if '"waiting for org"' in line]
        found = target_rows(org.backend)

    assert result.status == "SUCCEEDED"
    assert found == expected_rows(source)
    assert [line["wait_seconds"] for line in lines] == [600, 100]
