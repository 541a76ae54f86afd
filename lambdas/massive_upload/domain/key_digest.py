"""One number for a set of keys, whatever their order: so that two lists of millions of keys compare in one line."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from massive_upload.domain.stored_text import stored_texts

_MODULUS = 1 << 128
_WORD_BITS = 64
_HASH_WORDS = 4
"""SHA-256 has 256 bits; the first two of its four words count."""


@dataclass(frozen=True)
class KeyDigest:
    """The sum of the keys' hashes modulo 2^128.

    A key's hash is the first 16 bytes of SHA-256 over its UTF-8 text without the blanks and control characters around
    it (`stored_text.stored`), as an unsigned big-endian number. Digests of two sets without a common key add up to that
    of both together.
    """

    value: int = 0

    @classmethod
    def of(cls, keys: Iterable[str]) -> KeyDigest:
        """The digest of some keys."""
        words = array("Q", b"".join([sha256(key.encode()).digest() for key in stored_texts(keys)]))
        if sys.byteorder == "little":
            words.byteswap()
        return cls(((sum(words[::_HASH_WORDS]) << _WORD_BITS) + sum(words[1::_HASH_WORDS])) % _MODULUS)

    @classmethod
    def from_hex(cls, text: str) -> KeyDigest:
        """The digest that `hex` wrote."""
        return cls(int(text, 16))

    @property
    def hex(self) -> str:
        """32 hexadecimal digits; a number of DynamoDB has 38 decimal digits at most, which is too few."""
        return f"{self.value:032x}"

    def __add__(self, other: KeyDigest) -> KeyDigest:
        """The digest of both sets together; they have no key in common."""
        return KeyDigest((self.value + other.value) % _MODULUS)

    def __sub__(self, other: KeyDigest) -> KeyDigest:
        """The digest of what remains when some of the keys are taken out."""
        return KeyDigest((self.value - other.value) % _MODULUS)


NO_KEYS = KeyDigest()
"""The digest of no key at all."""
