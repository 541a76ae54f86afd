from pathlib import Path
from typing import Any

import pytest

from cli.errors import UsageMistake
from cli.local_run import RunRequest
from cli.request import local_requests
from massive_upload.errors import InvalidLoad

LOAD = """
source: {object: Opportunity__dlm, key: Key__c}
target: {object: Opportunity, external_id: External_ID__c}
fields: {Key__c: External_ID__c}
"""


@pytest.fixture
def loads_dir(tmp_path):
    directory = tmp_path / "loads"
    directory.mkdir()
    (directory / "opportunity.yaml").write_text(LOAD)
    (directory / "broken.yaml").write_text("source: [")
    return directory


def requests_for(loads_dir: Path, name: str, **changes: Any) -> list[RunRequest]:
    options: dict[str, Any] = {
        "org_url": "http://127.0.0.1:8080",
        "environment": {"SALESFORCE_CLIENT_ID": "id", "SALESFORCE_CLIENT_SECRET": "s"},
        "mode": "full",
        "sets": [],
        "time_scale": 1.0,
    }
    return local_requests(name, loads_dir=loads_dir, **(options | changes))


def request_for(loads_dir: Path, name: str = "opportunity", **changes: Any) -> RunRequest:
    (request,) = requests_for(loads_dir, name, **changes)
    return request


def test_another_load_of_the_directory_may_be_broken(loads_dir):
    request = request_for(loads_dir, sets=["partitioning.by=key", "pace.batch_rows=123"])

    assert request.load.effective_pace.batch_rows == 123
    assert request.run_id.startswith("opportunity-")


def test_two_requests_are_two_runs(loads_dir):
    assert request_for(loads_dir).run_id != request_for(loads_dir).run_id


@pytest.mark.parametrize("name", ["oportunity", "../loads/opportunity", "opportunity.yaml"])
def test_a_load_that_is_not_there_is_answered_with_the_nearest(loads_dir, name):
    with pytest.raises(UsageMistake, match=r"write opportunity|broken, opportunity"):
        request_for(loads_dir, name)


def test_a_directory_without_loads_is_named(tmp_path):
    with pytest.raises(UsageMistake, match="holds no loads"):
        request_for(tmp_path)


def test_a_wrong_change_is_told_with_its_place(loads_dir):
    with pytest.raises(InvalidLoad, match=r"--set pace\.batch_rows=many"):
        request_for(loads_dir, sets=["pace.batch_rows=many"])


def test_time_is_scaled_for_orgs_on_this_machine_only(loads_dir):
    assert request_for(loads_dir, time_scale=1000.0).time_scale == 1000
    assert request_for(loads_dir, org_url="https://example.my.salesforce.com").time_scale == 1
    with pytest.raises(UsageMistake, match="--time-scale 1000"):
        request_for(loads_dir, org_url="https://example.my.salesforce.com", time_scale=1000.0)


def test_the_loads_of_a_sequence_are_requests_in_its_order(tmp_path):
    for name in ("opportunity", "account"):
        (tmp_path / f"{name}.yaml").write_text(LOAD)
    (tmp_path / "nightly.yaml").write_text("sequence: [opportunity, account]")
    requests = requests_for(tmp_path, "nightly", mode="sample")
    assert [(each.load.name, each.mode) for each in requests] == [("opportunity", "sample"), ("account", "sample")]
    with pytest.raises(InvalidLoad, match=r"is a sequence.*leave --set pace.batch_rows=1 out"):
        requests_for(tmp_path, "nightly", sets=["pace.batch_rows=1"])
