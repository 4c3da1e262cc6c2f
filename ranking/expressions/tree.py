"""Nodes of the expression tree, and how they are written as text.

A node prints as an expression that Vespa's two evaluators read alike: the container (Java)
gives every operator a level of its own, the content nodes (C++) know fewer levels, so operators
that only one of them tells apart are set in parentheses. So is the left side of a chain where
Vespa would compute two constants of the right: when deployed, `x - 2 - 3` becomes `x - -1`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

__all__ = [
    "LEVEL",
    "POWER",
    "PRECEDENCE",
    "Binary",
    "Call",
    "If",
    "In",
    "Name",
    "Negative",
    "Node",
    "Not",
    "Number",
    "Text",
    "children",
    "depth",
    "map_children",
    "walk",
    "write",
]

# Binary operators from the loosest to the tightest, as com.yahoo.searchlib.rankingexpression
# .rule.Operator of Vespa 8 lists them; all associate to the left, the last one to the right.
PRECEDENCE = ("||", "&&", ">=", ">", "<=", "<", "~=", "!=", "==", "+", "-", "*", "/", "%", "^")
LEVEL = {operator: level for level, operator in enumerate(PRECEDENCE)}
POWER = "^"

# Operators that the content nodes read from left to right (vespalib/eval/operator_nodes.h).
_CONTENT_NODE_LEVEL = {
    operator: level
    for level, group in enumerate(
        [("||",), ("&&",), (">=", ">", "<=", "<", "~=", "!=", "=="), ("+", "-"), ("*", "/", "%")]
    )
    for operator in group
} | {POWER: 5}


@dataclass(frozen=True)
class Number:
    """A constant; `truth` where it was written as true or false."""

    value: float
    at: int = field(default=0, compare=False)
    truth: bool = False


@dataclass(frozen=True)
class Text:
    """A constant in quotes; it can be compared, nothing else."""

    value: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Name:
    """A bare identifier: a function without arguments, an argument, or a named number."""

    name: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Call:
    """A function with arguments, or a rank feature."""

    name: str
    arguments: tuple[Node, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Negative:
    """Unary minus."""

    operand: Node
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Not:
    """Logical not: 1 where the operand is 0, else 0."""

    operand: Node
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Binary:
    """Two operands and the operator between them."""

    operator: str
    left: Node
    right: Node
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class In:
    """1 where the operand equals one of the members, else 0."""

    operand: Node
    members: tuple[Node, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class If:
    """A choice; `probability` (of the condition) is a hint that changes no value."""

    condition: Node
    then: Node
    otherwise: Node
    probability: float | None = None
    at: int = field(default=0, compare=False)


Node = Number | Text | Name | Call | Negative | Not | Binary | In | If


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below `node`."""
    match node:
        case Call(arguments=arguments):
            return arguments
        case Negative(operand=operand) | Not(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
        case In(operand=operand, members=members):
            return (operand, *members)
        case If(condition=condition, then=then, otherwise=otherwise):
            return (condition, then, otherwise)
        case _:
            return ()


def depth(node: Node) -> int:
    """Levels of the tree; a chain of operators has one for each."""
    levels, level = 0, {id(node): node}
    while level:
        levels += 1
        level = {id(child): child for above in level.values() for child in children(above)}
    return levels


def map_children(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return `node` with each node directly below it changed."""
    match node:
        case Call(arguments=arguments):
            return replace(node, arguments=tuple(map(change, arguments)))
        case Negative(operand=operand) | Not(operand=operand):
            return replace(node, operand=change(operand))
        case Binary(left=left, right=right):
            return replace(node, left=change(left), right=change(right))
        case In(operand=operand, members=members):
            return replace(node, operand=change(operand), members=tuple(map(change, members)))
        case If():
            condition, then, otherwise = map(change, children(node))
            return replace(node, condition=condition, then=then, otherwise=otherwise)
        case _:
            return node


def walk(node: Node) -> Iterator[Node]:
    """Yield `node` and everything below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def write(node: Node) -> str:  # noqa: PLR0911 - one for each kind of node
    """Return the expression as text; parsing it gives an equal tree."""
    match node:
        case Number(value=value, truth=truth):
            return str(bool(value)).lower() if truth else _number(value)
        case Text(value=value):
            return _quoted(value)
        case Name(name=name):
            return name
        case Call(name=name, arguments=arguments):
            return f"{name}({','.join(map(write, arguments))})"
        case Negative(operand=operand):
            return f"-{_operand(operand)}"
        case Not(operand=operand):
            return f"!{_operand(operand)}"
        case Binary():
            return _binary(node)
        case In(operand=operand, members=members):
            inner = f"({write(operand)})" if isinstance(operand, In) else write(operand)
            return f"{inner} in [{', '.join(map(write, members))}]"
        case If(probability=probability):
            parts = [write(part) for part in children(node)]
            parts += [] if probability is None else [_number(probability)]
            return f"if ({', '.join(parts)})"


def _quoted(value: str) -> str:
    # A backslash before a quote, the closing one too, would escape it: so written it cannot.
    for sign, escape in (("\\", "\\u005c"), ('"', "\\u0022"), ("\n", "\\n")):
        value = value.replace(sign, escape)
    return f'"{value}"'


def _number(value: float) -> str:
    if value == float("inf"):
        return "1e999"
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(value)


def _operand(node: Node) -> str:
    if isinstance(node, Number) and node.value == 0 and not node.truth:
        return "0.0"  # -0 is 0: a whole number
    wrapped = isinstance(node, Binary | In | Negative | Not)
    return f"({write(node)})" if wrapped else write(node)


def _binary(node: Binary) -> str:
    left = _side(
        node.left, node.operator, chains=node.operator != POWER and not _joins_constants(node)
    )
    right = _side(node.right, node.operator, chains=node.operator == POWER)
    return f"{left} {node.operator} {right}"


def _joins_constants(node: Binary) -> bool:
    """Whether `x - 2 - 3` holds constants side by side that do not belong together.

    Vespa's config model does not ask (rankingexpression.transform.Simplifier). Plain numbers
    from the first on it computes from the left, and of `&&` and `||` any order is right.
    """
    left = node.left
    if not (isinstance(left, Binary) and left.operator == node.operator):
        return False
    if node.operator in ("&&", "||") or not (_constant(left.right) and _constant(node.right)):
        return False
    return not _only_numbers(left)


def _constant(node: Node) -> bool:
    return not any(isinstance(below, Name) for below in walk(node))


def _only_numbers(node: Node) -> bool:
    """Whether a chain of one operator holds numbers alone."""
    while isinstance(node, Binary) and isinstance(node.right, Number):
        if isinstance(node.left, Binary) and node.left.operator != node.operator:
            return False
        node = node.left
    return isinstance(node, Number)


def _side(node: Node, operator: str, *, chains: bool) -> str:
    """Write an operand; `chains`: the same operator may follow on this side."""
    text = write(node)
    if isinstance(node, In):
        return f"({text})"
    if not isinstance(node, Binary):
        return text
    own, outer = (_CONTENT_NODE_LEVEL[o] for o in (node.operator, operator))
    plain = own > outer or (node.operator == operator and chains)
    return text if plain else f"({text})"
