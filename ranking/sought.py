"""What a query seeks in each segment, as the compiled kernels take it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.candidates import Wanted
from ranking.fused_kernels import About, Near, Vectors
from ranking.kernels import none
from ranking.near_kernels import NO_CODE, Code
from ranking.plan import Plan
from ranking.segment import Segment
from ranking.term_bounds import NO_WORDS, packed, union_of
from ranking.term_kernels import Lexicon, Words
from ranking.types import Query
from ranking.view import View

__all__ = ["Sought", "sought"]

NO_VECTORS = Vectors(none((0, 0), np.float32), np.empty(0, np.float32), 0.0, 0)
NOT_NEAR = Near(NO_CODE, 0, 0)
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
    words = view.weighted(ask.text.terms)
    masks = _masks(view, query, ask)
    vectors = _vectors(plan, ask)
    found = []
    for place, segment, _ in view.slices():
        silent, away = masks[place]
        near, own, present = NOT_NEAR, vectors, ALL_PRESENT
        if plan.vector_field is not None:
            field = plan.vector_field.name
            index = segment.vectors[field]
            present = ALL_PRESENT if index.complete else index.present
            if ask.vector is not None:
                near = _near(view, segment, field, query, ask.vector)
                own = vectors._replace(rows=index.stored)
                away = union_of((away, view.without_vector[field][place]))
        about = About(segment.has_caption, present, plan.vector_field is not None)
        found.append(Sought(words[place], near, own, about, (silent, away)))
    return found


def _vectors(plan: Plan, ask: Wanted) -> Vectors:
    """The query's half of `Vectors`."""
    if plan.vector_field is None or ask.vector is None:
        return NO_VECTORS
    long = ask.vector.astype(np.float64)
    kind = 2 if plan.vector_field.distance == "dotproduct" else 1
    return Vectors(NO_VECTORS.rows, ask.vector, float(np.dot(long, long)), kind)


def _near(
    view: View, segment: Segment, field: str, query: Query, vector: NDArray[np.float32]
) -> Near:
    sketch = segment.vectors[field].sketch
    if sketch is None or (view.exact and not sketch.certain):
        return Near(NO_CODE, query.target_hits, 0)
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
    return Near(own, query.target_hits, sketch.wanted(query.target_hits))


def _masks(view: View, query: Query, ask: Wanted) -> list[tuple[Words, Words]]:
    """For each segment, bits of the documents that words and that vectors cannot find."""
    gone: Sequence[Words] = view.gone
    if query.filters:
        gone = _outside(view, view.allowed(query.filters, ()))
    if query.exclude_ids:
        gone = _with_bits(view, gone, query.exclude_ids)
    silent = gone
    if ask.text.bound:
        unfit = _outside(view, view.satisfying(ask.text))
        silent = [union_of(pair) for pair in zip(silent, unfit, strict=True)]
    if query.hidden_captions:
        silent = _with_bits(view, silent, query.hidden_captions)
    return list(zip(silent, gone, strict=True))


def _outside(view: View, mask: NDArray[np.bool_] | None) -> list[Words]:
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
