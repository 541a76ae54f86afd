"""Generated opportunities through the real definition, compared value by value, and the account with the target."""

from collections.abc import Iterator

import pytest

from infra.config import load_file
from infra.synth import ROOT
from local.org import OrgServer, OrgSettings, generated_opportunities
from local.org.sources import Source
from massive_upload.domain.load import Load
from tests.e2e.opportunities import expected_rejects, expected_rows, rejected_rows, target_rows
from tests.e2e.world import World, deployed

TIME_SCALE = 500.0
NULL_KEYS, DUPLICATES, COLLISIONS = 7, 9, 4


def opportunity_load(*sets: str) -> Load:
    return load_file(ROOT / "loads" / "opportunity.yaml", sets=sets)


@pytest.fixture(scope="module")
def source() -> Source:
    return generated_opportunities(
        9_000, rejected_share=0.01, null_keys=NULL_KEYS, duplicate_keys=DUPLICATES, case_collisions=COLLISIONS
    )


@pytest.fixture(scope="module")
def org(source: Source) -> Iterator[OrgServer]:
    with OrgServer(OrgSettings(source=source, time_scale=TIME_SCALE, page_rows=333)) as org:
        yield org


@pytest.fixture(scope="module")
def world(org: OrgServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    loads = {
        "opportunity": opportunity_load("duplicates=keep_newest", "partitioning.count=3", "pace.stagger_seconds=900")
    }
    with deployed(tmp_path_factory.mktemp("world"), loads=loads, org_url=org.url, time_scale=TIME_SCALE) as world:
        world.run({"load": "opportunity"}, "first")
        yield world


def test_the_target_holds_the_newest_row_of_every_key_but_for_the_rejected(
    source: Source, org: OrgServer, world: World
) -> None:
    expected = expected_rows(source)
    found = target_rows(org.backend)
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key] == row


def test_the_account_equals_the_target(source: Source, org: OrgServer, world: World) -> None:
    rejected = expected_rejects(source)
    assert world.receipt("first")["account"] == {
        "source_rows": 9_000 + NULL_KEYS + DUPLICATES + COLLISIONS,
        "succeeded": len(target_rows(org.backend)),
        "rejected": len(rejected),
        "not_sent": 0,
        "skipped_null_key": NULL_KEYS,
        "duplicates_dropped": DUPLICATES + COLLISIONS,
        "unsettled": 0,
    }


def test_rejected_rows_are_kept_with_their_columns_and_error(source: Source, world: World) -> None:
    kept = rejected_rows(world, "first")
    assert {row["External_ID__c"] for row in kept} == expected_rejects(source)
    assert {row["tries"] for row in kept} == {"1"}
    assert {row["error_code"] for row in kept} <= {
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "STRING_TOO_LONG",
        "INVALID_FIELD",
    }
    assert all(row["error_message"] and row["StageName"] for row in kept)


def test_a_second_run_changes_nothing(org: OrgServer, world: World) -> None:
    before = org.backend.digest("Opportunity")
    result = world.run({"load": "opportunity"}, "second")
    assert result.status == "SUCCEEDED"
    assert org.backend.digest("Opportunity") == before


def test_a_plan_writes_nothing(org: OrgServer, world: World) -> None:
    jobs = org.backend.statistics()["jobs"]
    output = world.run({"load": "opportunity", "mode": "plan"}, "plan").output
    assert (output["status"], output["not_sent"]) == ("Completed", 9_000)
    planned = [p["planned_rows"] for p in world.receipt("plan")["partitions"]]
    assert (len(planned), sum(planned)) == (4, 9_000), "three lanes of parents, and one of rows without a parent"
    assert planned == sorted(planned, reverse=True)
    assert org.backend.statistics()["jobs"] == jobs


def test_a_sample_loads_as_many_rows_as_it_says(world: World) -> None:
    output = world.run({"load": "opportunity", "mode": "sample", "sample": {"rows": 700}}, "sample").output
    assert output["source_rows"] == 700
    assert output["succeeded"] + output["rejected"] + output["duplicates_dropped"] == 700


def test_no_record_content_and_no_secret_is_in_logs_or_history(org: OrgServer, world: World) -> None:
    traces = "\n".join(world.log_lines()) + str(world.figures)
    assert "task done" in traces
    for content in ("OPP-0", "Łódź", "ACC-0", "Lost in space", "client_secret", "Bearer"):
        assert content not in traces
