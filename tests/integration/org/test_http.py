"""The org over real HTTP: paths, codes, headers and shapes."""

import http.client
import json
import re
import socket
from typing import Any

import pytest
import requests

from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from local.org.identity import USER_ID
from tests.integration.org.support import Client

CREDENTIALS = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
JOB = {"object": "Opportunity", "operation": "upsert", "externalIdFieldName": "External_ID__c"}
CSV = b"External_ID__c,Name,StageName,CloseDate\na,Deal,Prospecting,2026-01-31\nb,Deal,Nowhere,2026-01-31\n"


def wait_for(client: Client, job_id: str) -> dict[str, Any]:
    """Ask until the job has ended; the org's clock runs fast."""
    job: dict[str, Any] = client.call("GET", f"/jobs/ingest/{job_id}").json()
    while job["state"] not in {"JobComplete", "Failed", "Aborted"}:
        job = client.call("GET", f"/jobs/ingest/{job_id}").json()
    return job


def load(client: Client, content: bytes = CSV) -> dict[str, Any]:
    job_id = client.call("POST", "/jobs/ingest", json=JOB).json()["id"]
    assert client.call("PUT", f"/jobs/ingest/{job_id}/batches", data=content).status_code == 201
    assert client.call("PATCH", f"/jobs/ingest/{job_id}", json={"state": "UploadComplete"}).status_code == 200
    return wait_for(client, job_id)


@pytest.mark.parametrize("where", ["body", "query string", "header"])
def test_credentials_are_accepted_in_body_query_string_and_header(org, where):
    url = f"{org.url}/services/oauth2/token"
    if where == "body":
        answer = requests.post(url, data=CREDENTIALS, timeout=30)
    elif where == "query string":
        answer = requests.post(url, params=CREDENTIALS, timeout=30)
    else:
        form = {"grant_type": "client_credentials"}
        answer = requests.post(url, data=form, auth=(CLIENT_ID, CLIENT_SECRET), timeout=30)
    assert answer.status_code == 200
    assert answer.json()["instance_url"] == org.url


def test_token_errors_are_an_object(org):
    answer = requests.post(f"{org.url}/services/oauth2/token", data={**CREDENTIALS, "client_secret": "x"}, timeout=30)
    assert answer.status_code == 400
    assert answer.json() == {"error": "invalid_client", "error_description": "invalid client credentials"}


def test_api_errors_are_an_array(org):
    answer = requests.get(f"{org.url}/services/data/v66.0/limits", timeout=30)
    assert answer.status_code == 401
    assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def test_revoking_a_token_ends_the_session(org, client):
    token = client.http.headers["Authorization"].removeprefix("Bearer ")
    answer = requests.post(f"{org.url}/services/oauth2/revoke", data={"token": token}, timeout=30)
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.call("GET", "/limits").status_code == 401


