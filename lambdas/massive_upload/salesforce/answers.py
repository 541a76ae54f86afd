"""Reads JSON answers: tolerant of a value's form, never of its absence where it is needed."""

import json
from collections.abc import Mapping
from datetime import datetime

import orjson

from massive_upload.errors import RequestRefused, SalesforceUnavailable
from massive_upload.salesforce.transport import Response

Answer = Mapping[str, object]


def read_object(asked: str, response: Response) -> Answer:
    """The JSON object of a 2xx answer.

    Raises:
        SalesforceUnavailable: the body is no JSON, so it was cut off or came from something in between.
        RequestRefused: the JSON is no object.
    """
    try:
        answer = parse_json(response.body)
    except ValueError as error:
        raise SalesforceUnavailable(
            f"{asked}: the answer ({response.status}, {len(response.body)} bytes) is no complete JSON.",
            next_step="It is tried again; if it stays so, look for a proxy between here and the org.",
            code=str(response.status),
        ) from error
    if not isinstance(answer, dict):
        raise unexpected(asked, "it is no JSON object")
    return answer


def parse_json(body: bytes) -> object:
    """JSON, also with half of a surrogate pair in a text, which orjson refuses: one row's trouble is not its page's.

    Raises:
        ValueError: it is none.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body)


def unexpected(asked: str, problem: str) -> RequestRefused:
    """The error for a 2xx answer that is not as documented; `problem` must not quote what was answered."""
    return RequestRefused(
        f"{asked}: the answer is not as documented: {problem}.",
        status=200,
        next_step="Check that login_url leads to a Salesforce org of a supported API version.",
    )


def as_text(value: object) -> str:
    """The value as text; empty for null."""
    return "" if value is None else str(value)


def as_integer(asked: str, key: str, value: object) -> int | None:
    """A whole number, also when given as text or as a float; None for null or empty.

    Raises:
        RequestRefused: the value is no whole number.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise unexpected(asked, f"{key} is no number")
    try:
        number = float(value)  # exact for every count and every duration: they are far below 2**53
    except ValueError as error:
        raise unexpected(asked, f"{key} is no number") from error
    if not number.is_integer():
        raise unexpected(asked, f"{key} is no whole number")
    return int(number)


def as_moment(value: object) -> datetime | None:
    """A time such as 2026-01-01T00:00:00.000+0000; None where it is missing or of another kind."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def as_flag(value: object) -> bool | None:
    """A truth value, also when given as text; None where it is missing or of another kind."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None


def normalised_word(value: object) -> str:
    """A state word for comparison: `JobComplete`, `JOB_COMPLETE` and `job complete` are the same."""
    return "".join(character for character in as_text(value).casefold() if character.isalnum())
