"""Compiles ``loads/<name>.yaml`` into `Load`, and says of every mistake where it is and what would be right."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from infra.cron import cron_mistake, timezone_mistake
from infra.documents import SET, Document, KeyPath, apply_sets, read_document
from massive_upload.domain.load import FieldMapping, Load, LoadName, LoadSequence, Schedule
from massive_upload.errors import InvalidLoad

SUFFIX = ".yaml"

C = TypeVar("C", Load, LoadSequence)


def load_file(path: Path, *, sets: Sequence[str] = ()) -> Load:
    """Compile one load.

    Args:
        path: the file; its stem is the load's name.
        sets: changes such as ``partitioning.count=5``, made before the load is validated.

    Raises:
        InvalidLoad: every mistake of the file, one a line, with file and line.
    """
    load, mistakes = _compile(path, sets)
    if load is None:
        raise InvalidLoad("\n".join(mistakes))
    return load


def loads_in_order(path: Path, *, sets: Sequence[str] = ()) -> list[Load]:
    """Compile what a file asks for: one load, or the loads of a sequence.

    Args:
        path: the file. With a sequence all files beside it are compiled, as for a stack.
        sets: changes to the one load.

    Raises:
        InvalidLoad: the mistakes, one a line; or a sequence was to be changed.
    """
    if not (path.is_file() and _is_sequence(path)):
        return [load_file(path, sets=sets)]
    if sets:
        changes = " ".join(f"--set {change}" for change in sets)
        raise InvalidLoad(f"{path}: is a sequence, whose loads are as their files say; leave {changes} out")
    loads = load_directory(path.parent)
    sequence = sequence_directory(path.parent, loads)[path.stem]
    return [loads[name] for name in sequence.sequence]


def load_directory(directory: Path) -> dict[str, Load]:
    """Compile every load of a directory, by name; files of sequences are left to `sequence_directory`.

    Raises:
        InvalidLoad: every mistake of every file, one a line; or there is no load.
    """
    paths = [path for path in _files(directory) if not _is_sequence(path)]
    if not paths:
        raise InvalidLoad(f"{directory}: holds no loads; write {directory}/<name>{SUFFIX}")
    return _all_or_mistakes(_compile(path, ()) for path in paths)


def sequence_directory(directory: Path, loads: Mapping[str, Load]) -> dict[str, LoadSequence]:
    """Compile every sequence of loads of a directory, by name.

    Raises:
        InvalidLoad: every mistake of every file, one a line.
    """
    return _all_or_mistakes(_compile_sequence(path, loads) for path in _files(directory) if _is_sequence(path))


def _all_or_mistakes(compiled: Iterable[tuple[C | None, list[str]]]) -> dict[str, C]:
    """What was compiled, by name.

    Raises:
        InvalidLoad: the mistakes of all of it, one a line.
    """
    results = list(compiled)
    mistakes = [mistake for _, found in results for mistake in found]
    if mistakes:
        raise InvalidLoad("\n".join(mistakes))
    return {document.name: document for document, _ in results if document is not None}


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("*") if path.suffix in {SUFFIX, ".yml"})


def _is_sequence(path: Path) -> bool:
    return "sequence" in read_document(path).values


def _compile_sequence(path: Path, loads: Mapping[str, Load]) -> tuple[LoadSequence | None, list[str]]:
    document = read_document(path)
    mistakes = _name_mistakes(path) or document.mistakes
    if mistakes:
        return None, mistakes
    try:
        sequence = LoadSequence.model_validate_json(json.dumps(document.values | {"name": path.stem}), strict=True)
    except ValidationError as error:
        return None, [_mistake(document, details, LoadSequence) for details in error.errors()]
    mistakes = _schedule_mistakes(document, sequence.schedule)
    is_incremental = sequence.schedule is not None and sequence.schedule.mode == "incremental"
    for index, name in enumerate(sequence.sequence):
        place = document.place(("sequence", index))
        if name not in loads:
            nearest = _nearest(name, list(loads))
            advice = f"write {nearest}" if nearest else f"the loads here are {', '.join(loads)}"
            mistakes.append(f"{place}: sequence: there is no load {name!r}; {advice}")
        elif name in sequence.sequence[:index]:
            mistakes.append(f"{place}: sequence: {name!r} comes twice; name each load once")
        elif is_incremental and loads[name].source.modified is None:
            mistakes.append(f"{place}: sequence: {name!r} has no source.modified; give it one, or say mode: full")
    return (None, mistakes) if mistakes else (sequence, [])


def _compile(path: Path, sets: Sequence[str]) -> tuple[Load | None, list[str]]:
    mistakes = _name_mistakes(path)
    if mistakes:
        return None, mistakes
    if not path.is_file():
        return None, [f"{path}: there is no such file"]
    document = read_document(path)
    if not document.mistakes:
        _expand_short_fields(document)
        apply_sets(document, sets)
        _expand_short_fields(document)
        if "name" in document.values:
            place = document.place(("name",))
            document.mistakes.append(f"{place}: name: unknown key; remove it (the file's name is the load's name)")
    if "sequence" in document.values:
        document.mistakes.append(f"{path}: is a sequence of loads, not a load; name one of its loads")
    if document.mistakes:
        return None, document.mistakes
    try:
        # Strict, and from JSON: in this mode "5" is no number and true is no 1, yet lists and enumerations are read.
        text = json.dumps({"name": path.stem} | document.values)
        load = Load.model_validate_json(text, strict=True)
    except ValidationError as error:
        return None, [_mistake(document, details) for details in error.errors()]
    mistakes = _schedule_mistakes(document, load.schedule)
    return (None, mistakes) if mistakes else (load, [])


def _schedule_mistakes(document: Document, schedule: Schedule | None) -> list[str]:
    """What EventBridge Scheduler would refuse at deployment, or would never start."""
    if schedule is None:
        return []
    found = {
        "cron": cron_mistake(schedule.cron, this_year=datetime.now(UTC).year),
        "timezone": timezone_mistake(schedule.timezone),
    }
    return [
        f"{document.place(('schedule', key))}: schedule.{key}: {mistake}" for key, mistake in found.items() if mistake
    ]


def _name_mistakes(path: Path) -> list[str]:
    if path.suffix != SUFFIX:
        return [f"{path}: a load's file ends in {SUFFIX}; rename it to {path.stem}{SUFFIX}"]
    try:
        TypeAdapter(LoadName).validate_python(path.stem)
    except ValidationError:
        return [
            f"{path}: {path.stem!r} is no name for a load; "
            "use up to 40 small letters, digits, '-' and '_', beginning with a letter"
        ]
    return []


def _expand_short_fields(document: Document) -> None:
    """``Source: Target`` is short for ``Source: {to: Target}``."""
    fields = document.values.get("fields")
    if isinstance(fields, dict):
        for column, mapping in fields.items():
            if isinstance(mapping, str):
                fields[column] = {"to": mapping}


def _mistake(document: Document, details: ErrorDetails, root: type[BaseModel] = Load) -> str:
    path: KeyPath = tuple(part for part in details["loc"] if part != "[key]")
    if details["type"] == "value_error":
        text = str(details["ctx"]["error"])
        if path:
            return f"{document.place(path)}: {'.'.join(map(str, path))}: {text}"
        # A rule over several keys; its text begins with the key.
        return f"{_place_of_group(document, text.partition(':')[0])}: {text}"
    name = ".".join(map(str, path))
    if details["type"] == "extra_forbidden":
        return f"{document.place(path)}: {name}: {_say_unknown_key(path, root)}"
    say = _SAYINGS.get(details["type"], _say_otherwise)
    return f"{document.place(path)}: {name}: {say(path, details)}"


def _place_of_group(document: Document, key: str) -> str:
    """Where a group of keys is written, and each ``--set`` that has changed one of them."""
    place = document.place((key,))
    sets = [each for path, each in document.places.items() if path[0] == key and each.startswith(SET) and each != place]
    return " with ".join([place, *sets])


def _say_unknown_key(path: KeyPath, root: type[BaseModel]) -> str:
    known = _known_keys(path[:-1], root)
    key = str(path[-1])
    nearest = _nearest(key, known)
    if key.partition(":")[0] in known:
        advice = "write a blank after the colon"
    elif nearest:
        advice = f"write {nearest}"
    elif key == "operation":
        advice = "remove it: every load upserts, and nothing else"
    else:
        advice = "remove it, or indent it under its group"
    return f"unknown key; {advice} (the keys here are {', '.join(known)})"


def _say_missing(path: KeyPath, _details: ErrorDetails) -> str:
    return f"is missing; write '{path[-1]}: ...' here"


def _say_choice(_path: KeyPath, details: ErrorDetails) -> str:
    choices = re.findall(r"'([^']*)'", details["ctx"]["expected"])
    value = details["input"]
    nearest = _nearest(str(value), choices)
    advice = f"; write {nearest}" if nearest else ""
    return f"{_show(value)} is not one of {', '.join(choices)}{advice}"


def _say_text(_path: KeyPath, details: ErrorDetails) -> str:
    value = details["input"]
    if isinstance(value, dict | list) or value is None:
        return f"{_show(value)} is not text; write a text"
    return f"{_show(value)} is not text; write it in quotes: '{_show(value)}'"


def _say_truth(_path: KeyPath, details: ErrorDetails) -> str:
    return f"{_show(details['input'])} is neither true nor false; write one of them, without quotes"


def _say_fraction(_path: KeyPath, details: ErrorDetails) -> str:
    return f"{_show(details['input'])} is not a number; write digits without quotes"


def _say_number(_path: KeyPath, details: ErrorDetails) -> str:
    return f"{_show(details['input'])} is not a whole number; write digits without quotes"


def _say_mapping(_path: KeyPath, details: ErrorDetails) -> str:
    return f"{_show(details['input'])} is not a group of keys; write 'key: value' lines under it"


def _say_list(_path: KeyPath, details: ErrorDetails) -> str:
    return f"{_show(details['input'])} is not a list; write it in brackets: [{_show(details['input'])}]"


def _say_limit(_path: KeyPath, details: ErrorDetails) -> str:
    context = details["ctx"]
    if "ge" in context:
        return f"{_show(details['input'])} is too small; write {context['ge']} or more"
    return f"{_show(details['input'])} is too large; write {context['le']} or less"


def _say_pattern(path: KeyPath, details: ErrorDetails) -> str:
    example = next((_EXAMPLES[part] for part in reversed(path) if part in _EXAMPLES), _COLUMN_EXAMPLE)
    return f"{_show(details['input'])} cannot be used here; write {example}"


def _say_empty(_path: KeyPath, details: ErrorDetails) -> str:
    is_text = details["type"] == "string_too_short"
    return f"is empty; write {'a value, or leave the key out if it is optional' if is_text else 'at least one'}"


def _say_otherwise(_path: KeyPath, details: ErrorDetails) -> str:
    return f"{details['msg']} (it is {_show(details['input'])})"


_SAYINGS: Mapping[str, Callable[[KeyPath, ErrorDetails], str]] = {
    "missing": _say_missing,
    "enum": _say_choice,
    "literal_error": _say_choice,
    "string_type": _say_text,
    "bool_type": _say_truth,
    "float_type": _say_fraction,
    "int_type": _say_number,
    "int_from_float": _say_number,
    "dict_type": _say_mapping,
    "model_type": _say_mapping,
    "model_attributes_type": _say_mapping,
    "tuple_type": _say_list,
    "greater_than_equal": _say_limit,
    "less_than_equal": _say_limit,
    "string_pattern_mismatch": _say_pattern,
    "string_too_short": _say_empty,
    "too_short": _say_empty,
}

_EXAMPLES: Mapping[str | int, str] = {
    "to": "a field such as Name, Amount__c or Account.External_ID__c",
    "object": "the API name of an object, such as Opportunity or Flight__c",
    "external_id": "the API name of a field, such as External_ID__c",
    "sequence": "the name of a load, which is that of its file without .yaml: small letters, digits, '-' and '_'",
    "dataspace": "the name of a data space, such as default",
}
_COLUMN_EXAMPLE = "a name without double quotes and control characters"


def _known_keys(path: KeyPath, root: type[BaseModel]) -> list[str]:
    """The keys that the model allows at ``path``; a load's name is its file's, never a key."""
    model = root
    for part in path:
        if model is Load and part == "fields":
            model = FieldMapping
        elif isinstance(part, str) and part in model.model_fields:
            model = model_of(model.model_fields[part].annotation) or model
    return [name for name in model.model_fields if (model, name) != (root, "name")]


def model_of(annotation: object) -> type[BaseModel] | None:
    """The model of a group of keys, by how a field of the model around it is annotated; None of a single value."""
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _nearest(value: str, choices: Sequence[str]) -> str | None:
    matches = difflib.get_close_matches(value.casefold(), choices, n=1)
    return matches[0] if matches else None


def _show(value: object) -> str:
    return repr(value) if isinstance(value, str) else json.dumps(value)
