"""What the simulated org holds: the tables of its Data Cloud and the objects of its Core."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.org.opportunities import (
    ACCOUNT,
    OPPORTUNITY,
    OpportunityOptions,
    accounts_sql,
    opportunities_sql,
)
from local.org.schema import Field, FieldType, ObjectSchema
from local.org.source_file import SourceFile, SourceFileError

EXTERNAL_ID = "External_ID__c"


@dataclass(frozen=True)
class Table:
    """A table of Data Cloud and the SELECT that fills it."""

    name: str
    sql: str


@dataclass(frozen=True)
class Seed:
    """Records that Core has from the start: an object, the field that is set, and a SELECT of its values."""

    object_name: str
    field_name: str
    sql: str

    @classmethod
    def of_column(cls, object_name: str, field_name: str, *, table: str, column: str) -> "Seed":
        """A record for each value of a table's column; names without quotes."""
        values = f'SELECT DISTINCT CAST("{column}" AS VARCHAR) FROM "{table}" WHERE "{column}" IS NOT NULL ORDER BY 1'
        return cls(object_name, field_name, values)


@dataclass(frozen=True)
class Source:
    """Tables to read from, objects to write to, and the parents that are there already.

    Attributes:
        columns: of a file, the field that each of its columns is meant for, None where there is none; the key's is the
            external id, the parent's the lookup.
    """

    tables: tuple[Table, ...]
    objects: tuple[ObjectSchema, ...]
    seeds: tuple[Seed, ...] = ()
    columns: Mapping[str, Field | None] = field(default_factory=dict)


