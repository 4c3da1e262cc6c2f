"""A rank profile made ready to run: expressions parsed, every feature it needs known."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import numpy as np

from ranking.engine.compiled.machine import Program, program
from ranking.expressions.expression import Expression, parse
from ranking.expressions.monotone import rises
from ranking.profiles.profile import inputs_of_half_a_query
from ranking.profiles.shipped import Profile, Retriever
from ranking.types import EngineError, Query, QueryError, VectorField

__all__ = ["Plan", "Rerank", "make_plan", "query_inputs"]

_CLOSENESS = re.compile(r"(?:closeness|distance)\((?:field,)?(\w+)\)")
_INPUT = re.compile(r"query\((\w+)\)")
_PLACEHOLDER = "embedding"


@dataclass(frozen=True)
class Rerank:
    """A second or global phase."""

    expression: Expression
    count: int


@dataclass(frozen=True, eq=False)
class Plan:
    """What the engine does for one profile.

    features: all that any phase reads, `query()` left out. vector_field: the one that the
    profile's closeness speaks of, None where it speaks of none.
    """

    name: str
    retrieve: tuple[Retriever, ...]
    inputs: Mapping[str, float]
    first: Expression
    second: Rerank | None
    last: Rerank | None
    shown: Mapping[str, Expression]
    features: frozenset[str]
    vector_field: VectorField | None

    @cached_property
    def window(self) -> int:
        """How many hits the phases after the first look at."""
        return max((phase.count for phase in (self.second, self.last) if phase), default=0)

    @cached_property
    def _programs(self) -> dict[tuple[bool, tuple[tuple[str, float], ...]], Program | None]:
        return {}

    @cached_property
    def _known_to_rise(self) -> dict[tuple[bool, tuple[tuple[str, float], ...]], bool]:
        return {}

    def rises(self, inputs: Mapping[str, float], *, by_vector: bool) -> bool:
        """Whether the first phase can only rise with BM25 and with closeness.

        by_vector: whether the query has a vector.
        """
        key = by_vector, tuple(inputs.items())
        if key not in self._known_to_rise:
            metric = None if self.vector_field is None else self.vector_field.distance
            found = rises(self.first.flat, inputs, metric, by_vector=by_vector)
            self._known_to_rise[key] = found
        return self._known_to_rise[key]

    def program(self, inputs: Mapping[str, float], *, by_vector: bool) -> Program | None:
        """The first phase for compiled code; None unless it rises, or words find nothing."""
        key = by_vector, tuple(inputs.items())
        if key not in self._programs:
            prunable = "text" not in self.retrieve or self.rises(inputs, by_vector=by_vector)
            self._programs[key] = program(self.first.flat, inputs) if prunable else None
        return self._programs[key]

    @cached_property
    def reads_closeness(self) -> bool:
        """Whether any phase reads a closeness or a distance."""
        return any(_CLOSENESS.fullmatch(name) for name in self.features)

    @cached_property
    def reads_vectors(self) -> bool:
        """Whether a document's vector, or that it has one, makes any difference."""
        return self.reads_closeness or self.reads_has_vector

    @cached_property
    def reads_has_caption(self) -> bool:
        """Whether any phase asks if there is a caption."""
        return "attribute(has_caption)" in self.features

    @cached_property
    def reads_has_vector(self) -> bool:
        """Whether any phase asks if there is a vector."""
        return any(name.startswith("attribute(has_vector") for name in self.features)


def make_plan(profile: Profile, fields: Sequence[VectorField]) -> Plan:
    """Parse a resolved profile's expressions and check that the index has what they name.

    Raises EngineError naming the profile and the feature where it has not.
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
    parsed = [first, *shown.values(), *(phase.expression for phase in (second, last) if phase)]
    read = frozenset(name for expression in parsed for name in expression.features)
    field = _vector_field(profile, read, fields)
    _refuse_unknown(profile, read, fields)
    return Plan(
        name=profile.name,
        retrieve=profile.retrieve,
        inputs=dict(profile.inputs),
        first=first,
        second=second,
        last=last,
        shown=shown,
        features=frozenset(name for name in read if not _INPUT.fullmatch(name)),
        vector_field=field,
    )


def _vector_field(
    profile: Profile, features: Collection[str], fields: Sequence[VectorField]
) -> VectorField | None:
    """The one field of the profile; the placeholder `embedding` stands for the index's first."""
    named = {match[1] for name in features if (match := _CLOSENESS.fullmatch(name))}
    if len(named) > 1:
        raise EngineError(
            f"Profile {profile.name} compares vectors of {', '.join(sorted(named))}; "
            "a profile can use one vector field."
        )
    for name in named:
        for field in fields:
            if field.name == name:
                return field
    by_vector = "vector" in profile.retrieve or bool(named)
    return fields[0] if fields and by_vector and named <= {_PLACEHOLDER} else None


def _refuse_unknown(
    profile: Profile, features: Collection[str], fields: Sequence[VectorField]
) -> None:
    known = {"bm25(caption)", "attribute(has_caption)", "attribute(has_vector)"}
    for field in fields:
        known |= {f"attribute(has_vector_{field.name.removeprefix('embedding_')})"}
    for name in sorted(features):
        if name in known or _INPUT.fullmatch(name) or _CLOSENESS.fullmatch(name):
            continue
        raise EngineError(
            f"Profile {profile.name} uses {name}, which the embedded engine does not compute; "
            f"it has {', '.join(sorted(known))} and closeness or distance of a vector field."
        )


def query_inputs(plan: Plan, query: Query, *, whole: bool) -> dict[str, float]:
    """Return `query(NAME)` -> value: the profile's defaults under the query's own.

    whole: whether the query has words and a vector.

    Raises QueryError for a name that the profile does not have, or a number that is not finite.
    """
    unknown = sorted(set(query.inputs) - set(plan.inputs))
    if unknown:
        known = ", ".join(sorted(plan.inputs)) or "none"
        raise QueryError(
            f"Profile {plan.name} has no input {', '.join(unknown)}; its inputs: {known}."
        )
    half = inputs_of_half_a_query(plan.inputs, query.inputs, whole=whole)
    values = {**plan.inputs, **half, **query.inputs}
    for name, value in values.items():
        if not isinstance(value, Real) or not abs(value) < float("inf"):
            raise QueryError(f"Input {name} is {value!r}: give a finite number.")
    return {f"query({name})": np.float64(value) for name, value in values.items()}
