"""The saved queries of the log: each asks for lines and fields that the functions write."""

import ast
import re
from typing import Any

import pytest

from infra.functions import FUNCTIONS
from infra.monitoring.queries import QUERIES, SavedQuery
from infra.synth import ROOT
from tests.infra.definitions import Template, flatten, resources

_WORD = re.compile(r"(?<![\w@])([a-z_]+)(?![\w(])")
_COMMANDS = {"stats", "sort", "fields", "filter", "limit", "by", "as", "desc", "asc", "and"}
_TASK_FIELDS = {"message", "marker", "task", "run_id", "partition", "batch", "attempt", "job_id"}


def asked_fields(query: SavedQuery) -> set[str]:
    """What a query reads, without the names that it gives to its own results."""
    text = re.sub(r'"[^"]*"', "", " ".join(query.commands))
    named = set(re.findall(r" as (\w+)", text))
    return set(_WORD.findall(re.sub(r"\w+\(([^)]*)\)", r" \1 ", text))) - _COMMANDS - named


def logged_fields() -> set[str]:
    """The keyword arguments of every call of `log` in the code of the functions."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "lambdas").rglob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    of_log = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "log"]
    return {keyword.arg for call in of_log for keyword in call.keywords if keyword.arg}


def saved_queries(template: Template) -> dict[str, dict[str, Any]]:
    queries = [query["Properties"] for query in resources(template, "AWS::Logs::QueryDefinition").values()]
    return {query["Name"]: query for query in queries}


def test_every_query_is_saved_over_the_logs_of_all_functions(template: Template) -> None:
    saved = saved_queries(template)
    assert set(saved) == {f"MassiveUpload/{query.title}" for query in QUERIES}
    for properties in saved.values():
        groups = {flatten(group) for group in properties["LogGroupNames"]}
        assert len(groups) == len(FUNCTIONS)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.construct_id)
def test_a_query_asks_for_fields_that_are_logged(query: SavedQuery) -> None:
    assert asked_fields(query) <= logged_fields() | _TASK_FIELDS


def test_a_query_is_one_command_a_line(template: Template) -> None:
    saved = saved_queries(template)
    errors = saved["MassiveUpload/Failed rows by error code"]["QueryString"].splitlines()
    assert errors == [
        'filter message in ["rows failed"]',
        "| stats sum(rows) as failed_rows by code, marker",
        "| sort failed_rows desc",
    ]
