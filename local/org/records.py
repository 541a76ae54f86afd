"""The records of the target org and the rules of an upsert."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from local.org.errors import RowError
from local.org.ids import IdSequence
from local.org.schema import ID_FIELD, Field, FieldType, ObjectSchema
from local.org.upload import Column, Upload
from local.org.values import Cell, Null, Stored, trimmed

Value = Stored | None


@dataclass(frozen=True, slots=True)
class Saved:
    """A row that was written."""

    record_id: str
    created: bool


def normalised(field: Field, key: str) -> str:
    """External ids match without regard to case, unless the field is case sensitive."""
    return key if field.case_sensitive else key.lower()


class ObjectTable:
    """The records of one object: values by field position, found by id or by an external id."""

    def __init__(self, schema: ObjectSchema) -> None:
        self.schema = schema
        self._ids = IdSequence(schema.key_prefix)
        self._records: dict[str, list[Value]] = {}
        self._modified_at: dict[str, float] = {}
        self._keys: dict[str, dict[str, str]] = {each.name: {} for each in schema.fields if each.external_id}
        self._defaults: list[Value] = [False if each.type is FieldType.BOOLEAN else None for each in schema.fields]

    def __len__(self) -> int:
        return len(self._records)

    def find(self, field: Field, key: str) -> str | None:
        """The id of the record with this key, or None; by `Id`, 15 characters are enough."""
        if field.external_id:
            return self._keys[field.name].get(normalised(field, key))
        if len(key) == 18:
            return key if key in self._records else None
        return next((each for each in self._records if each.startswith(key)), None)

    def new(self) -> str:
        """Create a record with nothing but its id, which is returned."""
        record_id = self._ids.next()
        record = self._defaults.copy()
        record[0] = record_id
        self._records[record_id] = record
        return record_id

    def record(self, record_id: str) -> list[Value]:
        """The values of a record by field position; to be changed through `set_key` where they are keys."""
        return self._records[record_id]

    def set_key(self, field: Field, record_id: str, key: Value) -> None:
        """Enter a new external id of a record into the index and take the old one out."""
        index = self._keys[field.name]
        old = self._records[record_id][self.schema.positions[field.name.lower()]]
        if isinstance(old, str):
            index.pop(normalised(field, old), None)
        if isinstance(key, str):
            index[normalised(field, key)] = record_id

    def seed(self, field: Field, keys: Sequence[str]) -> None:
        """Create a record for each key that is not there yet; keys are stored as those of an upload are."""
        position = self.schema.positions[field.name.lower()]
        for key in map(trimmed, keys):
            if key and self.find(field, key) is None:
                record_id = self.new()
                self.set_key(field, record_id, key)
                self._records[record_id][position] = key

    def modify(self, record_id: str, at: float) -> None:
        """Note that the API's user wrote a record, in simulated seconds; nobody has modified what was seeded."""
        self._modified_at[record_id] = at

    def count_modified(self, since: float) -> int:
        """How many records the API's user wrote from a moment on, in simulated seconds."""
        return sum(at >= since for at in list(self._modified_at.values()))

    def rows(self) -> Iterator[dict[str, Value]]:
        """Every record as a mapping of field names."""
        names = [each.name for each in self.schema.fields]
        for record in list(self._records.values()):
            yield dict(zip(names, record, strict=True))

    def contents(self) -> Iterator[list[Value]]:
        """The values of every record by field position, without its id."""
        return (record[1:] for record in list(self._records.values()))


