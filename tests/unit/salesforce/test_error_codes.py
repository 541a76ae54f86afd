import orjson
import pytest

from massive_upload.errors import (
    BatchQuotaExhausted,
    CredentialsRejected,
    LoadError,
    RequestQuotaExhausted,
    RequestRefused,
    RunHalted,
    SalesforceBusy,
    SalesforceUnavailable,
    SessionExpired,
    StateChanged,
    TargetRejected,
)
from massive_upload.salesforce.error_bodies import parse_error_body
from massive_upload.salesforce.error_codes import (
    LOGIN_RULES,
    JobVerdict,
    RowVerdict,
    error_for,
    is_lock_error,
    is_out_of_batches,
    job_verdict,
    retry_after_seconds,
    row_verdict,
    takes_no_rows,
)
from massive_upload.salesforce.transport import Response
from tests.unit.salesforce.scripted_org import error_response, json_response

HTML = b"<html><body>We are down for maintenance: hidden</body></html>"


@pytest.mark.parametrize(
    ("status", "code", "message", "error"),
    [
        (401, "INVALID_SESSION_ID", "Session expired or invalid", SessionExpired),
        (401, "SOMETHING_ELSE", "", SessionExpired),
        (403, "InvalidSessionId", "", SessionExpired),
        (400, "URL_NOT_RESET", "", SessionExpired),
        (404, "URL_NOT_RESET", "", SessionExpired),
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", RequestQuotaExhausted),
        (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.", SalesforceBusy),
        (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded.", SalesforceBusy),
        (503, "REQUEST_LIMIT_EXCEEDED", "You have reached the Connect API's hourly request limit.", SalesforceBusy),
        (403, "REQUEST_LIMIT_EXCEEDED", "", RequestQuotaExhausted),
        (429, "TOO_MANY_REQUESTS", "", SalesforceBusy),
        (400, "ExceededQuota", "", BatchQuotaExhausted),
        (400, "EXCEEDED_QUOTA", "", BatchQuotaExhausted),
        (400, "STORAGE_LIMIT_EXCEEDED", "", RunHalted),
        (408, "REQUEST_TIMEOUT", "", SalesforceUnavailable),
        (500, "UNKNOWN_EXCEPTION", "", SalesforceUnavailable),
        (500, "INVALID_FIELD", "", SalesforceUnavailable),
        (502, "BAD_GATEWAY", "", SalesforceUnavailable),
        (503, "SERVER_UNAVAILABLE", "", SalesforceUnavailable),
        (504, "GATEWAY_TIMEOUT", "", SalesforceUnavailable),
        (400, "SERVER_UNAVAILABLE", "", SalesforceUnavailable),
        (400, "UNABLE_TO_LOCK_ROW", "", SalesforceUnavailable),
        (400, "REQUEST_RUNNING_TOO_LONG", "", SalesforceUnavailable),
        (400, "QUERY_TIMEOUT", "", SalesforceUnavailable),
        (400, "TOO_MANY_APEX_REQUESTS", "", SalesforceUnavailable),
        (400, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "", SalesforceUnavailable),
        (403, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "", SalesforceUnavailable),
        (400, "INVALID_TYPE", "", TargetRejected),
        (400, "INVALIDENTITY", "", TargetRejected),
        (400, "INVALID_FIELD", "", TargetRejected),
        (400, "INVALID_FIELD_FOR_INSERT_UPDATE", "", TargetRejected),
        (403, "INSUFFICIENT_ACCESS", "", TargetRejected),
        (403, "INSUFFICIENT_ACCESS_OR_READONLY", "", TargetRejected),
        (403, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "", TargetRejected),
        (400, "INVALIDJOBSTATE", "", StateChanged),
        (400, "InvalidJobState", "", StateChanged),
        (400, "INVALIDJOB", "", StateChanged),
        (403, "API_DISABLED_FOR_ORG", "", RequestRefused),
        (403, "ANYTHING", "", RequestRefused),
        (400, "ANYTHING", "", RequestRefused),
        (404, "NOT_FOUND", "The requested resource does not exist", RequestRefused),
        (404, "ENTITY_IS_DELETED", "", RequestRefused),
        (404, "ANYTHING", "", SalesforceUnavailable),
        (410, "ANYTHING", "", SalesforceUnavailable),
        (404, "INVALID_TYPE", "", TargetRejected),
        (404, "INVALIDJOB", "", StateChanged),
        (302, "ANYTHING", "", RequestRefused),
    ],
)
def test_the_table_of_requests(status, code, message, error):
    found = error_for("GET /x", error_response(status, code, message))
    assert type(found) is error
    assert found.code == code
    assert str(status) in str(found)
    assert code in str(found)
    assert "GET /x" in str(found)
    assert found.next_step
    assert found.next_step in str(found)
    assert not message or message not in str(found)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, SalesforceUnavailable),
        (400, SalesforceUnavailable),
        (401, SessionExpired),
        (403, SalesforceUnavailable),
        (404, SalesforceUnavailable),
        (407, SalesforceUnavailable),
        (408, SalesforceUnavailable),
        (413, RequestRefused),
        (429, SalesforceBusy),
        (500, SalesforceUnavailable),
        (503, SalesforceUnavailable),
    ],
)
def test_a_page_comes_from_something_in_between_unless_its_status_says_more(status, error):
    found = error_for("GET /x", Response(status=status, body=HTML))
    assert type(found) is error
    assert found.code == str(status)
    assert "hidden" not in str(found)


