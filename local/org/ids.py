from functools import lru_cache

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


class IdSequence:
    """Salesforce ids of one object: 15 case-sensitive characters and the 3 that make them safe to compare."""

    def __init__(self, key_prefix: str) -> None:
        if len(key_prefix) != 3:
            raise ValueError(f"The key prefix {key_prefix!r} has {len(key_prefix)} characters: give 3, e.g. '006'.")
        self._prefix = f"{key_prefix}7Q00000"
        self._next = 0

    def next(self) -> str:
        """The next id, 18 characters."""
        self._next += 1
        short = self._prefix + _base62(self._next, 5)
        return short + _suffix(short[:5]) + _suffix(short[5:10]) + _suffix(short[10:])


def _base62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits = _DIGITS[rest] + digits
    return digits


@lru_cache(maxsize=4096)
def _suffix(five: str) -> str:
    """One bit per capital letter, the first character lowest: the published 15 to 18 character rule."""
    return _SUFFIX[sum(1 << place for place, letter in enumerate(five) if "A" <= letter <= "Z")]
