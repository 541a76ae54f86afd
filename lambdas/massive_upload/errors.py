"""Every error of the product, in one tree.

    LoadError
    ├── PassingError               retried: by Step Functions by class name, then by waiting for the org
    │   ├── SalesforceUnavailable  5xx, maintenance, connection or read time-out, a truncated answer
    │   ├── SalesforceBusy         429, too many concurrent requests, or too many logins or requests in an hour
    │   ├── SessionExpired         a token refused again just after it was renewed
    │   ├── QuotaExhausted         an allowance of the org's day is used up; the day rolls, so it comes back
    │   │   ├── RequestQuotaExhausted
    │   │   └── BatchQuotaExhausted
    │   ├── StorageUnavailable     DynamoDB or S3 throttled or failed beyond the SDK's own retries
    │   └── StateChanged           somebody else was faster: a repetition of the task, or who changed the org's job
    └── FinalError                 a person must act; never retried
        ├── ConfigurationError     something about the load or its surroundings is wrong; nothing was written
        │   ├── InvalidInput       the execution input
        │   ├── InvalidLoad        the load's file
        │   ├── CredentialsRejected
        │   ├── SourceRejected     the source's query
        │   ├── TargetRejected     the target's object, field or external id
        │   ├── DuplicateKeys
        │   ├── RunNotResumable    a run that does not exist, has ended for good, is too old, or was overtaken
        │   └── FullRunNeeded      an incremental run has nothing to go on from
        ├── AnotherRunActive       the target is being loaded by another run
        ├── FencedOut              a newer slice, or another run, has taken over
        ├── RequestRefused         an answer that no rule expects (any other 4xx)
        ├── OrgUnreachable         the org did not answer, or took no rows, for as long as patience lasts
        ├── JobRejected            the org refused a whole job for a reason of configuration
        ├── BreakerTripped     so much of a lane, or of the run, fails that going on is of no use
        ├── RunHalted              an error that would repeat for every row
        └── InternalError          a defect of this product

A class's name is the error name that Step Functions sees, so the Retry and Catch of the state machines are built
from these classes. Messages never hold record content, secrets or Salesforce's message texts, which quote values.
"""

from __future__ import annotations

import json
from enum import StrEnum


class LoadError(Exception):
    """Any error of the product.

    Attributes:
        code: the error's code at its origin (Salesforce's errorCode, an HTTP status), if there is one.
        next_step: what the operator does about it.
    """

    def __init__(self, message: str, *, next_step: str = "", code: str | None = None) -> None:
        self.code = code
        self.next_step = next_step
        super().__init__(f"{message} {next_step}".strip())


class PassingError(LoadError):
    """The same call may succeed later."""


class SalesforceUnavailable(PassingError):
    """The org did not answer, or answered with a server error.

    Attributes:
        answered: False where nothing was heard of the org itself, which may be down, or its address wrong: there was no
            answer at all, or a page that refuses the request as no API does.
    """

    def __init__(self, message: str, *, next_step: str = "", code: str | None = None, answered: bool = True) -> None:
        self.answered = answered
        super().__init__(message, next_step=next_step, code=code)


class SalesforceBusy(PassingError):
    """The org asks for fewer requests at a time.

    Attributes:
        retry_after_seconds: what the answer's Retry-After header asked for, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        next_step: str = "",
        code: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message, next_step=next_step, code=code)


class SessionExpired(PassingError):
    """A token was refused although it had just been renewed."""


class QuotaExhausted(PassingError):
    """A daily allowance of the org is used up. It counts the last 24 hours, so it comes back little by little."""


class RequestQuotaExhausted(QuotaExhausted):
    """The org's API requests of the last 24 hours are used up."""


class BatchQuotaExhausted(QuotaExhausted):
    """The org's Bulk API batches of the last 24 hours are used up."""


ORG_NOT_READY = (SalesforceUnavailable, SalesforceBusy, SessionExpired, QuotaExhausted)
"""The passing errors that are the org's, not those of AWS or of our own writes."""


