"""When Step Functions tries a task again: native Retry, by error name, so that nothing is tried again by mistake.

``States.ALL`` is never retried: a defect would be repeated as if it passed.
"""

from __future__ import annotations

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_stepfunctions as sfn

from massive_upload.constants import LONG_WAIT_SECONDS
from massive_upload.errors import PassingError, StorageUnavailable, error_names


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """One retrier of a task; each retrier of a task counts its own attempts (Amazon States Language, "Retrier")."""

    errors: tuple[str, ...]
    interval_seconds: int
    backoff_rate: float
    max_attempts: int
    max_delay_seconds: int
    jitter: bool

    def add_to(self, task: sfn.TaskStateBase | sfn.CustomState) -> None:
        """Append this policy to the task's retriers; the first that names an error wins."""
        task.add_retry(
            errors=list(self.errors),
            interval=cdk.Duration.seconds(self.interval_seconds),
            backoff_rate=self.backoff_rate,
            max_attempts=self.max_attempts,
            max_delay=cdk.Duration.seconds(self.max_delay_seconds),
            jitter_strategy=sfn.JitterType.FULL if self.jitter else sfn.JitterType.NONE,
        )


ORG_ERRORS = RetryPolicy(
    errors=tuple(error_names(PassingError)),
    interval_seconds=2,
    backoff_rate=2.5,
    max_attempts=3,
    max_delay_seconds=10,
    jitter=False,
)
"""Passing errors of the org and of storage: exactly 2, 5 and 10 s, 17 s in all."""

_LAMBDA_SERVICE = (
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
)
_ANY_LAMBDA_ERROR = "Lambda.AWSLambdaException"
"""Also of a call that the role does not allow (awslabs/aws-deployment-framework#460 shows one)."""
_KILLED_CALLS = ("Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError", "Runtime.OutOfMemory", "States.Timeout")
"""Runtime.OutOfMemory, "signal: killed", is seen in awslabs/aws-deployment-framework#758."""


def _some_tries(errors: tuple[str, ...]) -> RetryPolicy:
    """At most 2, 4, 8, 16, 32 and 60 s, 122 s in all."""
    return RetryPolicy(
        errors=errors, interval_seconds=2, backoff_rate=2.0, max_attempts=6, max_delay_seconds=60, jitter=True
    )


def _patience(errors: tuple[str, ...]) -> RetryPolicy:
    """At most 5, 10, 20 and so on up to 320 s, then 600 s each time.

    By jitter half of that on average, 7,217 s in all: as long as a load's patience by default.
    """
    return RetryPolicy(
        errors=errors,
        interval_seconds=5,
        backoff_rate=2.0,
        max_attempts=30,
        max_delay_seconds=LONG_WAIT_SECONDS,
        jitter=True,
    )


LAMBDA_ERRORS = _some_tries((*_LAMBDA_SERVICE, _ANY_LAMBDA_ERROR, *_KILLED_CALLS))
"""Errors of the Lambda service, and calls that were killed.

Three of the service's and the one for any error are the guide's set ("Handle transient Lambda service exceptions", Step
Functions best practices); throttling, an out-of-memory kill and a time-out have names of their own.
"""

DYNAMODB_ERRORS = _patience(
    (
        "DynamoDB.ProvisionedThroughputExceededException",
        "DynamoDB.ThrottlingException",
        "DynamoDB.RequestLimitExceeded",
        "DynamoDB.RequestLimitExceededException",
        "DynamoDB.InternalServerError",
        "DynamoDB.InternalServerErrorException",
        "DynamoDB.TransactionConflictException",
        "DynamoDB.AmazonDynamoDBException",
        "DynamoDB.SdkClientException",
        "States.Timeout",
    )
)
"""Passing errors of DynamoDB in a native task.

The API's names (RequestLimitExceeded, InternalServerError) and the SDK's class names (with Exception) have both been
seen in executions, so both are listed.
"""

STEP_FUNCTIONS_ERRORS = _patience(
    (
        "StepFunctions.ExecutionLimitExceeded",
        "StepFunctions.ExecutionLimitExceededException",
        "StepFunctions.AWSStepFunctionsException",
        "StepFunctions.SdkClientException",
    )
)
"""A slice could not be started, or not be watched."""

SLICE_ERRORS = RetryPolicy(
    errors=("States.TaskFailed",),
    interval_seconds=5,
    backoff_rate=2.0,
    max_attempts=2,
    max_delay_seconds=60,
    jitter=True,
)
"""A slice failed although it records its own errors: once more after at most 5 s, and after at most 10 s.

The next slice claims the partition anew and goes on with what DynamoDB holds.
"""

PASSING_ERROR_NAMES = ORG_ERRORS.errors + LAMBDA_ERRORS.errors
"""What a Catch takes for passing once the retries of a Lambda task are used up."""

AWS_ERRORS = _patience((StorageUnavailable.__name__, *_LAMBDA_SERVICE))
"""AWS itself refuses, where no CheckPatience waits for it to come back."""

LAMBDA_TASK = (ORG_ERRORS, LAMBDA_ERRORS)
"""A task of a slice; CheckPatience waits once these are used up."""
PATIENCE_TASK = (_patience(PASSING_ERROR_NAMES),)
"""CheckPatience itself, with which nobody has patience."""
LOAD_TASK = (AWS_ERRORS, ORG_ERRORS, _some_tries((_ANY_LAMBDA_ERROR, *_KILLED_CALLS)))
"""A task of the load machine. It waits for the org by itself; a call that is killed or refused may be so each time."""
DYNAMODB_TASK = (DYNAMODB_ERRORS,)
SLICE_TASK = (STEP_FUNCTIONS_ERRORS, SLICE_ERRORS)
