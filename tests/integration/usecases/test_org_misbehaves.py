"""Everything that the org may do wrong: within the load's patience the run completes without a person, and exactly.

One case for each misbehaviour. Queries that are slow, expire or fail are in test_reading, jobs that go
on for long and outages in test_patience; mixtures of all of it are in tests/soak.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from massive_upload.contracts import Verdict
from massive_upload.salesforce.transport import Request, Response, Timeout, Transport
from tests.integration.usecases.kept_rows import account_of, recorded_account
from tests.integration.usecases.world import RUN, World, open_world, paced
from tests.thoroughness import some_of

PATIENCE_SECONDS = 7_200
TEN_MINUTES = 600
THREE_HOURS = 3 * 3_600
HTML = "<html><body>Sorry, we will be back soon</body></html>"


@dataclass(frozen=True)
class Case:
    """How the org misbehaves, and what of the world must be as it is for that to happen."""

    faults: str
    pace: dict[str, Any]
    settings: dict[str, Any]


def case(*rules: tuple[str, str], pace: dict[str, Any] | None = None, **settings: Any) -> Case:
    faults = "\n".join(f"- {{match: {{{match}}}, action: {{{action}}}}}" for match, action in rules)
    return Case(faults, pace or {}, settings)


def some_rows_fail(code: str = "UNABLE_TO_LOCK_ROW") -> tuple[str, str]:
    return "object: Opportunity, nth: 2", f"row_failures: {{share: 0.5, code: {code}}}"


def job(action: str, nth: int = 2) -> tuple[str, str]:
    return f"object: Opportunity, nth: {nth}", action


CASES = {
    "a token expires or is revoked in the middle of a batch": case(
        *((f"nth: {n}", "expire_token: true") for n in range(4, 12))
    ),
    "a session lives for less than a job": case(session_seconds=20.0, queue_seconds=60.0),
    "the day's requests are used up for an hour": case(
        (
            "from_seconds: 20, until_seconds: 3600",
            "status: 403, code: REQUEST_LIMIT_EXCEEDED, message: TotalRequests Limit exceeded.",
        ),
        pace={"delay_seconds": 30},
    ),
    "the day's requests are used up when the run is planned": case(
        ("until_seconds: 3600", "status: 403, code: REQUEST_LIMIT_EXCEEDED, message: TotalRequests Limit exceeded.")
    ),
    "the day's batches are used up for an hour": case(
        ("method: POST, path: ingest$, until_seconds: 3600", "status: 400, code: ExceededQuota")
    ),
    "too many long-running requests at once": case(
        (
            "every: 5, path: /jobs/ingest",
            "status: 403, code: REQUEST_LIMIT_EXCEEDED, message: ConcurrentPerOrgLongTxn Limit exceeded.",
        )
    ),
    "429 with Retry-After": case(("every: 7", "status: 429, headers: {Retry-After: '60'}")),
    "429 without Retry-After": case(("every: 7", "status: 429")),
    "500": case(("every: 7", "status: 500, code: UNKNOWN_EXCEPTION")),
    "404 with HTML": case(("every: 7, path: /services/data", f"status: 404, body: '{HTML}'")),
    "502 with HTML": case(("every: 7", f"status: 502, body: '{HTML}'")),
    "a sign-in page in place of an answer": case(
        ("method: GET, every: 3", f"status: 200, body: '{HTML}'"), page_rows=4
    ),
    "503 for ten minutes while lanes are at work": case(
        (f"from_seconds: 20, until_seconds: {TEN_MINUTES + 20}", "status: 503, code: SERVER_UNAVAILABLE"),
        pace={"delay_seconds": 30},
    ),
    "503 for ten minutes when the run is planned": case(
        (f"until_seconds: {TEN_MINUTES}", f"status: 503, body: '{HTML}'")
    ),
    **{
        f"a connection is reset {moment} the effect of a {name}": case((f"{request}, nth: 2", f"reset: {moment}"))
        for moment in ("before", "after")
        for name, request in {
            "create": "method: POST, path: ingest$",
            "PUT": "method: PUT",
            "PATCH": "method: PATCH",
            "look": "method: GET, path: /jobs/ingest",
            "query": "path: query-sql",
        }.items()
    },
    **{
        f"no answer comes, {moment} the effect of a {name}": case((f"{request}, nth: 2", f"no_answer: {moment}"))
        for moment in ("before", "after")
        for name, request in {
            "create": "method: POST, path: ingest$",
            "PUT": "method: PUT",
            "PATCH": "method: PATCH",
        }.items()
    },
    "a file of failed rows is cut in the middle": case(
        some_rows_fail(), ("path: failedResults, nth: 1", "cut_body: 0.5")
    ),
    "a file of failed rows lacks its last letters": case(
        some_rows_fail(), ("path: failedResults, nth: 1", "cut_body: 0.995")
    ),
    "a page comes in place of a file of results": case(
        some_rows_fail(), ("path: results$, nth: 1", f"status: 200, body: '{HTML}'")
    ),
    "an upload is taken by something in between": case(("method: PUT, nth: 2", "status: 200, body: 'OK'")),
    "files of results come empty": case(some_rows_fail(), ("path: results$, nth: 1", "cut_body: 0")),
    "results are not there yet": case(
        some_rows_fail(), ("path: results$, nth: 1", "status: 400, code: INVALIDJOBSTATE")
    ),
    "a job fails midway with rows that it never tried": case(
        job("job_fails: {after_rows: 0, message: InternalServerError}")
    ),
    "a job fails with TooManyLockFailure": case(job("job_fails: {after_rows: 0, message: TooManyLockFailure}")),
    "rows fail with TooManyLockFailure": case(some_rows_fail("'TooManyLockFailure...200 Trying again later'")),
    "an admin aborts a job that is at work": case(job("job_aborted: {after_rows: 0}")),
    "a job is deleted while it is at work": case(job("job_deleted: {after_rows: 0}")),
    "a job is tried again for ever": case(job("job_stalls: {after_rows: 0}"), job("job_reports: {retries: 20}")),
    "a job has done everything and never ends": case(job("job_stalls: {after_rows: 10}")),
    "a job does not say how many rows failed": case(job("job_reports: {numberRecordsFailed: null}"), some_rows_fail()),
    "a job does not count at all": case(
        job("job_reports: {numberRecordsFailed: null, numberRecordsProcessed: null}"), some_rows_fail()
    ),
    "a job counts too few rows": case(job("job_reports: {numberRecordsProcessed: 3}"), some_rows_fail()),
    "a job counts failed rows that it does not list": case(job("job_reports: {numberRecordsFailed: 3}")),
    "a job counts fewer failed rows than it lists": case(
        job("job_reports: {numberRecordsFailed: 1}"), some_rows_fail()
    ),
    "a result expires between two pages": case(("path: /rows$, every: 2", "status: 404, code: NOT_FOUND"), page_rows=4),
    "a page is cut": case(("path: /rows$, every: 2", "cut_body: 0.5"), page_rows=4),
    "every third page is empty": case(("path: /rows$, every: 3", "status: 200, body: '{\"data\": []}'"), page_rows=2),
}


class Hurried:
    """A transport that gives up soon."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(self, request: Request) -> Response:
        return self._transport.send(replace(request, timeout=Timeout(connect_seconds=5, read_seconds=0.5)))


