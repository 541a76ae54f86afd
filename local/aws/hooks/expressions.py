"""DynamoDB's expressions, read once.

Defect: moto reads the text of an update expression twice for every request, and takes a time to check it that grows
with the square of its length: each node of its tree looks for clauses among all nodes below it. That was most of the
time that a request to DynamoDB took. Here a text is read once, what is asked of the whole tree is asked at its root,
and a node's kind is looked up instead of worked out.
"""

import copy
import functools
from collections import deque
from typing import Any

from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.parsing.ast_nodes import DepthFirstTraverser, Node
from moto.dynamodb.parsing.expressions import UpdateExpressionParser
from moto.dynamodb.parsing.validators import ActionCountValidator, OverlappingPathsValidator

from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped

_MOST_TEXTS = 1024


class _AreNodes(dict[type, bool]):
    """Whether a kind of child is a node; to ask an abstract class for it each time takes long."""

    def __missing__(self, kind: type) -> bool:
        self[kind] = issubclass(kind, Node)
        return self[kind]


_are_nodes = _AreNodes()


def install() -> None:
    """Remembers texts and kinds; what is accepted, refused and changed stays the same."""
    replace(UpdateExpressionParser, "make", lambda make: staticmethod(functools.lru_cache(_MOST_TEXTS)(make)))
    replace(ConditionExpressionParser, "_lex_condition_expression", _build_lex)
    replace(DepthFirstTraverser, "traverse_node_recursively", lambda _: _traverse)
    replace(ActionCountValidator, "traverse", functools.partial(_build_at_root, "verify_action_counts"))
    replace(OverlappingPathsValidator, "traverse", functools.partial(_build_at_root, "check_for_overlapping_paths"))
    Node.__deepcopy__ = _copy_of_node


def _build_lex(original: Untyped) -> Untyped:
    known: dict[str, tuple[Any, ...]] = {}

    def lex(self: Untyped) -> deque[Any]:
        text = self.condition_expression
        if text not in known:
            if len(known) >= _MOST_TEXTS:
                known.clear()
            known[text] = tuple(original(self))
        return deque(known[text])

    return lex


def _traverse(self: Untyped, node: Untyped, child_id: int = -1) -> Untyped:
    """Processes the nodes from the leaves to the root, each where it is."""
    return _walk_of(self.__class__)(self, node, child_id)


@functools.cache
def _walk_of(kind: Untyped) -> Untyped:
    prepare = kind.pre_processing_of_child
    does_prepare = prepare is not DepthFirstTraverser.pre_processing_of_child
    processors: dict[type, Untyped] = {}

    def walk(traverser: Untyped, node: Untyped, child_id: int) -> Untyped:
        parent = node.parent
        for number, child in enumerate(node.children or ()):
            if does_prepare:
                prepare(traverser, node, number)
            if _are_nodes[type(child)]:
                walk(traverser, child, number)
        if type(node) not in processors:
            processors[type(node)] = _processor(traverser, type(node))
        processor = processors[type(node)]
        if processor is None:
            return node
        node = processor(traverser, node)
        node.parent = parent
        if parent:
            parent.children[child_id] = node
        return node

    return walk


def _processor(traverser: Untyped, kind: type) -> Untyped:
    """What a kind of traverser does with a kind of node; None where it does nothing."""
    methods = (method for wanted, method in traverser._processing_map().items() if issubclass(kind, wanted))
    method = next(methods, None)
    return method and method.__func__


def _build_at_root(check: str, original: Untyped) -> Untyped:
    """Where the whole tree passes, every part of it does; who refuses it says so as before."""

    def traverse(self: Untyped, node: Untyped) -> Untyped:
        try:
            return getattr(self, check)(node)
        except Exception:  # noqa: BLE001 - whatever it is, it is raised again by the part that deserves it
            return original(self, node)

    return traverse


def _copy_of_node(self: Untyped, memo: dict[int, Any]) -> Untyped:
    """A copy of a tree of nodes, without the parent of its root."""
    result = object.__new__(type(self))
    result.__dict__.update(self.__dict__)
    result.parent = None
    if self.children is not None:
        result.children = [
            _copy_of_node(child, memo) if _are_nodes[type(child)] else copy.deepcopy(child, memo)
            for child in self.children
        ]
        for child in result.children:
            if _are_nodes[type(child)]:
                child.parent = result
    return result
