"""Small loads for the tests of the domain."""

from typing import Any

from massive_upload.domain.load import Load

KEY = "Key__c"
EXTERNAL_ID = "External_ID__c"


def a_load(fields: dict[str, Any] | None = None, **changes: Any) -> Load:
    """A load of deals whose key is text; ``fields`` are mapped besides the key."""
    source = {"object": "Deal__dlm", "key": KEY} | changes.pop("source", {})
    document = {
        "name": "deals",
        "source": source,
        "target": {"object": "Deal__c", "external_id": EXTERNAL_ID},
        "fields": {KEY: {"to": EXTERNAL_ID}} | (fields or {}),
    }
    return Load.model_validate(document | changes)
