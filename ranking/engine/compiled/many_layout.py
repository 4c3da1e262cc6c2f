"""Many queries over one segment, laid out side by side for compiled code."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled
from ranking.engine.compiled.code_kernels import DIFFERS, MARGIN, OUTSIDE, UNIT
from ranking.engine.compiled.feature_kernels import About, Vectors
from ranking.engine.compiled.fused_kernels import Near
from ranking.engine.compiled.machine import Program
from ranking.engine.compiled.near_kernels import Code
from ranking.engine.compiled.term_kernels import Lexicon, Words

__all__ = [
    "Masks",
    "Questions",
    "Searched",
    "Task",
    "barred_of",
    "code_of",
    "mask_of",
    "vectors_of",
    "words_of",
]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]


class Searched(NamedTuple):
    """A segment; what in these is a query's own is not looked at."""

    words: Lexicon
    near: Near
    vectors: Vectors
    about: About


class Questions(NamedTuple):
    """What many queries ask of a segment, laid end to end.

    first: int64 [q + 1], where each query's terms begin in starts, ends, weights and rows (see
    `Lexicon`). vectors: float32 [q, dimension]; squares: float64 [q]; cells:
    int8 [q or more, d]; scales: float64 [q, 4], a code's margin, unit, differs and outside.
    """

    first: Docs
    starts: Docs
    ends: Docs
    weights: Doubles
    rows: Docs
    vectors: Floats
    squares: Doubles
    cells: NDArray[np.int8]
    scales: Doubles


class Masks(NamedTuple):
    """Bits of documents, uint64 [masks, words], and which of them each query has.

    barred, away: int64 [q], the mask of documents that words, and that vectors, cannot find; -1
    for none.
    """

    bits: NDArray[np.uint64]
    barred: Docs
    away: Docs


class Task(NamedTuple):
    """Queries over a segment, and what they share: see `fused_kernels.search`."""

    segment: Searched
    masks: Masks
    asked: Questions
    first: Program
    by_words: bool
    depth: int


@compiled
def words_of(task: Task, q: int) -> Lexicon:
    """The segment's postings with one query's terms."""
    words, asked = task.segment.words, task.asked
    begin, end = asked.first[q], asked.first[q + 1]
    return Lexicon(
        words.docs,
        words.tfs,
        words.parts,
        words.norms,
        words.rows,
        words.marks,
        asked.starts[begin:end],
        asked.ends[begin:end],
        asked.weights[begin:end],
        asked.rows[begin:end],
        words.stretch,
    )


@compiled
def code_of(task: Task, q: int) -> Code:
    """The documents' codes with one query's."""
    code, own = task.segment.near.code, task.asked.scales[q]
    margin, unit, differs, outside = own[MARGIN], own[UNIT], own[DIFFERS], own[OUTSIDE]
    return Code(code.documents, task.asked.cells[q], margin, unit, differs, outside, code.lengths)


@compiled
def vectors_of(task: Task, q: int) -> Vectors:
    """The documents' vectors with one query's."""
    vectors, asked = task.segment.vectors, task.asked
    return Vectors(vectors.rows, asked.vectors[q], asked.squares[q], vectors.kind)


@compiled
def barred_of(task: Task, q: int) -> Words:
    """The documents that one query's words cannot find."""
    return mask_of(task.masks, task.masks.barred[q])


@compiled
def mask_of(masks: Masks, row: int) -> Words:
    """A mask by its number; [0] for -1."""
    return masks.bits[row] if row >= 0 else masks.bits[0, :0]
