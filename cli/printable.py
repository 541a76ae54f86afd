"""Texts of records, or of the org, for a terminal."""

from __future__ import annotations

_NO_BREAK_SPACE = "\xa0"
"""Common in texts of some languages, as before a colon in French."""


def printable(text: str) -> str:
    """One line: control sequences in it are spelt, never obeyed."""
    return text if text.isprintable() else "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    return character if character.isprintable() or character == _NO_BREAK_SPACE else ascii(character)[1:-1]


def printable_lines(text: str) -> str:
    """The same of each line of a text."""
    return "\n".join(map(printable, text.splitlines()))