def test_an_upsert_from_creation_to_deletion(client):
    job = load(client)
    assert (job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == ("JobComplete", 2, 1)
    base = f"/jobs/ingest/{job['id']}"
    failed = client.call("GET", f"{base}/failedResults/")
    assert failed.headers["Content-Type"].startswith("text/csv")
    assert "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" in failed.text
    deleted = client.call("DELETE", base)
    assert (deleted.status_code, deleted.content) == (204, b"")
    gone = client.call("GET", base)
    assert gone.status_code == 404
    assert gone.json() == [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]


def test_paths_match_in_any_case_and_with_or_without_a_last_slash(client):
    base = f"/jobs/ingest/{load(client)['id']}"
    for name in (
        "successfulResults",
        "successfulResults/",
        "failedresults",
        "unprocessedRecords",
        "unprocessedrecords/",
    ):
        assert client.call("GET", f"{base}/{name}").status_code == 200


def test_any_version_is_answered(client):
    url = f"{client.url}/services/data/v58.0/jobs/ingest/"
    job = client.http.post(url, json=JOB, timeout=30).json()
    assert job["apiVersion"] == 58.0
    versions = client.http.get(f"{client.url}/services/data/", timeout=30).json()
    assert {"label", "url", "version"} == set(versions[0])


def test_a_multipart_job_is_uploaded_and_closed_at_once(client):
    files = {
        "job": (None, json.dumps(JOB), "application/json"),
        "content": ("content", CSV, "text/csv"),
    }
    job = client.call("POST", "/jobs/ingest", files=files).json()
    assert job["state"] == "UploadComplete"
    assert wait_for(client, job["id"])["numberRecordsProcessed"] == 2


def test_a_multipart_job_holds_at_most_100000_characters(client):
    files = {"job": (None, json.dumps(JOB), "application/json"), "content": ("content", b"x" * 100_001, "text/csv")}
    assert client.call("POST", "/jobs/ingest", files=files).status_code == 400


def test_chunked_bodies_are_read(client):
    job = client.call("POST", "/jobs/ingest", json=JOB).json()
    pieces = (CSV[at : at + 7] for at in range(0, len(CSV), 7))
    assert client.call("PUT", f"/jobs/ingest/{job['id']}/batches", data=pieces).status_code == 201
    client.call("PATCH", f"/jobs/ingest/{job['id']}", json={"state": "UploadComplete"})
    assert wait_for(client, job["id"])["numberRecordsProcessed"] == 2


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_an_upload_that_is_cut_short_is_no_upload(client, framing):
    base = f"/jobs/ingest/{client.call('POST', '/jobs/ingest', json=JOB).json()['id']}"
    host, port = client.url.removeprefix("http://").split(":")
    head = [
        f"PUT /services/data/v66.0{base}/batches HTTP/1.1",
        f"Host: {host}",
        f"Authorization: {client.http.headers['Authorization']}",
        framing,
    ]
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall("\r\n".join([*head, "", "3e8", "External_ID__c"]).encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert client.call("PUT", f"{base}/batches", data=CSV).status_code == 201


def test_one_connection_serves_many_requests(org):
    host = org.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.request("GET", "/services/data")
        connection.getresponse().read()
        local_port = connection.sock.getsockname()
        connection.request("GET", "/services/data")
        assert connection.getresponse().status == 200
        assert connection.sock.getsockname() == local_port
    finally:
        connection.close()


def test_the_list_of_jobs_has_the_shape_of_the_api(client):
    client.call("POST", "/jobs/ingest", json=JOB)
    listed = client.call("GET", "/jobs/ingest?jobType=V2Ingest").json()
    assert (listed["done"], listed["nextRecordsUrl"], len(listed["records"])) == (True, None, 1)


@pytest.mark.parametrize("body", [b"{", b"[]"])
def test_a_body_that_is_no_json_object_is_answered_400(client, body):
    answer = client.call("POST", "/jobs/ingest", data=body)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


def test_every_rest_answer_tells_the_usage_and_each_call_counts(client):
    before = client.call("GET", "/limits").json()["DailyApiRequests"]["Remaining"]
    answer = client.call("GET", "/sobjects/Nope/describe")
    assert re.fullmatch(r"api-usage=\d+/1000000", answer.headers["Sforce-Limit-Info"])
    assert client.call("GET", "/limits").json()["DailyApiRequests"]["Remaining"] == before - 2


def test_when_the_requests_of_the_day_are_used_up_the_answer_is_403(make_org, log_in):
    client = log_in(make_org(daily_api_requests=2, time_scale=1).url)
    statuses = [client.call("GET", "/limits").status_code for _ in range(3)]
    assert statuses == [200, 200, 403]


def test_describe_finds_objects_in_any_case_and_no_others(client):
    assert client.call("GET", "/sobjects/opportunity/describe").json()["name"] == "Opportunity"
    unknown = client.call("GET", "/sobjects/Nope/describe")
    assert (unknown.status_code, unknown.json()[0]["errorCode"]) == (404, "NOT_FOUND")


def test_a_count_is_the_only_query(client):
    load(client)
    answer = client.call("GET", "/query", params={"q": "SELECT COUNT() FROM Opportunity"})
    assert answer.json() == {"totalSize": 1, "done": True, "records": []}
    refused = client.call("GET", "/query", params={"q": "SELECT Id FROM Opportunity"})
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "MALFORMED_QUERY")


@pytest.mark.parametrize(
    ("user", "since", "records"),
    [
        (USER_ID, "2020-01-01T00:00:00Z", 1),
        (USER_ID[:15], "2020-01-01T00:00:00+01:00", 1),
        (USER_ID, "2999-01-01T00:00:00Z", 0),
        ("0057Q0000000002AAA", "2020-01-01T00:00:00Z", 0),
    ],
)
def test_a_count_may_ask_who_modified_a_record_last_and_when(client, user, since, records):
    """SOQL and SOSL Reference: COUNT() with a WHERE clause tells its rows in totalSize; dateTime literals are bare."""
    load(client)
    soql = f"SELECT COUNT() FROM Opportunity WHERE LastModifiedById = '{user}' AND LastModifiedDate >= {since}"
    assert client.call("GET", "/query", params={"q": soql}).json()["totalSize"] == records


def test_records_that_the_org_began_with_were_modified_by_nobody(client):
    soql = (
        f"SELECT COUNT() FROM Account WHERE LastModifiedById = '{USER_ID}' AND LastModifiedDate >= 2020-01-01T00:00:00Z"
    )
    assert client.call("GET", "/query", params={"q": soql}).json()["totalSize"] == 0


def test_query_sql_is_submitted_read_in_pages_and_cancelled(client):
    body = {
        "sql": 'SELECT "ExternalId__c" FROM "Opportunity__dlm" WHERE "ExternalId__c" > :k ORDER BY 1',
        "rowLimit": 2,
        "sqlParameters": [{"name": "k", "type": "Varchar", "value": "OPP-0000100"}],
    }
    first = client.call("POST", "/ssot/query-sql?dataspace=default&workloadName=x", json=body)
    assert first.status_code in {200, 201}
    assert first.json()["data"] == [["OPP-0000101"], ["OPP-0000102"]]
    assert first.json()["returnedRows"] == 2
    assert first.json()["metadata"][0]["type"] == "Varchar"
    query = f"/ssot/query-sql/{first.json()['status']['queryId']}"
    status = client.call("GET", f"{query}?waitTimeMs=10000").json()["status"]
    assert (status["completionStatus"], status["rowCount"]) == ("Finished", 200)
    with_schema = client.call("GET", f"{query}/rows?offset=198&rowLimit=50").json()
    assert with_schema["data"] == [["OPP-0000299"], ["OPP-0000300"]]
    assert "metadata" in with_schema
    assert "metadata" not in client.call("GET", f"{query}/rows?offset=0&omitSchema=true").json()
    assert client.call("GET", f"{query}/rows?offset=200").status_code == 400
    assert client.call("DELETE", query).status_code == 204
    assert client.call("GET", query).status_code == 404


def test_a_status_request_waits_for_a_running_query(make_org, log_in):
    client = log_in(make_org(query_running_seconds=300).url)
    submitted = client.call("POST", "/ssot/query-sql", json={"sql": "SELECT 1"}).json()
    assert (submitted["status"]["completionStatus"], submitted["data"]) == ("Running", [])
    status = client.call("GET", f"/ssot/query-sql/{submitted['status']['queryId']}?waitTimeMs=10000").json()["status"]
    assert status["completionStatus"] == "Finished"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/ssot/query-sql", {"sql": "SELECT 1", "rowLimit": "many"}),
        ("GET", "/ssot/query-sql/q-1/rows?offset=first", None),
    ],
)
def test_what_should_be_a_number_must_be_one(client, method, path, body):
    assert client.call(method, path, json=body).status_code == 400


