"""Writes ``loads/load.schema.json`` and ``loads/sequence.schema.json``, by which editors check and complete files.

Run it as ``python -m infra.schema``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from massive_upload.domain.load import Load, LoadSequence

_LOADS = Path(__file__).parent.parent / "loads"


def load_schema() -> dict[str, Any]:
    """The JSON Schema of a load's file, with the short form of a field."""
    schema = _file_schema(Load, title="Load")
    target_field = schema["$defs"]["FieldMapping"]["properties"]["to"]
    short_form = {"type": "string", "pattern": target_field["pattern"]}
    columns = schema["properties"]["fields"]["patternProperties"]
    for pattern, mapping in columns.items():
        columns[pattern] = {"anyOf": [short_form, mapping]}
    return schema


def sequence_schema() -> dict[str, Any]:
    """The JSON Schema of a sequence's file."""
    return _file_schema(LoadSequence, title="Sequence of loads")


def _file_schema(model: type[BaseModel], *, title: str) -> dict[str, Any]:
    """The model's schema without the name, which is the file's."""
    schema = model.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = title
    del schema["properties"]["name"]
    schema["required"].remove("name")
    return schema


def rendered_schemas() -> dict[Path, str]:
    """Each schema's file, and what it holds."""
    schemas = {"load": load_schema(), "sequence": sequence_schema()}
    return {_LOADS / f"{name}.schema.json": json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()}


if __name__ == "__main__":
    for path, text in rendered_schemas().items():
        path.write_text(text, encoding="utf-8")
