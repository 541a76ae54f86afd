"""Everything that an org may do within what a load has to live through, drawn at random from a seed.

The bounds are those of the promise: outages shorter than the load's patience, and at each try at most a fifth of the
rows that find a lock. What is drawn says how the org misbehaves, how big the load is and how it is cut.
"""

import random
from dataclasses import dataclass
from typing import Any

from local.org import Source, generated_opportunities
from massive_upload.domain.load import Load
from tests.integration.usecases.world import OPPORTUNITY, paced

PATIENCE_SECONDS = 7_200
LONGEST_OUTAGE_SECONDS = 3_600
HTML = "<html><body>Sorry, we will be back soon</body></html>"

_UNAVAILABLE = (
    "{status: 500, code: UNKNOWN_EXCEPTION}",
    f"{{status: 502, body: '{HTML}'}}",
    "{status: 503, code: SERVER_UNAVAILABLE}",
    f"{{status: 503, body: '{HTML}', headers: {{Retry-After: '120'}}}}",
    "{status: 429, code: TOO_MANY_REQUESTS}",
    "{status: 429, code: TOO_MANY_REQUESTS, headers: {Retry-After: '30'}}",
    "{status: 403, code: REQUEST_LIMIT_EXCEEDED, message: ConcurrentPerOrgLongTxn Limit exceeded.}",
    "{status: 403, code: REQUEST_LIMIT_EXCEEDED, message: TotalRequests Limit exceeded.}",
    "{status: 200, body: ''}",
    f"{{status: 200, body: '{HTML}'}}",
)
_MOMENTS = ("before", "after")
_SOMETIMES = (
    *((f"path: {path}", action) for path in ("/jobs/ingest", "/query-sql", ".") for action in _UNAVAILABLE[:-2]),
    *((f"method: GET, path: {path}", action) for path in ("/jobs/ingest", "/query-sql") for action in _UNAVAILABLE),
    *((f"method: {method}", f"{{reset: {at}}}") for method in ("POST", "PUT", "PATCH", "GET") for at in _MOMENTS),
    ("path: .", "{expire_token: true}"),
    ("path: /jobs/ingest/.*results|unprocessedrecords", "{cut_body: 0.5}"),
    ("path: /jobs/ingest/.*results|unprocessedrecords", "{cut_body: 0.98}"),
    ("method: GET, path: /jobs/ingest/", "{status: 400, code: INVALIDJOBSTATE}"),
    ("path: /rows$", '{status: 200, body: \'{"data": [], "returnedRows": 0}\'}'),
    ("path: /rows$", "{status: 404, code: NOT_FOUND}"),
    ("path: /rows$", "{cut_body: 0.7}"),
    ("method: GET, path: '/query-sql/[^/]+$'", "{status: 400, code: QUERY_FAILED}"),
)
_JOBS = (
    "{job_fails: {after_rows: %d, message: 'Timeout : retried more than 20 times'}}",
    "{job_fails: {after_rows: %d, message: 'InternalServerError : unexpected'}}",
    "{job_fails: {after_rows: %d, message: 'TooManyLockFailure : 200 Trying again later'}}",
    "{job_aborted: {after_rows: %d}}",
    "{job_deleted: {after_rows: %d}}",
    "{job_reports: {numberRecordsFailed: null}}",
    "{job_reports: {numberRecordsProcessed: null}}",
    "{job_reports: {numberRecordsProcessed: 3}}",
    "{job_reports: {apiActiveProcessingTime: null, totalProcessingTime: null, errorMessage: null}}",
)
_LOCKS = (
    "code: UNABLE_TO_LOCK_ROW",
    "code: TooManyLockFailure...200 Trying again later",
    "code: CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY, message: 'trigger: UNABLE_TO_LOCK_ROW, one record'",
)


@dataclass(frozen=True)
class Mixture:
    """One load and the org that it meets."""

    source: Source
    source_rows: int
    null_keys: int
    dropped: int
    load: Load
    faults: str
    settings: dict[str, Any]


def draw(seed: int, rows: int | None = None) -> Mixture:
    """The mixture of a seed, with so many rows if that is given."""
    dice = random.Random(seed)
    count = rows or dice.choice((40, 300, 900))
    batch_rows = dice.choice((count // 12 + 1, count // 4 + 1, count)) if rows is None else dice.choice((2_000, 10_000))
    null_keys, duplicates, collisions = (dice.randrange(4) for _ in range(3))
    source = generated_opportunities(
        count,
        seed=seed,
        rejected_share=dice.choice((0, 0.01, 0.03)),
        null_keys=null_keys,
        duplicate_keys=duplicates,
        case_collisions=collisions,
    )
    load = paced(
        OPPORTUNITY.model_copy(update={"duplicates": "keep_newest", "success_criterion_percent": 0.0}),
        lanes=dice.randint(1, 4),
        batch_rows=min(batch_rows, 10_000),
        delay_seconds=dice.choice((0, 30, 600)),
        patience_seconds=PATIENCE_SECONDS,
    )
    settings = {
        "seed": seed,
        "page_rows": dice.choice((batch_rows // 3 + 1, batch_rows, 50_000)),
        "query_running_seconds": dice.choice((0.0, 90.0)),
        "query_kept_seconds": dice.choice((300.0, 86_400.0)),
        "queue_seconds": dice.choice((1.0, 120.0)),
        "session_seconds": dice.choice((60.0, 7_200.0)),
    }
    return Mixture(
        source=source,
        source_rows=count + null_keys + duplicates + collisions,
        null_keys=null_keys,
        dropped=duplicates + collisions,
        load=load,
        faults="\n".join(_faults(dice, batch_rows)),
        settings=settings,
    )


def _faults(dice: random.Random, batch_rows: int) -> list[str]:
    share = dice.choice((0.05, 0.2))
    rules = [
        f"- {{match: {{object: Opportunity}}, action: {{row_failures: {{share: {share}, {dice.choice(_LOCKS)}}}}}}}"
    ]
    for match, action in dice.sample(_SOMETIMES, dice.randint(2, 8)):
        rules.append(f"- {{match: {{{match}, probability: {dice.choice((0.02, 0.1))}}}, action: {action}}}")
    for action in dice.sample(_JOBS, dice.randint(1, 3)):
        filled = action % dice.randrange(batch_rows) if "%d" in action else action
        rules.append(f"- {{match: {{object: Opportunity, every: {dice.randint(9, 15)}}}, action: {filled}}}")
    if dice.random() < 0.3:
        stalls = f"{{job_stalls: {{after_rows: {dice.randrange(batch_rows)}}}}}"
        rules.append(f"- {{match: {{object: Opportunity, nth: {dice.randint(1, 6)}}}, action: {stalls}}}")
    if dice.random() < 0.5:
        start = dice.choice((0, 30, 300))
        until = start + dice.choice((120, 600, LONGEST_OUTAGE_SECONDS))
        window = f"from_seconds: {start}, until_seconds: {until}"
        rules.append(f"- {{match: {{{window}}}, action: {dice.choice(_UNAVAILABLE[:-2])}}}")
    return rules
