from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Docs = NDArray[np.int64]
Mask = NDArray[np.bool_]
Term = tuple[int, int, float, int]

class DamagedError(ValueError): ...

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

class Vectors:
    def __init__(
        self, cells: NDArray[Any], present: Mask, squares: Doubles | None, metric: int
    ) -> None: ...

class Codes:
    def __init__(
        self,
        basis: NDArray[np.float32],
        blocks: NDArray[np.uint8],
        bounds: Doubles,
        residuals: NDArray[np.float32],
        documents: int,
    ) -> None: ...

class Scan:
    @property
    def compared(self) -> int: ...
    def bounds(self, documents: Docs) -> Doubles: ...

class Program:
    def __init__(self, steps: Sequence[tuple[int, int, int, int, float]]) -> None: ...
    def run(self, features: Doubles) -> Doubles: ...

def nearest(
    vectors: Vectors,
    codes: Codes | None,
    query: NDArray[np.float32],
    allowed: Mask | None,
    count: int,
) -> tuple[Docs, Doubles, float, Scan]: ...
def similarity(vectors: Vectors, query: NDArray[np.float32], documents: Docs) -> Doubles: ...
def bm25(
    postings: Postings,
    terms: Sequence[Term],
    average: float,
    allowed: Mask | None,
    documents: Docs,
) -> Doubles: ...
def all_matches(
    postings: Postings, terms: Sequence[Term], average: float, allowed: Mask | None
) -> tuple[Docs, Doubles]: ...
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
def instruction_set() -> str: ...
