import pytest

from local.org.errors import ApiError
from local.org.ids import IdSequence
from massive_upload.constants import MAX_JOB_BYTES
from tests.unit.org.support import REQUIRED, from_csv, to_csv

TEN = to_csv([{"External_ID__c": f"k{n}", **REQUIRED} for n in range(10)])


def refusal(call, *arguments, **named) -> ApiError:
    with pytest.raises(ApiError) as refused:
        call(*arguments, **named)
    return refused.value


def test_ids_have_the_published_18_character_form():
    ids = IdSequence("006")
    first, second = ids.next(), ids.next()
    assert len(first) == len(second) == 18
    assert first != second
    # each of the last 3 characters carries, bit by bit, which of 5 characters are capital letters
    capitals = sum(1 << place for place, letter in enumerate(first[:5]) if letter.isupper())
    assert first[15] == "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[capitals]


def test_a_new_job_is_open_and_shown_as_the_api_shows_it(org):
    job = org.backend.ingest.create(
        {"object": "Opportunity", "operation": "upsert", "externalIdFieldName": "External_ID__c"}, "66.0"
    )
    assert job["state"] == "Open"
    assert job["apiVersion"] == 66.0
    assert job["contentUrl"] == f"services/data/v66.0/jobs/ingest/{job['id']}/batches"
    assert job["createdDate"] == "2026-01-01T00:00:00.000+0000"
    assert (job["contentType"], job["lineEnding"], job["columnDelimiter"]) == ("CSV", "LF", "COMMA")
    assert job["concurrencyMode"] == "Parallel"


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"object": "Nope"}, "INVALIDENTITY"),
        ({"externalIdFieldName": "Name"}, "INVALIDJOB"),
        ({"externalIdFieldName": None}, "INVALIDJOB"),
        ({"lineEnding": "CR"}, "INVALIDJOB"),
        ({"columnDelimiter": "SPACE"}, "INVALIDJOB"),
        ({"contentType": "JSON"}, "INVALIDJOB"),
        ({"operation": "merge"}, "INVALIDJOB"),
    ],
)
def test_an_impossible_job_is_refused(org, wanted, code):
    refused = refusal(org.create, **wanted)
    assert (refused.status, refused.code) == (400, code)


def test_a_job_goes_from_upload_complete_over_in_progress_to_job_complete(org):
    job_id = org.submit(TEN)
    states = [org.backend.ingest.get(job_id)["state"]]
    for seconds in (1.0, 0.02):
        org.clock.move(seconds)
        states.append(org.backend.ingest.get(job_id)["state"])
    assert states == ["UploadComplete", "InProgress", "JobComplete"]


