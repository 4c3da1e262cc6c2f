"""One rank profile: phases, functions, inputs, retrieval."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from encoders.base.errors import UserError
from ranking.expressions.expression import Expression, parse
from ranking.names import ROLES
from ranking.types import QueryError, Retriever

__all__ = ["LATE", "MISSING", "Phase", "Profile", "ProfileError", "inputs_of_query"]


MISSING = "missing"
"""The input that says what share of the part it has a document is given for the one it lacks."""

_COMPARED = re.compile(
    rf"(?:closeness|distance|closest)\((?:field,)?({'|'.join(ROLES)})(?:_\w+)?\)"
)
_COMPARING = ("closeness(", "closest(", "distance(")
LATE = ("max_sim(", "rerank(")
"""How features of the query's tokens and a document's patches begin."""

_OF_VECTORS = (*_COMPARING, *LATE, "attribute(has_vector", "query(q)", "query(q_")


class ProfileError(UserError):
    """A rank profile cannot be used; the message says which, where and why."""

    pointed = True


@dataclass(frozen=True)
class Phase:
    """A reranking phase: its expression and how many of the best hits it looks at."""

    expression: str
    rerank_count: int = 100


@dataclass(frozen=True)
class Profile:
    """One rank profile.

    retrieve: which retrievers find candidates; with both, the union. text: the text field that
    words are looked for in; "" is the parent's, and the caption where there is none.
    inputs: `query()` numbers with their defaults. functions: signature -> expression, the
    signature a name or a name with arguments ("saturate(x, k)").
    A profile without a first phase, its own or inherited, is only there to be inherited.
    """

    name: str
    first_phase: str = ""
    retrieve: tuple[Retriever, ...] = ()
    text: str = ""
    inherits: str = ""
    inputs: Mapping[str, float] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)
    second_phase: Phase | None = None
    global_phase: Phase | None = None
    match_features: tuple[str, ...] = ()
    description: str = ""

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield (where it stands, expression) of every phase and match feature."""
        if self.first_phase:
            yield "first phase", self.first_phase
        if self.second_phase:
            yield "second phase", self.second_phase.expression
        if self.global_phase:
            yield "global phase", self.global_phase.expression
        for name in self.match_features:
            yield f"match feature {name}", name

    def expressions(self) -> Iterator[Expression]:
        """Yield the same, parsed; of a resolved profile, whose functions are all there."""
        for _, text in self.texts():
            yield parse(text, self.functions)

    @property
    def uses_vector(self) -> bool:
        """Whether a resolved profile needs a query vector or a vector field."""
        features = {name for e in self.expressions() for name in e.features}
        return "vector" in self.retrieve or any(name.startswith(_OF_VECTORS) for name in features)

    @property
    def roles(self) -> tuple[str, ...]:
        """ROLES whose vectors a resolved profile compares; the image's where it names none."""
        features = sorted({name for e in self.expressions() for name in e.features})
        found = dict.fromkeys(m[1] for name in features if (m := _COMPARED.fullmatch(name)))
        return tuple(found) or (("embedding",) if self.uses_vector else ())

    @property
    def late(self) -> bool:
        """Whether a resolved profile compares the query's tokens with patches."""
        return any(n.startswith(LATE) for e in self.expressions() for n in e.features)

    @property
    def reranks(self) -> bool:
        """Whether a resolved profile asks the encoder's re-ranker."""
        return any(n.startswith(LATE[1]) for e in self.expressions() for n in e.features)


def inputs_of_query(
    profile: str, known: Collection[str], given: Mapping[str, float], *, whole: bool
) -> dict[str, float]:
    """Return the inputs that a query changes: those given, and `missing` of half a query.

    With only words, or only a vector, no document can be found for its other half, so lacking one
    makes up for nothing: `missing` is 0. known: names that the profile has. whole: whether the
    query has both words and a vector. Raises QueryError for a name that the profile does not have.
    """
    if unknown := sorted(set(given) - set(known)):
        raise QueryError(
            f"Profile {profile} has no input {', '.join(unknown)}; its inputs: "
            f"{', '.join(sorted(known)) or 'none'}."
        )
    half = {} if whole or MISSING not in known else {MISSING: 0.0}
    return {**half, **given}
