"""Real clients, written elsewhere, load into the org: if they are content, it speaks their language."""

import json
import subprocess
from pathlib import Path

import pytest
from simple_salesforce.bulk2 import SFBulk2Handler

from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from tests.npm import NODE_BIN, node_environment, npm_package

REQUIRED = {"Name": 'Deal, "quoted"', "StageName": "Prospecting", "CloseDate": "2026-01-31"}


def test_simple_salesforce_upserts(org, client):
    token = client.http.headers["Authorization"].removeprefix("Bearer ")
    with_parent = {"Account.External_ID__c": "ACC-0000001"}
    records = [
        {"External_ID__c": "a", **REQUIRED, **with_parent, "Description": "two\nlines"},
        {"External_ID__c": "b", **REQUIRED, **with_parent, "Description": "Zażółć 🚀"},
        {"External_ID__c": "c", **REQUIRED, **with_parent, "Description": "x", "StageName": "Nowhere"},
    ]
    bulk = SFBulk2Handler(token, f"{org.url}/services/data/v66.0/jobs/")
    try:
        (result,) = bulk.Opportunity.upsert(records=records, external_id_field="External_ID__c")
        assert result["numberRecordsProcessed"] == 3
        assert result["numberRecordsFailed"] == 1
        failed = bulk.Opportunity.get_failed_records(result["job_id"])
        successful = bulk.Opportunity.get_successful_records(result["job_id"])
        unprocessed = bulk.Opportunity.get_unprocessed_records(result["job_id"])
    finally:
        bulk.session.close()
    assert "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST:Stage" in failed
    assert successful.count("006") >= 2
    assert unprocessed.strip().startswith('"')
    stored = {row["External_ID__c"]: row for row in org.backend.rows("Opportunity")}
    assert set(stored) == {"a", "b"}
    assert stored["a"]["Description"] == "two\nlines"
    assert stored["a"]["Name"] == REQUIRED["Name"]
    assert stored["a"]["AccountId"].startswith("001")


@pytest.mark.npm
def test_jsforce_logs_in_and_upserts(org):
    directory = npm_package("jsforce", "3.10.16")
    script = Path(__file__).with_name("upsert.js")
    command = [str(NODE_BIN / "node"), str(script), str(directory), org.url, CLIENT_ID, CLIENT_SECRET]
    done = subprocess.run(command, env=node_environment(), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["job"]["state"] == "JobComplete"
    assert answer["job"]["numberRecordsProcessed"] == 3
    assert {row["External_ID__c"] for row in answer["results"]["successfulResults"]} == {"a", "b"}
    (failed,) = answer["results"]["failedResults"]
    assert failed["sf__Error"].startswith("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST:")
    stored = {row["External_ID__c"]: row for row in org.backend.rows("Opportunity")}
    assert stored["a"]["Amount"] == "9007199254740991"
    assert stored["a"]["Description"] is None
    assert stored["b"]["Description"] == "two\nlines"
