"""The modality from UMLS concepts or DICOM codes."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["MODALITY_CONCEPTS", "modality_of", "modality_of_dicom"]

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

# Defined terms of (0008,0060), DICOM PS3.3, C.7.3.1.1.1, in the words above.
DICOM_MODALITIES = {
    "PT": "PET",
    "MG": "Mammography",
    "XA": "Angiography",
    "MR": "MRI",
    "CT": "CT",
    "US": "Ultrasound",
    "IVUS": "Ultrasound",
    "CR": "X-ray",
    "DX": "X-ray",
    "RF": "X-ray",
    "IO": "X-ray",
    "PX": "X-ray",
}


def modality_of(concepts: Iterable[str]) -> str:
    """The modality named by the concepts, or "".

    >>> modality_of(["C1306645", "C0817096"])
    'X-ray'
    """
    present = set(concepts)
    return next((name for cui, name in MODALITY_CONCEPTS.items() if cui in present), "")


def modality_of_dicom(code: str) -> str:
    """The modality of a DICOM code; the code itself where there is no other word for it.

    >>> modality_of_dicom("DX"), modality_of_dicom("NM")
    ('X-ray', 'NM')
    """
    return DICOM_MODALITIES.get(code, code)
