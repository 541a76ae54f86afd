import pytest
import requests

from local.org import Faults, OrgProcess, OrgSettings, generated_opportunities
from local.org.credentials import new_key_pair


@pytest.fixture(scope="module")
def org():
    settings = OrgSettings(
        source=generated_opportunities(1000),
        public_key_pem=new_key_pair().public_pem,
        faults=Faults.parse("- {match: {path: /teapot}, action: {status: 418}}"),
    )
    with OrgProcess(settings) as process:
        yield process


def test_the_org_in_a_process_of_its_own_answers(org):
    assert requests.get(f"{org.url}/services/data", timeout=30).status_code == 200


def test_its_settings_reach_the_process(org):
    assert requests.get(f"{org.url}/teapot", timeout=30).status_code == 418


def test_its_state_can_be_inspected(org):
    assert org.count("Account") == 10
    assert org.rows("Account")[0]["External_ID__c"] == "ACC-0000001"
    assert org.statistics()["records"] == {"Account": 10, "Opportunity": 0}
    assert len(org.digest("Account")) == 64


def test_a_stopped_org_has_no_address():
    process = OrgProcess(OrgSettings(source=generated_opportunities(1)))
    process.start()
    url = process.url
    process.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = process.url
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)


def test_an_org_that_cannot_start_says_so(org):
    port = int(org.url.rpartition(":")[2])
    with pytest.raises(RuntimeError, match="ended while it started"):
        OrgProcess(OrgSettings(source=generated_opportunities(1), port=port)).start()
