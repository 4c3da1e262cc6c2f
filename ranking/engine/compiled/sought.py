"""What a query seeks in each segment, as the compiled kernels take it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.engine.candidates import Wanted
from ranking.engine.compiled.feature_kernels import About, Vectors
from ranking.engine.compiled.fused_kernels import Near
from ranking.engine.compiled.kernels import none
from ranking.engine.compiled.near_kernels import NO_CODE, Code
from ranking.engine.compiled.term_bounds import NO_WORDS, packed, union_of
from ranking.engine.compiled.term_kernels import Lexicon, Words
from ranking.engine.plan import Plan
from ranking.engine.segment.segment import Segment
from ranking.engine.view import View
from ranking.types import Filter, Query

__all__ = ["Sought", "masks_of", "outside", "sought", "square"]

NO_VECTORS = Vectors(none((0, 0), np.float32), np.empty(0, np.float32), 0.0, 0)
NOT_NEAR = Near(NO_CODE, 0, 0.0)
ALL_PRESENT = none((0,), np.bool_)


class Sought(NamedTuple):
    """One segment's share of a query, in the order of `fused_kernels.search`."""

    words: Lexicon
    near: Near
    vectors: Vectors
    about: About
    masks: tuple[Words, Words]


def sought(view: View, plan: Plan, query: Query, ask: Wanted) -> list[Sought]:
    """What the query seeks in each segment of the view."""
    words = view.words.lexicons(ask.text.terms)
    masks = masks_of(view, plan, query, ask, outside(view, query.filters))
    vectors = _vectors(plan, ask)
    found = []
    for place, segment, _ in view.slices():
        near, own, present = NOT_NEAR, vectors, ALL_PRESENT
        if plan.vector_field is not None:
            field = plan.vector_field.name
            index = segment.vectors[field]
            present = ALL_PRESENT if index.complete else index.present
            if ask.vector is not None:
                near = _near(view, segment, field, query, ask.vector)
                own = vectors._replace(rows=index.stored)
        about = About(segment.has_caption, present, plan.vector_field is not None)
        found.append(Sought(words[place], near, own, about, masks[place]))
    return found


def outside(view: View, filters: Sequence[Filter]) -> Sequence[Words]:
    """For each segment, bits of the documents that were removed or do not pass the filters."""
    return _unmarked(view, view.allowed(filters, ())) if filters else view.gone


def masks_of(
    view: View, plan: Plan, query: Query, ask: Wanted, gone: Sequence[Words]
) -> list[tuple[Words, Words]]:
    """For each segment, bits of the documents that words and that vectors cannot find.

    gone: what `outside` gives for the query's filters.
    """
    if query.exclude_ids:
        gone = _with_bits(view, gone, query.exclude_ids)
    silent, away = gone, gone
    if ask.text.bound:
        unfit = _unmarked(view, view.satisfying(ask.text))
        silent = [union_of(pair) for pair in zip(silent, unfit, strict=True)]
    if query.hidden_captions:
        silent = _with_bits(view, silent, query.hidden_captions)
    if plan.vector_field is not None and ask.vector is not None:
        lacking = view.without_vector[plan.vector_field.name]
        away = [union_of(pair) for pair in zip(away, lacking, strict=True)]
    return list(zip(silent, away, strict=True))


def _vectors(plan: Plan, ask: Wanted) -> Vectors:
    """The query's half of `Vectors`."""
    if plan.vector_field is None or ask.vector is None:
        return NO_VECTORS
    kind = 2 if plan.vector_field.distance == "dotproduct" else 1
    return Vectors(NO_VECTORS.rows, ask.vector, square(ask.vector), kind)


def square(vector: NDArray[np.float32]) -> float:
    """|q|^2 in float64."""
    long = vector.astype(np.float64)
    return float(np.dot(long, long))


def _near(
    view: View, segment: Segment, field: str, query: Query, vector: NDArray[np.float32]
) -> Near:
    sketch = segment.vectors[field].sketch
    if sketch is None or (view.exact and not sketch.certain):
        return Near(NO_CODE, query.target_hits, 0.0)
    code = sketch.code(vector)
    own = Code(
        sketch.codes,
        code.cells,
        code.margin,
        code.unit,
        code.differs,
        code.outside,
        sketch.outside,
    )
    return Near(own, query.target_hits, sketch.longest)


def _unmarked(view: View, mask: NDArray[np.bool_] | None) -> list[Words]:
    if mask is None:
        return [NO_WORDS] * len(view.parts)
    return [packed(~mask[where]) for _, _, where in view.slices()]


def _with_bits(view: View, masks: Sequence[Words], identifiers: Iterable[str]) -> list[Words]:
    """The masks with the bits of these documents set too."""
    bits = list(masks)
    for identifier in identifiers:
        found = view.find(identifier)
        if found is None:
            continue
        place, number = found
        if bits[place] is masks[place]:
            size = -(-len(view.parts[place][0]) // 64)
            bits[place] = masks[place].copy() if len(masks[place]) else np.zeros(size, np.uint64)
        bits[place][number >> 6] |= np.uint64(1 << (number & 63))
    return bits
