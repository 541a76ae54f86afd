"""Reads a YAML file into plain values, and remembers where each value stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.parser import ParserError
from yaml.scanner import ScannerError

KeyPath = tuple[str | int, ...]

SET = "--set "
"""How the place of a value begins that an option gave."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core types: ``no``, ``on``, ``22:00`` and ``2026-01-01`` are text, as anybody would expect."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - the base class's name


_NULL, _BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))

for _tag, _pattern, _first_characters in (
    (_NULL, r"null|~|", "n~"),
    (_BOOL, r"true|false", "tf"),
    (_INT, r"[-+]?[0-9]{1,18}", "-+0123456789"),
    (_FLOAT, r"[-+]?[0-9]+\.[0-9]*([eE][-+]?[0-9]{1,3})?", "-+0123456789"),
):
    _firsts = [*_first_characters, *([""] if _tag == _NULL else [])]
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _firsts)

_SCALARS: Mapping[str, Callable[[str], object]] = {
    _NULL: lambda _: None,
    _BOOL: lambda text: text == "true",
    _INT: int,
    _FLOAT: float,
}


@dataclass
class Document:
    """A parsed file.

    Attributes:
        name: what messages call the file.
        values: mappings, lists and scalars.
        places: where each path of ``values`` is written: ``file:line``, or the ``--set`` that gave it.
        mistakes: what was wrong with the file as YAML.
    """

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, str] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)

    def place(self, path: KeyPath) -> str:
        """Where ``path``, or the nearest thing around it, is written."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.name)


def read_document(path: Path) -> Document:
    """Parse a file; what is wrong with it is kept in the document's ``mistakes``."""
    document = Document(name=str(path))
    try:
        node = _compose(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        document.mistakes.append(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8")
    except yaml.MarkedYAMLError as error:
        document.mistakes.append(_syntax_mistake(path, error))
    except yaml.YAMLError as error:
        document.mistakes.append(f"{path}: is not YAML: {str(error).splitlines()[0]}")
    else:
        if isinstance(node, yaml.MappingNode):
            document.values = _Builder(document).build_mapping(node, ())
        else:
            document.mistakes.append(f"{path}:1: holds no keys; begin with 'source:' and 'target:'")
    return document


def parse_value(text: str) -> object:
    """The value of a ``--set``: a YAML scalar or flow collection.

    Raises:
        yaml.YAMLError: it is none.
    """
    node = _compose(text)
    return None if node is None else _Builder(Document(name="--set")).build(node, ())


def apply_sets(document: Document, sets: Sequence[str]) -> None:
    """Change a document by ``dotted.path=value`` assignments; what cannot be done joins its ``mistakes``."""
    for assignment in sets:
        place = f"{SET}{assignment}"
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            document.mistakes.append(f"{place}: is no assignment; write key=value, such as partitioning.count=5")
            continue
        try:
            value = parse_value(text)
        except yaml.YAMLError:
            document.mistakes.append(
                f"{place}: is no YAML value; put a text in single quotes, its own ones doubled: 'it''s'"
            )
            continue
        _assign(document, tuple(key.split(".")), value, place)


def _assign(document: Document, path: tuple[str, ...], value: object, place: str) -> None:
    target = document.values
    for depth, key in enumerate(path[:-1], start=1):
        inner = target.setdefault(key, {})
        if not isinstance(inner, dict):
            document.mistakes.append(f"{place}: {'.'.join(path[:depth])} is a value and holds no keys")
            return
        target = inner
    target[path[-1]] = value
    for known in [known for known in document.places if known[: len(path)] == path]:
        del document.places[known]
    document.places[path] = place


def _compose(text: str) -> yaml.Node | None:
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise _unsupported(event, "aliases (*name) are not supported; write the value out")
        if getattr(event, "tag", None) is not None:
            raise _unsupported(event, "tags (!name) are not supported; write the plain value")
    return yaml.compose(text, Loader=_Loader)


def _unsupported(event: yaml.Event, problem: str) -> yaml.MarkedYAMLError:
    mark: Any = event.start_mark  # of either parser, which types-PyYAML tells apart
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Builder:
    """Makes plain values of YAML nodes and notes their lines."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def build(self, node: yaml.Node, path: KeyPath) -> object:
        if isinstance(node, yaml.MappingNode):
            return self.build_mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._document.places[(*path, index)] = self._line(item)
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return _SCALARS.get(node.tag, str)(node.value)

    def build_mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            # A key is text as it is written: 'null:' is the key "null".
            key = str(key_node.value)
            place = self._line(key_node)
            if key in values:
                first = self._document.places[(*path, key)].rpartition(":")[2]
                self._document.mistakes.append(
                    f"{place}: the key {key!r} is there twice (first in line {first}); remove one of them"
                )
                continue
            self._document.places[(*path, key)] = place
            values[key] = self.build(value_node, (*path, key))
        return values

    def _line(self, node: yaml.Node) -> str:
        return f"{self._document.name}:{node.start_mark.line + 1}"


_USUAL_SLIPS = (
    "a missing blank after a colon, an open bracket or quote, or a line that is indented otherwise than its group"
)


def _syntax_mistake(path: Path, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    line = "" if mark is None else f":{mark.line + 1}"
    problem = error.problem or error.context or "is not YAML"
    if "'\\t'" in problem:
        problem += "; write spaces instead of the tab"
    elif isinstance(error, (ScannerError, ParserError)):
        problem += f"; look there and in the line before for {_USUAL_SLIPS}"
    return f"{path}{line}: {problem}"
