"""Reading a definition.

Defects: `"ToleratedFailurePercentage": 20` is a syntax error (only 20.0 parses), and every execution parses its
definition anew, which takes longer than running a short one.
"""

import functools
import json

from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped

_PERCENTAGE = "ToleratedFailurePercentage"


def install() -> None:
    """Accepts whole percentages, and parses each definition once."""
    replace(AmazonStateLanguageParser, "parse", _build_parse)


def _build_parse(original: Untyped) -> Untyped:
    @functools.lru_cache(maxsize=64)
    def parse(definition: str) -> Untyped:
        return original(with_decimal_percentages(definition))

    return staticmethod(parse)


def with_decimal_percentages(definition: str) -> str:
    """Returns the definition with every tolerated failure percentage of a Map written as a decimal."""
    try:
        document = json.loads(definition)
    except json.JSONDecodeError:
        return definition  # the parser's own message says what is wrong
    return json.dumps(_decimal(document))


def _decimal(node: object) -> object:
    if isinstance(node, list):
        return [_decimal(child) for child in node]
    if not isinstance(node, dict):
        return node
    copied = {key: _decimal(child) for key, child in node.items()}
    if node.get("Type") == "Map" and isinstance(node.get(_PERCENTAGE), int):
        copied[_PERCENTAGE] = float(node[_PERCENTAGE])
    return copied
