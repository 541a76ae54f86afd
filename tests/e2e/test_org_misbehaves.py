"""An org that misbehaves, through the deployed definition: its waits, retries and catches, and the account."""

from collections.abc import Iterator

import pytest

from infra.config import load_file
from infra.synth import ROOT
from local.org import Faults, OrgServer, OrgSettings, generated_opportunities
from local.org.faults import FaultPlan
from local.org.sources import Source
from tests.e2e.opportunities import expected_rows, target_rows
from tests.e2e.world import World, deployed

TIME_SCALE = 500.0
ROWS = 3_000
TEN_MINUTES = 600
SILENT = "status: 503, body: '<html>Sorry, we will be back soon</html>'"


@pytest.fixture(scope="module")
def source() -> Source:
    return generated_opportunities(ROWS, seed=7, rejected_share=0)


@pytest.fixture(scope="module")
def org(source: Source) -> Iterator[OrgServer]:
    with OrgServer(OrgSettings(source=source, time_scale=TIME_SCALE, page_rows=200)) as org:
        yield org


@pytest.fixture(scope="module")
def world(org: OrgServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    sets = [
        "partitioning.by=key",
        "partitioning.count=3",
        "pace.batch_rows=250",
        "pace.stagger_seconds=0",
        "pace.delay_seconds=0",
    ]
    loads = {"opportunity": load_file(ROOT / "loads" / "opportunity.yaml", sets=["partitioning.by=key", *sets])}
    with deployed(tmp_path_factory.mktemp("world"), loads=loads, org_url=org.url, time_scale=TIME_SCALE) as world:
        yield world


def misbehave(org: OrgServer, faults: str) -> None:
    backend = org.backend
    backend.faults = FaultPlan(Faults.parse(faults), 1, backend.clock.seconds)
    backend.ingest.faults = backend.faults


def test_within_patience_a_run_goes_through_all_of_it_without_a_person(
    source: Source, org: OrgServer, world: World
) -> None:
    begins = org.backend.clock.seconds()
    outage = f"from_seconds: {begins}, until_seconds: {begins + TEN_MINUTES}"
    misbehave(
        org,
        f"""
- match: {{{outage}}}
  action: {{{SILENT}}}
- match: {{method: PUT, nth: 2}}
  action: {{reset: after}}
- match: {{method: PATCH, nth: 3}}
  action: {{reset: before}}
- match: {{path: /jobs/ingest, every: 9}}
  action: {{status: 429, headers: {{Retry-After: "30"}}}}
- match: {{every: 20}}
  action: {{expire_token: true}}
- match: {{object: Opportunity}}
  action: {{row_failures: {{share: 0.2, code: UNABLE_TO_LOCK_ROW}}}}
- match: {{object: Opportunity, nth: 2}}
  action: {{job_fails: {{after_rows: 200, message: "Timeout : retried more than 20 times"}}}}
- match: {{object: Opportunity, nth: 5}}
  action: {{job_stalls: {{after_rows: 200}}}}
- match: {{object: Opportunity, nth: 7}}
  action: {{job_deleted: {{after_rows: 200}}}}
- match: {{path: failedResults, nth: 2}}
  action: {{cut_body: 0.5}}
- match: {{path: "/rows$", nth: 3}}
  action: {{status: 404, code: NOT_FOUND}}
""",
    )
    result = world.run({"load": "opportunity"}, "troubled")
    assert (result.status, result.cause) == ("SUCCEEDED", None)
    assert world.receipt("troubled")["rejected_by_code"] == {}
    assert result.output["succeeded"] == result.output["source_rows"] == ROWS
    misbehave(org, "")
    assert target_rows(org.backend) == expected_rows(source)


def test_beyond_patience_the_account_is_exact_and_resume_completes_the_run(
    source: Source, org: OrgServer, world: World
) -> None:
    misbehave(org, f"- match: {{path: /jobs/ingest}}\n  action: {{{SILENT}}}")
    failed = world.run({"load": "opportunity", "pace": {"patience_seconds": 300}}, "impatient")
    assert (failed.status, failed.error) == ("FAILED", "PartitionsFailed")
    assert "OrgUnreachable" in str(failed.cause)
    account = world.receipt("impatient")["account"]
    assert account == {
        "source_rows": ROWS,
        "succeeded": 0,
        "rejected": 0,
        "not_sent": ROWS,
        "skipped_null_key": 0,
        "duplicates_dropped": 0,
        "unsettled": 0,
    }
    misbehave(org, "")
    resumed = world.run({"mode": "resume", "run_id": "impatient"}, "impatient-again")
    assert (resumed.status, resumed.output["succeeded"]) == ("SUCCEEDED", ROWS)
    assert target_rows(org.backend) == expected_rows(source)
