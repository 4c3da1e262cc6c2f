"""The modality that UMLS concepts tell of."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["MODALITY_CONCEPTS", "modality_of"]

# Concepts of the UMLS Metathesaurus that name an imaging modality, as ROCO and ImageCLEFmedical
# use them; more special ones first, since an angiogram is often also labelled "x-ray" or "CT".
MODALITY_CONCEPTS = {
    "C0032743": "PET",
    "C0024671": "Mammography",
    "C0002978": "Angiography",
    "C0024485": "MRI",
    "C0040405": "CT",
    "C0041618": "Ultrasound",
    "C1306645": "X-ray",
}


def modality_of(concepts: Iterable[str]) -> str:
    """The modality named by the concepts, or "".

    >>> modality_of(["C1306645", "C0817096"])
    'X-ray'
    """
    present = set(concepts)
    return next((name for cui, name in MODALITY_CONCEPTS.items() if cui in present), "")
