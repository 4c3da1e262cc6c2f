"""How a DICOM file is told from others, without loading what reads it."""

from __future__ import annotations

__all__ = ["PREAMBLE_BYTES", "is_dicom"]

PREAMBLE_BYTES = 132  # 128 that mean nothing, then "DICM" (DICOM PS3.10, 7.1)


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with `head` is a DICOM file."""
    return head[PREAMBLE_BYTES - 4 : PREAMBLE_BYTES] == b"DICM"