def test_bad_sql_is_an_error_array(client):
    answer = client.call("POST", "/ssot/query-sql", json={"sql": 'SELECT 1 FROM "Nope__dlm"'})
    assert answer.status_code == 400
    assert 'unknown table "Nope__dlm"' in answer.json()[0]["message"]


def test_a_scripted_answer_replaces_the_real_one(make_org, log_in):
    rule = (
        "- {match: {path: /limits, nth: 1}, action: {status: 503, code: SERVER_UNAVAILABLE, message: Maintenance, "
        "headers: {Retry-After: '7'}}}\n"
        "- {match: {path: /limits, nth: 2}, action: {status: 502, body: '<html>Bad gateway</html>'}}"
    )
    client = log_in(make_org(rule).url)
    first = client.call("GET", "/limits")
    assert (first.status_code, first.headers["Retry-After"]) == (503, "7")
    assert first.json() == [{"message": "Maintenance", "errorCode": "SERVER_UNAVAILABLE"}]
    assert client.call("GET", "/limits").text == "<html>Bad gateway</html>"
    assert client.call("GET", "/limits").status_code == 200


@pytest.mark.parametrize(("when", "jobs"), [("before", 0), ("after", 1)])
def test_a_cut_connection_leaves_the_request_undone_or_done(make_org, log_in, when, jobs):
    client = log_in(make_org(f"- {{match: {{method: POST, path: /ingest}}, action: {{reset: {when}}}}}").url)
    with pytest.raises(requests.ConnectionError):
        client.call("POST", "/jobs/ingest", json=JOB)
    assert len(client.call("GET", "/jobs/ingest").json()["records"]) == jobs


