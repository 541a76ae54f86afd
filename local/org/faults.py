"""Faults that the org shows on purpose, scripted in a YAML or JSON file: a list of rules.

```yaml
- match: {method: PUT, path: "/batches$", nth: 3}       # the third upload
  action: {status: 503, code: SERVER_UNAVAILABLE, message: "Maintenance", headers: {Retry-After: "5"}}
- match: {path: "/query-sql", every: 10}
  action: {reset: after}                                # carried out, and cut before the answer
- match: {path: "/jobs/ingest", probability: 0.01}
  action: {delay_seconds: 30}                           # simulated seconds
- match: {nth: 50}
  action: {expire_token: true}
- match: {object: Opportunity, every: 4}                # every fourth job of this object
  action: {row_failures: {share: 0.05, code: UNABLE_TO_LOCK_ROW}}
- match: {object: Opportunity, nth: 2}
  action: {job_fails: {after_rows: 400, message: "Timeout : retried more than 20 times"}}
- match: {path: "failedResults$", nth: 1}
  action: {cut_body: 0.5}                               # the second half of the answer is missing
- match: {method: POST, path: "/query-sql$", nth: 4}
  action: {change_source: DELETE FROM "Opportunity__dlm" WHERE "Amount__c" IS NULL}
- match: {object: Opportunity, nth: 5}
  action: {job_stalls: {after_rows: 200}}               # and stays InProgress for ever
- match: {object: Opportunity, nth: 6}
  action: {job_reports: {numberRecordsFailed: null}}    # what GET says of the job; null leaves the key out
- match: {key: OPP-0000007}                             # every job that holds this row ...
  action: {row_is_fatal: {message: "InternalServerError : Unknown error"}}    # fails as soon as it comes to it
```

`match` says which requests, or which jobs as they are closed: all of them, or the `nth` (from 1), `every` so
many, or each with a `probability`, counted among those that fit `method` and `path` (a regular expression,
searched for in the path without regard to case), or for actions on jobs the `object` and the `key`, which is the
external id of one of the job's rows; `until_seconds` and `from_seconds` bound them in simulated seconds since the
org started. The same seed gives the same faults.
`action` is one of: `status` (with `code` and `message`, or a `body` as it is, and `headers`), `reset` and
`no_answer` (`before` or `after` the request is carried out; without an answer the client has to give up),
`delay_seconds`, `expire_token`, `cut_body` (the share of the answer that is sent), `change_source` (one SQL
statement, before the request is carried out); and on jobs `row_failures`, `job_fails`, `job_aborted`,
`job_deleted` and `job_stalls` (each `after_rows`), `job_reports`, `row_is_fatal`.
"""

import random
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from local.org.errors import RowError


class FaultsFileError(ValueError):
    """The faults file is no list of rules; the message names the rule and what is wrong with it."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Part):
    """Which requests or jobs a rule is for."""

    method: str | None = None
    path: str | None = None
    object: str | None = None
    key: str | None = None
    from_seconds: Annotated[float, Field(ge=0)] = 0.0
    until_seconds: Annotated[float, Field(gt=0)] | None = None
    nth: Annotated[int, Field(ge=1)] | None = None
    every: Annotated[int, Field(ge=1)] | None = None
    probability: Annotated[float, Field(ge=0, le=1)] | None = None

    @property
    def is_for_jobs(self) -> bool:
        """It says which jobs."""
        return self.object is not None or self.key is not None

    def fits_job(self, object_name: str, keys: Collection[str]) -> bool:
        """Whether a job of this object that holds rows with these external ids is meant."""
        is_object = (self.object or object_name).lower() == object_name.lower()
        return is_object and (self.key is None or self.key in keys)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(each is not None for each in (self.nth, self.every, self.probability)) > 1:
            raise ValueError("give one of nth, every and probability")
        try:
            re.compile(self.path or "")
        except re.error as wrong:
            raise ValueError(f"path is no regular expression: {wrong}") from wrong
        return self


class RowFailures(_Part):
    """A share of the rows of a job is refused."""

    share: Annotated[float, Field(ge=0, le=1)]
    code: str
    message: str = "scripted in the faults file"


class JobBreaks(_Part):
    """A job goes no further once so many rows are processed."""

    after_rows: Annotated[int, Field(ge=0)] = 0


class JobFails(JobBreaks):
    """A job ends as Failed once so many rows are processed."""

    message: str


class RowIsFatal(_Part):
    """The job ends as Failed before the 200 rows that hold the rule's key."""

    message: str


class Action(_Part):
    """What happens to a matched request or job: exactly one thing."""

    status: Annotated[int, Field(ge=200, le=599)] | None = None
    code: str = "UNKNOWN_EXCEPTION"
    message: str = "scripted in the faults file"
    body: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    reset: Literal["before", "after"] | None = None
    delay_seconds: Annotated[float, Field(gt=0)] | None = None
    no_answer: Literal["before", "after"] | None = None
    expire_token: Literal[True] | None = None
    cut_body: Annotated[float, Field(ge=0, lt=1)] | None = None
    change_source: str | None = None
    row_failures: RowFailures | None = None
    job_fails: JobFails | None = None
    job_aborted: JobBreaks | None = None
    job_deleted: JobBreaks | None = None
    job_stalls: JobBreaks | None = None
    job_reports: dict[str, int | str | None] | None = None
    row_is_fatal: RowIsFatal | None = None

    @property
    def is_for_jobs(self) -> bool:
        """The action happens to a job, not to a request."""
        return any(getattr(self, kind) is not None for kind in _JOB_KINDS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in _KINDS) != 1:
            raise ValueError(f"give exactly one of {', '.join(_KINDS)}")
        return self


