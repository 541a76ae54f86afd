"""Whether the org can take what a load is about to write: asked before anything is written."""

from __future__ import annotations

from massive_upload.domain.identity import Identity
from massive_upload.domain.load import FieldMapping, FieldType, Load
from massive_upload.errors import TargetRejected
from massive_upload.salesforce.metadata import Field, Metadata, ObjectDescription

_MOST_MISTAKES = 5
"""That are told of one load."""

_NUMBERS = frozenset({"int", "long", "double", "currency", "percent"})
_IDS = frozenset({"id", "reference"})
_MOMENTS = frozenset({"date", "datetime", "time"})
_CANNOT_HOLD = {
    FieldType.NUMBER: _IDS | _MOMENTS,
    FieldType.BOOLEAN: _IDS | _MOMENTS | _NUMBERS,
    FieldType.DATE: _IDS | _NUMBERS | {"boolean", "time"},
    FieldType.DATETIME: _IDS | _NUMBERS | {"boolean", "time"},
}
"""Types of fields by which every value of a type, but NULL, is refused (Bulk API 2.0 guide, "Valid CSV Record Rows";
the names are those of describe); whether a text can be read as a field's type depends on the text."""


def check_target(load: Load, metadata: Metadata) -> Identity:
    """Compare the load's mapping with the org's description of the target.

    Returns:
        What the target takes for the same record.

    Raises:
        TargetRejected: an object or field is missing, cannot be written, is no external id, or is named
            otherwise than the org does.
    """
    target = metadata.describe(load.target.object)
    if target.createable is False and target.updateable is False:
        raise TargetRejected(
            f"The integration user can neither create nor edit records of {target.name}.",
            next_step="Give the user's permission set Create and Edit on the object.",
        )
    _check_external_id(target, load.target.external_id)
    _check_fields(target, list(load.fields.values()), metadata)
    return Identity(
        case_sensitive_key=bool(_field(target, load.target.external_id).case_sensitive),
        parent_is_id=_is_id(target, load.fields.get(load.source.parent or "")),
    )


def _is_id(target: ObjectDescription, mapping: FieldMapping | None) -> bool:
    """Whether a column holds ids: it is written to a lookup as it is, or names the parent by its Id."""
    if mapping is None:
        return False
    _, dot, name = mapping.to.rpartition(".")
    if dot:
        return name.casefold() == "id"
    field = target.field(mapping.to)
    return field is not None and bool(field.reference_to)


def _check_external_id(target: ObjectDescription, name: str) -> None:
    field = _field(target, name)
    if field.external_id is False and not field.id_lookup:
        raise TargetRejected(
            f"{target.name}.{name} is not an external id.",
            next_step=f"Mark it as External ID in Setup, or give one that is as target.external_id"
            f"{_names('; there are', [f.name for f in target.fields if f.external_id])}.",
        )
    if name != field.name:
        # Salesforce leaves a column of its result files blank that is spelt otherwise (known issue a028c00000gAyI4AAK).
        raise TargetRejected(
            f"The org spells the external id {field.name}, the load spells it {name}.",
            next_step=f"Say external_id: {field.name}, and the same in fields: in a column that is spelt otherwise the "
            "org's results leave the keys blank.",
        )


def _check_fields(target: ObjectDescription, mappings: list[FieldMapping], metadata: Metadata) -> None:
    """All of them, as each correction of a deployed load takes a deployment."""
    mistakes: list[TargetRejected] = []
    for mapping in mappings:
        try:
            _check_field(target, mapping, metadata)
        except TargetRejected as mistake:
            mistakes.append(mistake)
    if len(mistakes) == 1:
        raise mistakes[0]
    if mistakes:
        told = " ".join(map(str, mistakes[:_MOST_MISTAKES]))
        more = f" And {len(mistakes) - _MOST_MISTAKES} more." if len(mistakes) > _MOST_MISTAKES else ""
        raise TargetRejected(f"{len(mistakes)} fields of the load do not fit {target.name}. {told}{more}")


def _check_field(target: ObjectDescription, mapping: FieldMapping, metadata: Metadata) -> None:
    parent, dot, name = mapping.to.partition(".")
    if dot:
        _check_relationship(target, parent, name, metadata)
        return
    field = _check_writable(target, mapping.to)
    if field.type in _CANNOT_HOLD.get(mapping.type, frozenset()):
        raise TargetRejected(
            f"{target.name}.{field.name} is of the type {field.type}, which takes no {mapping.type}.",
            next_step="Correct the field or the type in the load's fields.",
        )


def _check_writable(target: ObjectDescription, name: str) -> Field:
    field = _field(target, name)
    if field.createable is False and field.updateable is False:
        raise TargetRejected(
            f"{target.name}.{name} cannot be written.",
            next_step="Give the integration user edit access to the field, or take it out of the load's fields.",
        )
    return field


def _check_relationship(target: ObjectDescription, relationship: str, name: str, metadata: Metadata) -> None:
    """``Parent.Field``, or ``Type:Parent.Field`` where the parent may be of several types."""
    type_name, _, last = relationship.rpartition(":")
    lookup = next((f for f in target.fields if (f.relationship_name or "").casefold() == last.casefold()), None)
    if lookup is None:
        known = [f.relationship_name for f in target.fields if f.relationship_name]
        raise TargetRejected(
            f"{target.name} has no relationship {last!r}.",
            next_step=f"Correct the field {relationship}.{name} of the load{_names('; there are', known)}.",
        )
    parents = [type_name] if type_name else list(lookup.reference_to)
    if not parents:
        return
    if type_name and len(lookup.reference_to) == 1:
        raise TargetRejected(
            f"{target.name}.{last} looks up records of {lookup.reference_to[0]} alone, so its type must not be named.",
            next_step=f"Say {last}.{name} instead of {relationship}.{name} in the load's fields.",
        )
    parent = metadata.describe(parents[0])
    field = _field(parent, name)
    if field.external_id is False and not field.id_lookup:
        raise TargetRejected(
            f"{parent.name}.{name} is not an external id, so {relationship}.{name} cannot find a parent.",
            next_step="Mark it as External ID in Setup, or use another field of the parent.",
        )


def _field(target: ObjectDescription, name: str) -> Field:
    field = target.field(name)
    if field is None:
        raise TargetRejected(
            f"{target.name} has no field {name!r}, or the integration user cannot see it.",
            next_step="Correct the load's fields, or give the user access to the field.",
        )
    return field


def _names(prefix: str, names: list[str]) -> str:
    return f"{prefix} {', '.join(sorted(names))}" if names else ""
