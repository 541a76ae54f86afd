"""How moto's objects become answers.

Defect: moto works out up to a dozen names for every member of every structure of every answer, and tries each of them.
For an item of DynamoDB, each of whose attributes may be of ten types, that took longer than all else. Here the names
are worked out once for each member and kind of object, and a plain attribute of an item is taken as it is: moto holds
it as it is written.
"""

from typing import Any

from moto.core.serialize import (
    DEFAULT_ALIAS_PROVIDERS,
    MISSING,
    AttributePickerContext,
    JSONSerializer,
    ResponseSerializer,
    XFormedAttributePicker,
    get_value,
)

from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped

_names: dict[tuple[Any, str, type], tuple[str, ...]] = {}
"""By shape, member and class; the shapes are those of botocore's models, of which there is one each."""

_PLAIN_TYPES = {"S": str, "N": str, "BOOL": bool, "NULL": bool}
"""Types of an attribute that JSON holds as they are; a binary one is not among them, nor are nested ones."""


def install() -> None:
    """Remembers the names, and takes plain attributes as they are."""
    replace(ResponseSerializer, "get_value", _build_get_value)
    replace(JSONSerializer, "_serialize_type_structure", _build_serialize_structure)


def _build_serialize_structure(original: Untyped) -> Untyped:
    def serialize_structure(self: Untyped, serialized: Untyped, value: Untyped, shape: Untyped, key: str) -> None:
        if key and shape.name == "AttributeValue" and _is_plain(value):
            self._default_serialize(serialized, value, shape, key)
        else:
            original(self, serialized, value, shape, key)

    return serialize_structure


def _is_plain(value: Untyped) -> bool:
    if type(value) is not dict or len(value) != 1:
        return False
    ((kind, held),) = value.items()
    return _PLAIN_TYPES.get(kind) is type(held)


def _build_get_value(original: Untyped) -> Untyped:
    def value_of(self: Untyped, value: Untyped, key: str, shape: Untyped) -> Untyped:
        if not _has_usual_names(self._value_picker, value):
            return original(self, value, key, shape)
        known = (shape, key, type(value))
        names = _names.get(known)
        if names is None:
            context = AttributePickerContext(obj=value, key=key, shape=shape)
            names = _names[known] = tuple(self._value_picker.get_possible_keys(context))
        if type(value) is dict:
            return next((value[name] for name in names if name in value), None)
        found = (get_value(value, name, MISSING) for name in names)
        return next((each for each in found if each is not MISSING), None)

    return value_of


def _has_usual_names(picker: Untyped, value: Untyped) -> bool:
    return (
        type(picker) is XFormedAttributePicker
        and picker.alias_providers is DEFAULT_ALIAS_PROVIDERS
        and not picker.response_transformers
        and not hasattr(value, "Meta")
    )
