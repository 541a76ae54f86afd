"""Binds the `:name` parameters of query-sql to the prepared parameters of DuckDB."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.org.errors import ApiError

_TOKEN = re.compile(
    r"""
      '(?:[^']|'')*'            # a string; a quote inside is doubled
    | "(?:[^"]|"")*"            # an identifier
    | --[^\n]*                  # a comment to the end of the line
    | /\*.*?\*/                 # a comment
    | ::                        # a cast, no parameter
    | :(?P<name>[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)

_TYPES: Mapping[str, str] = {
    "varchar": "VARCHAR",
    "char": "VARCHAR",
    "bool": "BOOLEAN",
    "bigint": "BIGINT",
    "integer": "INTEGER",
    "smallint": "SMALLINT",
    "numeric": "DECIMAL(38, 10)",
    "double": "DOUBLE",
    "float": "FLOAT",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMPTZ",
}
"""Data 360 type names -> DuckDB's."""


@dataclass(frozen=True)
class BoundSql:
    """A statement with `$name` parameters, and their values."""

    sql: str
    values: Mapping[str, Any]


def bind(sql: str, parameters: Sequence[Mapping[str, Any]]) -> BoundSql:
    """Bind `:name` in a statement; neither in strings, quoted names and comments, nor in a `::cast`.

    Args:
        sql: the statement.
        parameters: `{name, type, value}` as in the request's `sqlParameters`.

    Raises:
        ApiError: a parameter is used and not given, or has an unknown type.
    """
    given = {str(each.get("name")): each for each in parameters}
    values: dict[str, Any] = {}

    def replace(token: re.Match[str]) -> str:
        name = token["name"]
        if name is None:
            return token[0]
        if name not in given:
            raise ApiError(400, "INVALID_ARGUMENT", f"The parameter :{name} is not in sqlParameters")
        type_name = str(given[name].get("type"))
        if type_name.lower() not in _TYPES:
            raise ApiError(400, "INVALID_ARGUMENT", f"The type {type_name} of the parameter :{name} is unknown")
        value = given[name].get("value")
        values[name] = value if value is None else str(value)
        return f"CAST(${name} AS {_TYPES[type_name.lower()]})"

    return BoundSql(_TOKEN.sub(replace, sql), values)
