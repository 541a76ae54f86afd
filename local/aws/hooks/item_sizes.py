"""The size of an item of DynamoDB, carried on as it grows.

Defect: moto adds up all attributes of an item for each one that is set, so that the time of a write grows with the
square of their number. Here the most that an item can have by now is carried on from attribute to attribute, and all of
them are added up only where that is more than an item may have.
"""

from moto.dynamodb.models.dynamo_type import DynamoType, LimitedSizeDict
from moto.dynamodb.models.utilities import bytesize

from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped

_MAX_BYTES = 405_000
"""What moto lets an item have: a little more than the 400 KB that AWS documents."""


def install() -> None:
    """Carries the size on; what grows inside of a map is counted once all is added up."""
    replace(LimitedSizeDict, "__setitem__", _build_set)


def _build_set(original: Untyped) -> Untyped:
    def set_attribute(self: Untyped, name: str, value: Untyped) -> None:
        most_bytes = getattr(self, "most_bytes", _MAX_BYTES) + _size_bytes(name, value)
        if most_bytes <= _MAX_BYTES:
            dict.__setitem__(self, name, value)
        else:
            original(self, name, value)
            most_bytes = sum(_size_bytes(*attribute) for attribute in self.items())
        self.most_bytes = most_bytes

    return set_attribute


def _size_bytes(name: str, value: Untyped) -> int:
    return int(bytesize(name) + (value.size() if type(value) is DynamoType else bytesize(str(value))))
