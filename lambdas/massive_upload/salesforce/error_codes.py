"""The one table of what Salesforce's refusals mean: of a request, of a login, of a job, of a row.

Nothing else in the product looks at Salesforce's codes. Codes are compared without case and underscores, as
the APIs differ (`INVALID_SESSION_ID`, `InvalidSessionId`). For a request the message text decides in one case
only: REQUEST_LIMIT_EXCEEDED stands for the daily allowance, an hourly one and concurrent requests alike. For a login it
does so in one more: too many logins may be refused under the code of a wrong grant, with "login rate exceeded" as the
text.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum

from massive_upload.errors import (
    BatchQuotaExhausted,
    CredentialsRejected,
    LoadError,
    RequestQuotaExhausted,
    RequestRefused,
    RunHalted,
    SalesforceBusy,
    SalesforceUnavailable,
    SessionExpired,
    StateChanged,
    TargetRejected,
)
from massive_upload.salesforce.answers import normalised_word
from massive_upload.salesforce.error_bodies import API_CODE_KEY, ErrorBody, parse_error_body
from massive_upload.salesforce.transport import Response

_SERVER_ERRORS = range(500, 600)

_WAITS = "It is tried again by itself."
_CHECK_STATUS = "It is tried again by itself; if it stays so, see the org's instance on status.salesforce.com."
_CHECK_BETWEEN = (
    "It is tried again by itself; if it stays so, check that login_url is the org's My Domain, and look for a proxy "
    "between here and the org."
)
_CHECK_TARGET = (
    "Check the target's object, fields and external id in the load's file, and that the integration user may use them."
)
_CHECK_LOGIN = (
    "Check the org's secret: login_url must be the org's My Domain, and the user active and allowed to use the app."
)
CHECK_SESSION = (
    "Give the app in the org the scopes api and cdp_query_api; and login_url of its secret must be the org's My Domain."
)
"""Without the scope api the org gives out tokens, and then refuses each of them (Salesforce Help, 005226515)."""
_CHECK_APP = "Check client_id and client_secret (or the key) of the org's secret against the app in the org."
_CHECK_FLOW = "Enable the client credentials or JWT bearer flow of the app, with a run-as user and the scope 'api'."


@dataclass(frozen=True)
class Rule:
    """When it applies, and the error that then is raised. Empty conditions always hold."""

    error: type[LoadError]
    next_step: str
    statuses: Collection[int] = ()
    codes: Collection[str] = ()
    code_key: str = ""
    message_contains: str = ""
    is_page: bool = False

    def applies(self, status: int, body: ErrorBody) -> bool:
        """Whether an answer with this status and body is meant."""
        return (
            (not self.statuses or status in self.statuses)
            and (not self.codes or normalised_word(body.code) in map(normalised_word, self.codes))
            and self.code_key in ("", body.code_key)
            and self.message_contains in body.message.casefold()
            and not (self.is_page and body.is_json)
        )


_IN_MAINTENANCE = "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"
"""An org that is moved can be read for some minutes, and not written to (Salesforce Help, "Read-Only Mode")."""
_NO_BATCHES_LEFT = "ExceededQuota"

_SESSION_REFUSED = (
    # URL_NOT_RESET: the call went to a host that no longer is the org's; a login tells its host anew.
    Rule(SessionExpired, CHECK_SESSION, codes=("INVALID_SESSION_ID", "URL_NOT_RESET")),
    Rule(SessionExpired, CHECK_SESSION, statuses=(401,)),
)
_OF_ANY_CALL = (
    Rule(SalesforceBusy, _WAITS, codes=("REQUEST_LIMIT_EXCEEDED",), message_contains="concurrent"),
    # Data Cloud's queries are resources of the Connect API, which has a limit of its own for each user and app.
    Rule(SalesforceBusy, _WAITS, codes=("REQUEST_LIMIT_EXCEEDED",), message_contains="hourly"),
    Rule(
        RequestQuotaExhausted,
        "The org's API requests of the last 24 hours are used up: they come back as the day rolls on.",
        codes=("REQUEST_LIMIT_EXCEEDED",),
    ),
    Rule(SalesforceBusy, _WAITS, statuses=(429,)),
    Rule(
        BatchQuotaExhausted,
        "The org's Bulk API batches of the last 24 hours are used up: they come back as the day rolls on.",
        codes=(_NO_BATCHES_LEFT,),
    ),
    Rule(
        RunHalted,
        "The org's storage is full: free or buy storage, then resume the run.",
        codes=("STORAGE_LIMIT_EXCEEDED",),
    ),
    Rule(SalesforceUnavailable, _CHECK_STATUS, statuses=(408, *_SERVER_ERRORS)),
    Rule(
        SalesforceUnavailable,
        _CHECK_STATUS,
        codes=(
            "SERVER_UNAVAILABLE",
            "UNABLE_TO_LOCK_ROW",
            "REQUEST_RUNNING_TOO_LONG",
            "QUERY_TIMEOUT",
            "TOO_MANY_APEX_REQUESTS",
            _IN_MAINTENANCE,
        ),
    ),
)
NOT_FOUND_STATUSES = (404, 410)
"""How whatever was asked for is said not to be there; whether the org says so is told by `is_gone`."""

_GONE = (
    Rule(
        RequestRefused,
        "What was asked for does not exist in the org, or was deleted.",
        statuses=NOT_FOUND_STATUSES,
        codes=("NOT_FOUND", "ENTITY_IS_DELETED"),
        code_key=API_CODE_KEY,  # a gateway's {"error": "not_found"} tells nothing of what was asked for
    ),
)
REQUEST_RULES: tuple[Rule, ...] = (
    *_SESSION_REFUSED,
    *_OF_ANY_CALL,
    Rule(
        TargetRejected,
        _CHECK_TARGET,
        codes=(
            "INVALID_TYPE",
            "INVALIDENTITY",
            "INVALID_FIELD",
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "INSUFFICIENT_ACCESS",
            "INSUFFICIENT_ACCESS_OR_READONLY",
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
        ),
    ),
    Rule(
        StateChanged,
        "The job is not in the state that this call needs, so its state is read again.",
        codes=("INVALIDJOB", "INVALIDJOBSTATE"),
    ),
    Rule(
        RequestRefused,
        "Enable the API for the org's edition and the integration user's profile.",
        codes=("API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED", "FEATURENOTENABLED"),
    ),
    *_GONE,
    # A page "URL No Longer Exists", say, comes from something in between, as a gateway's own code does.
    Rule(SalesforceUnavailable, _CHECK_BETWEEN, statuses=NOT_FOUND_STATUSES),
    Rule(RequestRefused, "Lower pace.batch_rows, or see what lies between here and the org.", statuses=(413,)),
    Rule(SalesforceUnavailable, _CHECK_BETWEEN, is_page=True),
    Rule(RequestRefused, "Look the code up in Salesforce's list of API status codes."),
)
"""For answers of the REST, Bulk and Data Cloud APIs; the first rule that applies decides."""

LOGIN_RULES: tuple[Rule, ...] = (
    # Salesforce's own text for unknown_error asks to retry; the other two are of RFC 6749, 4.1.2.1.
    Rule(
        SalesforceUnavailable,
        _CHECK_STATUS,
        codes=("unknown_error", "server_error", "temporarily_unavailable"),
    ),
    # Salesforce takes 3,600 logins an hour of a user, and every environment of a function logs in by itself.
    Rule(SalesforceBusy, _WAITS, codes=("login_rate_exceeded", "rate_limit_exceeded")),
    Rule(SalesforceBusy, _WAITS, message_contains="rate exceeded"),
    *_OF_ANY_CALL,
    Rule(CredentialsRejected, _CHECK_APP, codes=("invalid_client", "invalid_client_id")),
    Rule(CredentialsRejected, _CHECK_FLOW, codes=("unsupported_grant_type", "invalid_scope")),
    Rule(SalesforceUnavailable, _CHECK_BETWEEN, is_page=True),
    Rule(CredentialsRejected, _CHECK_LOGIN),
)
"""For answers of the token endpoint."""


def error_for(asked: str, response: Response, rules: tuple[Rule, ...] = REQUEST_RULES) -> LoadError:
    """The error that an answer other than 2xx stands for.

    Args:
        asked: what was asked, as "METHOD /path".
        response: the answer; its text decides and is then dropped, since it may quote values.
        rules: REQUEST_RULES or LOGIN_RULES.
    """
    body = parse_error_body(response)
    rule = next(rule for rule in rules if rule.applies(response.status, body))
    message = f"{asked} was answered with {response.status}{' ' + body.code if body.code else ''}."
    code = body.code or str(response.status)
    if rule.error is SalesforceBusy:
        return SalesforceBusy(
            message,
            next_step=rule.next_step,
            code=code,
            retry_after_seconds=retry_after_seconds(response.headers),
        )
    if rule.error is SalesforceUnavailable:
        return SalesforceUnavailable(message, next_step=rule.next_step, code=code, answered=not rule.is_page)
    if rule.error is RequestRefused:
        return RequestRefused(message, status=response.status, next_step=rule.next_step, code=code)
    return rule.error(message, next_step=rule.next_step, code=code)


def is_session_refused(response: Response) -> bool:
    """Whether the token of the request is no longer valid."""
    return not response.is_success and _is_of(response, _SESSION_REFUSED)


def is_gone(asked: str, response: Response) -> bool:
    """Whether the org itself says that it does not have (any more) what was asked for.

    Raises:
        LoadError: the answer is a refusal, but does not say so: what was asked for may well be there.
    """
    if response.is_success:
        return False
    if not _is_of(response, _GONE):
        raise error_for(asked, response)
    return True


def _is_of(response: Response, rules: tuple[Rule, ...]) -> bool:
    body = parse_error_body(response)
    return any(rule.applies(response.status, body) for rule in rules)


_LONGEST_RETRY_AFTER_SECONDS = 86_400
"""A day, which is as long as a load's patience can be; a header may ask for more than any number holds."""


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After in both forms (RFC 9110, 10.2.3); a date counts from the answer's own Date."""
    asked_seconds = _asked_seconds(headers)
    return None if asked_seconds is None else min(max(0.0, asked_seconds), _LONGEST_RETRY_AFTER_SECONDS)


