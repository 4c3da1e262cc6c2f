"""Inline functions, check names, rename features."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ranking.expressions.functions import FUNCTIONS
from ranking.expressions.parser import MOST_LEVELS, parse_tree
from ranking.expressions.tokens import SHOWN, ExpressionError, pointed
from ranking.expressions.tree import (
    Binary,
    Call,
    In,
    Name,
    Node,
    Number,
    Text,
    children,
    depth,
    map_children,
    write,
)

__all__ = [
    "FEATURES",
    "NORMALIZERS",
    "inline",
    "is_feature",
    "is_normalizer",
    "parse_signature",
    "rename",
]

# Rank features: name -> how many arguments. https://docs.vespa.ai/en/reference/rank-features.html
FEATURES: Mapping[str, tuple[int, ...]] = {
    "attribute": (1,),
    "bm25": (1,),
    "closeness": (1, 2),
    "closest": (1,),
    "distance": (1, 2),
    "max_sim": (2,),
    "query": (1,),
    "rerank": (2,),
}
NORMALIZERS = frozenset({"normalize_linear", "reciprocal_rank", "reciprocal_rank_fusion"})

_RESERVED = frozenset(FUNCTIONS) | frozenset(FEATURES) | NORMALIZERS
_MOST_NODES = 20_000
_TOO_DEEP = f"Functions nest this expression deeper than {MOST_LEVELS} levels: {{}}"


def is_feature(node: Node) -> bool:
    """Whether the node is a rank feature, or a name that stands for a number."""
    return isinstance(node, Name) or (isinstance(node, Call) and node.name in FEATURES)


def is_normalizer(node: Node) -> bool:
    """Whether the node compares hits with each other."""
    return isinstance(node, Call) and node.name in NORMALIZERS


@dataclass(frozen=True)
class _Function:
    arguments: tuple[str, ...]
    body: Node


@lru_cache(maxsize=4096)  # heirs share their functions, and each of them is checked
def parse_signature(signature: str) -> tuple[str, tuple[str, ...]]:
    """Split "saturate(x, k)" into its name and its arguments' names.

    Raises ExpressionError if it is neither a name nor a name with arguments.
    """
    tree = parse_tree(signature)
    if isinstance(tree, Name):
        return tree.name, ()
    if isinstance(tree, Call) and all(isinstance(a, Name) for a in tree.arguments):
        return tree.name, tuple(write(a) for a in tree.arguments)
    raise ExpressionError(
        "A function is declared by its name, or its name and arguments, as in saturate(x, k); "
        f"{signature!r} is neither."
    )


def inline(tree: Node, functions: Mapping[str, str], source: str) -> Node:
    """Return the tree with every function replaced by what it stands for.

    Raises ExpressionError, with a pointer, for a name that is not known or supported, and for
    a function that calls itself or lacks arguments.
    """
    declared = {}
    for signature, text in functions.items():
        name, arguments = parse_signature(signature)
        if name in _RESERVED:
            raise ExpressionError(
                f"{name} is a reserved name in Vespa: give the function another name."
            )
        if name in declared:
            raise ExpressionError(f"There are two functions {name}: rename one.")
        declared[name] = _Function(arguments, parse_tree(text))
    for function, text in zip(declared.values(), functions.values(), strict=True):
        _check(function.body, text, declared)
    _check(tree, source, declared)
    flat = _Inliner(declared, source).expand(tree, {}, ())
    if depth(flat) > MOST_LEVELS:
        raise ExpressionError(_TOO_DEEP.format(source[:SHOWN]))
    return flat


def rename(tree: Node, names: Mapping[str, str]) -> Node:
    """Return the tree with features, by canonical name, replaced."""
    if isinstance(tree, Name | Call) and (new := names.get(write(tree))):
        return parse_tree(new)
    return map_children(tree, lambda child: rename(child, names))


# What the arguments of a function stand for, each with the number of its nodes: a tree that
# stands in several places is one object, and is counted at each.
_Bound = Mapping[str, tuple[Node, int]]


class _Inliner:
    def __init__(self, functions: Mapping[str, _Function], source: str) -> None:
        self.functions = functions
        self.source = source
        self.nodes = 0
        self.level = 0

    def expand(self, node: Node, bound: _Bound, active: tuple[str, ...]) -> Node:
        """`bound`: the arguments' values; `active`: the functions we are inside of."""
        self.level += 1
        if self.level > MOST_LEVELS:
            raise ExpressionError(_TOO_DEEP.format(self.source[:SHOWN]))
        expanded = self._expanded(node, bound, active)
        self.level -= 1
        return expanded

    def _expanded(self, node: Node, bound: _Bound, active: tuple[str, ...]) -> Node:
        found, size = bound.get(node.name, (None, 1)) if isinstance(node, Name) else (None, 1)
        self.nodes += size
        if self.nodes > _MOST_NODES:
            raise ExpressionError(
                f"Functions make this expression too large: {self.source[:SHOWN]}"
            )
        if found is not None:
            return found
        if isinstance(node, Name) and node.name in self.functions:
            return self._call(node.name, (), node, active)
        if isinstance(node, Call) and node.name in self.functions:
            arguments = tuple(self._sized(a, bound, active) for a in node.arguments)
            return self._call(node.name, arguments, node, active)
        if isinstance(node, Call) and node.name in FEATURES:
            return map_children(node, lambda child: _bound_name(child, bound))
        return map_children(node, lambda child: self.expand(child, bound, active))

    def _sized(self, node: Node, bound: _Bound, active: tuple[str, ...]) -> tuple[Node, int]:
        before = self.nodes
        return self.expand(node, bound, active), self.nodes - before

    def _call(
        self,
        name: str,
        arguments: tuple[tuple[Node, int], ...],
        node: Name | Call,
        active: tuple[str, ...],
    ) -> Node:
        function = self.functions[name]
        if name in active:
            raise self._error(f"Function {name} calls itself:", node, active)
        if len(arguments) != len(function.arguments):
            takes, given = len(function.arguments), len(arguments)
            raise self._error(
                f"Function {name} takes {takes} arguments, not {given}:", node, active
            )
        bound = dict(zip(function.arguments, arguments, strict=True))
        return self.expand(function.body, bound, (*active, name))

    def _error(self, message: str, node: Name | Call, active: tuple[str, ...]) -> ExpressionError:
        if active:
            return ExpressionError(f"{message} in function {active[-1]}, {write(node)}")
        return pointed(message, self.source, node.at)