def assert_complete(world: World, verdict: Verdict | None) -> None:
    assert verdict is not None
    assert (verdict.status, verdict.error) == ("Completed", "")
    assert (verdict.succeeded, verdict.source_rows) == (30, 30)
    assert account_of(verdict) == recorded_account(world)
    world.mend_org()
    assert world.loaded_keys == world.keys_of()
    assert set(world.jobs) <= {"JobComplete", "Failed", "Aborted", "Open"}


ALIKE = ("before the effect", "no answer comes, after the effect of a P", "429 without", "502")
"""Parts of the names of cases that are much like others; they are left to a soak."""


@pytest.mark.parametrize(
    "misbehaviour", some_of(CASES, *(name for name in CASES if not any(part in name for part in ALIKE)))
)
def test_within_patience_the_run_completes_without_a_person(misbehaviour: Case):
    load = paced(**{"patience_seconds": PATIENCE_SECONDS} | misbehaviour.pace)
    with open_world(load=load, faults=misbehaviour.faults, **misbehaviour.settings) as world:
        world.slices.most_states = 3_000
        if "no_answer" in misbehaviour.faults:
            world.transport = Hurried(world.transport)
        assert_complete(world, world.execute())
        if "path" in misbehaviour.faults:
            assert world.requests["faults"], "the fault has struck"


