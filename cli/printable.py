"""Texts of records, or of the org, for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """One line: control sequences in it are spelt, never obeyed."""
    return text if text.isprintable() else ascii(text)


def printable_lines(text: str) -> str:
    """The same of each line of a text."""
    return "\n".join(map(printable, text.splitlines()))