def _asked_seconds(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))
    except (TypeError, ValueError, OverflowError):
        return None  # no such header, no Date to count from, or an unreadable one: the usual back-off serves
    return wait.total_seconds()


class RowVerdict(StrEnum):
    """What is done about a row that failed."""

    PASSING = "passing"
    """Sent again."""
    FINAL = "final"
    """Rejected, and kept with its reason."""
    RUN_STOPPING = "run_stopping"
    """Rejected; every other row would fail in the same way."""


_LOCK_WORDS = ("UNABLE_TO_LOCK_ROW", "TooManyLockFailure")
_PASSING_ROW_WORDS = (
    *_LOCK_WORDS,
    "REQUEST_RUNNING_TOO_LONG",
    "SERVER_UNAVAILABLE",
    "QUERY_TIMEOUT",
    # Salesforce's code for an internal error of its own; the number of tries is bounded.
    "UNKNOWN_EXCEPTION",
    # "This error is transient. Resend your request after a short wait" (SOAP API Developer Guide).
    "TOO_MANY_APEX_REQUESTS",
    # Rows at fault make those beside them fail, too (Apex Developer Guide, "Bulk DML Exception Handling").
    "Too many batch retries in the presence of Apex triggers",
    _IN_MAINTENANCE,
)


def row_verdict(code: str, message: str) -> RowVerdict:
    """Judge a row's error.

    A passing code counts wherever it stands: an error inside a trigger arrives in the text of another code. A field
    that a row may not write (INVALID_FIELD_FOR_INSERT_UPDATE) may be its own matter, as the name of a person account
    is: where every row fails with it, the breaker stops them.
    """
    if normalised_word(code) == normalised_word("STORAGE_LIMIT_EXCEEDED"):
        return RowVerdict.RUN_STOPPING
    if normalised_word(code) == "invalidfield" and "no such column" in message.casefold():
        return RowVerdict.RUN_STOPPING
    if _holds_any(_PASSING_ROW_WORDS, code, message):
        return RowVerdict.PASSING
    return RowVerdict.FINAL


