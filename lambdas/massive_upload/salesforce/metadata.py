"""What the org says about its objects, its limits and how many records it holds."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from massive_upload.errors import RequestRefused, TargetRejected
from massive_upload.salesforce.answers import Answer, as_flag, as_integer, as_text, read_object, unexpected
from massive_upload.salesforce.api_usage import parse_api_usage
from massive_upload.salesforce.connection import Connection
from massive_upload.salesforce.error_codes import NOT_FOUND_STATUSES, error_for, is_gone

LIMITS_PATH = "/limits"
QUERY_PATH = "/query"


@dataclass(frozen=True)
class Field:
    """A field of an object; what the answer does not tell is None."""

    name: str
    type: str
    external_id: bool | None
    id_lookup: bool | None
    case_sensitive: bool | None
    createable: bool | None
    updateable: bool | None
    relationship_name: str | None
    reference_to: tuple[str, ...]


@dataclass(frozen=True)
class ObjectDescription:
    """An object and the fields that the logged-in user can see."""

    name: str
    fields: tuple[Field, ...]
    createable: bool | None
    updateable: bool | None

    def field(self, name: str) -> Field | None:
        """The field of that API name, in any letter case."""
        return next((field for field in self.fields if field.name.casefold() == name.casefold()), None)


@dataclass(frozen=True)
class Allowance:
    """A limit of the last 24 hours, for the whole org."""

    max: int
    remaining: int


@dataclass(frozen=True)
class Limits:
    """The allowances that a load uses; None where the org does not tell (that needs View Setup).

    Where it does not tell the API requests, that very answer's header does, which everybody may see.
    """

    daily_api_requests: Allowance | None
    daily_bulk_batches: Allowance | None


class Metadata:
    """Reads of the REST API."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def describe(self, object_name: str) -> ObjectDescription:
        """Describe an object.

        Raises:
            TargetRejected: there is no such object, or the user may not see it.
        """
        path = f"/sobjects/{quote(object_name, safe='')}/describe"
        response = self._connection.request("GET", path, expect=NOT_FOUND_STATUSES)
        asked = f"GET {path}"
        if is_gone(asked, response):
            raise TargetRejected(
                f"The org has no object {object_name} that the integration user can see.",
                next_step="Check the object's API name in the load's file, and the user's permissions.",
                code=str(response.status),
            )
        answer = read_object(asked, response)
        return ObjectDescription(
            name=as_text(answer.get("name")) or object_name,
            fields=tuple(_field(entry) for entry in _objects(asked, "fields", answer)),
            createable=as_flag(answer.get("createable")),
            updateable=as_flag(answer.get("updateable")),
        )

    def limits(self) -> Limits:
        """The org's daily allowances, as far as the user may see them."""
        response = self._connection.request("GET", LIMITS_PATH, expect=(403,))
        asked, usage = f"GET {LIMITS_PATH}", parse_api_usage(response.headers)
        by_header = Allowance(max=usage.allowed, remaining=usage.left) if usage else None
        if response.status == 403:
            error = error_for(asked, response)
            if isinstance(error, (RequestRefused, TargetRejected)):
                return Limits(daily_api_requests=by_header, daily_bulk_batches=None)
            raise error
        answer = read_object(asked, response)
        return Limits(
            daily_api_requests=_allowance(asked, answer.get("DailyApiRequests")) or by_header,
            daily_bulk_batches=_allowance(asked, answer.get("DailyBulkApiBatches")),
        )

    def count_modified(self, object_name: str, *, since: datetime) -> int | None:
        """How many records of the object the logged-in user was the last to modify.

        Args:
            object_name: the object's API name.
            since: from this moment on, to the second: SOQL's dateTime literals have no fractions, and no quotes (SOQL
                and SOSL Reference, "Date Formats and Date Literals").

        Returns:
            None where the login does not tell who the user is.

        Raises:
            TargetRejected: there is no such object.
        """
        user_id = self._connection.user_id
        if not re.fullmatch(r"[A-Za-z0-9]{15,18}", user_id):
            return None
        if not re.fullmatch(r"\w+", object_name):
            raise TargetRejected(
                f"{object_name!r} is no API name of an object.", next_step="Correct it in the load's file."
            )
        moment = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = f"LastModifiedById = '{user_id}' AND LastModifiedDate >= {moment}"
        response = self._connection.request(
            "GET",
            QUERY_PATH,
            params={"q": f"SELECT COUNT() FROM {object_name} WHERE {condition}"},  # noqa: S608 - checked names
        )
        asked = f"GET {QUERY_PATH}"
        count = as_integer(asked, "totalSize", read_object(asked, response).get("totalSize"))
        if count is None:
            raise unexpected(asked, "totalSize is missing")
        return count


def _field(entry: Answer) -> Field:
    targets = entry.get("referenceTo") or ()
    return Field(
        name=as_text(entry.get("name")),
        type=as_text(entry.get("type")),
        external_id=as_flag(entry.get("externalId")),
        id_lookup=as_flag(entry.get("idLookup")),
        case_sensitive=as_flag(entry.get("caseSensitive")),
        createable=as_flag(entry.get("createable")),
        updateable=as_flag(entry.get("updateable")),
        relationship_name=as_text(entry.get("relationshipName")) or None,
        reference_to=tuple(map(as_text, targets)) if isinstance(targets, (list, tuple)) else (as_text(targets),),
    )


def _objects(asked: str, key: str, answer: Answer) -> list[Answer]:
    entries = answer.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise unexpected(asked, f"{key} is no list of objects")
    return entries


def _allowance(asked: str, entry: object) -> Allowance | None:
    if not isinstance(entry, dict):
        return None
    maximum = as_integer(asked, "Max", entry.get("Max"))
    remaining = as_integer(asked, "Remaining", entry.get("Remaining"))
    if maximum is None or remaining is None:
        return None
    return Allowance(max=maximum, remaining=remaining)
