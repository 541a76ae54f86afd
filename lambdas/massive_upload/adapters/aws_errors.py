"""What botocore's errors mean to us."""

from http import HTTPStatus

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
)

_RETRIED_BY_BOTOCORE = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
"""What botocore's standard retry mode takes for throttling or transient, whatever its status (Boto3 guide, "Retries"):
S3 answers a slow upload with `RequestTimeout` and 400. It has retried them before we see them. Its own lists have no
public names; a test holds this one against them."""

_PASSING_CODES = _RETRIED_BY_BOTOCORE | {
    "InternalError",
    "InternalServerError",
    "ServiceUnavailable",
    "TransactionConflictException",
}
"""The others are of the DynamoDB and S3 API references, "Common Errors"."""


def error_code(error: ClientError | BotoCoreError) -> str:
    """The error's code at its service, or the name of botocore's own error."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def is_passing(error: ClientError | BotoCoreError) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error_code(error) in _PASSING_CODES or int(status) == HTTPStatus.TOO_MANY_REQUESTS or int(status) >= 500
    return isinstance(error, (ConnectionError, HTTPClientError, IncompleteReadError, ResponseStreamingError))
