import os
import re
import subprocess
import sys
import time
from typing import Any, cast

import pytest
import requests

from local.org import Faults, OrgProcess, OrgSettings, generated_opportunities
from local.org.credentials import new_key_pair

END_SECONDS = 20


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


def test_the_org_ends_when_its_parent_is_killed():
    starting = """
import time
from local.org import OrgProcess, OrgSettings, generated_opportunities
process = OrgProcess(OrgSettings(source=generated_opportunities(1)))
process.start()
print(process.url, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", starting], stdout=subprocess.PIPE, text=True)
    try:
        url = parent.stdout.readline().strip() if parent.stdout else ""
        assert requests.get(f"{url}/services/data", timeout=30).status_code == 200
    finally:
        parent.kill()
        parent.communicate()
    deadline = time.monotonic() + END_SECONDS
    while _answers(url):
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.02)


def _answers(url: str) -> bool:
    try:
        requests.get(f"{url}/services/data", timeout=30)
    except requests.ConnectionError:
        return False
    return True


class Chatty:
    """A number whose reading writes to the standard output, as DuckDB does while it makes a large source."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.write, (1, b"26% done, 5 seconds remaining")


def test_what_a_library_prints_is_not_taken_for_the_address():
    settings = OrgSettings(source=generated_opportunities(1), seed=cast("int", Chatty()))
    with OrgProcess(settings) as process:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", process.url)
        assert process.count("Opportunity") == 0