def generated_opportunities(
    rows: int,
    *,
    seed: int = 1,
    accounts: int | None = None,
    rejected_share: float = 0.002,
    null_keys: int = 0,
    duplicate_keys: int = 0,
    case_collisions: int = 0,
) -> Source:
    """`Opportunity__dlm` and its parents in `Account__dlm`; the target has the parents already.

    Args:
        rows: opportunities with a key of their own, 'OPP-0000001' and on.
        seed: the same seed gives the same rows.
        accounts: how many parents; by default one for a hundred rows. The first have most of the children.
        rejected_share: share of rows that the target refuses: `opportunities.REJECTED_SQL` is true for them.
        null_keys: rows without a key, on top of `rows`.
        duplicate_keys: rows that repeat a key, on top of `rows`.
        case_collisions: rows that repeat a key in small letters, on top of `rows`.

    Raises:
        ValueError: more repeated keys are asked for than there are rows.
    """
    if max(duplicate_keys, case_collisions) > rows:
        raise ValueError(
            f"{rows} rows cannot have {max(duplicate_keys, case_collisions)} repeated keys: ask for fewer."
        )
    options = OpportunityOptions(
        rows=rows,
        seed=seed,
        accounts=accounts or max(1, rows // 100),
        rejected_share=rejected_share,
        null_keys=null_keys,
        duplicate_keys=duplicate_keys,
        case_collisions=case_collisions,
    )
    return Source(
        tables=(
            Table("Account__dlm", accounts_sql(options)),
            Table("Opportunity__dlm", opportunities_sql(options)),
        ),
        objects=(ACCOUNT, OPPORTUNITY),
        seeds=(Seed("Account", EXTERNAL_ID, 'SELECT "ExternalId__c" FROM "Account__dlm" ORDER BY 1'),),
    )


def file_source(
    path: Path,
    *,
    object_name: str | None = None,
    key: str | None = None,
    parent: str | None = None,
    parent_object: str = "Account",
) -> Source:
    """A CSV or Parquet file as a table of Data Cloud, and an object that takes all of its columns.

    The table is named after the object, `<object>__dlm`; the key and the parent of a CSV are read as text. The target
    has `External_ID__c` and, for each column, a field of its name and one with `__c` added, wide enough for anything.

    Args:
        path: a file that ends in .csv, .csv.gz, .tsv or .parquet.
        object_name: the target object; by default the file's name with `__c`.
        key: the column with the key; by default the first column.
        parent: the column with the key of the parent, for a lookup: `<parent_object>.External_ID__c`.
        parent_object: the parent's object; the parents in the file are there from the start.

    Raises:
        SourceFileError: the file cannot be read, or has no such column.
    """
    name = object_name or f"{_api_name(path.name.split('.')[0])}__c"
    if name != _api_name(name):
        raise SourceFileError(f"{name!r} can be no object's name: write letters, digits and '_', a letter first.")
    file = SourceFile(path)
    key = key or file.columns[0]
    as_text = [key] if parent is None else [key, parent]
    file.check_has(as_text)
    for column in as_text:
        if '"' in column:
            raise SourceFileError(f"{path}: no load can name the column {column!r}; take the quotes out of its name.")
    rows = file.rows(as_text=as_text)
    table = Table(f"{name.removesuffix('__c')}__dlm", rows.sql)
    external_id = Field(name=EXTERNAL_ID, length=255, external_id=True, required=True)
    if parent is None:
        schema, meant = _object(name, [external_id], rows.columns)
        return Source((table,), (schema,), columns=meant | {key: external_id})
    lookup = lookup_to(parent_object)
    schema, meant = _object(name, [external_id, lookup], rows.columns)
    parent_schema = ObjectSchema(
        name=parent_object,
        key_prefix="a00" if parent_object.endswith("__c") else "001",
        fields=(Field(name=EXTERNAL_ID, length=255, external_id=True), Field(name="Name", length=255)),
    )
    seed = Seed.of_column(parent_object, EXTERNAL_ID, table=table.name, column=parent)
    return Source((table,), (parent_schema, schema), (seed,), meant | {parent: lookup, key: external_id})


def lookup_to(parent_object: str) -> Field:
    """The lookup field to an object: `AccountId` by `Account`, `Plane__c` by `Plane__r`."""
    stem = parent_object.removesuffix("__c")
    custom = stem != parent_object
    return Field(
        name=parent_object if custom else f"{stem}Id",
        type=FieldType.REFERENCE,
        length=18,
        relationship_name=f"{stem}__r" if custom else stem,
        reference_to=parent_object,
    )


def field_for(name: str, duckdb_type: str) -> Field:
    """A field that takes whatever a column of this type holds."""
    decimal = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", duckdb_type)
    if decimal:
        return Field(name=name, type=FieldType.DOUBLE, precision=int(decimal[1]), scale=int(decimal[2]))
    if duckdb_type in {"DOUBLE", "FLOAT"} or duckdb_type.endswith("INT") or duckdb_type.endswith("INTEGER"):
        return Field(name=name, type=FieldType.DOUBLE, precision=400, scale=18)
    simple = {
        "BOOLEAN": FieldType.BOOLEAN,
        "DATE": FieldType.DATE,
        "TIMESTAMP": FieldType.DATETIME,
        "TIMESTAMP WITH TIME ZONE": FieldType.DATETIME,
    }
    if duckdb_type in simple:
        return Field(name=name, type=simple[duckdb_type])
    return Field(name=name, type=FieldType.TEXTAREA, length=131_072)


def _object(name: str, fields: list[Field], columns: Mapping[str, str]) -> tuple[ObjectSchema, dict[str, Field | None]]:
    """The object that takes the columns, and which field is meant for each."""
    taken = {"id", *(each.name.lower() for each in fields)}
    meant: dict[str, Field | None] = dict.fromkeys(columns)
    for column, duckdb_type in columns.items():
        api_name = _api_name(column)
        for candidate in (api_name, f"{api_name.removesuffix('__c')}__c"):
            if candidate.lower() not in taken:
                taken.add(candidate.lower())
                fields.append(field_for(candidate, duckdb_type))
                meant[column] = meant[column] or fields[-1]
    schema = ObjectSchema(name=name, key_prefix="a01" if name.endswith("__c") else "006", fields=tuple(fields))
    return schema, meant


def _api_name(text: str) -> str:
    """The nearest to a text that Salesforce allows as an API name: ASCII letters, digits and `_`, a letter first."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    return name if re.match("[A-Za-z]", name) else f"X{name}"
