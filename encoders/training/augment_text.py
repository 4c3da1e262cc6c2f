"""Text augmentation, drawn again for each step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["NO_TEXT_AUGMENTATION", "TextAugmentation", "augment_text"]

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class TextAugmentation:
    """Probabilities; 0 switches a part off.

    sentences: of taking a run of the caption's sentences instead of all. words: of leaving out
    each word (at least one stays). concepts: of adding the pair's concept names, shuffled.
    """

    sentences: float = 0.0
    words: float = 0.0
    concepts: float = 0.0


NO_TEXT_AUGMENTATION = TextAugmentation()


def augment_text(
    text: str, concepts: Sequence[str], settings: TextAugmentation, rng: np.random.Generator
) -> str:
    """`text`, changed as `settings` say."""
    if settings == NO_TEXT_AUGMENTATION:
        return text
    if rng.random() < settings.sentences:
        text = _some_sentences(text, rng)
    if settings.words:
        words = text.split()
        kept = [word for word in words if rng.random() >= settings.words]
        text = " ".join(kept or words[:1])
    if concepts and rng.random() < settings.concepts:
        names = [concepts[i] for i in rng.permutation(len(concepts))]
        text = f"{text} {', '.join(names)}".strip()
    return text


def _some_sentences(text: str, rng: np.random.Generator) -> str:
    sentences = _SENTENCE_END.split(text)
    first = int(rng.integers(len(sentences)))
    last = int(rng.integers(first, len(sentences)))
    return " ".join(sentences[first : last + 1])