def test_the_counters_of_a_job_count_failed_rows_as_processed(org):
    rows = [{"External_ID__c": f"k{n}", **REQUIRED, "CloseDate": "soon" if n < 3 else "2026-01-01"} for n in range(10)]
    job = org.finish(org.submit(to_csv(rows)))
    assert (job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == ("JobComplete", 10, 3)
    assert job["jobType"] == "V2Ingest"
    assert job["totalProcessingTime"] == job["apiActiveProcessingTime"] == 20
    assert "errorMessage" not in job


def test_a_second_upload_is_refused(org):
    job_id = org.create()
    org.backend.ingest.upload(job_id, TEN)
    refused = refusal(org.backend.ingest.upload, job_id, TEN)
    assert (refused.status, refused.code) == (400, "ClientInputError")
    assert refused.message.startswith(f"Found multiple contents for job: <{job_id}>")


def test_an_upload_to_a_closed_job_is_refused(org):
    assert refusal(org.backend.ingest.upload, org.submit(TEN), TEN).code == "INVALIDJOBSTATE"


def test_more_than_150_megabytes_after_base64_encoding_are_refused(org):
    most = 112_500_000
    refused = refusal(org.backend.ingest.upload, org.create(), bytes(most + 1))
    assert (refused.status, refused.code) == (400, "ClientInputError")
    org.backend.ingest.upload(org.create(), bytes(most))
    assert most > MAX_JOB_BYTES, "what the product sends at most is taken"


def test_a_job_is_closed_once(org):
    job_id = org.submit(TEN)
    assert refusal(org.backend.ingest.set_state, job_id, "UploadComplete").code == "INVALIDJOBSTATE"


def test_only_closing_and_aborting_can_be_asked_for(org):
    assert refusal(org.backend.ingest.set_state, org.create(), "JobComplete").code == "INVALIDJOB"


def test_an_aborted_job_s_batch_that_has_begun_goes_on_and_lists_meanwhile_the_rest_as_unprocessed(org):
    rows = [{"External_ID__c": f"k{n}", **REQUIRED} for n in range(1000)]
    job_id = org.submit(to_csv(rows))
    org.clock.move(1 + 0.4 * 2.5)
    assert org.backend.ingest.set_state(job_id, "Aborted")["state"] == "Aborted"
    job = org.backend.ingest.get(job_id)
    assert (job["state"], job["numberRecordsProcessed"]) == ("Aborted", 400)
    results = org.backend.ingest.results(job_id)
    assert len(from_csv(results.successful())) == 400 == len(org.backend.rows("Opportunity"))
    assert {row["External_ID__c"] for row in from_csv(results.unprocessed())} == {f"k{n}" for n in range(400, 1000)}
    org.clock.move(0.4 * 3)
    job = org.backend.ingest.get(job_id)
    assert (job["state"], job["numberRecordsProcessed"]) == ("Aborted", 1000)
    assert from_csv(org.backend.ingest.results(job_id).unprocessed()) == []


def test_a_batch_that_has_not_begun_when_its_job_is_aborted_never_does(org):
    job_id = org.submit(TEN)
    org.backend.ingest.set_state(job_id, "Aborted")
    org.clock.move(1000)
    assert (org.backend.ingest.get(job_id)["numberRecordsProcessed"], org.backend.rows("Opportunity")) == (0, [])


def test_an_ended_job_cannot_be_aborted(org):
    job_id = org.submit(TEN)
    org.finish(job_id)
    assert refusal(org.backend.ingest.set_state, job_id, "Aborted").code == "INVALIDJOBSTATE"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (to_csv([{"External_ID__c": "a", "Nope": "1"}]), "InvalidBatch : Field name not found : Nope"),
        (to_csv([{"External_ID__c": "a", "Nope.Key__c": "1"}]), "InvalidBatch : Field name not found : Nope.Key__c"),
        (to_csv([{"External_ID__c": "a", "Account.Name": "1"}]), "InvalidBatch : Field name not found : Account.Name"),
        (to_csv([{"Name": "a"}]), "InvalidBatch : Field name not found : External_ID__c"),
        (b"\xef\xbb\xbf" + TEN, "InvalidBatch : Field name not found : \ufeffExternal_ID__c"),
        (
            TEN.replace(b"\n", b"\r\n"),
            "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF",
        ),
    ],
)
def test_a_wrong_header_or_line_ending_fails_the_whole_job(org, content, message):
    job_id = org.submit(content)
    job = org.finish(job_id)
    assert (job["state"], job["errorMessage"], job["numberRecordsProcessed"]) == ("Failed", message, 0)
    assert org.backend.rows("Opportunity") == []
    assert len(from_csv(org.backend.ingest.results(job_id).unprocessed())) == content.count(b"\n") - 1


@pytest.mark.parametrize("content", [b'External_ID__c\n"a" \n', b"External_ID__c,Name\na\n", b"External_ID__c\n\xff\n"])
def test_what_is_no_csv_fails_the_whole_job(org, content):
    job_id = org.submit(content)
    assert org.finish(job_id)["errorMessage"].startswith("InvalidBatch : ")
    assert from_csv(org.backend.ingest.results(job_id).successful()) == []


def test_crlf_files_are_read_by_crlf_jobs(org):
    job_id = org.submit(TEN.replace(b"\n", b"\r\n"), lineEnding="CRLF")
    assert org.finish(job_id)["state"] == "JobComplete"
    assert org.backend.ingest.results(job_id).successful().count(b"\r\n") == 11


def test_a_line_break_inside_quotes_does_not_trip_the_line_ending_check(org):
    rows = [{"External_ID__c": "a", **REQUIRED, "Description": "one\r\ntwo"}]
    assert org.finish(org.submit(to_csv(rows)))["numberRecordsFailed"] == 0
    assert org.only_record()["Description"] == "one\r\ntwo"


