"""Plain grey PNG files, decoded with little Python: of a small image most of Pillow's time is that.

Only files of the plainest kind: eight bits, one channel, not interlaced, nothing in them that says
how to show the pixels. All else, and all that is damaged, is left to Pillow and its errors.
Format: PNG specification, third edition (W3C 2025), sections 5 (chunks) and 9 (filters).
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from encoders.images.limits import MAX_BYTES, MAX_PIXELS
from encoders.jit import compiled

__all__ = ["grey_png"]

Bytes = NDArray[np.uint8]
START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
HEADER = struct.Struct(">2I5B")  # width, height, bits, colour, compression, filter, interlace
GREY = (8, 0, 0, 0, 0)
FIRST_CHUNK = 8
# About sizes, times and colours, before the pixels; Pillow passes over them too.
NO_MATTER = (b"pHYs", b"tIME", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD")
SUB, UP, AVERAGE, PAETH = 1, 2, 3, 4


def grey_png(data: bytes) -> Bytes | None:
    """Pixels uint8 [H, W] as Pillow gives them, or None where Pillow has to say what they are."""
    if not data.startswith(START) or not len(START) + HEADER.size <= len(data) <= MAX_BYTES:
        return None
    width, height, *kind = HEADER.unpack_from(data, len(START))
    if tuple(kind) != GREY or not 0 < width * height <= MAX_PIXELS:
        return None
    packed = _packed(data)
    rows = None if packed is None else _unpacked(packed, height * (width + 1))
    if rows is None:
        return None
    filtered = np.frombuffer(rows, np.uint8).reshape(height, width + 1)
    if not filtered[:, 0].any():
        return filtered[:, 1:]
    out = np.empty((height, width), np.uint8)
    return out if _unfiltered(filtered, out) else None


def _packed(data: bytes) -> bytes | None:
    """What all IDAT chunks hold; None where a chunk is damaged or could change the pixels."""
    parts: list[bytes] = []
    start = FIRST_CHUNK
    while True:
        body = start + 8
        end = body + int.from_bytes(data[start : start + 4])
        name = data[start + 4 : body]
        if zlib.crc32(data[start + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return None
        if name == b"IEND":
            return b"".join(parts)
        if name == b"IDAT":
            parts.append(data[body:end])
        elif parts or (name not in NO_MATTER and start != FIRST_CHUNK):
            return None
        start = end + 4


def _unpacked(packed: bytes, size: int) -> bytes | None:
    """Exactly `size` bytes; no more are unpacked, whatever is in the file."""
    unpacking = zlib.decompressobj()
    try:
        rows = unpacking.decompress(packed, size + 1)
    except zlib.error:
        return None
    return rows if len(rows) == size and unpacking.eof else None


@compiled
def _unfiltered(filtered: Bytes, out: Bytes) -> bool:
    """Add to each pixel what its row's filter took from it; False for an unknown filter."""
    for y in range(len(out)):
        kind = filtered[y, 0]
        if kind > PAETH:
            return False
        left, corner = np.int32(0), np.int32(0)
        for x in range(out.shape[1]):
            above = np.int32(out[y - 1, x]) if y else np.int32(0)
            guess = np.int32(0)
            if kind == SUB:
                guess = left
            elif kind == UP:
                guess = above
            elif kind == AVERAGE:
                guess = (left + above) >> 1
            elif kind == PAETH:
                guess = _nearest(left, above, corner)
            out[y, x] = np.uint8(np.int32(filtered[y, x + 1]) + guess)
            left, corner = np.int32(out[y, x]), above
    return True


@compiled
def _nearest(left: np.int32, above: np.int32, corner: np.int32) -> np.int32:
    """Which of the three is nearest to left + above - corner, in that order."""
    to_left, to_above = abs(above - corner), abs(left - corner)
    to_corner = abs(left + above - 2 * corner)
    if to_left <= to_above and to_left <= to_corner:
        return left
    return above if to_above <= to_corner else corner
