"""Replaces a function of moto once.

The original is kept for the test that asks whether the hook is still needed.
"""

from collections.abc import Callable
from typing import Any

from local.aws.untyped import Untyped

_originals: dict[tuple[object, str], Any] = {}


def replace(owner: Untyped, name: str, build: Callable[[Any], Any]) -> None:
    """Puts `build(original)` in place of `owner.name`; a second call changes nothing."""
    key = (owner, name)
    if key in _originals:
        return
    original = getattr(owner, name)
    _originals[key] = original
    setattr(owner, name, build(original))


def original(owner: Untyped, name: str) -> Untyped:
    """Returns what `owner.name` was before it was replaced."""
    return _originals[(owner, name)]
