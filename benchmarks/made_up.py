"""Captions and vectors to measure engines on: words as frequent as words are, structured vectors.

Words follow Zipf's law (exponent 1.07, 30,000 words), caption lengths are log-normal with ROCO's
mean of about 21 words. Vectors have 24 strong directions among 512 and noise, as the recipe
`low` of the recorded Vespa answers: random vectors, which nothing is near to, are nobody's data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["DIMENSION", "Asked", "Corpus", "kept_corpus", "make_corpus", "make_queries"]

DIMENSION = 512
LATENT = 24
NOISE = 0.25
WORDS = 30_000
BLOCK = 50_000


@dataclass(frozen=True)
class Corpus:
    """captions[i] belongs to vectors[i]: float32 [n, 512], of length 1."""

    captions: list[str]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """A query: some words in a row of a caption, and a vector like the documents'."""

    text: str
    vector: NDArray[np.float32]


def make_corpus(count: int, seed: int = 0) -> Corpus:
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
    return Corpus(captions, _vectors(count, random))


def kept_corpus(count: int, folder: Path) -> Corpus:
    """The corpus of `make_corpus`, from `folder` where it was kept; vectors are mapped."""
    captions, vectors = folder / "captions.txt", folder / "vectors.npy"
    if not captions.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = make_corpus(count)
        np.save(vectors, made.vectors)
        captions.write_text("\n".join(made.captions), encoding="utf-8")
    return Corpus(captions.read_text(encoding="utf-8").split("\n"), np.load(vectors, "r"))


def make_queries(corpus: Corpus, count: int, seed: int = 1) -> list[Asked]:
    """Make `count` queries of 3 to 10 words."""
    random = np.random.default_rng(seed)
    vectors = _vectors(count, random)
    asked = []
    for vector in vectors:
        words = corpus.captions[random.integers(len(corpus.captions))].split()
        start = random.integers(max(len(words) - 8, 1))
        asked.append(Asked(" ".join(words[start : start + random.integers(3, 11)]), vector))
    return asked


def _vectors(count: int, random: np.random.Generator) -> NDArray[np.float32]:
    axes = np.random.default_rng(7).standard_normal((LATENT, DIMENSION)).astype(np.float32)
    made = np.empty((count, DIMENSION), np.float32)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        strong = random.standard_normal((size, LATENT), np.float32) @ axes / np.sqrt(LATENT)
        found = strong + NOISE * random.standard_normal((size, DIMENSION), np.float32)
        made[start : start + size] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return made
