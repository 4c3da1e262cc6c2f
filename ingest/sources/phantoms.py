"""Phantoms: generated, radiology-like images with captions and concepts.

They let everything be tried without any patient's image. A phantom is one of 2,160
combinations of six attributes (docs/phantoms.md lists them). A case is one drawn patient seen
by all four modalities. Which combinations are for training, validation and test is settled by
the seed, before any case is drawn: no combination of a held-out case is ever seen in training,
in any modality.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ingest.corpus.records import Record
from ingest.sources.phantom_captions import describe
from ingest.sources.phantom_images import NO_FINDING, draw, png

__all__ = [
    "ATTRIBUTES",
    "CONCEPT_NAMES",
    "FINDINGS",
    "MODALITIES",
    "POSITIONS",
    "REGIONS",
    "SIDES",
    "SIZES",
    "Cines",
    "Phantoms",
]

MODALITIES = ("radiograph", "ct", "mri", "ultrasound")
REGIONS = ("chest", "head", "abdomen", "pelvis", "knees")
FINDINGS = ("mass", "cyst", "calcifications", "spiculated-lesion", "ring-lesion", "foreign-body")
SIDES = ("left", "right")
SIZES = ("small", "medium", "large")
POSITIONS = ("upper", "middle", "lower")
ATTRIBUTES = {
    "modality": MODALITIES,
    "region": REGIONS,
    "finding": FINDINGS,
    "side": SIDES,
    "size": SIZES,
    "position": POSITIONS,
}
CONCEPT_NAMES = {
    f"{attribute}-{value}": value.replace("-", " ")
    for attribute, values in ATTRIBUTES.items()
    for value in values
}

DEFAULT_COUNT = 2700
# Of 2,700 records: 2,000 for training, 200 for validation, 500 for test.
SHARES = {"train": 20 / 27, "validation": 2 / 27, "test": 5 / 27}
COMBINATION_SHARES = {"train": 0.676, "validation": 0.0925, "test": 0.2315}  # 365, 50, 125

Combination = tuple[str, str, str, str, str]  # region, finding, side, size, position


@dataclass(frozen=True)
class Phantoms:
    """A source of `count` records, the same ones for the same count, seed and side (pixels)."""

    count: int = DEFAULT_COUNT
    seed: int = 0
    side: int = 64
    format: str = "phantoms"

    @property
    def location(self) -> str:
        """What names exactly these phantoms."""
        return f"phantoms:{self.count}"

    @property
    def recognised(self) -> str:
        """That they are drawn."""
        return f"{self.count:,} generated images"

    def __iter__(self) -> Iterator[Record]:
        """Draw the records, split by split, case by case."""
        combinations = held_out_combinations(self.seed)
        for split, wanted in _counts(self.count).items():
            # Endless: once every combination of the split has a case, further patients follow.
            cases = enumerate(itertools.cycle(combinations[split]))
            records = (r for n, c in cases for r in self._case(split, n, c))
            yield from itertools.islice(records, wanted)

    def _case(self, split: str, number: int, combination: Combination) -> Iterator[Record]:
        case = f"phantom-{split}-{number:05d}"
        for index, modality in enumerate(MODALITIES):
            rng = np.random.default_rng([self.seed, _SPLIT_NUMBERS[split], number, index])
            values = (modality, *combination)
            attributes = dict(zip(ATTRIBUTES, values, strict=True))
            concepts = tuple(f"{name}-{value}" for name, value in attributes.items())
            yield Record(
                id=f"{case}-{modality}",
                caption=describe(attributes, rng),
                image=png(draw(attributes, self.side, rng)),
                image_path=f"{case}-{modality}.png",
                concepts=concepts,
                concept_names=tuple(CONCEPT_NAMES[concept] for concept in concepts),
                group_id=case,
                group_kind="case",
                modality=modality,
                split=split,
                licence="drawn by this project, Apache-2.0",
                source="phantoms",
                extra=attributes,
            )


FRAMES = 12
SHORTEST, LONGEST = 2, 6  # frames in which the finding is seen
_CINE_SEED = 77


@dataclass(frozen=True)
class Cines:
    """A source of `count` drawn cines of twelve frames, whose finding is seen in some of them only.

    The patient moves a little from frame to frame. Each frame is a record (ID#1, ID#2, ...) of the
    cine's caption; `extra` says in which frames the finding is seen. Splits are the phantoms': no
    combination of a held-out cine is seen in training.
    """

    count: int = 200
    seed: int = 0
    side: int = 64
    format: str = "cines"

    @property
    def location(self) -> str:
        """What names exactly these cines."""
        return f"cines:{self.count}"

    @property
    def recognised(self) -> str:
        """That they are drawn."""
        return f"{self.count:,} drawn cines of {FRAMES} frames"

    def __iter__(self) -> Iterator[Record]:
        """Draw the frames, split by split, cine by cine."""
        combinations = held_out_combinations(self.seed)
        for split, wanted in _counts(self.count).items():
            numbered = enumerate(itertools.cycle(combinations[split]))
            for number, combination in itertools.islice(numbered, wanted):
                yield from self._cine(split, number, combination)

    def _cine(self, split: str, number: int, combination: Combination) -> Iterator[Record]:
        seeds = [self.seed, _SPLIT_NUMBERS[split], number, _CINE_SEED]
        rng = np.random.default_rng(seeds)
        modality = MODALITIES[int(rng.integers(len(MODALITIES)))]
        attributes = dict(zip(ATTRIBUTES, (modality, *combination), strict=True))
        length = int(rng.integers(SHORTEST, LONGEST + 1))
        first = 1 + int(rng.integers(FRAMES - length + 1))
        seen = range(first, first + length)
        caption, cine = describe(attributes, rng), f"cine-{split}-{number:05d}"
        concepts = tuple(f"{name}-{value}" for name, value in attributes.items())
        for frame in range(1, FRAMES + 1):
            drawn = attributes if frame in seen else {**attributes, "finding": NO_FINDING}
            image = png(draw(drawn, self.side, np.random.default_rng([*seeds, frame])))
            yield Record(
                id=f"{cine}#{frame}",
                caption=caption,
                image=image,
                image_path=f"{cine}-{frame}.png",
                concepts=concepts,
                concept_names=tuple(CONCEPT_NAMES[concept] for concept in concepts),
                group_id=cine,
                group_kind="case",
                modality=modality,
                split=split,
                licence="drawn by this project, Apache-2.0",
                source="cines",
                extra={
                    **attributes,
                    "frame": frame,
                    "frames": FRAMES,
                    "seen_from": seen[0],
                    "seen_to": seen[-1],
                },
            )


_SPLIT_NUMBERS = {split: number for number, split in enumerate(SHARES)}


def held_out_combinations(seed: int) -> dict[str, list[Combination]]:
    """The combinations of each split: disjoint, together all of them, shuffled by the seed."""
    every = list(itertools.product(REGIONS, FINDINGS, SIDES, SIZES, POSITIONS))
    order = np.random.default_rng([seed, 2024]).permutation(len(every))
    shuffled = iter([every[i] for i in order])
    counts = {split: round(share * len(every)) for split, share in COMBINATION_SHARES.items()}
    return {split: list(itertools.islice(shuffled, n)) for split, n in counts.items()}


def _counts(total: int) -> dict[str, int]:
    held_out = {split: round(total * SHARES[split]) for split in ("validation", "test")}
    return {"train": total - sum(held_out.values()), **held_out}
