from urllib.parse import parse_qs, urlsplit

import pytest

from massive_upload.errors import (
    RequestQuotaExhausted,
    RequestRefused,
    SalesforceBusy,
    SalesforceUnavailable,
    SourceRejected,
)
from massive_upload.salesforce.data_cloud import (
    Column,
    DataCloud,
    Parameter,
    QueryExpired,
    QueryState,
    QueryStatus,
    identifier_at_fault,
)
from massive_upload.salesforce.transport import Response
from tests.unit.salesforce.scripted_org import ScriptedOrg, connect, error_response, json_response

SQL = 'SELECT "Key__c" FROM "Order__dlm" WHERE "Key__c" > :after AND "Kind__c" = \'"Hidden"\' ORDER BY "Key__c"'
FINISHED = {
    "data": [["A1", 1, None]],
    "metadata": [
        {"name": "id", "type": "Varchar", "nullable": True},
        {"name": "n", "type": "BigInt"},
        {"name": "m"},
    ],
    "returnedRows": 1,
    "status": {"queryId": "q1", "completionStatus": "Finished", "rowCount": 1, "progress": 1.0},
}


def submitted(answer: dict[str, object], status: int = 200):
    org = ScriptedOrg(answers=[json_response(answer, status=status)])
    return DataCloud(connect(org)).submit(SQL, row_limit=5)


def query_of(org: ScriptedOrg) -> dict[str, list[str]]:
    return parse_qs(urlsplit(org.last_call.url).query)


def test_submit_sends_sql_parameters_row_limit_and_data_space():
    org = ScriptedOrg(answers=[json_response(FINISHED, status=201)])
    DataCloud(connect(org), dataspace="sales").submit(
        SQL, [Parameter(name="after", type="Varchar", value="A0")], row_limit=5
    )
    assert org.last_call.method == "POST"
    assert urlsplit(org.last_call.url).path == "/services/data/v66.0/ssot/query-sql"
    assert query_of(org)["dataspace"] == ["sales"]
    assert org.last_json == {
        "sql": SQL,
        "rowLimit": 5,
        "sqlParameters": [{"name": "after", "type": "Varchar", "value": "A0"}],
    }


@pytest.mark.parametrize("status", [200, 201])
def test_submit_returns_status_columns_and_rows(status):
    page = submitted(FINISHED, status)
    assert page.status == QueryStatus(query_id="q1", state=QueryState.FINISHED, row_count=1)
    assert page.columns == (Column("id", "Varchar"), Column("n", "BigInt"), Column("m", ""))
    assert page.rows == [["A1", 1, None]]


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Finished", QueryState.FINISHED),
        ("FINISHED", QueryState.FINISHED),
        ("ResultsProduced", QueryState.RESULTS_PRODUCED),
        ("RESULTS_PRODUCED", QueryState.RESULTS_PRODUCED),
        ("results_produced", QueryState.RESULTS_PRODUCED),
        ("Running", QueryState.RUNNING),
        ("RUNNING_OR_UNSPECIFIED", QueryState.RUNNING),
        ("Unspecified", QueryState.RUNNING),
    ],
)
def test_state_words_are_read_in_every_spelling(word, state):
    page = submitted({"status": {"queryId": "q1", "completionStatus": word}})
    assert page.status is not None
    assert page.status.state is state
    assert page.rows == []


@pytest.mark.parametrize("word", ["Paused", "", 7])
def test_an_unknown_state_word_is_an_error(word):
    with pytest.raises(RequestRefused, match="state"):
        submitted({"status": {"queryId": "q1", "completionStatus": word}})


@pytest.mark.parametrize(("given", "read"), [(12, 12), ("12", 12), (12.0, 12), (0, 0), (None, None), ("", None)])
def test_the_row_count_is_read_in_every_form(given, read):
    page = submitted({"status": {"queryId": "q1", "completionStatus": "Finished", "rowCount": given}})
    assert page.status is not None
    assert page.status.row_count == read