_JOB_KINDS = ("row_failures", "job_fails", "job_aborted", "job_deleted", "job_stalls", "job_reports", "row_is_fatal")
_KINDS = (
    "status",
    "reset",
    "no_answer",
    "delay_seconds",
    "expire_token",
    "cut_body",
    "change_source",
    *_JOB_KINDS,
)


class Rule(_Part):
    """One rule of the faults file."""

    match: Match = Match()
    action: Action

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.action.is_for_jobs and (self.match.method or self.match.path):
            raise ValueError("row_... and job_... match an object or a key, no method or path")
        if self.match.is_for_jobs and not self.action.is_for_jobs:
            raise ValueError("object and key go with row_... and job_...; match a method or a path")
        if self.action.row_is_fatal and self.match.key is None:
            raise ValueError("row_is_fatal needs the key of a row")
        return self


_RULES = TypeAdapter(tuple[Rule, ...])


@dataclass(frozen=True)
class Faults:
    """The rules, in the order of the file."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read rules from YAML or JSON.

        Raises:
            FaultsFileError: it is no list of rules.
        """
        try:
            return cls(_RULES.validate_python(yaml.safe_load(text) or ()))
        except yaml.YAMLError as wrong:
            raise FaultsFileError(f"The faults are neither YAML nor JSON: {wrong}") from wrong
        except ValidationError as wrong:
            causes = "; ".join(_cause(each["loc"], each["msg"]) for each in wrong.errors())
        # Not chained: pydantic's error keeps call frames alive in a cycle that the garbage collector cannot see.
        raise FaultsFileError(f"The faults are not as expected: {causes} (rules count from 0)")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read rules from a file.

        Raises:
            FaultsFileError: it is no list of rules; the message names the file.
        """
        try:
            return cls.parse(path.read_text(encoding="utf-8"))
        except FaultsFileError as wrong:
            raise FaultsFileError(f"{path}: {wrong}") from wrong


def _cause(place: tuple[int | str, ...], message: str) -> str:
    if not place:
        return "the file is to be a list of rules, each with match and action"
    rule, *parts = place
    return f"rule {rule} ({'.'.join(map(str, parts))}): {message}"


@dataclass(frozen=True)
class JobFaults:
    """What is to go wrong with one job; ``fatal_rows`` has messages by row number."""

    row_errors: Mapping[int, RowError] = field(default_factory=dict)
    fatal_rows: Mapping[int, str] = field(default_factory=dict)
    fails: JobFails | None = None
    aborted: JobBreaks | None = None
    deleted: JobBreaks | None = None
    stalls: JobBreaks | None = None
    reports: Mapping[str, int | str | None] = field(default_factory=dict)


class _Counted:
    """A rule and how often it was looked at."""

    def __init__(self, rule: Rule, seed: str) -> None:
        self.rule = rule
        self._seen = 0
        self._random = random.Random(seed)

    def strikes(self, now_seconds: float) -> bool:
        match = self.rule.match
        until_seconds = match.until_seconds
        if now_seconds < match.from_seconds or (until_seconds is not None and now_seconds >= until_seconds):
            return False
        self._seen += 1
        if match.nth is not None:
            return self._seen == match.nth
        if match.every is not None:
            return self._seen % match.every == 0
        return match.probability is None or self._random.random() < match.probability


class FaultPlan:
    """The rules at work: counts what it is shown and says what is to go wrong.

    Args:
        faults: the rules.
        seed: decides what a probability comes to.
        seconds: the time inside the org.
    """

    def __init__(self, faults: Faults, seed: int, seconds: Callable[[], float] = lambda: 0.0) -> None:
        self._seed = seed
        self._seconds = seconds
        self._lock = Lock()
        counted = [_Counted(rule, f"{seed}:{place}") for place, rule in enumerate(faults.rules)]
        self._for_jobs = [each for each in counted if each.rule.action.is_for_jobs]
        self._for_requests = [each for each in counted if not each.rule.action.is_for_jobs]

    def for_request(self, method: str, path: str) -> list[Action]:
        """What is to happen to this request, in the order of the file."""
        with self._lock:
            return [
                each.rule.action
                for each in self._for_requests
                if (each.rule.match.method or method).upper() == method
                and re.search(each.rule.match.path or "", path, re.IGNORECASE)
                and each.strikes(self._seconds())
            ]

    def for_job(self, job_id: str, object_name: str, keys: Sequence[str]) -> JobFaults:
        """What is to go wrong with this job, whose rows have these external ids; asked once for each job."""
        row_errors: dict[int, RowError] = {}
        fatal_rows: dict[int, str] = {}
        faults = JobFaults()
        with self._lock:
            struck = [
                each.rule
                for each in self._for_jobs
                if each.rule.match.fits_job(object_name, keys) and each.strikes(self._seconds())
            ]
        for rule in struck:
            action = rule.action
            faults = JobFaults(
                fails=action.job_fails or faults.fails,
                aborted=action.job_aborted or faults.aborted,
                deleted=action.job_deleted or faults.deleted,
                stalls=action.job_stalls or faults.stalls,
                reports={**faults.reports, **(action.job_reports or {})},
            )
            if action.row_failures:
                error = RowError(action.row_failures.code, action.row_failures.message)
                chance = random.Random(f"{self._seed}:{job_id}:{error.code}")
                row_errors |= {row: error for row in range(len(keys)) if chance.random() < action.row_failures.share}
            if action.row_is_fatal and rule.match.key is not None:
                fatal_rows[keys.index(rule.match.key)] = action.row_is_fatal.message
        return replace(faults, row_errors=row_errors, fatal_rows=fatal_rows)
