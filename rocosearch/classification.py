"""Classify the images of a corpus: zero-shot, few-shot, linear probe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.analysis.zero_shot import (
    PROMPTS,
    ClassificationError,
    ClassificationScores,
    FewShot,
    class_vectors,
    classification_scores,
    few_shot,
    linear_probe,
    zero_shot,
)
from encoders.base.progress import Progress, silent
from rocosearch.embedded_images import check_names, open_embedded
from rocosearch.fields import field_of

__all__ = ["Classification", "classify_corpus"]

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]
SHOTS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Classification:
    """Figures over the held-out images.

    classes: label -> its name in the prompts. majority: accuracy of always predicting the most
    frequent class; balanced accuracy by chance is 1 / classes. few_shot_left_out: numbers of
    shots not tried -> the classes with fewer training examples -> how many those have.
    probed_on: input of the probe, features or vectors.
    left_out: images by reason.
    """

    field: str
    split: str
    classes: Mapping[str, str]
    images: int
    examples: int
    majority: float
    zero_shot: ClassificationScores
    probe: ClassificationScores
    probed_on: str
    few_shot: Sequence[FewShot]
    few_shot_left_out: Mapping[int, Mapping[str, int]]
    left_out: Mapping[str, int]

    def summary(self) -> dict[str, object]:
        """Everything as JSON values; areas under the curve by class, None if undefined."""
        return {
            **{name: getattr(self, name) for name in ("field", "split", "images", "examples")},
            "classes": dict(self.classes),
            "majority": self.majority,
            "chance_balanced_accuracy": 1 / len(self.classes),
            "zero_shot": self._scores(self.zero_shot),
            "linear_probe": {**self._scores(self.probe), "on": self.probed_on},
            "few_shot": [asdict(each) for each in self.few_shot],
            "few_shot_left_out": {n: dict(few) for n, few in self.few_shot_left_out.items()},
            "left_out": dict(self.left_out),
        }

    def _scores(self, scores: ClassificationScores) -> dict[str, object]:
        areas = (None if np.isnan(area) else float(area) for area in scores.auroc)
        return {
            "accuracy": scores.accuracy,
            "balanced_accuracy": scores.balanced_accuracy,
            "balanced_accuracy_interval": list(scores.interval),
            "auroc": dict(zip(self.classes, areas, strict=True)),
        }


def classify_corpus(
    corpus: Path,
    encoder: Path,
    *,
    field: str = "modality",
    names: Mapping[str, str] | None = None,
    prompts: Sequence[str] = (),
    split: str | None = None,
    shots: Sequence[int] = SHOTS,
    seed: int = 0,
    progress: Progress = silent,
) -> Classification:
    """Classify the images of a held-out split by a field of the records.

    field: a column of the corpus, or a field that the source had (`extra`). names: label -> its
    words in the prompts. prompts: each with one {} for the name. split: test, or validation if
    there is no test. Examples for few-shot and probe come from the training split. Raises
    ClassificationError if that split is the training split, or if fewer than two classes have
    examples and held-out images.
    """
    embedded = open_embedded(corpus, encoder, split, progress)
    held_out, ids, vectors, rows = (
        embedded.held_out,
        embedded.ids,
        embedded.vectors,
        embedded.rows,
    )
    left_out: Counter[str] = Counter()
    sides: dict[str, list[tuple[int, str]]] = {"train": [], held_out: []}
    groups = np.arange(len(ids))
    cases: dict[str, int] = {}
    for record in embedded.corpus.records():
        label = field_of(record, field)
        if record.split not in sides:
            continue
        if not label or record.id not in rows:
            left_out["no image" if label else f"no {field}"] += 1
            continue
        row = rows[record.id]
        sides[record.split].append((row, label))
        if record.group_id:
            groups[row] = cases.setdefault(record.group_id, row)
    classes = _classes(sides["train"], sides[held_out], field, held_out)
    learned, example_labels = _select(sides["train"], classes, left_out)
    judged, labels = _select(sides[held_out], classes, left_out)
    examples, images = vectors[learned], vectors[judged]
    check_names(names, classes)
    called = {label: (names or {}).get(label, label.replace("_", " ")) for label in classes}
    prompted = class_vectors(embedded.encoder, tuple(called.values()), tuple(prompts) or PROMPTS)
    progress("classify", 0, 3)
    by_prompts = zero_shot(images, prompted, embedded.encoder.scale)
    progress("classify", 1, 3)
    features, probed_on = embedded.features([ids[row] for row in (*learned, *judged)], progress)
    probed = linear_probe(
        features[: len(learned)],
        example_labels,
        features[len(learned) :],
        groups=groups[learned],
        seed=seed,
    )
    progress("classify", 2, 3)
    few = few_shot(examples, example_labels, images, labels, shots=shots, seed=seed)
    progress("classify", 3, 3)
    return Classification(
        field=field,
        split=held_out,
        classes=called,
        images=len(labels),
        examples=len(example_labels),
        majority=float(np.bincount(labels).max() / len(labels)),
        zero_shot=classification_scores(by_prompts, labels, groups[judged], seed=seed),
        probe=classification_scores(probed, labels, groups[judged], seed=seed),
        probed_on=probed_on,
        few_shot=few,
        few_shot_left_out=_too_many(shots, classes, example_labels),
        left_out=dict(left_out),
    )


def _classes(
    train: Sequence[tuple[int, str]],
    held_out: Sequence[tuple[int, str]],
    field: str,
    split: str,
) -> list[str]:
    classes = sorted({label for _, label in train} & {label for _, label in held_out})
    if len(classes) < 2:
        raise ClassificationError(
            f"Field {field!r} has {len(classes)} classes with images both in train and in {split}; "
            "classification needs two. Name another with --field, or another --split."
        )
    return classes


def _too_many(
    shots: Sequence[int], classes: list[str], labels: Labels
) -> dict[int, dict[str, int]]:
    """Numbers of shots that some class cannot supply, and the examples of these classes."""
    examples = dict(zip(classes, np.bincount(labels).tolist(), strict=True))
    return {
        count: {label: has for label, has in examples.items() if has < count}
        for count in shots
        if count > min(examples.values())
    }


def _select(
    side: Sequence[tuple[int, str]], classes: list[str], left_out: Counter[str]
) -> tuple[Labels, Labels]:
    """Rows of the vectors, and the numbers of their classes."""
    numbers = {label: number for number, label in enumerate(classes)}
    kept = [(row, numbers[label]) for row, label in side if label in numbers]
    left_out["class in only one of the splits"] += len(side) - len(kept)
    rows, labels = (np.array(column, np.int64) for column in zip(*kept, strict=True))
    return rows, labels
