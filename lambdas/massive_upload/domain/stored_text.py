"""Texts as Salesforce stores them."""

from __future__ import annotations

from collections.abc import Iterable

BLANKS = "".join(map(chr, range(33)))
"""What Salesforce trims from both ends of a text that it stores (Apex Developer Guide, "Primitive Data Types"): blanks
and control characters. No other white space: a no-break space, say, is kept."""


def stored(text: str) -> str:
    """A text as Salesforce stores it, which trims it: by this keys and parents are the same or not."""
    return text.strip(BLANKS)


def stored_texts(texts: Iterable[str]) -> list[str]:
    """What `stored` makes of each of many texts."""
    listed = list(texts)
    together = "".join(listed)
    if together.isprintable() and " " not in together:
        return listed  # there is nothing to trim, as is so of most keys, and this look at all takes half as long
    return [text.strip(BLANKS) for text in listed]
