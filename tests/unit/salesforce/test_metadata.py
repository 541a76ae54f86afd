from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qs, urlsplit

import pytest

from massive_upload.errors import RequestQuotaExhausted, RequestRefused, SalesforceUnavailable, TargetRejected
from massive_upload.salesforce.metadata import Allowance, Field, Limits, Metadata
from tests.unit.salesforce.scripted_org import (
    INSTANCE_URL,
    NO_ANSWER_OF_THE_ORG,
    ScriptedOrg,
    connect,
    error_response,
    json_response,
)


def described(answer: object):
    org = ScriptedOrg(answers=[json_response(answer)])
    return Metadata(connect(org)).describe("Order__c")


def test_describe_reads_fields_and_flags():
    description = described(
        {
            "name": "Order__c",
            "createable": True,
            "updateable": False,
            "fields": [
                {
                    "name": "Ext__c",
                    "type": "string",
                    "externalId": True,
                    "idLookup": True,
                    "caseSensitive": False,
                    "createable": True,
                    "updateable": True,
                    "relationshipName": None,
                    "referenceTo": [],
                },
                {"name": "AccountId", "relationshipName": "Account", "referenceTo": ["Account"]},
            ],
        }
    )
    assert (description.name, description.createable, description.updateable) == ("Order__c", True, False)
    assert description.field("EXT__C") == Field(
        name="Ext__c",
        type="string",
        external_id=True,
        id_lookup=True,
        case_sensitive=False,
        createable=True,
        updateable=True,
        relationship_name=None,
        reference_to=(),
    )
    account = description.field("accountid")
    assert account is not None
    assert (account.relationship_name, account.reference_to) == ("Account", ("Account",))
    assert description.field("Nowhere") is None


def test_a_flag_that_the_answer_lacks_is_none_and_not_false():
    description = described({"fields": [{"name": "Ext__c"}]})
    assert description == described({"name": "Order__c", "fields": [{"name": "Ext__c", "referenceTo": None}]})
    field = description.field("Ext__c")
    assert field is not None
    assert description.createable is None
    assert (field.external_id, field.case_sensitive, field.createable) == (None,) * 3


def test_flags_given_as_text_are_read():
    field = described(
        {"fields": [{"name": "A", "externalId": "True", "updateable": "false", "referenceTo": "B"}]}
    ).field("A")
    assert field is not None
    assert (field.external_id, field.updateable, field.reference_to) == (True, False, ("B",))


@pytest.mark.parametrize("answer", [{}, {"fields": {}}, {"fields": ["Ext__c"]}])
def test_a_description_without_fields_is_an_error(answer):
    with pytest.raises(RequestRefused, match="fields"):
        described(answer)


@pytest.mark.parametrize(
    "answer",
    [error_response(404, "NOT_FOUND"), error_response(400, "INVALID_TYPE"), error_response(404, "INVALID_TYPE")],
)
def test_an_unknown_object_is_rejected_by_its_name(answer):
    org = ScriptedOrg(answers=[answer])
    with pytest.raises(TargetRejected, match="Order__c"):
        Metadata(connect(org)).describe("Order__c")


def test_an_object_is_not_unknown_because_something_in_between_says_so():
    org = ScriptedOrg(answers=[NO_ANSWER_OF_THE_ORG])
    with pytest.raises(SalesforceUnavailable):
        Metadata(connect(org)).describe("Order__c")


def test_limits_are_read():
    org = ScriptedOrg(
        answers=[
            json_response(
                {
                    "DailyApiRequests": {"Max": 115000, "Remaining": 114000, "App": {"Max": 0, "Remaining": 0}},
                    "DailyBulkApiBatches": {"Max": "15000", "Remaining": "14999"},
                }
            )
        ]
    )
    assert Metadata(connect(org)).limits() == Limits(
        daily_api_requests=Allowance(max=115000, remaining=114000),
        daily_bulk_batches=Allowance(max=15000, remaining=14999),
    )


@pytest.mark.parametrize(
    "answer",
    [
        json_response({}),
        json_response({"DailyApiRequests": {"Max": 5}, "DailyBulkApiBatches": 7}),
        error_response(403, "INSUFFICIENT_ACCESS"),
        error_response(403, "FUNCTIONALITY_NOT_ENABLED"),
    ],
)
def test_limits_that_the_org_does_not_tell_are_none(answer):
    org = ScriptedOrg(answers=[answer])
    assert Metadata(connect(org)).limits() == Limits(daily_api_requests=None, daily_bulk_batches=None)


@pytest.mark.parametrize("status", [200, 403])
def test_requests_that_the_answer_about_the_limits_does_not_tell_are_those_of_its_header(status):
    body: object = {} if status == 200 else [{"errorCode": "INSUFFICIENT_ACCESS", "message": ""}]
    org = ScriptedOrg(answers=[json_response(body, status=status, headers={"Sforce-Limit-Info": "api-usage=7/10"})])
    assert Metadata(connect(org)).limits() == Limits(
        daily_api_requests=Allowance(max=10, remaining=3), daily_bulk_batches=None
    )


def test_limits_that_are_used_up_are_no_missing_permission():
    org = ScriptedOrg(answers=[error_response(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")])
    with pytest.raises(RequestQuotaExhausted):
        Metadata(connect(org)).limits()


def test_a_count_without_a_total_is_an_error():
    org = ScriptedOrg(answers=[json_response({"records": []})])
    with pytest.raises(RequestRefused, match="totalSize"):
        Metadata(connect(org)).count_modified("Order__c", since=datetime.now(UTC))


@pytest.mark.parametrize("name", ["", "Order__c WHERE x", "a;b"])
def test_count_takes_names_only(name):
    org = ScriptedOrg(answers=[json_response({"totalSize": 0})])
    with pytest.raises(TargetRejected):
        Metadata(connect(org)).count_modified(name, since=datetime.now(UTC))
    assert org.calls == []


def test_records_modified_by_the_user_are_counted_since_a_moment_in_utc():
    org = ScriptedOrg(answers=[json_response({"totalSize": 5, "done": True, "records": []})])
    since = datetime(2026, 1, 31, 23, 30, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert Metadata(connect(org)).count_modified("Order__c", since=since) == 5
    condition = "LastModifiedById = '0055g00000AbCdEAAV' AND LastModifiedDate >= 2026-01-31T22:30:00Z"
    assert parse_qs(urlsplit(org.last_call.url).query) == {"q": [f"SELECT COUNT() FROM Order__c WHERE {condition}"]}


@pytest.mark.parametrize("identity", [None, "https://x/id/00D/'OR", "https://x/id/00D5g00000AbCdEEAV/005"])
def test_without_a_users_id_nobody_is_asked(identity):
    answer = {"access_token": "t", "instance_url": INSTANCE_URL, "id": identity}
    org = ScriptedOrg(login=lambda _: json_response(answer))
    assert Metadata(connect(org)).count_modified("Order__c", since=datetime.now(UTC)) is None
    assert org.calls == []
