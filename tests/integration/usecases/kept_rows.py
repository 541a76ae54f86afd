"""What a finished run has kept: its receipt, and the rows that it rejected."""

import csv
import io
import json
from typing import Any

from massive_upload.domain.file_keys import receipt_key
from tests.integration.usecases.world import RUN, World


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def receipt(world: World) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(world.files.read(receipt_key(RUN)))
    return document


def rejected_rows(world: World) -> list[dict[str, str]]:
    return [row for key in receipt(world)["rejected_files"] for row in rows_of(world.files.read(key))]
