"""A compiled rank profile: parsed expressions and the features that they need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from encoders.inference.reranker import Reranker
from ranking.attributes import features_of
from ranking.engine.program import Program, compile_program
from ranking.expressions.expression import Expression, parse
from ranking.expressions.monotone import increases
from ranking.names import ROLES
from ranking.profiles.profile import inputs_of_query
from ranking.profiles.shipped import Profile
from ranking.query_checks import NO_ATTRIBUTES
from ranking.types import (
    TEXTS,
    Attribute,
    EngineError,
    Query,
    Retriever,
    VectorField,
)

__all__ = ["Feature", "Plan", "Rerank", "make_plan", "query_inputs"]

_BM25 = re.compile(r"bm25\((\w+)\)")
_COMPARED = re.compile(r"(closeness|distance)\((?:field,)?(\w+)\)")
_HAS_VECTOR = re.compile(r"attribute\(has_vector(?:_(\w+))?\)")
_OWN = re.compile(r"(?P<kind>bm25|attribute)\((?P<has>has_)?(?P<field>\w+)\)")
_INPUT = re.compile(r"query\((\w+)\)")
_LATE = re.compile(r"(max_sim|rerank)\(\w+,(\w+)\)")
_CLOSEST = re.compile(r"closest\((\w+)\)")
_PLACEHOLDER = "embedding"

Inputs = tuple[tuple[str, float], ...]


class Feature(NamedTuple):
    """What a feature is computed from: a text, a vector field, a field of one's own, or none."""

    kind: Literal[
        "bm25", "closeness", "distance", "has_caption", "has_vector", "attribute", "has_attribute"
    ]
    field: str = ""

    @property
    def compares(self) -> bool:
        """Whether it compares vectors."""
        return self.kind in ("closeness", "distance")

    @property
    def of_vectors(self) -> bool:
        """Whether it is computed from a vector field."""
        return self.compares or self.kind == "has_vector"


@dataclass(frozen=True)
class Rerank:
    """A second or global phase."""

    expression: Expression
    count: int