@pytest.mark.parametrize("status", [302, 403, 404])
def test_a_page_in_place_of_a_login_refuses_nobody(status):
    found = error_for("POST /token", Response(status=status, body=HTML), LOGIN_RULES)
    assert isinstance(found, SalesforceUnavailable)
    assert not found.answered
    assert "login_url" in found.next_step


def test_half_a_surrogate_pair_in_its_text_makes_an_answer_no_page():
    body = b'[{"errorCode": "MALFORMED_QUERY", "message": "at \\ud83d"}]'
    found = error_for("GET /x", Response(status=400, body=body))
    assert (type(found), found.code) == (RequestRefused, "MALFORMED_QUERY")


def test_an_answer_of_the_org_itself_without_a_code_is_a_refusal():
    body = json_response({"message": "hidden"}, status=400)
    assert type(error_for("GET /x", body)) is RequestRefused
    assert type(error_for("POST /token", body, LOGIN_RULES)) is CredentialsRejected


def test_a_refused_request_keeps_its_status():
    found = error_for("GET /x", error_response(404, "NOT_FOUND"))
    assert isinstance(found, RequestRefused)
    assert found.status == 404


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": " 0 "}, 0),
        ({"retry-after": "2.5"}, 2.5),
        (
            {
                "Date": "Thu, 09 Oct 2025 08:00:00 GMT",
                "Retry-After": "Thu, 09 Oct 2025 08:01:30 GMT",
            },
            90,
        ),
        ({"Date": "Thu, 09 Oct 2025 08:00:00 GMT", "Retry-After": "Thu, 09 Oct 2025 07:00:00 GMT"}, 0),
        ({"Retry-After": "9" * 30}, 86_400),
        ({"Retry-After": "9" * 400}, 86_400),
        ({"Date": "Thu, 09 Oct 2025 08:00:00 GMT", "Retry-After": "Thu, 09 Oct 9999 08:01:30 GMT"}, 86_400),
        ({"Date": "Thu, 09 Oct 2025 08:00:00 GMT", "Retry-After": f"Thu, 09 Oct {'9' * 30} 08:01:30 GMT"}, None),
        ({"Retry-After": "Thu, 09 Oct 2025 08:01:30 GMT"}, None),
        ({"Date": "Thu, 09 Oct 2025 08:00:00 GMT", "Retry-After": "soon"}, None),
        ({"Date": "Thu, 09 Oct 2025 08:00:00", "Retry-After": "Thu, 09 Oct 2025 08:01:30 GMT"}, None),
        ({"Retry-After": "-5"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_both_forms(headers, seconds):
    busy = error_for("GET /x", Response(status=429, headers=headers))
    assert isinstance(busy, SalesforceBusy)
    assert busy.retry_after_seconds == seconds
    assert retry_after_seconds(Response(status=429, headers=headers).headers) == seconds


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ([{"message": "m", "errorCode": "C", "fields": []}], "C", "m"),
        ([{"errorCode": "C"}, {"errorCode": "D"}], "C", ""),
        ({"error": "invalid_grant", "error_description": "m"}, "invalid_grant", "m"),
        ({"error": "Bad Request", "errorCode": "C", "details": "m"}, "C", "m"),
        ({"exceptionCode": "C", "exceptionMessage": "m"}, "C", "m"),
        ({"error": "a text that quotes 4711", "message": "m"}, None, "m"),
        ({"error": {"code": "C"}}, None, ""),
        ([], None, ""),
        (["text"], None, ""),
        ("text", None, ""),
        (None, None, ""),
    ],
)
def test_error_bodies_are_read_in_every_form(body, code, message):
    found = parse_error_body(json_response(body, status=400))
    assert (found.code, found.message) == (code, message)
    assert not message or repr(message) not in repr(found)


