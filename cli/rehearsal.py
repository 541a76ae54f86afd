"""What a simulated org holds, so that loads which are meant for an org of one's own can be rehearsed as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
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

    Columns that a load writes as text are read from a CSV as they are written, but for `source.modified`. Fields are
    wide enough for anything. A lookup leads to an object of its relationship's name: `Account` by `Account`, `Plane__c`
    by `Plane__r`. The parents that a file names are there from the start, unless one of the loads brings them.

    Raises:
        UsageMistake: two files for one source, or records that a simulated org cannot find.
        SourceFileError: a file cannot be read, or lacks a column that its load names.
    """
    objects = _Objects(load.target.object for load, _ in files)
    seeds: list[Seed] = []
    for load, _ in files:
        _refuse_ids(load)
        objects.put(load.target.object, Field(name=load.target.external_id, length=_KEY_LENGTH, external_id=True))
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
        """Give an object a field; of two of one name an external id or a lookup stays, or else the first."""
        fields = self._fields.setdefault(self.name(object_name), {})
        known = fields.get(field.name.casefold())
        if known is None or (_is_plain(known) and not _is_plain(field)):
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


def _is_plain(field: Field) -> bool:
    return not field.external_id and field.reference_to is None


def _refuse_ids(load: Load) -> None:
    """Records have other ids in a simulated org than in the one that the load is meant for.

    Raises:
        UsageMistake: the load finds records by their ids, or parents of several types.
    """
    for to in (load.target.external_id, *(mapping.to for mapping in load.fields.values())):
        relationship, _, name = to.rpartition(".")
        if name.casefold() == "id" or ":" in relationship:
            raise UsageMistake(
                f"The load {load.name} finds records by {to}, which a simulated org cannot: its ids are its own, and "
                "its lookups lead to one object. Leave the field out of the load, or find them by an external id."
            )


def _put_field(objects: _Objects, load: Load, column: str, mapping: FieldMapping) -> list[Seed]:
    """Give the target the field that a column goes to; the parents that have to be there for it."""
    target = load.target.object
    relationship, dot, parent_key = mapping.to.partition(".")
    if not dot:
        objects.put(target, field_for(mapping.to, _DUCKDB_TYPES[mapping.type]))
        return []
    is_custom = relationship.casefold().endswith("__r")
    lookup = lookup_to(f"{relationship[:-3]}__c" if is_custom else relationship)
    parent = objects.name(lookup.reference_to or "")
    objects.put(target, replace(lookup, relationship_name=relationship, reference_to=parent))
    objects.put(parent, Field(name=parent_key, length=_KEY_LENGTH, external_id=True))
    if objects.is_loaded(parent):
        return []
    return [Seed.of_column(parent, parent_key, table=load.source.object, column=column)]


def _tables(files: Sequence[tuple[Load, Path]]) -> tuple[Table, ...]:
    loads_of: dict[str, list[tuple[Load, Path]]] = {}
    for load, path in files:
        loads_of.setdefault(load.source.object.casefold(), []).append((load, path))
    return tuple(_table(readers) for readers in loads_of.values())


def _table(readers: Sequence[tuple[Load, Path]]) -> Table:
    """The one source of some loads."""
    (first, path), *others = readers
    name = first.source.object
    for _, other in others:
        if other.resolve() != path.resolve():
            raise UsageMistake(f"{name} is to hold {path} and {other}; give its loads one file.")
    loads = [load for load, _ in readers]
    sources = [load.source for load in loads]
    times = {source.modified for source in sources if source.modified is not None}
    texts = {column for load in loads for column, mapping in load.fields.items() if mapping.type is FieldType.TEXT}
    texts |= {source.parent for source in sources if source.parent is not None}
    file = SourceFile(path)
    file.check_has([*(source.key for source in sources), *(column for load in loads for column in load.fields)])
    file.check_has([*texts, *times])
    return Table(name, file.rows(as_text=sorted(texts - times), as_times=sorted(times)).sql)