@dataclass(frozen=True, eq=False)
class Plan:
    """What the engine does for one profile.

    features: by canonical name all that any phase reads, `query()` left out. vector_fields: those
    that the profile compares vectors of, by name; index_fields: all that the index has. closest:
    match features that show a label -> their field. late: features computed for the best hits of
    the first phase alone, whose patches are read -> their field. reranker: what `rerank` asks.
    """

    name: str
    retrieve: tuple[Retriever, ...]
    text: str
    inputs: Mapping[str, float]
    first: Expression
    second: Rerank | None
    last: Rerank | None
    shown: Mapping[str, Expression]
    features: Mapping[str, Feature]
    vector_fields: Mapping[str, VectorField]
    index_fields: tuple[str, ...]
    closest: Mapping[str, str]
    late: Mapping[str, VectorField]
    reranker: Reranker | None = None

    @cached_property
    def window(self) -> int:
        """How many hits the phases after the first look at."""
        return max((phase.count for phase in (self.second, self.last) if phase), default=0)

    @cached_property
    def compared(self) -> frozenset[str]:
        """Vector fields of which a phase reads a closeness or a distance."""
        return frozenset(each.field for each in self.features.values() if each.compares)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Text fields that a phase reads the BM25 of; first the one where words are looked for."""
        read = {each.field for each in self.features.values() if each.kind == "bm25"}
        searched = (self.text,) if "text" in self.retrieve or self.text in read else ()
        return (*searched, *sorted(read - set(searched), key=_in_order))

    @cached_property
    def single(self) -> bool:
        """Whether the first phase reads at most one text field and one field of one vector."""
        if any(field.labels for field in self.vector_fields.values()):
            return False
        if any(name in self.late for name in self.first.features):
            return False
        read = [self.features[name] for name in self.first.features if name in self.features]
        fields = {each.field for each in read if each.of_vectors} - {""}
        return len(fields | self.vector_fields.keys()) <= 1 and len(self.texts) <= 1

    @cached_property
    def _programs(self) -> dict[tuple[bool, Inputs], Program | None]:
        return {}

    def increases(self, inputs: Mapping[str, float], *, by_vector: bool) -> bool:
        """Whether the first phase never falls as BM25 and closeness grow.

        by_vector: whether the query has a vector.
        """
        field = next(iter(self.vector_fields.values()), None)
        metric = None if field is None else field.distance
        return increases(self.first.flat, inputs, metric, by_vector=by_vector)

    def program(self, inputs: Mapping[str, float], *, by_vector: bool) -> Program | None:
        """The first phase for the native core, where it allows to leave documents out; or None."""
        key = by_vector, tuple(inputs.items())
        if key not in self._programs:
            prunable = self.single and (
                "text" not in self.retrieve or self.increases(inputs, by_vector=by_vector)
            )
            self._programs[key] = compile_program(self.first.flat, inputs) if prunable else None
        return self._programs[key]


def _in_order(text: str) -> tuple[int, str]:
    return (TEXTS.index(text) if text in TEXTS else len(TEXTS)), text


def make_plan(
    profile: Profile,
    fields: Sequence[VectorField],
    attributes: Mapping[str, Attribute] = NO_ATTRIBUTES,
    reranker: Reranker | None = None,
) -> Plan:
    """Parse a resolved profile's expressions and check that the index has what they name.

    reranker: the encoder's, if it has one. Raises EngineError naming the profile and the feature
    where there is no such thing.
    """
    first = parse(profile.first_phase, profile.functions)
    second, last = (
        None
        if phase is None
        else Rerank(parse(phase.expression, profile.functions), phase.rerank_count)
        for phase in (profile.second_phase, profile.global_phase)
    )
    features = [parse(name, profile.functions) for name in profile.match_features]
    shown = {str(expression): expression for expression in features}
    closest = {
        name: _labelled(profile, "shows", name, match[1], fields).name
        for name in shown
        if (match := _CLOSEST.fullmatch(name))
    }
    shown = {name: each for name, each in shown.items() if name not in closest}
    parsed = [first, *shown.values(), *(phase.expression for phase in (second, last) if phase)]
    read = sorted({name for expression in parsed for name in expression.features})
    late = {
        n: _labelled(profile, "uses", n, m[2], fields) for n in read if (m := _LATE.fullmatch(n))
    }
    if reranker is None and profile.reranks:
        raise EngineError(
            f"Profile {profile.name} re-ranks, and this index's encoder has no re-ranker: train "
            "one with `rocosearch train-reranker CORPUS ENCODER`, and index the corpus again."
        )
    read = [n for n in read if not (_INPUT.fullmatch(n) or n in late)]
    named = {n: _own_feature(n, attributes) for n in read}
    known = {n: own or _feature(profile, n, fields, attributes) for n, own in named.items()}
    return Plan(
        name=profile.name,
        retrieve=profile.retrieve,
        text=profile.text or TEXTS[0],
        inputs=dict(profile.inputs),
        first=first,
        second=second,
        last=last,
        shown=shown,
        features=known,
        vector_fields=_vector_fields(profile, known, fields, closest.values()),
        index_fields=tuple(field.name for field in fields),
        closest=closest,
        late=late,
        reranker=reranker,
    )


def _own_feature(name: str, attributes: Mapping[str, Attribute]) -> Feature | None:
    """What a feature of a field of one's own is; None where it is of another."""
    match = _OWN.fullmatch(name)
    own = attributes.get(match["field"]) if match else None
    if match is None or own is None or (own.type == "text") != (match["kind"] == "bm25"):
        return None
    if own.type == "text":
        return Feature("bm25", own.name)
    if own.type == "keyword" or (match["has"] and own.type == "bool"):
        return None
    return Feature("has_attribute" if match["has"] else "attribute", own.name)