def _bound_name(node: Node, bound: _Bound) -> Node:
    return bound.get(node.name, (node, 1))[0] if isinstance(node, Name) else node


def _check(node: Node, source: str, declared: Collection[str]) -> None:
    """Refuse, by name, whatever the evaluator does not have."""
    if isinstance(node, Text):
        raise pointed("Text can only be compared, with ==, != or in:", source, node.at)
    if isinstance(node, Call):
        _check_call(node, source, declared)
        if node.name in FEATURES:
            return
    for child in _computed(node):
        _check(child, source, declared)


def _computed(node: Node) -> tuple[Node, ...]:
    """The children that must have a number; text may stand where it is only compared."""
    comparing = isinstance(node, In) or (isinstance(node, Binary) and node.operator in ("==", "!="))
    below = children(node)
    return tuple(c for c in below if not isinstance(c, Text)) if comparing else below


def _check_call(node: Call, source: str, declared: Collection[str]) -> None:
    given = len(node.arguments)
    if node.name in NORMALIZERS:
        _check_normalizer(node, source)
    elif node.name in FEATURES:
        _check_feature(node, source)
    elif node.name in declared:
        return
    elif node.name not in FUNCTIONS:
        raise pointed(
            f"{node.name} is neither a function nor a rank feature that is supported here "
            "(docs/profiles.md lists them):",
            source,
            node.at,
        )
    elif given != FUNCTIONS[node.name][0]:
        wanted = FUNCTIONS[node.name][0]
        raise pointed(f"{node.name} takes {wanted} arguments, not {given}:", source, node.at)


def _check_feature(node: Call, source: str) -> None:
    named = all(isinstance(a, Name | Text | Number) for a in node.arguments)
    counted = len(node.arguments) in FEATURES[node.name]
    if not (named and counted):
        raise pointed(f"{node.name} takes the name of a field or an input:", source, node.at)
    if node.name in ("max_sim", "rerank"):
        return
    if len(node.arguments) == 2 and write(node.arguments[0]) != "field":
        raise pointed(
            f"{node.name} is supported of a field, as in {node.name}(field, embedding):",
            source,
            node.at,
        )


def _check_normalizer(node: Call, source: str) -> None:
    arguments = node.arguments
    if node.name == "reciprocal_rank" and len(arguments) == 2:
        if not isinstance(arguments[1], Number):
            raise pointed("The second argument of reciprocal_rank is a number:", source, node.at)
        arguments = arguments[:1]
    fusion = node.name == "reciprocal_rank_fusion"
    if (fusion and len(arguments) < 2) or (not fusion and len(arguments) != 1):
        wanted = "at least two arguments" if fusion else "one argument"
        raise pointed(f"{node.name} takes {wanted}:", source, node.at)
    for argument in arguments:
        feature = isinstance(argument, Call) and argument.name in FEATURES
        if not (feature or isinstance(argument, Name)):
            raise pointed(
                f"{node.name} takes a rank feature or the name of a function:", source, argument.at
            )
