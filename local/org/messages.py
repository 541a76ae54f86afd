from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl

import orjson

from local.org.errors import ApiError, OAuthError, invalid_job, malformed_json


class ConnectionCutError(Exception):
    """The faults file wants the connection to be cut now."""


class NoAnswerError(Exception):
    """The faults file wants the client to wait until it gives up."""


@dataclass(frozen=True)
class Request:
    """An HTTP request, read to its end."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Message
    body: bytes
    server_url: str

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            ApiError: it is none.
        """
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError as wrong:
            raise malformed_json(str(wrong)) from wrong
        if not isinstance(value, dict):
            raise malformed_json("A JSON object was expected")
        return value

    def form(self) -> dict[str, str]:
        """The parameters of the query string and of a form body; the body's win."""
        return {**self.query, **dict(parse_qsl(self.body.decode()))}

    def number(self, name: str) -> int | None:
        """A number in the query string, or None.

        Raises:
            ApiError: it is none.
        """
        text = self.query.get(name)
        if text is None:
            return None
        try:
            return int(text)
        except ValueError as wrong:
            raise ApiError(400, "INVALID_ARGUMENT", f"{name} is {text!r}: a number was expected") from wrong

    def parts(self) -> dict[str, bytes]:
        """The parts of a multipart body by their name.

        Raises:
            ApiError: a part has no name, or the body is not multipart.
        """
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        found: dict[str, bytes] = {}
        for part in BytesParser(policy=HTTP).parsebytes(head + self.body).iter_parts():
            name = part["Content-Disposition"].params.get("name") if part["Content-Disposition"] else None
            payload = part.get_payload(decode=True)
            if name is None or not isinstance(payload, bytes):
                raise invalid_job("A part of the multipart body has no name")
            found[name] = payload
        return found


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json;charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, value: object, status: int = 200) -> "Response":
        """A JSON answer."""
        return cls(status, orjson.dumps(value))

    @classmethod
    def of_csv(cls, content: bytes) -> "Response":
        """A result file."""
        return cls(200, content, "text/csv; charset=UTF-8")

    @classmethod
    def of_api_error(cls, error: ApiError) -> "Response":
        """REST errors are an array."""
        return cls.of_json([{"message": error.message, "errorCode": error.code}], error.status)

    @classmethod
    def of_oauth_error(cls, error: OAuthError) -> "Response":
        """Token errors are an object."""
        return cls.of_json({"error": error.error, "error_description": error.description}, error.status)