class Upserter:
    """Writes the rows of one upload into its object, a chunk at a time."""

    def __init__(self, upload: Upload, tables: Mapping[str, ObjectTable], object_name: str, key: str) -> None:
        self._upload = upload
        self._tables = tables
        self._table = tables[object_name]
        self._key = upload.column(key)
        positions = self._table.schema.positions
        placed = [(each, positions[each.field.name.lower()]) for each in upload.columns]
        self._checked = [(column, position) for column, position in placed if self._needs_check(column)]
        self._plain = [(column.cells, position) for column, position in placed if not self._needs_check(column)]
        self._lookups = [column for column, _ in self._checked if column.is_lookup]
        given = {each.field.name for each in upload.columns}
        required = [each.name for each in self._table.schema.fields if each.required]
        self._absent = [name for name in required if name not in given]
        columns = [each for each in upload.columns if each.field.required]
        self._cleared = _rows_with(columns, {Null.NULL})
        self._blank = _rows_with(columns, {Null.NULL, None})

    def parents(self, rows: range) -> list[tuple[str, ...]]:
        """The ids of the parents that each row points to: what a write of it locks."""
        found = [[self._parent(column, row) for column in self._lookups] for row in rows]
        return [tuple(each for each in ids if isinstance(each, str)) for ids in found]

    def write(self, rows: range, refused: Mapping[int, RowError], *, at: float) -> list[Saved | RowError]:
        """Upsert one chunk, its rows in order.

        Args:
            rows: the row numbers of the chunk.
            refused: rows that must not be written, with their reason.
            at: the moment, in simulated seconds.

        Returns:
            One outcome for each row.
        """
        repeated = self._repeated_keys(rows)
        outcomes = [refused.get(row) or self._upload.errors.get(row) or self._write_row(row, repeated) for row in rows]
        for outcome in outcomes:
            if isinstance(outcome, Saved):
                self._table.modify(outcome.record_id, at)
        return outcomes

    def _needs_check(self, column: Column) -> bool:
        """Lookups must be found, and keys other than the one that is matched by must be free."""
        return column.is_lookup or (column.field.external_id and column is not self._key)

    def _repeated_keys(self, rows: range) -> set[str]:
        field = self._key.field
        keys = [cell for cell in self._key.cells[rows.start : rows.stop] if isinstance(cell, str)]
        counts = Counter(normalised(field, key) for key in keys)
        return {key for key, count in counts.items() if count > 1} if len(counts) < len(keys) else set()

    def _write_row(self, row: int, repeated: set[str]) -> Saved | RowError:
        field = self._key.field
        key = self._key.cells[row]
        if not isinstance(key, str):
            return RowError("MISSING_ARGUMENT", f"{field.name} not specified", (field.name,))
        if normalised(field, key) in repeated:
            return RowError("DUPLICATE_VALUE", f"Duplicate external id specified: {key}", (field.name,))
        record_id = self._table.find(field, key)
        created = record_id is None
        missing = [*self._absent, *self._blank.get(row, ())] if created else self._cleared.get(row)
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            return RowError("REQUIRED_FIELD_MISSING", message, missing)
        checked: list[tuple[Field, int, Value]] = []
        for column, position in self._checked:
            value = self._check(column, row, record_id)
            if isinstance(value, RowError):
                return value
            if value is not None:
                checked.append((column.field, position, None if value is Null.NULL else value))
        if record_id is None:
            record_id = self._table.new()
            self._table.set_key(field, record_id, key)
        self._save(row, record_id, checked)
        return Saved(record_id, created)

    def _save(self, row: int, record_id: str, checked: Sequence[tuple[Field, int, Value]]) -> None:
        record = self._table.record(record_id)
        for cells, position in self._plain:
            cell = cells[row]
            if cell is not None:
                record[position] = None if cell is Null.NULL else cell
        for field, position, value in checked:
            if field.external_id:
                self._table.set_key(field, record_id, value)
            record[position] = value

    def _check(self, column: Column, row: int, record_id: str | None) -> Stored | Null | RowError | None:
        if column.is_lookup:
            return self._parent(column, row)
        cell = column.cells[row]
        holder = self._table.find(column.field, cell) if isinstance(cell, str) else None
        if holder in {None, record_id}:
            return cell
        name = column.field.name
        message = f"duplicate value found: {name} duplicates value on record with id: {holder}"
        return RowError("DUPLICATE_VALUE", message, (name,))

    def _parent(self, column: Column, row: int) -> str | Null | RowError | None:
        cell = column.cells[row]
        if not isinstance(cell, str):
            return Null.NULL if cell is Null.NULL else None
        table = self._tables[str(column.field.reference_to)]
        if column.lookup is None:
            return table.find(ID_FIELD, cell) or RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        by = column.lookup
        found = table.find(by, cell)
        if found is not None:
            return found
        message = f"Foreign key external ID: {cell} not found for field {by.name} in entity {table.schema.name}"
        return RowError("INVALID_FIELD", message, (by.name,))


def _rows_with(columns: Sequence[Column], cells: Set[Cell]) -> dict[int, list[str]]:
    """The rows in which columns hold one of these cells, and the fields of these columns."""
    found: dict[int, list[str]] = {}
    for column in columns:
        for row, cell in enumerate(column.cells):
            if cell in cells:
                found.setdefault(row, []).append(column.field.name)
    return found
