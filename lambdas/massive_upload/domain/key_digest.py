"""One number for a set of keys, whatever their order: so that two lists of millions of keys compare in one line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xxhash import xxh64_intdigest

from massive_upload.domain.stored_text import stored_texts

_MODULUS = 1 << 64


@dataclass(frozen=True)
class KeyDigest:
    """The sum of the keys' hashes modulo 2^64.

    A key's hash is XXH64 with seed 0 (xxHash's doc/xxhash_spec.md) over its UTF-8 text without the blanks and control
    characters around it (`stored_text.stored`). Digests of two sets without a common key add up to that of both
    together. It tells lists apart that differ by mistake; it is no proof against somebody who makes up keys.
    """

    value: int = 0

    @classmethod
    def of(cls, keys: Iterable[str]) -> KeyDigest:
        """The digest of some keys."""
        return cls(sum([xxh64_intdigest(key.encode()) for key in stored_texts(keys)]) % _MODULUS)

    @classmethod
    def from_hex(cls, text: str) -> KeyDigest:
        """The digest that `hex` wrote."""
        return cls(int(text, 16))

    @property
    def hex(self) -> str:
        """16 hexadecimal digits."""
        return f"{self.value:016x}"

    def __add__(self, other: KeyDigest) -> KeyDigest:
        """The digest of both sets together; they have no key in common."""
        return KeyDigest((self.value + other.value) % _MODULUS)

    def __sub__(self, other: KeyDigest) -> KeyDigest:
        """The digest of what remains when some of the keys are taken out."""
        return KeyDigest((self.value - other.value) % _MODULUS)


NO_KEYS = KeyDigest()
"""The digest of no key at all."""
