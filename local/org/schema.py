from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Any


@unique
class FieldType(StrEnum):
    """The field types that the org knows, as describe names them."""

    ID = "id"
    STRING = "string"
    TEXTAREA = "textarea"
    PICKLIST = "picklist"
    DOUBLE = "double"
    CURRENCY = "currency"
    PERCENT = "percent"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    REFERENCE = "reference"


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a target object."""

    name: str
    type: FieldType = FieldType.STRING
    label: str = ""
    length: int = 0
    precision: int = 0
    scale: int = 0
    external_id: bool = False
    case_sensitive: bool = False
    required: bool = False
    relationship_name: str | None = None
    reference_to: str | None = None
    picklist_values: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """The entry of this field in a describe answer."""
        writable = self.type is not FieldType.ID
        return {
            "name": self.name,
            "label": self.label or self.name,
            "type": self.type.value,
            "length": self.length,
            "precision": self.precision,
            "scale": self.scale,
            "externalId": self.external_id,
            "idLookup": self.external_id or self.type is FieldType.ID,
            "unique": self.external_id,
            "caseSensitive": self.case_sensitive,
            "createable": writable,
            "updateable": writable,
            "nillable": not self.required and self.type not in {FieldType.ID, FieldType.BOOLEAN},
            "defaultedOnCreate": self.type in {FieldType.ID, FieldType.BOOLEAN},
            "restrictedPicklist": self.type is FieldType.PICKLIST,
            "relationshipName": self.relationship_name,
            "referenceTo": [self.reference_to] if self.reference_to else [],
            "picklistValues": [
                {"value": value, "label": value, "active": True, "defaultValue": False}
                for value in self.picklist_values
            ],
        }


ID_FIELD = Field(name="Id", type=FieldType.ID, length=18)


@dataclass(frozen=True, kw_only=True)
class ObjectSchema:
    """One target object; `Id` is the first of its fields without being asked for."""

    name: str
    key_prefix: str
    fields: tuple[Field, ...]
    positions: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", (ID_FIELD, *self.fields))
        object.__setattr__(self, "positions", {each.name.lower(): at for at, each in enumerate(self.fields)})

    def find(self, name: str) -> Field | None:
        """The field of this API name, in any case, or None."""
        position = self.positions.get(name.lower())
        return None if position is None else self.fields[position]

    def find_relationship(self, name: str) -> Field | None:
        """The lookup field that goes by this relationship name, or None."""
        wanted = name.lower()
        return next((each for each in self.fields if (each.relationship_name or "").lower() == wanted), None)

    def describe(self) -> dict[str, Any]:
        """The answer of `sobjects/{Object}/describe`."""
        return {
            "name": self.name,
            "label": self.name,
            "keyPrefix": self.key_prefix,
            "custom": self.name.endswith("__c"),
            "createable": True,
            "updateable": True,
            "queryable": True,
            "fields": [each.describe() for each in self.fields],
        }
