"""Captions and vectors to measure engines on: words as frequent as words are, structured vectors.

Words follow Zipf's law (exponent 1.07, 30,000 words), caption lengths are log-normal with ROCO's
mean of about 21 words. Vectors have 24 strong directions among 512 and noise, as the recipe
`low` of the recorded Vespa answers, unless others are asked for (benchmarks/vector_kinds.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DIMENSION",
    "NOISE",
    "Asked",
    "Corpus",
    "Maker",
    "as_json",
    "from_json",
    "kept_corpus",
    "low",
    "make_corpus",
    "make_queries",
    "read_corpus",
]

DIMENSION = 512
LATENT = 24
NOISE = 0.25
WORDS = 30_000
BLOCK = 50_000
# Makes so many vectors, float32 of length 1.
Maker = Callable[[int, np.random.Generator], NDArray[np.float32]]


@dataclass(frozen=True)
class Corpus:
    """captions[i] belongs to vectors[i]: float32 [n, dimension], of length 1."""

    captions: list[str]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """A query: some words in a row of a caption, and a vector like the documents'."""

    text: str
    vector: NDArray[np.float32]


def low(count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Vectors of 24 strong directions among 512, and noise."""
    axes = np.random.default_rng(7).standard_normal((LATENT, DIMENSION)).astype(np.float32)
    made = np.empty((count, DIMENSION), np.float32)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        strong = random.standard_normal((size, LATENT), np.float32) @ axes / np.sqrt(LATENT)
        found = strong + NOISE * random.standard_normal((size, DIMENSION), np.float32)
        made[start : start + size] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return made


def make_corpus(count: int, seed: int = 0, vectors: Maker = low) -> Corpus:
    """Make `count` documents."""
    random = np.random.default_rng(seed)
    share = 1 / np.arange(1, WORDS + 1) ** 1.07
    lengths = np.clip(random.lognormal(2.8, 0.7, count), 3, 200).astype(int)
    words = random.choice(WORDS, lengths.sum(), p=share / share.sum())
    ends = np.cumsum(lengths)
    names = np.array([f"w{number}" for number in range(WORDS)], object)
    captions = [
        " ".join(names[words[end - length : end]])
        for length, end in zip(lengths, ends, strict=True)
    ]
    return Corpus(captions, vectors(count, random))


def kept_corpus(count: int, folder: Path, vectors: Maker = low) -> Corpus:
    """The corpus of `make_corpus`, from `folder` where it was kept; vectors are mapped."""
    captions = folder / "captions.txt"
    if not captions.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = make_corpus(count, vectors=vectors)
        np.save(folder / "vectors.npy", made.vectors)
        captions.write_text("\n".join(made.captions), encoding="utf-8")
    return read_corpus(folder)


def read_corpus(folder: Path) -> Corpus:
    """What `kept_corpus` kept."""
    captions = (folder / "captions.txt").read_text(encoding="utf-8").split("\n")
    return Corpus(captions, np.load(folder / "vectors.npy", "r"))


def make_queries(corpus: Corpus, count: int, seed: int = 1, vectors: Maker = low) -> list[Asked]:
    """Make `count` queries of 3 to 10 words."""
    random = np.random.default_rng(seed)
    asked = []
    for vector in vectors(count, random):
        words = corpus.captions[random.integers(len(corpus.captions))].split()
        start = random.integers(max(len(words) - 8, 1))
        asked.append(Asked(" ".join(words[start : start + random.integers(3, 11)]), vector))
    return asked


def as_json(queries: Sequence[Asked]) -> list[tuple[str, list[float]]]:
    """Queries as JSON takes them."""
    return [(asked.text, asked.vector.tolist()) for asked in queries]


def from_json(queries: Sequence[tuple[str, list[float]]]) -> list[Asked]:
    """What `as_json` made, as queries again."""
    return [Asked(text, np.array(vector, np.float32)) for text, vector in queries]
