"""What an error answer says, in any of the forms in which Salesforce says it."""

import re
from dataclasses import dataclass, field

from massive_upload.salesforce.answers import parse_json
from massive_upload.salesforce.transport import Response

API_CODE_KEY = "errorCode"
"""Under this Salesforce's APIs tell an error's code; the others are keys of anybody's."""
_CODE_KEYS = (API_CODE_KEY, "exceptionCode", "error", "code")
_MESSAGE_KEYS = ("message", "error_description", "exceptionMessage", "details")
# Whatever stands in a code's place but does not look like one might be a text that quotes values.
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,79}")


@dataclass(frozen=True)
class ErrorBody:
    """An error's code, if it has one, its key, and the server's text, which may quote values and goes nowhere.

    Attributes:
        is_json: whether it is in the form in which the APIs answer; a page is of something in between.
    """

    code: str | None = None
    code_key: str | None = None
    message: str = field(default="", repr=False)
    is_json: bool = True


def parse_error_body(response: Response) -> ErrorBody:
    """Read an error answer.

    REST and Bulk API answer `[{"errorCode", "message"}]`, OAuth `{"error", "error_description"}`, Data Cloud
    `{"error", "errorCode", "details"}`, and a maintenance page is HTML, which has no code.
    """
    try:
        body = parse_json(response.body)
    except ValueError:
        return ErrorBody(is_json=False)
    first = body[0] if isinstance(body, list) and body else body
    if not isinstance(first, dict):
        return ErrorBody()
    texts = [str(first[key]) for key in _MESSAGE_KEYS if first.get(key)]
    codes = {key: first[key] for key in _CODE_KEYS if isinstance(first.get(key), str)}
    code_key = next((key for key, code in codes.items() if _CODE.fullmatch(code)), None)
    return ErrorBody(code=codes.get(code_key or ""), code_key=code_key, message="\n".join(texts))
