"""Recognise DICOM files without importing pydicom."""

from __future__ import annotations

__all__ = ["PREAMBLE_BYTES", "has_preamble", "is_dicom"]

PREAMBLE_BYTES = 132  # 128 that mean nothing, then "DICM" (DICOM PS3.10, 7.1)
# Value representations that the first elements of a data set have (PS3.5, 6.2).
FIRST = (b"UL", b"UI", b"CS", b"LO", b"DA", b"OB", b"SH")
LONGEST_FIRST = 256


def has_preamble(head: bytes) -> bool:
    """Whether a file that begins with `head` follows PS3.10."""
    return head[PREAMBLE_BYTES - 4 : PREAMBLE_BYTES] == b"DICM"


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with `head` is a DICOM file, or a data set without preamble.

    A bare data set begins with an element of group 2 or 8: explicit, where a value representation
    follows its tag, or implicit, where a small even length does.
    """
    if has_preamble(head):
        return True
    if len(head) < PREAMBLE_BYTES or head[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
        return False
    big = head[0] == 0
    if head[4:6] in FIRST:
        return True
    element = int.from_bytes(head[2:4], "little")
    length = int.from_bytes(head[4:8], "little")
    return not big and element <= 0x1250 and 0 < length <= LONGEST_FIRST and length % 2 == 0