def test_a_job_at_work_gets_no_second_one_beside_it_where_only_a_page_says_that_it_is_not_there():
    looks = "method: GET, path: '/jobs/ingest/[^/]+$', every: 2"
    with open_world(load=paced(), faults=case((looks, f"status: 404, body: '{HTML}'")).faults) as world:
        world.slices.most_states = 3_000
        assert_complete(world, world.execute())
        assert world.jobs == {"JobComplete": 3}


OUTAGES = {
    "no job is in flight": {"from_seconds": 600, "unsettled": 0},
    "a job is in flight": {"from_seconds": 50, "unsettled": 10},
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_beyond_patience_ends_the_run_with_an_exact_account_and_resume_completes_it(outage):
    """Maintenance for three hours; the load has patience for two."""
    until_seconds = outage["from_seconds"] + THREE_HOURS
    window = f"from_seconds: {outage['from_seconds']}, until_seconds: {until_seconds}"
    silent = f"- {{match: {{{window}}}, action: {{status: 503, body: '{HTML}'}}}}"
    load = paced(patience_seconds=PATIENCE_SECONDS, delay_seconds=600)
    with open_world(load=load, faults=silent, queue_seconds=100.0) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.error) == ("Failed", "PartitionsFailed")
        assert "OrgUnreachable" in verdict.cause
        account = account_of(verdict)
        assert account.balances
        assert account == recorded_account(world)
        assert (account.source_rows, account.unsettled) == (30, outage["unsettled"])
        assert account.succeeded + account.unsettled + account.not_sent == 30
        assert world.clock.seconds() < until_seconds, "a run that has lost its patience does not wait any longer"
        world.wait(THREE_HOURS)
        assert len(world.loaded_keys) == account.succeeded + account.unsettled, "the job has come to its end unseen"
        assert_complete(world, world.execute({"mode": "resume", "run_id": RUN}, "again"))


def insert(key: str) -> str:
    return (
        f'INSERT INTO "Opportunity__dlm" SELECT * REPLACE (\'{key}\' AS "ExternalId__c") '
        'FROM "Opportunity__dlm" WHERE "ExternalId__c" = \'OPP-0000001\''
    )


CHANGES = (
    "DELETE FROM \"Opportunity__dlm\" WHERE \"ExternalId__c\" IN ('OPP-0000003', 'OPP-0000025', 'OPP-0000030')",
    "UPDATE \"Opportunity__dlm\" SET \"Name__c\" = 'changed' WHERE \"ExternalId__c\" IN ('OPP-0000004', 'OPP-0000028')",
    insert("OPP-0000005b"),
    insert("OPP-0000015b"),
    insert("OPP-0000031"),
)


def changing(match: str) -> str:
    return json.dumps([{"match": json.loads(match), "action": {"change_source": sql}} for sql in CHANGES])


def named(world: World, name: str) -> set[str]:
    return {str(row["External_ID__c"]) for row in world.server.backend.rows("Opportunity") if row["Name"] == name}


def test_a_lane_loads_its_rows_as_they_were_when_it_asked_for_them():
    faults = changing('{"path": "/rows$", "nth": 1}')
    with open_world(load=paced(), faults=faults) as world:
        before = world.keys_of()
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.source_rows) == ("Completed", 30, 30)
        assert world.loaded_keys == before
        assert named(world, "changed") == set()


def test_a_lane_that_asks_again_loads_the_rest_as_it_is_then_and_the_account_counts_what_it_read():
    """Ten rows are settled and ten staged when the source changes: of the others two are gone, and one is changed."""
    faults = changing('{"method": "POST", "path": "/query-sql$", "nth": 3}')
    with open_world(load=paced(delay_seconds=600), faults=faults, query_kept_seconds=300.0) as world:
        before = world.keys_of()
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.source_rows, verdict.not_sent) == ("Completed", 28, 28, 0)
        assert world.loaded_keys == before - {"OPP-0000025", "OPP-0000030"}
        assert named(world, "changed") == {"OPP-0000028"}


