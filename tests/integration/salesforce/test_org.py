"""The client against the simulated org, over HTTP."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from local.org import Faults, ManualClock, OrgServer, OrgSettings, generated_opportunities
from local.org.credentials import CLIENT_ID, CLIENT_SECRET, USERNAME, new_key_pair
from massive_upload.errors import (
    CredentialsRejected,
    LoadError,
    RequestQuotaExhausted,
    SalesforceUnavailable,
    SourceRejected,
    StateChanged,
    TargetRejected,
)
from massive_upload.salesforce.bulk import BulkIngest, Job, JobState
from massive_upload.salesforce.connection import Connection
from massive_upload.salesforce.credentials import ClientSecret, Credentials, PrivateKey
from massive_upload.salesforce.data_cloud import DataCloud, Parameter, QueryExpired, QueryState
from massive_upload.salesforce.error_codes import JobVerdict, RowVerdict, job_verdict, row_verdict
from massive_upload.salesforce.metadata import Metadata
from massive_upload.salesforce.results import parse_failed, parse_keys
from massive_upload.salesforce.transport import RequestsTransport

ROWS = 500
A_DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Org:
    server: OrgServer
    clock: ManualClock
    connection: Connection


@contextmanager
def running(*, credentials: Credentials | None = None, source_rows: int = ROWS, **settings: object) -> Iterator[Org]:
    clock = ManualClock()
    transport = RequestsTransport()
    source = generated_opportunities(source_rows, rejected_share=0)
    with OrgServer(OrgSettings(source=source, **settings), clock) as server:  # type: ignore[arg-type]
        try:
            url = server.url
            given = credentials or ClientSecret(login_url=url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
            yield Org(server, clock, Connection(given, transport=transport))
        finally:
            transport.close()


@pytest.fixture
def org() -> Iterator[Org]:
    with running() as org:
        yield org


def opportunities(*rows: tuple[str, str]) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["External_ID__c", "Name", "StageName", "CloseDate"])
    writer.writerows((key, name, "Prospecting", "2026-01-31") for key, name in rows)
    return file.getvalue().encode()


def load(org: Org, data: bytes, *, seconds: float = 3600) -> tuple[BulkIngest, Job]:
    bulk = BulkIngest(org.connection)
    job = bulk.create(object_name="Opportunity", external_id="External_ID__c")
    bulk.upload(job.id, data)
    bulk.close(job.id)
    org.clock.move(seconds)
    ended = bulk.get(job.id)
    assert ended is not None
    return bulk, ended


def test_the_org_is_known_after_a_login_by_client_secret(org):
    assert org.connection.org_id.startswith("00D")
    org.connection.request("GET", "/limits")
    assert org.connection.api_usage is not None
    assert org.connection.requests_made == 2


def test_a_login_by_private_key_is_accepted():
    pair = new_key_pair()
    with running(public_key_pem=pair.public_pem) as org:
        key = PrivateKey(org.server.url, CLIENT_ID, USERNAME, pair.private_pem)
        transport = RequestsTransport()
        connection = Connection(key, transport=transport)
        assert Metadata(connection).describe("Opportunity").createable is True
        transport.close()


def test_a_wrong_secret_is_rejected_by_its_code(org):
    transport = RequestsTransport()
    connection = Connection(ClientSecret(org.server.url, CLIENT_ID, "wrong"), transport=transport)
    with pytest.raises(CredentialsRejected, match="invalid_client"):
        connection.request("GET", "/limits")
    transport.close()


def test_a_session_that_has_expired_is_renewed_unseen(org):
    metadata = Metadata(org.connection)
    metadata.limits()
    org.clock.move(A_DAY)
    before = org.connection.requests_made
    metadata.limits()
    assert org.connection.requests_made == before + 3


def test_a_result_is_read_page_by_page(org):
    cloud = DataCloud(org.connection)
    sql = 'SELECT "ExternalId__c", "Amount__c" FROM "Opportunity__dlm" WHERE "ExternalId__c" > :after ORDER BY 1'
    page = cloud.submit(sql, [Parameter("after", "Varchar", "OPP-0000100")], row_limit=150)
    assert page.status is not None
    assert (page.status.state, page.status.row_count) == (QueryState.FINISHED, ROWS - 100)
    rows = list(page.rows)
    while len(rows) < ROWS - 100:
        rows += cloud.rows(page.status.query_id, offset=len(rows), limit=150).rows
    assert [column.name for column in page.columns] == ["ExternalId__c", "Amount__c"]
    assert [row[0] for row in rows] == [f"OPP-{number:07}" for number in range(101, ROWS + 1)]


def test_a_running_query_finishes_and_its_result_expires():
    with running(query_running_seconds=60) as org:
        cloud = DataCloud(org.connection)
        page = cloud.submit('SELECT COUNT(*) AS "n" FROM "Opportunity__dlm"', row_limit=1)
        assert page.status is not None
        assert page.status.state is QueryState.RUNNING
        query_id = page.status.query_id
        org.clock.move(61)
        assert cloud.status(query_id).state is QueryState.FINISHED
        assert cloud.rows(query_id, offset=0, limit=1).rows == [[ROWS]]
        org.clock.move(A_DAY + 1)
        with pytest.raises(QueryExpired):
            cloud.rows(query_id, offset=0, limit=1)
        with pytest.raises(QueryExpired):
            cloud.status(query_id)


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ('SELECT "Nowhere__c" FROM "Opportunity__dlm"', "Nowhere__c"),
        ('SELECT "ExternalId__c" FROM "Nowhere__dlm"', "Nowhere__dlm"),
    ],
)
def test_what_a_refused_query_names_is_told(org, sql, named):
    with pytest.raises(SourceRejected, match=f"'{named}'"):
        DataCloud(org.connection).submit(sql, row_limit=1)


def test_rows_are_upserted_and_the_count_of_the_target_tells(org):
    since = org.clock.at(org.clock.seconds())
    bulk, job = load(org, opportunities(("K1", "one"), ("K2", 'two, "quoted"\nline')))
    assert (job.state, job.processed, job.failed) == (JobState.JOB_COMPLETE, 2, 0)
    assert job.total_processing_ms > 0
    assert parse_failed(bulk.failed_rows(job.id), key_column="External_ID__c") == []
    assert sorted(parse_keys(bulk.successful_rows(job.id), key_column="external_id__c")) == ["K1", "K2"]
    assert Metadata(org.connection).count_modified("Opportunity", since=since) == 2


def test_a_row_that_fails_for_good_is_told_with_its_code_and_field(org):
    bulk, job = load(org, opportunities(("K1", "one"), ("K2", "x" * 500)))
    assert (job.state, job.processed, job.failed) == (JobState.JOB_COMPLETE, 2, 1)
    failed = parse_failed(bulk.failed_rows(job.id), key_column="External_ID__c")
    assert [(row.key, row.code, row.fields) for row in failed] == [("K2", "STRING_TOO_LONG", ("Name",))]
    assert row_verdict(failed[0].code, failed[0].message) is RowVerdict.FINAL


def test_locked_rows_are_passing():
    rules = "- {match: {object: Opportunity}, action: {row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}}"
    with running(faults=Faults.parse(rules)) as org:
        bulk, job = load(org, opportunities(("K1", "one")))
        (row,) = parse_failed(bulk.failed_rows(job.id), key_column="External_ID__c")
        assert row_verdict(row.code, row.message) is RowVerdict.PASSING


def test_a_job_that_fails_as_a_whole_keeps_what_was_saved_and_lists_the_rest():
    rules = "- {match: {object: Opportunity}, action: {job_fails: {after_rows: 200, message: 'Timeout : retried'}}}"
    with running(faults=Faults.parse(rules)) as org:
        sent = {f"K{number}" for number in range(500)}
        bulk, job = load(org, opportunities(*((key, "one") for key in sent)))
        assert job.state is JobState.FAILED
        assert job_verdict(job.error_message) is JobVerdict.PASSING
        saved = parse_keys(bulk.successful_rows(job.id), key_column="External_ID__c")
        unprocessed = parse_keys(bulk.unprocessed_rows(job.id), key_column="External_ID__c")
        assert len(saved) == job.processed
        assert unprocessed
        assert sorted(saved + unprocessed) == sorted(sent)


def test_an_unknown_column_fails_the_job_for_a_reason_of_configuration(org):
    _, job = load(org, b"External_ID__c,Nowhere__c\nK1,one\n")
    assert job.state is JobState.FAILED
    assert job_verdict(job.error_message) is JobVerdict.CONFIGURATION


def test_a_job_can_be_aborted_and_an_unknown_one_is_none(org):
    bulk = BulkIngest(org.connection)
    job = bulk.create(object_name="Opportunity", external_id="External_ID__c")
    assert bulk.abort(job.id).state is JobState.ABORTED
    assert bulk.get("7505g00000ZZZZZZZZ") is None
    with pytest.raises(StateChanged):
        bulk.close(job.id)


def test_an_object_or_an_external_id_that_does_not_exist_is_rejected(org):
    with pytest.raises(TargetRejected, match="Nowhere__c"):
        Metadata(org.connection).describe("Nowhere__c")
    bulk = BulkIngest(org.connection)
    for object_name, external_id in (("Nowhere__c", "External_ID__c"), ("Opportunity", "Nowhere__c")):
        with pytest.raises(TargetRejected, match=f"{object_name} by {external_id}"):
            bulk.create(object_name=object_name, external_id=external_id)


def test_describe_tells_what_the_plan_needs(org):
    description = Metadata(org.connection).describe("Opportunity")
    key = description.field("external_id__C")
    account = description.field("AccountId")
    assert key is not None
    assert account is not None
    assert (key.name, key.external_id, key.case_sensitive) == ("External_ID__c", True, False)
    assert (account.relationship_name, account.reference_to) == ("Account", ("Account",))


def test_limits_fall_as_requests_are_made(org):
    metadata = Metadata(org.connection)
    first = metadata.limits().daily_api_requests
    second = metadata.limits().daily_api_requests
    assert first is not None
    assert second is not None
    assert second.remaining == first.remaining - 1
    assert metadata.limits().daily_bulk_batches is not None


def test_used_up_requests_are_an_exhausted_quota():
    with running(daily_api_requests=1) as org:
        org.connection.request("GET", "/limits")
        with pytest.raises(RequestQuotaExhausted, match="REQUEST_LIMIT_EXCEEDED"):
            org.connection.request("GET", "/limits")


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ("{reset: before}", SalesforceUnavailable),
        ("{reset: after}", SalesforceUnavailable),
        ("{status: 503, code: SERVER_UNAVAILABLE}", SalesforceUnavailable),
        ("{status: 503, body: '<html>'}", SalesforceUnavailable),
        ("{status: 200, body: '{\"DailyApi'}", SalesforceUnavailable),
    ],
)
def test_what_goes_wrong_once_is_passing_and_the_next_call_succeeds(action, error):
    rules = f"- {{match: {{path: /limits, nth: 1}}, action: {action}}}"
    with running(faults=Faults.parse(rules)) as org:
        with pytest.raises(LoadError) as caught:
            Metadata(org.connection).limits()
        assert type(caught.value) is error
        assert Metadata(org.connection).limits().daily_api_requests is not None
