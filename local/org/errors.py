"""The errors that the org answers, with the codes and texts of the real service.

REST errors are an array of {message, errorCode}; OAuth errors are one object of {error, error_description}.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class ApiError(Exception):
    """An error of the REST APIs: an HTTP status and one entry of the error array."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class OAuthError(Exception):
    """An error of the token endpoint, which answers 400 then (RFC 6749, section 5.2)."""

    status = 400

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{self.status} {error}: {description}")
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class RowError:
    """Why one row of an upload was refused, as `sf__Error` spells it."""

    code: str
    message: str
    fields: Sequence[str] = ()

    @property
    def text(self) -> str:
        """`CODE:message:fields --`, and `:--` where no field is to blame."""
        names = f"{','.join(self.fields)} " if self.fields else ""
        return f"{self.code}:{self.message}:{names}--"


def session_expired() -> ApiError:
    """The access token is unknown, revoked or too old."""
    return ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")


def not_found(message: str = "The requested resource does not exist") -> ApiError:
    """No such path, job or object."""
    return ApiError(404, "NOT_FOUND", message)


def daily_requests_used_up() -> ApiError:
    """The requests of the last 24 hours reached the org's limit."""
    return ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")


def daily_batches_used_up() -> ApiError:
    """The bulk batches of the last 24 hours reached the org's limit."""
    return ApiError(400, "ExceededQuota", "ApiBatchItems Limit exceeded.")


def invalid_job(message: str) -> ApiError:
    """A job that cannot be created as asked."""
    return ApiError(400, "INVALIDJOB", f"InvalidJob : {message}")


def invalid_job_state(message: str) -> ApiError:
    """The job's state does not allow what was asked."""
    return ApiError(400, "INVALIDJOBSTATE", message)


def malformed_json(cause: str) -> ApiError:
    """The request's body is not the JSON that was expected."""
    return ApiError(400, "JSON_PARSER_ERROR", cause)
