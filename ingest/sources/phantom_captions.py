"""Captions of phantoms: every attribute once, in random words and order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["TEMPLATES", "WORDS", "describe"]

# The first word of each list is the most common one: it is drawn as often as the others together.
WORDS: dict[str, tuple[str, ...]] = {
    "radiograph": ("radiograph", "plain film", "X-ray"),
    "ct": ("CT", "computed tomography", "CT scan"),
    "mri": ("MRI", "magnetic resonance image", "MR image"),
    "ultrasound": ("ultrasound", "sonogram", "sonographic image"),
    "chest": ("chest", "thorax"),
    "head": ("head", "skull"),
    "abdomen": ("abdomen", "belly"),
    "pelvis": ("pelvis", "pelvic region"),
    "knees": ("knees", "knee joints"),
    "mass": ("solid mass", "homogeneous mass", "tumour"),
    "cyst": ("cyst", "fluid-filled cyst", "cystic lesion"),
    "calcifications": ("calcifications", "cluster of calcifications", "calcified foci"),
    "spiculated-lesion": ("spiculated lesion", "stellate lesion", "lesion with spiculated margins"),
    "ring-lesion": ("ring-enhancing lesion", "ring-shaped lesion", "annular lesion"),
    "foreign-body": ("linear foreign body", "needle-like foreign body", "metallic needle"),
    "left": ("left", "left-sided"),
    "right": ("right", "right-sided"),
    "small": ("small", "tiny"),
    "medium": ("medium-sized", "moderate"),
    "large": ("large", "extensive"),
    "upper": ("upper", "superior"),
    "middle": ("middle", "central"),
    "lower": ("lower", "inferior"),
}

TEMPLATES: tuple[str, ...] = (
    "{modality} of the {region} showing a {size} {finding}, {position} part, {side} side.",
    "{region} {modality}: {size} {side} {finding}, {position} third (arrow).",
    "{size} {finding} on the {side} in the {position} {region}, {modality}.",
    "Frontal {modality} of the {region} demonstrates {side} {position} {finding}, {size} in size.",
    "{finding} ({size}) of the {side} {region}, {position} portion, as seen on {modality}.",
    "Patient with a {side} {finding}. {modality} of the {region}, {position} zone, {size}.",
    "{position} {side} {size} {finding} in a {region} {modality}.",
)


def describe(attributes: Mapping[str, str], rng: np.random.Generator) -> str:
    """A caption for the six attributes; synonyms and template are drawn from `rng`."""
    words = {name: _word(value, rng) for name, value in attributes.items()}
    template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
    text = template.format(**words).replace(" a calcif", " calcif")
    return text[0].upper() + text[1:]


def _word(value: str, rng: np.random.Generator) -> str:
    choices = WORDS[value]
    if rng.random() < 0.5:
        return choices[0]
    return choices[int(rng.integers(len(choices)))]
