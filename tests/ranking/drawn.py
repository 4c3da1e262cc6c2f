"""Documents drawn at random, for engines that are to agree on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ranking.types import Document

__all__ = ["drawn_documents"]


def drawn_documents(count: int, seed: int, words: Sequence[str], dimension: int) -> list[Document]:
    """Some documents lack a caption, some a vector; frequent words are frequent."""
    random = np.random.default_rng(seed)
    share = 1 / np.arange(1, len(words) + 1)
    made = []
    for n in range(count):
        chosen = random.choice(words, random.integers(1, 12), p=share / share.sum())
        vector = np.float32(random.standard_normal(dimension))
        kind = random.random()
        made.append(
            Document(
                f"d{n:04}",
                None if kind < 0.1 else " ".join(chosen),
                {} if kind > 0.9 else {"embedding": vector / np.linalg.norm(vector)},
                modality=("ct", "mr", "us")[n % 3],
            )
        )
    return made
