from collections.abc import Callable

import pytest

from local.org import Faults, FaultsFileError, faults
from local.org.errors import ApiError
from local.org.faults import Action, FaultPlan
from tests.unit.org.support import REQUIRED, Org, from_csv, to_csv


def struck(rules: str, requests: int, method: str = "GET", path: str = "/x", seed: int = 1) -> list[int]:
    """The numbers, from 1, of the requests that a rule strikes."""
    plan = FaultPlan(Faults.parse(rules), seed)
    return [number for number in range(1, requests + 1) if plan.for_request(method, path)]


@pytest.mark.parametrize(
    ("match", "expected"),
    [("{}", [1, 2, 3, 4, 5, 6]), ("{nth: 2}", [2]), ("{every: 3}", [3, 6]), ("{probability: 0}", [])],
)
def test_a_rule_strikes_as_often_as_its_match_says(match, expected):
    assert struck(f"- {{match: {match}, action: {{status: 500}}}}", 6) == expected


def test_the_same_seed_gives_the_same_chances():
    rules = "- {match: {probability: 0.5}, action: {status: 500}}"
    first = struck(rules, 100)
    assert 20 < len(first) < 80
    assert struck(rules, 100) == first
    assert struck(rules, 100, seed=2) != first


def test_only_requests_that_fit_are_counted():
    plan = FaultPlan(Faults.parse('- {match: {method: PUT, path: "/batches$", nth: 2}, action: {status: 503}}'), 1)
    requests = [("GET", "/a/batches"), ("PUT", "/a/batches"), ("PUT", "/a"), ("PUT", "/B/Batches")]
    assert [bool(plan.for_request(*each)) for each in requests] == [False, False, False, True]


def test_json_is_read_as_well():
    assert Faults.parse('[{"match": {}, "action": {"reset": "before"}}]').rules[0].action == Action(reset="before")


def test_an_empty_file_has_no_rules():
    assert Faults.parse("").rules == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("- {match: {}, action: {status: 500, reset: after}}", "exactly one of status, reset"),
        ("- {match: {}, action: {}}", "exactly one of status"),
        ("- {match: {nth: 0}, action: {status: 500}}", "nth"),
        ("- {match: {nth: 1, every: 2}, action: {status: 500}}", "one of nth, every and probability"),
        ("- {match: {colour: red}, action: {status: 500}}", "colour"),
        ('- {match: {path: "("}, action: {status: 500}}', "no regular expression"),
        ("- {match: {object: A}, action: {status: 500}}", "object and key go with row_"),
        ("- {match: {key: a}, action: {status: 500}}", "object and key go with row_"),
        ("- {match: {object: A}, action: {row_is_fatal: {message: x}}}", "row_is_fatal needs the key"),
        ("- {match: {path: a}, action: {job_fails: {after_rows: 1, message: x}}}", "no method or path"),
        ("- {match: {}, action: {row_failures: {share: 2, code: X}}}", "share"),
        ("rules: 1", "a list of rules"),
        ("- {", "neither YAML nor JSON"),
    ],
)
def test_a_wrong_file_says_which_rule_and_why(text, named):
    with pytest.raises(FaultsFileError) as wrong:
        Faults.parse(text)
    assert named in str(wrong.value)


def test_a_wrong_file_is_named(tmp_path):
    path = tmp_path / "faults.yaml"
    path.write_text("- {}", encoding="utf-8")
    with pytest.raises(FaultsFileError, match=r"faults\.yaml"):
        Faults.load(path)


def test_the_example_of_the_docstring_is_valid():
    text = str(faults.__doc__).split("```")[1].removeprefix("yaml")
    assert len(Faults.parse(text).rules) == 11


def job_of(org: Org, rows: int) -> dict[str, object]:
    return org.finish(org.submit(to_csv([{"External_ID__c": f"k{n}", **REQUIRED} for n in range(rows)])))


def test_a_share_of_the_rows_fails_with_the_code_of_the_rule(make_org: Callable[..., Org]):
    org = make_org("- {match: {object: opportunity}, action: {row_failures: {share: 0.3, code: QUERY_TIMEOUT}}}")
    job = job_of(org, 1000)
    assert 200 < int(str(job["numberRecordsFailed"])) < 400
    failed = from_csv(org.backend.ingest.results(str(job["id"])).failed())
    assert {row["sf__Error"] for row in failed} == {"QUERY_TIMEOUT:scripted in the faults file:--"}


def test_row_failures_of_another_object_do_not_strike(make_org: Callable[..., Org]):
    org = make_org("- {match: {object: Contact}, action: {row_failures: {share: 1, code: QUERY_TIMEOUT}}}")
    assert job_of(org, 10)["numberRecordsFailed"] == 0


