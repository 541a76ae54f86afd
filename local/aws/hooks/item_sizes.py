"""The size of an item of DynamoDB, carried on as it grows.

Defect: moto adds up all attributes of an item for each one that is set, so that the time of a write grows with the
square of their number. Here the most that an item can have by now is carried on from attribute to attribute, but for
maps and lists, which grow inside; all are added up only where that is more than an item may have.
"""

from dataclasses import dataclass, field

from moto.dynamodb.models.dynamo_type import DynamoType, LimitedSizeDict
from moto.dynamodb.models.utilities import bytesize

from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped

_MAX_BYTES = 405_000
"""What moto lets an item have: a little more than the 400 KB that AWS documents."""


def install() -> None:
    """Carries the size on; what is refused stays the same."""
    replace(LimitedSizeDict, "__setitem__", _build_set)


@dataclass
class _Carried:
    """The most bytes of an item's flat attributes, and the names of the others."""

    flat_bytes: int = 0
    nested: set[str] = field(default_factory=set)

    def most_bytes(self, item: Untyped) -> int:
        return self.flat_bytes + sum(_size_bytes(name, item[name]) for name in self.nested if name in item)

    def add(self, name: str, value: Untyped, size_bytes: int) -> None:
        if type(value) is DynamoType and not (value.is_map() or value.is_list()):
            self.flat_bytes += size_bytes
            self.nested.discard(name)
        else:
            self.nested.add(name)


def _build_set(original: Untyped) -> Untyped:
    def set_attribute(self: Untyped, name: str, value: Untyped) -> None:
        carried = getattr(self, "carried", None)
        size_bytes = _size_bytes(name, value)
        if carried is not None and carried.most_bytes(self) + size_bytes <= _MAX_BYTES:
            dict.__setitem__(self, name, value)
            carried.add(name, value, size_bytes)
            return
        original(self, name, value)
        self.carried = _Carried()
        for each, known in self.items():
            self.carried.add(each, known, _size_bytes(each, known))

    return set_attribute


def _size_bytes(name: str, value: Untyped) -> int:
    return int(bytesize(name) + (value.size() if type(value) is DynamoType else bytesize(str(value))))
