"""Rank profiles: what relevant means, written once, read by both engines.

Expressions are Vespa's ranking-expression language. They speak of the placeholders
`embedding`, `query(q)` and `attribute(has_vector)`; `instantiate` puts one encoder's names in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Phase", "Profile", "Retriever"]

Retriever = Literal["text", "vector"]


@dataclass(frozen=True)
class Phase:
    """A reranking phase: its expression and how many of the best hits it looks at."""

    expression: str
    rerank_count: int = 100


@dataclass(frozen=True)
class Profile:
    """One rank profile.

    retrieve: which retrievers find candidates; with both, the union.
    inputs: `query()` numbers with their defaults. functions: signature -> expression, the
    signature a name or a name with arguments ("saturate(x, k)").
    """

    name: str
    first_phase: str = ""
    retrieve: tuple[Retriever, ...] = ()
    inherits: str = ""
    inputs: Mapping[str, float] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)
    second_phase: Phase | None = None
    global_phase: Phase | None = None
    match_features: tuple[str, ...] = ()
    description: str = ""