def test_a_job_fails_after_so_many_rows_and_keeps_what_it_wrote(make_org: Callable[..., Org]):
    org = make_org('- {match: {nth: 2}, action: {job_fails: {after_rows: 400, message: "Timeout : too slow"}}}')
    assert job_of(org, 1)["state"] == "JobComplete"
    job = job_of(org, 1000)
    assert (job["state"], job["errorMessage"], job["numberRecordsProcessed"]) == ("Failed", "Timeout : too slow", 400)
    results = org.backend.ingest.results(str(job["id"]))
    assert len(from_csv(results.unprocessed())) == 600
    assert len(org.backend.rows("Opportunity")) == 400


BREAKS = [
    # Bulk API 2.0 guide: Aborted is set by PATCH, as an admin does it in Setup; rows already saved stay saved.
    ("job_aborted: {after_rows: 400}", "Aborted", 400),
    # Bulk API 2.0 guide: a batch may be retried up to 20 times, so a job can stay InProgress for long.
    ("job_stalls: {after_rows: 400}", "InProgress", 400),
    ("job_stalls: {after_rows: 1000}", "InProgress", 1000),
]


@pytest.mark.parametrize(("action", "state", "processed"), BREAKS)
def test_a_job_goes_no_further_and_keeps_what_it_wrote(make_org: Callable[..., Org], action, state, processed):
    org = make_org(f"- {{match: {{}}, action: {{{action}}}}}")
    job = job_of(org, 1000)
    assert (job["state"], job["numberRecordsProcessed"]) == (state, processed)
    assert len(org.backend.rows("Opportunity")) == processed
    if state == "InProgress":
        assert org.backend.ingest.set_state(str(job["id"]), "Aborted")["state"] == "Aborted"
    assert len(from_csv(org.backend.ingest.results(str(job["id"])).unprocessed())) == 1000 - processed


def test_a_deleted_job_is_not_found(make_org: Callable[..., Org]):
    """Bulk API 2.0 guide: DELETE forgets a job; GET answers 404 NOT_FOUND from then on."""
    org = make_org("- {match: {}, action: {job_deleted: {after_rows: 200}}}")
    with pytest.raises(ApiError) as gone:
        job_of(org, 1000)
    assert (gone.value.status, gone.value.code) == (404, "NOT_FOUND")
    assert len(org.backend.rows("Opportunity")) == 200
    assert org.backend.ingest.states() == {}
    assert org.backend.ingest.list(0) == ([], None)


def test_a_job_may_report_other_counts_or_none(make_org: Callable[..., Org]):
    """Counter keys can be absent; a client that takes them for zero counts failed rows as saved."""
    org = make_org("- {match: {}, action: {job_reports: {numberRecordsFailed: null, numberRecordsProcessed: 7}}}")
    job = job_of(org, 10)
    assert "numberRecordsFailed" not in job
    assert job["numberRecordsProcessed"] == 7


def test_rules_hold_between_two_moments():
    now = 0.0
    plan = FaultPlan(
        Faults.parse("- {match: {from_seconds: 10, until_seconds: 20}, action: {status: 503}}"), 1, lambda: now
    )
    struck_at = []
    for now in (0.0, 9.9, 10.0, 19.9, 20.0):
        struck_at += [now for _ in plan.for_request("GET", "/x")]
    assert struck_at == [10.0, 19.9]


def test_a_job_that_comes_to_a_fatal_row_fails_and_leaves_it_and_all_that_follow_unprocessed(
    make_org: Callable[..., Org],
):
    """Chunks of 200 rows; what a job that has failed did not come to is unprocessed (Bulk API 2.0 guide, limits)."""
    org = make_org("- {match: {key: k450}, action: {row_is_fatal: {message: 'InternalServerError : Unknown error'}}}")
    assert job_of(org, 450)["state"] == "JobComplete"
    job = job_of(org, 1000)
    assert (job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == ("Failed", 400, 0)
    unprocessed = from_csv(org.backend.ingest.results(str(job["id"])).unprocessed())
    assert {row["External_ID__c"] for row in unprocessed} == {f"k{n}" for n in range(400, 1000)}
    assert "k450" not in {row["External_ID__c"] for row in org.backend.rows("Opportunity")}


def test_a_job_may_fail_before_its_first_row(make_org: Callable[..., Org]):
    org = make_org("- {match: {key: k3}, action: {job_fails: {after_rows: 0, message: 'TooManyLockFailure : x'}}}")
    job = job_of(org, 10)
    assert (job["state"], job["numberRecordsProcessed"]) == ("Failed", 0)
    assert org.backend.rows("Opportunity") == []
