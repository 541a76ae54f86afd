"""Conditional writes in DynamoDB's terms: what changes, and on which condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from massive_upload.adapters.dynamodb_items import Item, to_item


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an update does to an item's attributes.

    Attributes:
        put: attributes and their new values.
        put_once: attributes that keep the value they have, if they have one.
        put_rest: attributes, each with a number and another attribute: the number less that one is the new value.
        add: numbers to add.
        remove: attributes to remove.
    """

    put: Mapping[str, object] = field(default_factory=dict)
    put_once: Mapping[str, object] = field(default_factory=dict)
    put_rest: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    remove: Sequence[str] = ()

    def __or__(self, other: Change) -> Change:
        """Both changes in one; what one of them removes is not put by the other."""
        removed = (*self.remove, *other.remove)
        put = {name: value for name, value in {**self.put, **other.put}.items() if name not in removed}
        return Change(
            put=put,
            put_once={**self.put_once, **other.put_once},
            put_rest={**self.put_rest, **other.put_rest},
            add={**self.add, **other.add},
            remove=removed,
        )

    @property
    def expression(self) -> str:
        """The UpdateExpression."""
        puts = [f"#{name} = :{name}" for name in self.put]
        puts += [f"#{name} = if_not_exists(#{name}, :{name})" for name in self.put_once]
        puts += [f"#{name} = :{name} - #{taken}" for name, (_number, taken) in self.put_rest.items()]
        clauses = {
            "SET": puts,
            "ADD": [f"#{name} :{name}" for name in self.add],
            "REMOVE": [f"#{name}" for name in self.remove],
        }
        return " ".join(f"{keyword} {', '.join(parts)}" for keyword, parts in clauses.items() if parts)

    @property
    def names(self) -> dict[str, str]:
        """Every attribute under an alias, as many of their names are reserved words."""
        taken = [name for _number, name in self.put_rest.values()]
        named = (*self.put, *self.put_once, *self.put_rest, *taken, *self.add, *self.remove)
        return {f"#{name}": name for name in named}

    @property
    def values(self) -> dict[str, object]:
        """The values that the expression names."""
        rests = {name: number for name, (number, _taken) in self.put_rest.items()}
        values: dict[str, object] = {**self.put, **self.put_once, **rests, **self.add}
        return {f":{name}": value for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What must hold of an item for a write to happen; each clause is named where it is made."""

    clauses: Sequence[str]
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, object] = field(default_factory=dict)

    def __and__(self, other: Condition) -> Condition:
        """Both hold."""
        return Condition(
            clauses=(*self.clauses, *other.clauses),
            names={**self.names, **other.names},
            values={**self.values, **other.values},
        )

    @property
    def expression(self) -> str:
        """The ConditionExpression."""
        return " AND ".join(f"({clause})" for clause in self.clauses)


def exists() -> Condition:
    """The item is there."""
    return Condition(clauses=["attribute_exists(pk)"])


def is_new() -> Condition:
    """The item is not there."""
    return Condition(clauses=["attribute_not_exists(pk)"])


def equals(name: str, value: object) -> Condition:
    """An attribute has a value."""
    return Condition(clauses=[f"#{name} = :was_{name}"], names={f"#{name}": name}, values={f":was_{name}": value})


def at_least(name: str, number: int) -> Condition:
    """An attribute is so large, or larger."""
    return Condition(clauses=[f"#{name} >= :least_{name}"], names={f"#{name}": name}, values={f":least_{name}": number})


def is_before(name: str, moment: datetime) -> Condition:
    """An attribute holds an earlier moment, or none: `to_value` makes texts of moments that compare as they do."""
    return Condition(
        clauses=[f"attribute_not_exists(#{name}) OR #{name} < :before_{name}"],
        names={f"#{name}": name},
        values={f":before_{name}": moment},
    )


def is_absent(name: str) -> Condition:
    """The item lacks an attribute."""
    return Condition(clauses=[f"attribute_not_exists(#{name})"], names={f"#{name}": name})


def has(name: str, value: object) -> Condition:
    """An attribute has a value; where that is None, the item lacks the attribute."""
    return is_absent(name) if value is None else equals(name, value)


def is_one_of(name: str, values: Sequence[object]) -> Condition:
    """An attribute has one of some values."""
    numbered = {f":was_{name}{index}": value for index, value in enumerate(values)}
    return Condition(clauses=[f"#{name} IN ({', '.join(numbered)})"], names={f"#{name}": name}, values=numbered)


def known(**values: object) -> dict[str, object]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def put(table: str, item: Item, condition: Condition | None = None) -> Item:
    """A Put of TransactWriteItems."""
    return {"Put": {"TableName": table, "Item": item} | _conditional(condition)}


def update(table: str, key: Item, change: Change, condition: Condition | None = None) -> Item:
    """An Update of TransactWriteItems."""
    request: Item = {"TableName": table, "Key": key, "UpdateExpression": change.expression}
    request |= _conditional(condition)
    names = change.names | dict(request.get("ExpressionAttributeNames", {}))
    values = to_item(change.values) | request.get("ExpressionAttributeValues", {})
    if names:
        request["ExpressionAttributeNames"] = names
    if values:
        request["ExpressionAttributeValues"] = values
    return {"Update": request}


def check(table: str, key: Item, condition: Condition) -> Item:
    """A ConditionCheck of TransactWriteItems: the other writes happen only if this item is so."""
    return {"ConditionCheck": {"TableName": table, "Key": key} | _conditional(condition)}


def delete(table: str, key: Item, condition: Condition | None = None) -> Item:
    """A Delete of TransactWriteItems."""
    return {"Delete": {"TableName": table, "Key": key} | _conditional(condition)}


def _conditional(condition: Condition | None) -> dict[str, Any]:
    """The condition's part of a write, which gives back the item that did not meet it."""
    if condition is None:
        return {}
    parts: dict[str, Any] = {
        "ConditionExpression": condition.expression,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if condition.names:
        parts["ExpressionAttributeNames"] = dict(condition.names)
    if condition.values:
        parts["ExpressionAttributeValues"] = to_item(condition.values)
    return parts