@pytest.mark.parametrize("given", ["many", 1.5, True, [1], "nan", "inf"])
def test_a_row_count_that_is_no_whole_number_is_an_error(given):
    with pytest.raises(RequestRefused, match="rowCount"):
        submitted({"status": {"queryId": "q1", "completionStatus": "Finished", "rowCount": given}})


def test_a_running_query_has_no_row_count_yet():
    page = submitted({"status": {"queryId": "q1", "completionStatus": "Running", "rowCount": 0}})
    assert page.status is not None
    assert page.status.row_count is None


def test_a_numeric_query_id_becomes_text():
    page = submitted({"queryId": 17, "completionStatus": "Running"})
    assert page.status == QueryStatus(query_id="17", state=QueryState.RUNNING, row_count=None)


@pytest.mark.parametrize("answer", [{}, {"status": {"completionStatus": "Running"}}, {"status": {"queryId": "q1"}}])
def test_a_submitted_query_without_id_or_state_is_an_error(answer):
    with pytest.raises(RequestRefused, match="not as documented"):
        submitted(answer)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": {"queryId": "q1", "completionStatus": "Finished", "rowCount": 3}},
        {"queryId": "q1", "completionStatus": "FINISHED", "rowCount": "3"},
        {"completionStatus": "Finished", "rowCount": 3},
    ],
)
def test_status_is_read_nested_or_flat_and_with_or_without_the_id(answer):
    org = ScriptedOrg(answers=[json_response(answer)])
    status = DataCloud(connect(org)).status("q1")
    assert status == QueryStatus(query_id="q1", state=QueryState.FINISHED, row_count=3)


def test_a_status_without_a_state_is_an_error():
    org = ScriptedOrg(answers=[json_response({"status": {"queryId": "q1"}})])
    with pytest.raises(RequestRefused, match="no status"):
        DataCloud(connect(org)).status("q1")


def test_rows_asks_for_a_range_and_takes_fewer():
    org = ScriptedOrg(answers=[json_response({"data": [["A1"]], "returnedRows": 1})])
    page = DataCloud(connect(org)).rows("q/1 ?", offset=20, limit=10)
    assert urlsplit(org.last_call.url).path == "/services/data/v66.0/ssot/query-sql/q%2F1%20%3F/rows"
    assert (query_of(org)["offset"], query_of(org)["rowLimit"]) == (["20"], ["10"])
    assert page.rows == [["A1"]]
    assert page.columns == ()
    assert page.status is None


def test_metadata_may_be_nested():
    org = ScriptedOrg(answers=[json_response({"data": [[1]], "metadata": {"columns": [{"name": "n"}]}})])
    assert DataCloud(connect(org)).rows("q1", offset=0, limit=1).columns == (Column("n", ""),)


@pytest.mark.parametrize(
    "answer",
    [
        {"data": {"a": 1}},
        {"data": [{"a": 1}]},
        {"data": [[1, 2]], "metadata": [{"name": "n"}]},
        {"data": [], "metadata": "n"},
        {"data": [], "metadata": ["n"]},
    ],
)
def test_rows_of_another_shape_are_an_error(answer):
    org = ScriptedOrg(answers=[json_response(answer)])
    with pytest.raises(RequestRefused, match="not as documented"):
        DataCloud(connect(org)).rows("q1", offset=0, limit=1)


@pytest.mark.parametrize("status", [404, 410])
def test_a_query_that_is_gone_has_expired(status):
    org = ScriptedOrg(answers=[error_response(status, "NOT_FOUND")])
    with pytest.raises(QueryExpired):
        DataCloud(connect(org)).rows("q1", offset=0, limit=1)
    with pytest.raises(QueryExpired):
        DataCloud(connect(org)).status("q1")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (error_response(400, "BAD_REQUEST"), SourceRejected),
        (error_response(400, "INVALID_FIELD"), SourceRejected),
        (error_response(403, "INSUFFICIENT_ACCESS"), SourceRejected),
        (error_response(404, "NOT_FOUND"), SourceRejected),
        (error_response(422, "UNKNOWN_ATTRIBUTE"), SourceRejected),
        (error_response(429, "TOO_MANY_REQUESTS"), SalesforceBusy),
        (error_response(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), RequestQuotaExhausted),
        (error_response(500, "UNKNOWN_EXCEPTION"), SalesforceUnavailable),
        (Response(status=200, body=b'{"data": [["A1"'), SalesforceUnavailable),
        (json_response(["A1"]), RequestRefused),
    ],
)
def test_refused_queries(answer, error):
    org = ScriptedOrg(answers=[answer])
    with pytest.raises(error):
        DataCloud(connect(org)).submit(SQL, row_limit=1)