def is_lock_error(code: str, message: str) -> bool:
    """Whether a row failed because another transaction held a record that it needed."""
    return _holds_any(_LOCK_WORDS, code, message)


def is_out_of_batches(code: str) -> bool:
    """Whether the org's batches of the day are used up.

    A job that was accepted fails so where that happens while it is worked on (Bulk API 2.0 guide, "How Requests Are
    Processed").
    """
    return normalised_word(code) == normalised_word(_NO_BATCHES_LEFT)


def takes_no_rows(code: str) -> bool:
    """Whether the org takes no rows for now, whatever they hold: it is in maintenance, or out of batches.

    By the code alone: a row's text quotes values, and no row's value must keep the others waiting.
    """
    return is_out_of_batches(code) or normalised_word(code) == normalised_word(_IN_MAINTENANCE)


def _holds_any(words: tuple[str, ...], code: str, message: str) -> bool:
    text = f"{code}:{message}".casefold()
    return any(word.casefold() in text for word in words)


class JobVerdict(StrEnum):
    """Why a job failed as a whole."""

    PASSING = "passing"
    """Locks, time-outs or the org itself: its rows go into smaller jobs, unless the org `takes_no_rows` for now."""
    CONTENT = "content"
    """What a row holds: its rows go into smaller jobs too, until it is found; going slower would not help them."""
    CONFIGURATION = "configuration"
    """The header or the user: every job of the load would fail in the same way."""


_HEADER_AT_FAULT = (
    "Field name not found",
    # of a relationship: a lookup of one type whose column names a type, and one that there is not
    "type is not needed for non polymorphic foreign key references",
    "Unable to find relationship",
)
_FILE_AT_FAULT = frozenset({"invalidbatch", "clientinputerror"})


def job_verdict(error_message: str | None) -> JobVerdict:
    """Judge the `errorMessage` of a failed job, such as "InvalidBatch : Field name not found : X".

    Any other InvalidBatch or ClientInputError ("LineEnding is invalid on user data") may be a matter of one row, as of
    a text that is too long or has line ends of its own; where every job fails with it, the breaker ends the
    lane, but for batches of less than 256 rows, which are rejected sooner.
    """
    code, _, text = (error_message or "").partition(":")
    word = normalised_word(code)
    is_header = word == "invalidbatch" and _holds_any(_HEADER_AT_FAULT, code, text)
    if is_header or word == "invaliduser":
        return JobVerdict.CONFIGURATION
    return JobVerdict.CONTENT if word in _FILE_AT_FAULT else JobVerdict.PASSING