@pytest.mark.parametrize("body", [b"", HTML, b'[{"errorCode": "C"', b"\xff"])
def test_an_error_body_that_is_no_json_has_no_code(body):
    assert parse_error_body(Response(status=500, body=body)).code is None


@pytest.mark.parametrize(
    ("code", "message", "verdict", "is_lock"),
    [
        (
            "UNABLE_TO_LOCK_ROW",
            "unable to obtain exclusive access to this record or 200 records: 001a",
            RowVerdict.PASSING,
            True,
        ),
        (
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "OnOrder: execution of AfterInsert caused by: System.DmlException: UNABLE_TO_LOCK_ROW, unable to",
            RowVerdict.PASSING,
            True,
        ),
        ("TooManyLockFailure", "", RowVerdict.PASSING, True),
        ("UNCODED", "TooManyLockFailure...200 Trying again later", RowVerdict.PASSING, True),
        ("REQUEST_RUNNING_TOO_LONG", "", RowVerdict.PASSING, False),
        ("SERVER_UNAVAILABLE", "", RowVerdict.PASSING, False),
        ("QUERY_TIMEOUT", "", RowVerdict.PASSING, False),
        ("UNKNOWN_EXCEPTION", "", RowVerdict.PASSING, False),
        ("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", RowVerdict.RUN_STOPPING, False),
        (
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Unable to create/update fields: Name",
            RowVerdict.FINAL,
            False,
        ),
        ("INVALID_FIELD", "No such column 'X__c' on entity 'Order'", RowVerdict.RUN_STOPPING, False),
        ("INVALID_FIELD", "Foreign key external ID: p1 not found for field Ext__c", RowVerdict.FINAL, False),
        ("DUPLICATE_VALUE", "Duplicate external id specified: k1", RowVerdict.FINAL, False),
        ("DUPLICATE_EXTERNAL_ID", "more than one record found", RowVerdict.FINAL, False),
        ("REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", RowVerdict.FINAL, False),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "No such column", RowVerdict.FINAL, False),
        ("INVALID_CROSS_REFERENCE_KEY", "", RowVerdict.FINAL, False),
        ("STRING_TOO_LONG", "", RowVerdict.FINAL, False),
        ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "", RowVerdict.FINAL, False),
        ("NEVER_HEARD_OF", "", RowVerdict.FINAL, False),
        ("TOO_MANY_APEX_REQUESTS", "", RowVerdict.PASSING, False),
        ("INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "", RowVerdict.PASSING, False),
        (
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "Too many batch retries in the presence of Apex triggers and partial failures.",
            RowVerdict.PASSING,
            False,
        ),
    ],
)
def test_the_table_of_rows(code, message, verdict, is_lock):
    assert row_verdict(code, message) is verdict
    assert is_lock_error(code, message) is is_lock


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        ("InvalidBatch : Field name not found : X__c", JobVerdict.CONFIGURATION),
        ("ClientInputError : LineEnding is invalid on user data.", JobVerdict.CONTENT),
        ("InvalidBatch : Failed to parse CSV", JobVerdict.CONTENT),
        ("InvalidUser", JobVerdict.CONFIGURATION),
        (
            "InvalidBatch : type is not needed for non polymorphic foreign key references: Account",
            JobVerdict.CONFIGURATION,
        ),
        ("InvalidBatch : Unable to find relationship: Acount", JobVerdict.CONFIGURATION),
        ("INVALID_BATCH: Field name not found", JobVerdict.CONFIGURATION),
        ("TooManyLockFailure : Too many lock failure 200", JobVerdict.PASSING),
        ("Timeout : The batch was retried more than 20 times", JobVerdict.PASSING),
        ("InternalServerError : an InvalidBatch is mentioned", JobVerdict.PASSING),
        ("", JobVerdict.PASSING),
        (None, JobVerdict.PASSING),
    ],
)
def test_the_table_of_jobs(message, verdict):
    assert job_verdict(message) is verdict


@pytest.mark.parametrize(
    ("code", "is_waited_for", "is_quota"),
    [
        ("INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", True, False),
        ("ExceededQuota", True, True),
        ("EXCEEDED_QUOTA", True, True),
        ("UNABLE_TO_LOCK_ROW", False, False),
        ("STRING_TOO_LONG", False, False),
    ],
)
def test_an_org_that_takes_no_rows_for_now_is_told_by_the_code(code, is_waited_for, is_quota):
    assert (takes_no_rows(code), is_out_of_batches(code)) == (is_waited_for, is_quota)


def test_every_status_from_300_on_has_an_error():
    for status in range(300, 600):
        body = orjson.dumps({})
        assert isinstance(error_for("GET /x", Response(status=status, body=body)), LoadError)
