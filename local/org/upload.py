"""The CSV of one job, parsed and checked against the object before any row is written."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

from local.org.errors import RowError
from local.org.schema import ID_FIELD, Field, FieldType, ObjectSchema
from local.org.values import Cell, convert_column

DELIMITERS: Mapping[str, str] = {
    "COMMA": ",",
    "TAB": "\t",
    "PIPE": "|",
    "SEMICOLON": ";",
    "CARET": "^",
    "BACKQUOTE": "`",
}
LINE_ENDINGS: Mapping[str, str] = {"LF": "\n", "CRLF": "\r\n"}


class UploadError(Exception):
    """The content fails as a whole; the text is the job's `errorMessage`."""


@dataclass(frozen=True)
class Column:
    """One column of the upload and the field that it writes; `lookup` is the parent's field that identifies it."""

    header: str
    field: Field
    lookup: Field | None
    cells: list[Cell]

    @property
    def is_lookup(self) -> bool:
        """The column points to a parent, by a key of it or by its id."""
        return self.field.type is FieldType.REFERENCE


@dataclass(frozen=True)
class Upload:
    """A parsed and converted CSV: columns of cells, and the rows refused before they touch a record."""

    row_count: int
    columns: tuple[Column, ...]
    errors: Mapping[int, RowError]

    def column(self, field_name: str) -> Column:
        """The column that writes this field."""
        return next(each for each in self.columns if each.field.name == field_name and not each.lookup)


def read_rows(content: bytes, delimiter: str) -> list[list[str]]:
    """The records of a CSV, header first; strict, so that a blank beside a quote is an error.

    Raises:
        UploadError: it is no UTF-8, no CSV, or a record has more or fewer values than the header.
    """
    try:
        rows = list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter, strict=True))
    except UnicodeDecodeError as wrong:
        raise UploadError(f"InvalidBatch : The content is not UTF-8: {wrong}") from wrong
    except csv.Error as wrong:
        raise UploadError(f"InvalidBatch : Failed to parse CSV: {wrong}") from wrong
    width = len(rows[0]) if rows else 0
    records = [row for row in rows if row]
    for number, row in enumerate(records):
        if len(row) != width:
            raise UploadError(f"InvalidBatch : Record {number} has {len(row)} values, the header has {width}")
    return records


def read_upload(
    content: bytes,
    *,
    schemas: Mapping[str, ObjectSchema],
    object_name: str,
    external_id: str,
    delimiter: str,
    line_ending: str,
) -> Upload:
    """Parse and convert the content of a job.

    Args:
        content: what was PUT.
        schemas: the org's objects by name.
        object_name: the object that the job writes.
        external_id: the field that the job matches by.
        delimiter: the job's delimiter, a character.
        line_ending: the job's setting, `LF` or `CRLF`.

    Raises:
        UploadError: the job as a whole cannot be processed.
    """
    _check_line_ending(content, line_ending)
    header, *rows = read_rows(content, delimiter) or [[]]
    schema = schemas[object_name]
    targets = [_resolve(name, schema, schemas) for name in header]
    if external_id not in {field.name for field, lookup in targets if not lookup}:
        raise UploadError(f"InvalidBatch : Field name not found : {external_id}")
    texts = list(zip(*rows, strict=True)) or [()] * len(header)
    columns: list[Column] = []
    errors: dict[int, RowError] = {}
    for number, (name, (field, lookup)) in enumerate(zip(header, targets, strict=True)):
        cells, refused = convert_column(lookup or field, number, texts[number])
        errors = refused | errors
        if field is not ID_FIELD:
            columns.append(Column(name, field, lookup, cells))
    return Upload(len(rows), tuple(columns), errors)


def _check_line_ending(content: bytes, setting: str) -> None:
    """The header's own end decides; a line break inside a quoted value is allowed in either setting."""
    header_end = content.find(b"\n")
    if header_end < 0:
        return
    found = "CRLF" if content[:header_end].endswith(b"\r") else "LF"
    if found != setting:
        raise UploadError(
            f"ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {setting}"
        )


def _resolve(header: str, schema: ObjectSchema, schemas: Mapping[str, ObjectSchema]) -> tuple[Field, Field | None]:
    """`Name` is a field; `Account.Key__c` and `Parent__r.Key__c` find the parent by a key of it."""
    relationship, dot, parent_field = header.partition(".")
    field = schema.find_relationship(relationship) if dot else schema.find(header)
    if field is None:
        raise UploadError(f"InvalidBatch : Field name not found : {header}")
    if not dot:
        return field, None
    parent = schemas[str(field.reference_to)]
    by = parent.find(parent_field)
    if by is None or not (by.external_id or by is ID_FIELD):
        raise UploadError(f"InvalidBatch : Field name not found : {header}")
    return field, None if by is ID_FIELD else by