@pytest.mark.parametrize(("name", "delimiter"), [("TAB", "\t"), ("PIPE", "|"), ("SEMICOLON", ";"), ("CARET", "^")])
def test_results_are_written_with_the_delimiter_of_the_job(org, name, delimiter):
    content = to_csv([{"External_ID__c": "a", **REQUIRED, "Description": f"x{delimiter}y"}], delimiter)
    job_id = org.submit(content, columnDelimiter=name)
    org.finish(job_id)
    (row,) = from_csv(org.backend.ingest.results(job_id).successful(), delimiter)
    assert row["Description"] == f"x{delimiter}y"


def test_result_files_lead_with_their_own_columns_and_echo_the_upload(org):
    rows = [{"External_ID__c": f"k{n}", **REQUIRED, "CloseDate": "x" if n % 2 else "2026-01-01"} for n in range(60)]
    job_id = org.submit(to_csv(rows))
    org.finish(job_id)
    results = org.backend.ingest.results(job_id)
    assert results.successful().startswith(b'"sf__Id","sf__Created","External_ID__c","Name","StageName","CloseDate"\n')
    assert results.failed().startswith(b'"sf__Id","sf__Error","External_ID__c","Name","StageName","CloseDate"\n')
    assert results.unprocessed() == b'"External_ID__c","Name","StageName","CloseDate"\n'
    assert {row["sf__Created"] for row in from_csv(results.successful())} == {"true"}
    assert {row["sf__Id"] for row in from_csv(results.failed())} == {""}


def test_the_order_of_results_is_not_that_of_the_upload_but_always_the_same(org):
    rows = [{"External_ID__c": f"k{n:03d}", **REQUIRED} for n in range(100)]
    job_id = org.submit(to_csv(rows))
    org.finish(job_id)
    keys = [row["External_ID__c"] for row in from_csv(org.backend.ingest.results(job_id).successful())]
    assert keys != sorted(keys)
    assert sorted(keys) == [row["External_ID__c"] for row in rows]
    again = from_csv(org.backend.ingest.results(job_id).successful())
    assert keys == [row["External_ID__c"] for row in again]


def test_results_of_a_running_job_are_not_available(org):
    assert refusal(org.backend.ingest.results, org.submit(TEN)).code == "INVALIDJOBSTATE"


def test_a_deleted_job_is_not_found(org):
    job_id = org.submit(TEN)
    org.finish(job_id)
    org.backend.ingest.delete(job_id)
    refused = refusal(org.backend.ingest.get, job_id)
    assert (refused.status, refused.code) == (404, "NOT_FOUND")
    assert refused.message == "The requested resource does not exist"


def test_open_and_running_jobs_cannot_be_deleted(org):
    assert refusal(org.backend.ingest.delete, org.create()).code == "INVALIDJOBSTATE"
    running = org.submit(to_csv([{"External_ID__c": f"k{n}", **REQUIRED} for n in range(500)]))
    org.clock.move(1.1)
    assert refusal(org.backend.ingest.delete, running).code == "INVALIDJOBSTATE"


def test_a_job_deleted_before_it_started_writes_nothing(org):
    org.backend.ingest.delete(org.submit(TEN))
    org.clock.move(1000)
    assert org.backend.rows("Opportunity") == []


def test_fifteen_characters_of_an_id_find_the_job(org):
    job_id = org.create()
    assert org.backend.ingest.get(job_id[:15])["id"] == job_id


def test_the_list_has_pages_of_1000_jobs(org):
    for _ in range(1001):
        org.create()
    first, following = org.backend.ingest.list(0)
    assert (len(first), following) == (1000, 1000)
    second, end = org.backend.ingest.list(1000)
    assert (len(second), end) == (1, None)


def test_every_10000_rows_of_a_job_cost_a_batch(make_org):
    org = make_org(daily_bulk_batches=4)
    org.submit(TEN)
    org.submit(to_csv([{"External_ID__c": f"k{n}", **REQUIRED} for n in range(20_001)]))
    assert org.backend.limits.describe()["DailyBulkApiBatches"] == {"Max": 4, "Remaining": 0}
    refused = refusal(org.create)
    assert (refused.status, refused.code) == (400, "ExceededQuota")
    org.clock.move(86_400)
    assert org.create()


def test_a_job_with_a_header_alone_completes(org):
    job = org.finish(org.submit(b"External_ID__c,Name\n"))
    assert (job["state"], job["numberRecordsProcessed"]) == ("JobComplete", 0)
