"""Predict concepts of images: zero-shot, linear probe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from encoders.analysis.concept_labels import (
    LabelScores,
    best_threshold,
    concept_probe,
    concept_vectors,
    concept_zero_shot,
    label_scores,
)
from encoders.analysis.zero_shot import PROMPTS, ClassificationError
from encoders.base.progress import Progress, silent
from encoders.training.concepts import multi_hot
from ingest.corpus.records import Record
from rocosearch.embedded_images import check_names, open_embedded

__all__ = ["AT_LEAST", "ConceptClassification", "classify_concepts", "group_numbers"]

AT_LEAST = 5  # training images that a concept must have


@dataclass(frozen=True)
class ConceptClassification:
    """Figures over the held-out images.

    concepts: name -> held-out images that have it. chance_map: mean average precision of a
    random order, the mean share of images with a concept. probed_on: input of the probe.
    """

    split: str
    concepts: Mapping[str, int]
    images: int
    examples: int
    chance_map: float
    zero_shot: LabelScores
    probe: LabelScores
    probed_on: str

    def summary(self) -> dict[str, object]:
        """Everything as JSON values."""
        return asdict(self)


def classify_concepts(
    corpus: Path,
    encoder: Path,
    *,
    names: Mapping[str, str] | None = None,
    prompts: Sequence[str] = (),
    split: str | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> ConceptClassification:
    """Predict the concepts of a held-out split's images, several per image.

    Concepts are those that at least five training images have. names: concept -> its words in
    the prompts. The thresholds of F1 are chosen on the training split. Raises ClassificationError
    if that split is evaluated, or if no concept has images in both splits.
    """
    embedded = open_embedded(corpus, encoder, split, progress)
    held_out, rows, loaded = embedded.held_out, embedded.rows, embedded.encoder
    sides: dict[str, list[Record]] = {"train": [], held_out: []}
    for record in embedded.corpus.records():
        if record.split in sides and record.id in rows:
            sides[record.split].append(record)
    concepts = _concepts(sides["train"], sides[held_out], held_out)
    check_names(names, concepts)
    learned, judged = sides["train"], sides[held_out]
    truth = {side: multi_hot([r.concept_names for r in sides[side]], concepts) for side in sides}
    seen = {side: embedded.vectors[[rows[r.id] for r in sides[side]]] for side in sides}
    called = [(names or {}).get(name, name) for name in concepts]
    prompted = concept_vectors(loaded, called, tuple(prompts) or PROMPTS)
    guessed = {
        side: concept_zero_shot(seen[side], prompted, loaded.manifest.logit_scale or 1.0)
        for side in sides
    }
    features, probed_on = embedded.features([record.id for record in (*learned, *judged)], progress)
    groups = {side: group_numbers(sides[side]) for side in sides}
    progress("probe concepts", 0, 1)
    probed, unseen = concept_probe(
        features[: len(learned)],
        truth["train"],
        features[len(learned) :],
        groups["train"],
        seed=seed,
    )
    progress("probe concepts", 1, 1)
    expected, clusters = truth[held_out], groups[held_out]
    by_prompts = best_threshold(guessed["train"], truth["train"])
    by_probe = best_threshold(unseen, truth["train"])
    counts = expected.sum(axis=0)
    return ConceptClassification(
        split=held_out,
        concepts={name: int(count) for name, count in zip(concepts, counts, strict=True)},
        images=len(judged),
        examples=len(learned),
        chance_map=float(expected.mean(axis=0)[(counts > 0) & (counts < len(judged))].mean()),
        zero_shot=label_scores(guessed[held_out], expected, clusters, by_prompts, seed=seed),
        probe=label_scores(probed, expected, clusters, by_probe, seed=seed),
        probed_on=probed_on,
    )


def _concepts(learned: Sequence[Record], judged: Sequence[Record], split: str) -> list[str]:
    counts = Counter(name for record in learned for name in set(record.concept_names))
    held = Counter(name for record in judged for name in set(record.concept_names))
    found = sorted(
        name for name, count in counts.items() if count >= AT_LEAST and 0 < held[name] < len(judged)
    )
    if not found:
        raise ClassificationError(
            f"No concept has {AT_LEAST} training images and occurs in some but not all images of "
            f"{split}. Does the corpus have concept names?"
        )
    return found


def group_numbers(records: Sequence[Record]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """A number for each case or article; an image without one gets its own number."""
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(r.group_id or f"\0{r.id}", len(numbers)) for r in records], np.int64
    )