def test_a_delay_is_counted_in_simulated_seconds(make_org, log_in):
    org = make_org("- {match: {path: /limits}, action: {delay_seconds: 60}}")
    client = log_in(org.url)
    before = org.backend.clock.seconds()
    client.call("GET", "/limits")
    assert org.backend.clock.seconds() - before >= 60


def test_a_token_expires_when_the_file_says_so(make_org, log_in):
    client = log_in(make_org("- {match: {path: /limits, nth: 2}, action: {expire_token: true}}").url)
    assert [client.call("GET", "/limits").status_code for _ in range(3)] == [200, 401, 401]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", ""])
def test_it_answers_to_no_name_but_those_of_this_machine(org, host):
    """Else a web page could have its own name lead here and read the answers."""
    statistics = f"{org.url}/__org__/statistics"
    assert requests.get(statistics, headers={"Host": host}, timeout=30).status_code == 421
    assert requests.get(statistics.replace("127.0.0.1", "localhost"), timeout=30).ok


def test_statistics_can_be_inspected_without_a_session_and_records_with_one(org, client):
    load(client)
    base = f"{org.url}/__org__"
    statistics = requests.get(f"{base}/statistics", timeout=30).json()
    assert statistics["jobs"] == {"JobComplete": 1}
    assert statistics["requests"]["job_create"] == 1
    assert requests.get(f"{base}/target/Opportunity", timeout=30).status_code == 401
    (row,) = client.http.get(f"{base}/target/Opportunity", timeout=30).json()
    assert (row["External_ID__c"], row["StageName"]) == ("a", "Prospecting")
    assert requests.get(f"{base}/target/Opportunity?as=count", timeout=30).json() == {"count": 1}
    digest = requests.get(f"{base}/target/Opportunity?as=digest", timeout=30).json()["digest"]
    assert digest == org.backend.digest("Opportunity")


def test_an_unknown_path_is_not_found(org):
    assert requests.get(f"{org.url}/nope", timeout=30).status_code == 404


@pytest.mark.parametrize(("when", "jobs"), [("before", 0), ("after", 1)])
def test_a_request_without_an_answer_is_undone_or_done_when_the_client_gives_up(make_org, log_in, when, jobs):
    client = log_in(make_org(f"- {{match: {{method: POST, path: /ingest}}, action: {{no_answer: {when}}}}}").url)
    with pytest.raises(requests.ReadTimeout):
        client.http.post(f"{client.url}/services/data/v66.0/jobs/ingest", json=JOB, timeout=0.3)
    assert len(client.call("GET", "/jobs/ingest").json()["records"]) == jobs


def test_a_cut_answer_ends_early_and_looks_whole_to_http(make_org, log_in):
    client = log_in(make_org("- {match: {path: /limits, nth: 2}, action: {cut_body: 0.5}}").url)
    whole, cut = (client.call("GET", "/limits") for _ in range(2))
    assert cut.status_code == 200
    assert whole.content.startswith(cut.content[:20])
    assert len(cut.content) == int(cut.headers["Content-Length"]) == len(whole.content) // 2


def test_a_change_of_the_source_shows_in_the_next_query_and_in_no_kept_result(make_org, log_in):
    """Data 360: the result of a query is kept as it was; each query sees current data."""
    client = log_in(make_org('- {match: {path: /rows$}, action: {change_source: DELETE FROM "Opportunity__dlm"}}').url)
    count = {"sql": 'SELECT "ExternalId__c" FROM "Opportunity__dlm"'}
    kept = client.call("POST", "/ssot/query-sql", json=count).json()
    read = client.call("GET", f"/ssot/query-sql/{kept['status']['queryId']}/rows?offset=0").json()
    assert read["returnedRows"] == kept["returnedRows"] == 300
    assert client.call("POST", "/ssot/query-sql", json=count).json()["returnedRows"] == 0