@pytest.mark.parametrize(
    "answer",
    [
        error_response(400, "BAD_REQUEST", "s3cr3t"),
        error_response(404, "NOT_FOUND"),
        error_response(410, "GONE"),
        json_response({"error": "Not Found", "message": "no such query"}, status=404),
        error_response(422, "QUERY_CANCELLED"),
        json_response({"status": {"queryId": "q1", "completionStatus": "Failed"}}),
    ],
)
def test_a_query_that_was_taken_and_fails_later_is_asked_again(answer):
    org = ScriptedOrg(answers=[answer])
    for call in (
        lambda: DataCloud(connect(org)).status("q1"),
        lambda: DataCloud(connect(org)).rows("q1", offset=0, limit=1),
    ):
        with pytest.raises(QueryExpired) as caught:
            call()
        assert "s3cr3t" not in str(caught.value)


def test_a_refused_query_names_the_identifier_and_no_value():
    org = ScriptedOrg(answers=[error_response(400, "BAD_REQUEST", 'column "key__c" does not exist near value s3cr3t')])
    with pytest.raises(SourceRejected, match="'Key__c'") as caught:
        DataCloud(connect(org)).submit(SQL, row_limit=1)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "identifier"),
    [
        ('table "Order__dlm" does not exist', "Order__dlm"),
        ('column "key__c" not found; candidates: "Order__dlm"', "Key__c"),
        ("Hidden is a value of the statement", None),
        ("Order__dlm2 is another name", None),
        ("something else", None),
        ("", None),
    ],
)
def test_only_identifiers_of_the_statement_are_found_in_a_message(message, identifier):
    assert identifier_at_fault(SQL, message) == identifier


@pytest.mark.parametrize(
    ("message", "identifier"),
    [
        ('unknown column "amounnt__c": candidates are "Kind__c"', "Amounnt__c"),
        ('unknown column "Kind__c": perhaps "Amounnt__c"', "Kind__c"),
        ("Amounnt__c stands without quotes, select too", None),
        ('"s3cr3t" is a value of the filter', None),
    ],
)
def test_a_name_that_the_filter_writes_without_quotes_is_found_where_the_message_quotes_it(message, identifier):
    sql = """SELECT "Kind__c" FROM "Order__dlm" WHERE (Amounnt__c > 1 AND note <> 's3cr3t')"""
    assert identifier_at_fault(sql, message) == identifier


def test_a_table_that_the_statement_defines_itself_is_not_at_fault():
    sql = 'WITH "moments" AS (SELECT MAX("Changed__c") AS "as_of" FROM "Order__dlm") SELECT "as_of" FROM "moments"'
    message = 'Cannot compare a text with a time\nLINE 1: WITH "moments" AS (SELECT MAX("Changed__c") AS ...'
    assert identifier_at_fault(sql, message) == "Changed__c"


def test_nor_is_a_word_of_the_message_that_such_a_table_is_called_by():
    sql = 'WITH "source" AS (SELECT "Kind__c" FROM "Order__dlm") SELECT "Kind__c" FROM "source"'
    assert identifier_at_fault(sql, "Could not convert when casting from source column Kind__c") == "Kind__c"


def test_a_quote_inside_an_identifier_is_understood():
    assert identifier_at_fault('SELECT "a""b" FROM "t"', 'no column a"b') == 'a"b'


def test_parameter_values_stay_out_of_representations():
    assert "s3cr3t" not in repr(Parameter(name="after", type="Varchar", value="s3cr3t"))
