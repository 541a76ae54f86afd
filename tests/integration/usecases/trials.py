"""Loads as hypothesis draws them: the data, the pace, what the org does wrong, and where processes die."""

from dataclasses import dataclass, field
from typing import Literal

import yaml
from hypothesis import strategies as st

from local.org import Source, generated_opportunities
from local.org.query_pages import sql_text
from massive_upload.domain.load import Load
from tests.integration.usecases.fuse import Killed
from tests.integration.usecases.slice_driver import Crash
from tests.integration.usecases.sources import with_column
from tests.integration.usecases.world import OPPORTUNITY, paced

# Texts that could break a CSV, an SQL statement or a spreadsheet; without blanks around them, which Salesforce trims.
HOSTILE_TEXTS = (
    '"',
    '""quoted"" , "half',
    "a,b;c\td|e",
    "line\nbreak",
    "carriage\rreturn",
    "both\r\nof them",
    "=1+1",
    '\'; DROP TABLE "Opportunity__dlm"; --',
    "\\n \\\\ %s {0}",
    "null",
    "#N/A #N/A",
    "🚀👩‍🚀",
    "\u202eright to left",
    "x" * 3_000,
)


@dataclass(frozen=True)
class Data:
    """What the source holds."""

    rows: int
    rejected_share: float
    null_keys: int
    duplicate_keys: int
    case_collisions: int
    text: str | None
    seed: int

    def source(self) -> Source:
        generated = generated_opportunities(
            self.rows,
            seed=self.seed,
            rejected_share=self.rejected_share,
            null_keys=self.null_keys,
            duplicate_keys=min(self.duplicate_keys, self.rows),
            case_collisions=min(self.case_collisions, self.rows),
        )
        if self.text is None:
            return generated
        return with_column(generated, "Description__c", f"CASE WHEN n % 2 = 0 THEN {sql_text(self.text)} END")


@dataclass(frozen=True)
class Death:
    """A process dies after so many further side effects: a task, which is tried again, or the whole execution.

    ``is_finished`` says whether FinishRun hears of an execution's end before somebody resumes the run.
    """

    effects: int
    is_execution: bool
    is_finished: bool

    @property
    def error(self) -> type[BaseException]:
        return Killed if self.is_execution else Crash


@dataclass(frozen=True)
class Trial:
    """A load, its troubles, and the limits of the org."""

    data: Data
    by: Literal["key", "parent"]
    lanes: int
    batch_rows: int
    retry_delays_seconds: tuple[int, ...]
    page_rows: int
    query_running_seconds: int
    query_kept_seconds: int
    faults: tuple[dict[str, object], ...] = field(default=())
    deaths: tuple[Death, ...] = ()
    lag: int | None = None

    def load(self) -> Load:
        newest = Load.model_validate(OPPORTUNITY.model_dump(mode="json") | {"duplicates": "keep_newest"})
        return paced(
            newest,
            lanes=self.lanes,
            by=self.by,
            batch_rows=self.batch_rows,
            retry_delays_seconds=self.retry_delays_seconds,
        )

    @property
    def faults_file(self) -> str:
        return yaml.safe_dump(list(self.faults))


_REQUESTS: tuple[dict[str, str], ...] = (
    {},
    {"method": "POST", "path": "jobs/ingest$"},
    {"method": "PUT"},
    {"method": "PATCH"},
    {"method": "GET", "path": "jobs/ingest/[0-9A-Za-z]+$"},
    {"method": "GET", "path": "results|unprocessed"},
    {"path": "query-sql$"},
    {"path": "rows$"},
)
_REQUEST_ACTIONS = (
    {"status": 503, "code": "SERVER_UNAVAILABLE"},
    {"status": 500, "code": "UNKNOWN_EXCEPTION"},
    {"status": 502, "body": "<html>Bad Gateway</html>"},
    {"status": 429, "code": "TOO_MANY_REQUESTS", "headers": {"Retry-After": "3"}},
    {
        "status": 403,
        "code": "REQUEST_LIMIT_EXCEEDED",
        "message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
    },
    {"reset": "before"},
    {"reset": "after"},
    {"expire_token": True},
)
_JOB_ACTIONS = (
    {"row_failures": {"share": 0.4, "code": "UNABLE_TO_LOCK_ROW"}},
    {"row_failures": {"share": 1, "code": "UNABLE_TO_LOCK_ROW"}},
    {"job_fails": {"after_rows": 0, "message": "InternalServerError : try again"}},
    {"job_fails": {"after_rows": 200, "message": "TooManyLockFailure : Too many lock failure"}},
)
_WHICH = st.one_of(
    st.fixed_dictionaries({"nth": st.integers(1, 8)}),
    st.fixed_dictionaries({"every": st.integers(3, 9)}),
)
_FAULTS = st.one_of(
    st.builds(
        lambda match, which, action: {"match": {**match, **which}, "action": action},
        st.sampled_from(_REQUESTS),
        _WHICH,
        st.sampled_from(_REQUEST_ACTIONS),
    ),
    st.builds(
        lambda which, action: {"match": {"object": "Opportunity", **which}, "action": action},
        _WHICH,
        st.sampled_from(_JOB_ACTIONS),
    ),
)
_DATA = st.builds(
    Data,
    rows=st.integers(0, 24),
    rejected_share=st.sampled_from([0.0, 0.3]),
    null_keys=st.integers(0, 2),
    duplicate_keys=st.integers(0, 3),
    case_collisions=st.integers(0, 2),
    text=st.none() | st.sampled_from(HOSTILE_TEXTS),
    seed=st.integers(1, 9),
)
_DEATHS = st.builds(Death, effects=st.integers(1, 40), is_execution=st.booleans(), is_finished=st.booleans())

TRIALS = st.builds(
    Trial,
    data=_DATA,
    by=st.sampled_from(["key", "parent"]),
    lanes=st.integers(1, 3),
    batch_rows=st.integers(4, 12),
    retry_delays_seconds=st.sampled_from([(), (2,), (2, 5)]),
    page_rows=st.sampled_from([3, 7, 50]),
    query_running_seconds=st.sampled_from([0, 0, 20]),
    query_kept_seconds=st.sampled_from([86_400, 86_400, 40]),
    faults=st.lists(_FAULTS, max_size=3).map(tuple),
    deaths=st.lists(_DEATHS, max_size=3).map(tuple),
    lag=st.none() | st.integers(0, 4),
)
