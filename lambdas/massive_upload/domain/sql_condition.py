"""Whether a filter is one condition: it is put in brackets beside others, and must not reach out of them."""

import re

_PARTS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--|/\*|[();'\"]")


def check_condition(sql: str) -> str:
    """Return the filter as it is.

    Raises:
        ValueError: brackets or quotes do not match, or it holds a comment or a semicolon.
    """
    depth = 0
    for part in _PARTS.findall(sql):
        if part in ("--", "/*", ";"):
            raise ValueError(f"{part} cannot be part of a filter; write one SQL condition, without comments")
        if part in ("'", '"'):
            raise ValueError(f"a quote {part} is not closed; double a quote that is part of a text")
        depth += {"(": 1, ")": -1}.get(part, 0)
        if depth < 0:
            break
    if depth != 0:
        raise ValueError("the brackets do not match; write one SQL condition")
    return sql