class StorageUnavailable(PassingError):
    """DynamoDB or S3 failed for a passing reason, beyond the SDK's own retries."""


class StateChanged(PassingError):
    """The state changed in between; the next try reads what it is now.

    A repetition of the same task, under the same claim, recorded something, or somebody closed, aborted or deleted the
    job in the org.
    """


class FinalError(LoadError):
    """The same call will fail again."""


class ConfigurationError(FinalError):
    """The load or its surroundings are wrong."""


class InvalidInput(ConfigurationError):
    """The execution input is wrong."""


class InvalidLoad(ConfigurationError):
    """The load's configuration is wrong, or there is no such load."""


class CredentialsRejected(ConfigurationError):
    """The org refused the login, or each token that it gave out; or the secret lacks what the login needs."""


class SourceRejected(ConfigurationError):
    """Data Cloud refused a query, or the source lacks what the load names."""


class TargetRejected(ConfigurationError):
    """The target object, one of its fields or its external id cannot be used as the load says."""


class DuplicateKeys(ConfigurationError):
    """The source holds a key more than once and the load says to stop."""


class RunNotResumable(ConfigurationError):
    """The run does not exist, has ended for good, is too old, or a later one has written to its target."""


class FullRunNeeded(ConfigurationError):
    """An incremental run cannot tell which rows it would have to load."""


class AnotherRunActive(FinalError):
    """Another run holds the target."""


class FencedOut(FinalError):
    """A newer slice or another run has taken over; whoever gets this must not write any more."""


class RequestRefused(FinalError):
    """The org refused a request that should have been right.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, message: str, *, status: int, next_step: str = "", code: str | None = None) -> None:
        self.status = status
        super().__init__(message, next_step=next_step, code=code)


class OrgUnreachable(FinalError):
    """The org did not answer, or took no rows, for as long as the load's patience lasts; or refused a lane for a day.

    Also of jobs: one that stands still and is not aborted, or that a run before has left.
    """


class JobRejected(FinalError):
    """The org refused a whole job because of what it holds, not because of its load."""


class BreakerTripped(FinalError):
    """More of a lane, or of the run, fails than the load's limits allow."""


class RunHalted(FinalError):
    """Rows fail for a reason that would repeat for every row."""


class InternalError(FinalError):
    """A defect of this product."""


class RunError(StrEnum):
    """What FinishRun calls the end of a run for which no single error answers; beside the classes above, all there is.

    The last three say how an execution ended that did not bring its run to an end itself.
    """

    ACCOUNT_DOES_NOT_BALANCE = "AccountDoesNotBalance"
    BELOW_CRITERION = "SuccessRateBelowCriterion"
    LANES_UNFINISHED = "LanesUnfinished"
    NOT_PLANNED = "RunNotPlanned"
    PARTITIONS_FAILED = "PartitionsFailed"
    ROWS_UNSETTLED = "RowsUnsettled"
    STOPPED = "RunStopped"
    EXECUTION_ABORTED = "ExecutionAborted"
    EXECUTION_FAILED = "ExecutionFailed"
    EXECUTION_TIMED_OUT = "ExecutionTimedOut"

    @staticmethod
    def of_execution(status: str) -> str:
        """The error of a run whose execution ended with a status of Step Functions, such as TIMED_OUT."""
        return f"Execution{status.title().replace('_', '')}"


def error_names(kind: type[LoadError]) -> list[str]:
    """The names of every error of a kind, in the tree's order."""
    names: list[str] = []
    for cls in kind.__subclasses__():
        names += [cls.__name__, *error_names(cls)]
    return names


def message_of(cause: str) -> str:
    """What an error said, from its Cause in Step Functions: of a Lambda's, JSON with a stack trace beside it."""
    try:
        document = json.loads(cause)
    except ValueError:
        return cause
    return str(document.get("errorMessage", cause)) if isinstance(document, dict) else cause