class Rewriting:
    """A transport to an org that says the same in another way."""

    def __init__(self, transport: Transport, rewrite: Callable[[Request, Response], Response]) -> None:
        self._transport = transport
        self._rewrite = rewrite

    def send(self, request: Request) -> Response:
        response = self._transport.send(request)
        return self._rewrite(request, response) if response.is_success else response


def other_result_files(request: Request, response: Response) -> Response:
    """A byte order mark, CRLF, upper-case names, another order of columns, and one more."""
    if "text/csv" not in response.headers.get("Content-Type", ""):
        return response
    rows = [line.split('","') for line in response.body.decode().removesuffix('"\n').split('"\n')]
    rows = [[cell.removeprefix('"') for cell in row] for row in rows]
    turned = [[name.upper() for name in reversed(rows[0])] + ["SF__EXTRA"]] + [
        [*reversed(row), "x"] for row in rows[1:]
    ]
    text = "".join('"' + '","'.join(row) + '"\r\n' for row in turned)
    return replace(response, body=b"\xef\xbb\xbf" + text.encode())


def other_job_answers(request: Request, response: Response) -> Response:
    """15-character ids, upper-case states, counts as text, nothing that need not be there, and status 202."""
    if "/jobs/ingest" not in request.url or not response.body.startswith(b"{"):
        return response
    answer = json.loads(response.body)
    counts = ("numberRecordsProcessed", "numberRecordsFailed")
    said = {"id": answer["id"][:15], "state": answer["state"].upper(), "contentUrl": f"{request.url}/batches"}
    said |= {name: str(answer[name]) for name in counts if name in answer}
    return replace(response, status=202, body=json.dumps(said).encode())


def other_query_answers(request: Request, response: Response) -> Response:
    """The status beside the rows, ids with slashes, counts as text, and a state in capitals."""
    if "/query-sql" not in request.url or not response.body.startswith(b"{"):
        return response
    answer = json.loads(response.body)
    status = answer.pop("status", None)
    if status is not None:
        answer |= status | {"completionStatus": status["completionStatus"].upper(), "rowCount": str(status["rowCount"])}
    return replace(response, status=202, body=json.dumps(answer).encode())


@pytest.mark.parametrize("rewrite", [other_result_files, other_job_answers, other_query_answers])
def test_another_orgs_spelling_makes_no_difference(rewrite: Callable[[Request, Response], Response]):
    rules = case(some_rows_fail(), job("job_fails: {after_rows: 0, message: InternalServerError}", nth=1))
    with open_world(load=paced(), faults=rules.faults, page_rows=4) as world:
        world.transport = Rewriting(world.transport, rewrite)
        assert_complete(world, world.execute())


REFUSED_SESSIONS = "- {match: {path: /services/data}, action: {status: 401, code: INVALID_SESSION_ID}}"


def test_an_org_that_refuses_its_own_tokens_is_not_waited_for_as_if_it_were_silent():
    """As it does where the app lacks the scope api."""
    with open_world(load=paced(), faults=REFUSED_SESSIONS) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.next, verdict.error) == ("Fail", "CredentialsRejected")
        assert "the scopes api and cdp_query_api" in verdict.cause
        assert 300 < world.clock.seconds() < 600


def test_an_org_that_comes_back_and_refuses_a_few_tokens_at_first_is_waited_for():
    silent = "- {match: {path: /services/data, until_seconds: 700}, action: {status: 503, code: SERVER_UNAVAILABLE}}\n"
    refused = REFUSED_SESSIONS.replace("data}", "data, until_seconds: 1200}")
    with open_world(load=paced(), faults=silent + refused) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)


def test_a_session_that_is_refused_at_each_call_ends_the_run_with_its_name():
    with open_world(load=paced(patience_seconds=60), faults=REFUSED_SESSIONS) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.next, verdict.error) == ("Fail", "OrgUnreachable")
        assert "401 INVALID_SESSION_ID" in verdict.cause
