"""What Python sees of the native core.

Arrays are C-contiguous and come in without a copy; what holds one keeps it alive. Documents are
numbers within a segment, ascending. Masks are bool [documents]; None: all of them. Whatever
contradicts itself raises DamagedError.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Docs = NDArray[np.int64]
Mask = NDArray[np.bool_]
# Where the postings start and end, idf * (k1 + 1), the row of a frequent term or -1.
Term = tuple[int, int, float, int]

class DamagedError(ValueError): ...

# An inverted index; arrays as `text_arrays` (segment/postings.py) makes them.
class Postings:
    def __init__(
        self,
        documents: NDArray[np.uint32],
        frequencies: NDArray[np.uint16],
        impacts: NDArray[np.uint16],
        lengths: NDArray[np.uint32],
        dense: NDArray[np.uint8],
        ranks: NDArray[np.uint64],
    ) -> None: ...

# One vector field. cells: float32, uint16 (bfloat16) or int8 [documents, dimension]; squares:
# |d|^2, for the metric `angular`; metric: a number of `NATIVE_METRICS` (ranking/distances.py).
class Vectors:
    def __init__(
        self, cells: NDArray[Any], present: Mask, squares: Doubles | None, metric: int
    ) -> None: ...

# Codes of one vector field, as segment/codes.py makes them. documents: how many have codes.
class Codes:
    def __init__(
        self,
        basis: NDArray[np.float32],
        blocks: NDArray[np.uint8],
        bounds: Doubles,
        residuals: NDArray[np.float32],
        documents: int,
    ) -> None: ...

# What a scan over the codes leaves: how many vectors were compared exactly, and upper bounds on the
# order keys of documents.
class Scan:
    @property
    def compared(self) -> int: ...
    def bounds(self, documents: Docs) -> Doubles: ...

# A first phase as `compile_program` (engine/program.py) makes it; features: [5, documents].
class Program:
    def __init__(self, steps: Sequence[tuple[int, int, int, int, float]]) -> None: ...
    def run(self, features: Doubles) -> Doubles: ...

# The nearest documents, their similarity, the least of their order keys, and the scan.
def nearest(
    vectors: Vectors,
    codes: Codes | None,
    query: NDArray[np.float32],
    allowed: Mask | None,
    count: int,
) -> tuple[Docs, Doubles, float, Scan]: ...
def similarity(vectors: Vectors, query: NDArray[np.float32], documents: Docs) -> Doubles: ...

# Exact BM25. average: mean length of a document over the whole index.
def bm25(
    postings: Postings,
    terms: Sequence[Term],
    average: float,
    allowed: Mask | None,
    documents: Docs,
) -> Doubles: ...

# Documents with one of the terms.
def all_matches(postings: Postings, terms: Sequence[Term], allowed: Mask | None) -> Docs: ...

# Documents that hold the best `depth`, their BM25, closeness and scores, and how many documents
# were found at all.
#
# stretch: what impacts are multiplied with to be bounds for this `average`. vectors: the profile's
# vector field. near, near_similarity: what `nearest` found in this segment, with its `scan`.
# farthest: the least order key of the nearest of all segments, NaN where no other document has a
# vector. by_words: whether documents are found by words too. others: scores of documents of
# other segments.
def candidates(
    postings: Postings,
    terms: Sequence[Term],
    average: float,
    stretch: float,
    allowed: Mask | None,
    has_caption: Mask,
    vectors: Vectors | None,
    query: NDArray[np.float32] | None,
    near: Docs,
    near_similarity: Doubles,
    farthest: float,
    scan: Scan | None,
    first_phase: Program,
    by_words: bool,
    depth: int,
    others: Doubles,
) -> tuple[Docs, Doubles, Doubles, Doubles, int]: ...
