import pytest

from massive_upload.errors import (
    BatchQuotaExhausted,
    RequestRefused,
    SalesforceUnavailable,
    StateChanged,
    TargetRejected,
)
from massive_upload.salesforce.bulk import BulkIngest, Job, JobGone, JobState
from massive_upload.salesforce.transport import TRANSFER_TIMEOUT, Response
from tests.unit.salesforce.scripted_org import (
    INSTANCE_URL,
    NO_ANSWER_OF_THE_ORG,
    ScriptedOrg,
    connect,
    error_response,
    json_response,
)

INGEST_URL = f"{INSTANCE_URL}/services/data/v66.0/jobs/ingest"


@pytest.mark.parametrize("status", [200, 201])
def test_create_opens_an_upsert_job(status):
    org = ScriptedOrg(answers=[json_response({"id": "750A", "state": "Open"}, status=status)])
    job = BulkIngest(connect(org)).create(object_name="Order__c", external_id="Ext__c")
    assert job == Job(id="750A", state=JobState.OPEN)
    assert (org.last_call.method, org.last_call.url) == ("POST", INGEST_URL)
    assert org.last_json == {
        "object": "Order__c",
        "operation": "upsert",
        "externalIdFieldName": "Ext__c",
        "contentType": "CSV",
        "columnDelimiter": "COMMA",
        "lineEnding": "LF",
    }


def test_a_job_without_an_id_is_an_error():
    org = ScriptedOrg(answers=[json_response({"state": "Open"})])
    with pytest.raises(RequestRefused, match="no id"):
        BulkIngest(connect(org)).create(object_name="Order__c", external_id="Ext__c")


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "INVALIDENTITY"), (400, "INVALIDJOB"), (400, "ANYTHING"), (404, "NOT_FOUND")],
)
def test_a_refused_job_is_the_targets_fault(status, code):
    org = ScriptedOrg(answers=[error_response(status, code, "s3cr3t")])
    with pytest.raises(TargetRejected, match=f"Order__c by Ext__c with {status} {code}") as caught:
        BulkIngest(connect(org)).create(object_name="Order__c", external_id="Ext__c")
    assert "s3cr3t" not in str(caught.value)


def test_a_job_refused_for_want_of_batches_is_an_exhausted_quota():
    org = ScriptedOrg(answers=[error_response(400, "ExceededQuota")])
    with pytest.raises(BatchQuotaExhausted):
        BulkIngest(connect(org)).create(object_name="Order__c", external_id="Ext__c")


def test_upload_puts_the_bytes_as_csv_with_the_long_time_out():
    org = ScriptedOrg(answers=[Response(status=201)])
    BulkIngest(connect(org)).upload("750A", b"Ext__c\nK1\n")
    assert (org.last_call.method, org.last_call.url) == ("PUT", f"{INGEST_URL}/750A/batches")
    assert org.last_call.headers["Content-Type"] == "text/csv; charset=UTF-8"
    assert org.last_call.body == b"Ext__c\nK1\n"
    assert org.last_call.timeout == TRANSFER_TIMEOUT


@pytest.mark.parametrize(("method", "state"), [("close", "UploadComplete"), ("abort", "Aborted")])
def test_close_and_abort_change_the_state(method, state):
    org = ScriptedOrg(answers=[json_response({"id": "750A", "state": state})])
    job = getattr(BulkIngest(connect(org)), method)("750A")
    assert job.state == state
    assert (org.last_call.method, org.last_call.url) == ("PATCH", f"{INGEST_URL}/750A")
    assert org.last_json == {"state": state}


def test_get_reads_state_counters_and_times():
    org = ScriptedOrg(
        answers=[
            json_response(
                {
                    "id": "750AEAAV",
                    "state": "Failed",
                    "numberRecordsProcessed": "1200",
                    "numberRecordsFailed": 7.0,
                    "totalProcessingTime": 900,
                    "apiActiveProcessingTime": 800,
                    "apexProcessingTime": 70,
                    "createdDate": "2026-01-01T22:00:00.000+0000",
                    "systemModstamp": "2026-01-01T22:05:03.000+0000",
                    "errorMessage": "InvalidBatch : Field name not found : s3cr3t",
                }
            )
        ]
    )
    job = BulkIngest(connect(org)).get("750A")
    assert job == Job(
        id="750A",
        state=JobState.FAILED,
        processed=1200,
        failed=7,
        total_processing_ms=900,
        api_active_processing_ms=800,
        apex_processing_ms=70,
        life_seconds=303,
        error_message="InvalidBatch : Field name not found : s3cr3t",
    )
    assert "s3cr3t" not in repr(job)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "InProgress"},
        {"createdDate": None},
        {"systemModstamp": "soon"},
        {"systemModstamp": "2026-01-01T22:05:03"},
        {"createdDate": 7},
    ],
)
def test_the_life_of_a_job_is_unknown_until_it_has_ended_or_where_the_org_does_not_tell(changes):
    told = {
        "state": "JobComplete",
        "createdDate": "2026-01-01T22:00:00.000+0000",
        "systemModstamp": "2026-01-01T22:05:03.000+0000",
    }
    job = BulkIngest(connect(ScriptedOrg(answers=[json_response(told | changes)]))).get("750A")
    assert job is not None
    assert job.life_seconds is None