def _feature(
    profile: Profile,
    name: str,
    fields: Sequence[VectorField],
    attributes: Mapping[str, Attribute],
) -> Feature:
    """What a feature is."""
    own = {field.name for field in fields}
    standing = _standing(_PLACEHOLDER, fields)
    if (match := _BM25.fullmatch(name)) and match[1] in TEXTS:
        return Feature("bm25", match[1])
    if name == "attribute(has_caption)":
        return Feature("has_caption")
    if match := _COMPARED.fullmatch(name):
        kind: Literal["closeness", "distance"] = (
            "closeness" if match[1] == "closeness" else "distance"
        )
        return Feature(kind, _compared_field(profile, match[2], fields))
    if match := _HAS_VECTOR.fullmatch(name):
        if match[1] is None:
            return Feature("has_vector", standing)
        if f"{_PLACEHOLDER}_{match[1]}" in own or match[1] in own:
            return Feature("has_vector", match[1] if match[1] in own else f"embedding_{match[1]}")
    there = [*(f"bm25({text})" for text in TEXTS), "attribute(has_caption)"]
    there += ["attribute(has_vector)"]
    there += features_of(attributes.values())
    there += [f"attribute(has_vector_{each.removeprefix('embedding_')})" for each in sorted(own)]
    raise EngineError(
        f"Profile {profile.name} uses {name}, which the embedded engine does not compute; "
        f"it has {', '.join(there)} and closeness or distance of a vector field."
    )


def _standing(role: str, fields: Sequence[VectorField]) -> str:
    """The field that a placeholder stands for: its role's first; for the image's, else any."""
    names = [field.name for field in fields]
    own = [name for name in names if name == role or name.startswith(f"{role}_")]
    return next(iter(own or (names if role == _PLACEHOLDER else ())), "")


def _compared_field(profile: Profile, name: str, fields: Sequence[VectorField]) -> str:
    """The index's field of that name, or that it is a placeholder for; "" for vectors of none.

    Raises EngineError where a role other than the image's has no field.
    """
    if name in (field.name for field in fields):
        return name
    found = _standing(name, fields) if name in ROLES else ""
    if not found and name in ROLES and name != _PLACEHOLDER:
        there = ", ".join(field.name for field in fields) or "none"
        raise EngineError(
            f"Profile {profile.name} compares {name}, and this index has no such vectors, only "
            f"{there}: index the corpus with them, or take another profile."
        )
    return found


def _labelled(
    profile: Profile, does: str, feature: str, name: str, fields: Sequence[VectorField]
) -> VectorField:
    """The field of labelled vectors that a feature is of. Raises EngineError if there is none.

    does: what the profile does with the feature, "shows" or "uses".
    """
    own = _compared_field(profile, name, fields)
    found = next((field for field in fields if field.name == own and field.labels), None)
    if found is None:
        raise EngineError(
            f"Profile {profile.name} {does} {feature}, and this index has no labelled vectors "
            "there."
        )
    return found


def _vector_fields(
    profile: Profile,
    features: Mapping[str, Feature],
    fields: Sequence[VectorField],
    shown: Iterable[str],
) -> dict[str, VectorField]:
    """The fields whose vectors are compared; where none is named, the index's first retrieves."""
    named = {each.field for each in features.values() if each.compares} | {*shown}
    if not named and "vector" in profile.retrieve and fields:
        named = {fields[0].name}
    return {field.name: field for field in fields if field.name in named}


def query_inputs(plan: Plan, query: Query, *, whole: bool) -> dict[str, float]:
    """Return `query(NAME)` -> value: the profile's defaults under the query's own.

    whole: whether the query has words and a vector.

    Raises QueryError for a name that the profile does not have.
    """
    own = inputs_of_query(plan.name, plan.inputs, query.inputs, whole=whole)
    values = {**plan.inputs, **own}
    return {f"query({name})": np.float64(value) for name, value in values.items()}
