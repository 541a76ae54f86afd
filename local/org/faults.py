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
- match: {key: OPP-0000007}                             # every job that holds this row, once it comes to it
  action: {job_fails: {message: "InternalServerError : Unknown error"}}
```

`match` says which requests, or which jobs as they are closed: all of them, or the `nth` (from 1), `every` so
many, or each with a `probability`, counted among those that fit `method` and `path` (a regular expression,
searched for in the path without regard to case), or for the last two actions the `object` and the `key`: the
external id of one of the job's rows.
The same seed gives the same faults.
`action` is one of: `status` (with `code` and `message`, or a `body` as it is, and `headers`), `reset` (`before`
or `after` the request is carried out), `delay_seconds`, `expire_token`, `row_failures`, `job_fails`.
"""

import random
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
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


class JobFails(_Part):
    """A job ends as Failed once so many rows are processed, or else before the 200 rows with the rule's key."""

    after_rows: Annotated[int, Field(ge=0)] | None = None
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
    expire_token: Literal[True] | None = None
    row_failures: RowFailures | None = None
    job_fails: JobFails | None = None

    @property
    def is_for_jobs(self) -> bool:
        """The action happens to a job, not to a request."""
        return self.row_failures is not None or self.job_fails is not None

    @model_validator(mode="after")
    def _check(self) -> Self:
        kinds = ("status", "reset", "delay_seconds", "expire_token", "row_failures", "job_fails")
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise ValueError(f"give exactly one of {', '.join(kinds)}")
        return self


class Rule(_Part):
    """One rule of the faults file."""

    match: Match = Match()
    action: Action

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.action.is_for_jobs and (self.match.method or self.match.path):
            raise ValueError("row_failures and job_fails match an object or a key, no method or path")
        if self.match.is_for_jobs and not self.action.is_for_jobs:
            raise ValueError("object and key go with row_failures and job_fails; match a method or a path")
        job_fails = self.action.job_fails
        if job_fails and job_fails.after_rows is None and self.match.key is None:
            raise ValueError("job_fails needs after_rows, unless the rule matches a key")
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
    rule, *parts = place or ("?",)
    return f"rule {rule} ({'.'.join(map(str, parts))}): {message}"


@dataclass(frozen=True)
class JobFailure:
    """A job ends as Failed once so many rows are processed, or as soon as it comes to a row."""

    message: str
    after_rows: int | None
    fatal_row: int | None


@dataclass(frozen=True)
class JobFaults:
    """What is to go wrong with one job."""

    row_errors: dict[int, RowError] = field(default_factory=dict)
    failures: tuple[JobFailure, ...] = ()

    def failure(self, processed: int, coming: range) -> JobFailure | None:
        """Why the job ends now: with so many rows processed, before or after the rows that come next."""
        for each in self.failures:
            is_due = each.after_rows is not None and processed >= each.after_rows
            if is_due or each.fatal_row in coming:
                return each
        return None


class _Counted:
    """A rule and how often it was looked at."""

    def __init__(self, rule: Rule, seed: str) -> None:
        self.rule = rule
        self._seen = 0
        self._random = random.Random(seed)

    def strikes(self) -> bool:
        match = self.rule.match
        self._seen += 1
        if match.nth is not None:
            return self._seen == match.nth
        if match.every is not None:
            return self._seen % match.every == 0
        return match.probability is None or self._random.random() < match.probability


class FaultPlan:
    """The rules at work: counts what it is shown and says what is to go wrong."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self._seed = seed
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
                and each.strikes()
            ]

    def for_job(self, job_id: str, object_name: str, keys: Sequence[str]) -> JobFaults:
        """What is to go wrong with this job, whose rows have these external ids; asked once for each job."""
        row_errors: dict[int, RowError] = {}
        failures: list[JobFailure] = []
        with self._lock:
            struck = [
                each.rule for each in self._for_jobs if each.rule.match.fits_job(object_name, keys) and each.strikes()
            ]
        for rule in struck:
            action = rule.action
            if action.job_fails:
                after_rows = action.job_fails.after_rows
                fatal_row = keys.index(rule.match.key) if after_rows is None and rule.match.key else None
                failures.append(JobFailure(action.job_fails.message, after_rows, fatal_row))
            if action.row_failures:
                error = RowError(action.row_failures.code, action.row_failures.message)
                chance = random.Random(f"{self._seed}:{job_id}:{error.code}")
                row_errors |= {row: error for row in range(len(keys)) if chance.random() < action.row_failures.share}
        return JobFaults(row_errors, tuple(failures))
