"""Writes ``loads/load.schema.json``, by which editors check and complete loads.

Run it as ``python -m infra.schema``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from massive_upload.domain.load import Load

SCHEMA_PATH = Path(__file__).parent.parent / "loads" / "load.schema.json"


def load_schema() -> dict[str, Any]:
    """The JSON Schema of a load's file: the model's, without the name and with the short form of a field."""
    schema: dict[str, Any] = Load.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Load"
    del schema["properties"]["name"]
    schema["required"].remove("name")
    target_field = schema["$defs"]["FieldMapping"]["properties"]["to"]
    short_form = {"type": "string", "pattern": target_field["pattern"]}
    columns = schema["properties"]["fields"]["patternProperties"]
    for pattern, mapping in columns.items():
        columns[pattern] = {"anyOf": [short_form, mapping]}
    return schema


def render_schema() -> str:
    """The schema as the file holds it."""
    return json.dumps(load_schema(), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_PATH.write_text(render_schema(), encoding="utf-8")