@pytest.mark.parametrize("word", [*JobState, "jobcomplete", "JOB_COMPLETE", "upload_complete", "IN PROGRESS"])
def test_state_words_are_read_in_every_spelling(word):
    org = ScriptedOrg(answers=[json_response({"state": word, "errorMessage": None})])
    job = BulkIngest(connect(org)).get("750A")
    assert job is not None
    assert job.state.lower() == word.lower().replace("_", "").replace(" ", "")
    assert job.error_message is None


@pytest.mark.parametrize("word", ["Paused", "", None, 5])
def test_an_unknown_state_word_is_an_error_and_no_default(word):
    org = ScriptedOrg(answers=[json_response({"id": "750A", "state": word})])
    with pytest.raises(RequestRefused, match="state"):
        BulkIngest(connect(org)).get("750A")


def test_three_states_are_terminal():
    assert {state for state in JobState if state.is_terminal} == {"JobComplete", "Failed", "Aborted"}


@pytest.mark.parametrize(("status", "code"), [(404, "NOT_FOUND"), (404, "ENTITY_IS_DELETED"), (410, "NOT_FOUND")])
def test_a_job_that_the_org_does_not_know_is_none_and_has_no_results(status, code):
    org = ScriptedOrg(answers=[error_response(status, code, "The requested resource does not exist")])
    assert BulkIngest(connect(org)).get("750A") is None
    with pytest.raises(JobGone, match="750A"):
        BulkIngest(connect(org)).failed_rows("750A")


@pytest.mark.parametrize(
    "answer",
    [
        NO_ANSWER_OF_THE_ORG,
        Response(status=410, body=NO_ANSWER_OF_THE_ORG.body),
        Response(status=404),
        json_response({"message": "Not Found"}, status=404),
        json_response({"error": "not_found"}, status=404),
        json_response({"code": "NOT_FOUND", "message": "Not Found"}, status=404),
        json_response([], status=404),
        error_response(404, "NO_ROUTE"),
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        lambda bulk: bulk.create(object_name="Order__c", external_id="Ext__c"),
        lambda bulk: bulk.upload("750A", b""),
        lambda bulk: bulk.close("750A"),
        lambda bulk: bulk.abort("750A"),
        lambda bulk: bulk.get("750A"),
        lambda bulk: bulk.failed_rows("750A"),
        lambda bulk: bulk.unprocessed_rows("750A"),
        lambda bulk: bulk.successful_rows("750A"),
    ],
)
def test_an_answer_that_does_not_say_so_in_the_orgs_words_makes_no_job_gone(answer, call):
    org = ScriptedOrg(answers=[answer])
    with pytest.raises(SalesforceUnavailable, match=f"answered with {answer.status}"):
        call(BulkIngest(connect(org)))


def test_a_truncated_job_is_passing():
    org = ScriptedOrg(answers=[Response(status=200, body=b'{"id": "750A", "sta')])
    with pytest.raises(SalesforceUnavailable):
        BulkIngest(connect(org)).get("750A")


@pytest.mark.parametrize(
    ("status", "code"), [(400, "INVALIDJOBSTATE"), (400, "INVALIDJOB"), (404, "NOT_FOUND"), (410, "NOT_FOUND")]
)
@pytest.mark.parametrize(
    "call", [lambda bulk: bulk.upload("750A", b""), lambda bulk: bulk.close("750A"), lambda bulk: bulk.abort("750A")]
)
def test_a_job_that_somebody_else_has_changed_is_looked_at_again(status, code, call):
    org = ScriptedOrg(answers=[error_response(status, code, "s3cr3t")])
    with pytest.raises(StateChanged, match=str(status)) as caught:
        call(BulkIngest(connect(org)))
    assert "s3cr3t" not in str(caught.value)


def test_results_that_are_not_there_yet_are_asked_for_again():
    org = ScriptedOrg(answers=[error_response(400, "INVALIDJOBSTATE", "s3cr3t")])
    with pytest.raises(StateChanged):
        BulkIngest(connect(org)).failed_rows("750A")


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("failed_rows", "failedResults"),
        ("unprocessed_rows", "unprocessedrecords"),
        ("successful_rows", "successfulResults"),
    ],
)
def test_results_are_fetched_as_raw_csv(method, name):
    org = ScriptedOrg(answers=[Response(status=200, body=b'"sf__Id"\n"a\r\nb"\n')])
    assert getattr(BulkIngest(connect(org)), method)("750A") == b'"sf__Id"\n"a\r\nb"\n'
    assert org.last_call.url == f"{INGEST_URL}/750A/{name}"
    assert org.last_call.headers["Accept"] == "text/csv"


def test_odd_job_ids_are_quoted_in_the_path():
    org = ScriptedOrg(answers=[json_response({"state": "Open"})])
    BulkIngest(connect(org)).get("job/1 ?")
    assert org.last_call.url == f"{INGEST_URL}/job%2F1%20%3F"


@pytest.mark.parametrize(
    ("total_ms", "active_ms", "worked_ms"),
    [(0, 0, 0), (0, 800, 800), (1_000, 800, 1_000), (1_000, 500, 1_000), (60_000, 800, 800), (1_000, 0, 0)],
)
def test_the_work_on_a_job_is_its_time_unless_most_of_that_was_spent_on_something_else(total_ms, active_ms, worked_ms):
    job = Job(
        id="750A",
        state=JobState.IN_PROGRESS,
        total_processing_ms=total_ms,
        api_active_processing_ms=active_ms,
    )
    assert job.worked_ms == worked_ms
