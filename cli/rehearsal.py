"""What a simulated org holds, so that loads which are meant for an org of one's own can be rehearsed as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cli.errors import UsageMistake
from local.org.schema import Field, ObjectSchema
from local.org.source_file import SourceFile
from local.org.sources import Seed, Source, Table, field_for, lookup_to
from massive_upload.domain.load import FieldMapping, FieldType, Load

_KEY_LENGTH = 255
_DUCKDB_TYPES = {
    FieldType.TEXT: "VARCHAR",
    FieldType.NUMBER: "DOUBLE",
    FieldType.BOOLEAN: "BOOLEAN",
    FieldType.DATE: "DATE",
    FieldType.DATETIME: "TIMESTAMP",
}


def source_of_loads(files: Sequence[tuple[Load, Path]]) -> Source:
    """The files as the sources of the loads, and the objects that these write to, with the fields that they name.

    Columns that a load writes as text are read from a CSV as they are written. Fields are wide enough for anything. A
    lookup leads to an object of its relationship's name: `Account` by `Account`, `Plane__c` by `Plane__r`. The parents
    that a file names are there from the start, unless one of the loads brings them.

    Raises:
        UsageMistake: two files for one source, or a field that a simulated org cannot have.
        SourceFileError: a file cannot be read, or lacks a column that its load names.
    """
    objects = _Objects(load.target.object for load, _ in files)
    seeds: list[Seed] = []
    for load, _ in files:
        external_id = Field(name=load.target.external_id, length=_KEY_LENGTH, external_id=True, required=True)
        objects.put(load.target.object, external_id)
        for column, mapping in load.fields.items():
            seeds += _put_field(objects, load, column, mapping)
    return Source(_tables(files), objects.schemas(), tuple(seeds))


class _Objects:
    """Objects by name in any case, with the fields that loads need of them."""

    def __init__(self, targets: Iterable[str]) -> None:
        self._names: dict[str, str] = {}
        self._fields: dict[str, dict[str, Field]] = {}
        self._targets = tuple(dict.fromkeys(self.name(target) for target in targets))

    def name(self, wanted: str) -> str:
        """The object as it was first spelt."""
        return self._names.setdefault(wanted.casefold(), wanted)

    def put(self, object_name: str, field: Field) -> None:
        """Give an object a field; of two of one name the external id stays, or else the first."""
        fields = self._fields.setdefault(self.name(object_name), {})
        known = fields.get(field.name.casefold())
        if known is None or (field.external_id and not known.external_id):
            fields[field.name.casefold()] = field

    def is_loaded(self, object_name: str) -> bool:
        """Whether a load writes to the object."""
        return self.name(object_name) in self._targets

    def schemas(self) -> tuple[ObjectSchema, ...]:
        """The objects; those that loads write to are the last, in the order of the loads."""
        names = [*(name for name in self._fields if name not in self._targets), *self._targets]
        return tuple(
            ObjectSchema(name=name, key_prefix=f"a{number:02}", fields=tuple(self._fields[name].values()))
            for number, name in enumerate(names)
        )


def _put_field(objects: _Objects, load: Load, column: str, mapping: FieldMapping) -> list[Seed]:
    """Give the target the field that a column goes to; the parents that have to be there for it."""
    target = load.target.object
    relationship, dot, parent_key = mapping.to.partition(".")
    if not dot:
        objects.put(target, field_for(mapping.to, _DUCKDB_TYPES[mapping.type]))
        return []
    if ":" in relationship or parent_key.casefold() == "id":
        raise UsageMistake(
            f"The load {load.name} finds parents by {mapping.to}, which a simulated org cannot: its lookups lead to "
            "one object, and its ids are its own. Leave the field out of the load, or find them by an external id."
        )
    parent = objects.name(f"{relationship[:-3]}__c" if relationship.casefold().endswith("__r") else relationship)
    objects.put(target, lookup_to(parent))
    objects.put(parent, Field(name=parent_key, length=_KEY_LENGTH, external_id=True))
    if objects.is_loaded(parent):
        return []
    return [Seed.of_column(parent, parent_key, table=load.source.object, column=column)]


def _tables(files: Sequence[tuple[Load, Path]]) -> tuple[Table, ...]:
    paths: dict[str, Path] = {}
    as_text: dict[str, set[str]] = {}
    for load, path in files:
        name = load.source.object
        if paths.setdefault(name, path) != path:
            raise UsageMistake(f"{name} is to hold {paths[name]} and {path}; give its loads one file.")
        as_text.setdefault(name, set()).update(_text_columns(load))
    opened = {path: SourceFile(path) for path in paths.values()}
    for load, path in files:
        named = [load.source.key, load.source.parent, load.source.modified, *load.fields]
        opened[path].check_has([column for column in named if column is not None])
    return tuple(Table(name, opened[path].rows(as_text=sorted(as_text[name])).sql) for name, path in paths.items())


def _text_columns(load: Load) -> set[str]:
    texts = {column for column, mapping in load.fields.items() if mapping.type is FieldType.TEXT}
    return (texts - {load.source.modified}) | ({load.source.parent} if load.source.parent else set())
