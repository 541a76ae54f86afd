"""JSON documents."""

import json
from collections.abc import Mapping
from hashlib import sha256


def sha256_of(document: Mapping[str, object]) -> str:
    """SHA-256 of a document with sorted keys and no spaces: the same for documents that say the same."""
    return sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
