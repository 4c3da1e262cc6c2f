"""One frame of a DICOM file as an 8-bit image, "L" or "RGB".

Only the elements asked for are read, never a patient's, and sizes are checked before pixels.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGExtended12Bit

from encoders.images.dicom_greys import GREY_KEYWORDS, grey_image, settings_of_frame
from encoders.images.dicom_preamble import PREAMBLE_BYTES
from encoders.images.limits import MAX_BYTES, MAX_PIXELS, ImageError, parsers_silenced

__all__ = [
    "MAX_PIXELS_OF_ALL_FRAMES",
    "DecoderMissingError",
    "NoPixelsError",
    "decode_dicom",
    "described",
    "frame_count",
    "middle_frame",
    "read_header",
    "render_frame",
]

MAX_PIXELS_OF_ALL_FRAMES = 10 * MAX_PIXELS
LARGEST_VALUE = "16 MB"  # of an element; larger ones are not read

COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PALETTE = tuple(
    f"{colour}PaletteColorLookupTable{part}"
    for colour in ("Red", "Green", "Blue")
    for part in ("Descriptor", "Data")
) + tuple(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue"))
PIXELS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
)


class NoPixelsError(ImageError):
    """The DICOM file is a report, a plan or a list of files, and holds no image."""


class DecoderMissingError(ImageError):
    """The pixels are compressed in a way that only decoders not installed here read."""


def decode_dicom(data: bytes) -> Image.Image:
    """The middle frame of the DICOM file `data`; mode "L" or "RGB". Raises ImageError."""
    header, stream = read_header(io.BytesIO(data))
    return render_frame(stream, header, middle_frame(header))


def read_header(stream: BinaryIO, also: Sequence[str] = ()) -> tuple[Dataset, BinaryIO]:
    """What showing the pixels needs, and the elements `also` (keywords); nothing else is read.

    Returns the header and the stream that `render_frame` takes: `stream` itself, or, of a file
    that is deflated as a whole, its inflated copy.
    Raises ImageError: damaged, too large, or (NoPixelsError) no image.
    """
    wanted = [*GREY_KEYWORDS, *PALETTE, *PIXELS, *also]
    with _told():
        stream = _inflated(stream)
        stream.seek(0)
        header = dcmread(
            stream, stop_before_pixels=True, specific_tags=wanted, defer_size=LARGEST_VALUE
        )
        _check_size(header)
    return header, stream


def described(header: Dataset, keywords: Sequence[str]) -> dict[str, str]:
    """Those of the elements that say something, as texts on one line; raises ImageError."""
    with _told():
        texts = {keyword: _text(header.get(keyword)) for keyword in keywords}
    return {keyword: text for keyword, text in texts.items() if text}


def _text(value: object) -> str:
    if value is None:
        return ""
    parts = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
    return " ".join(" ".join(str(part) for part in parts).replace("\0", " ").split())


def frame_count(header: Dataset) -> int:
    """Number of frames, 1 where the file does not say."""
    return int(header.get("NumberOfFrames") or 1)


def middle_frame(header: Dataset) -> int:
    """The frame that stands for a file, from 0: of four frames the third."""
    return frame_count(header) // 2


def render_frame(stream: BinaryIO, header: Dataset, frame: int) -> Image.Image:
    """Frame number `frame` (from 0) of the file; mode "L" or "RGB".

    Raises ImageError: damaged, or (DecoderMissingError) compressed in a way that
    needs another decoder.
    """
    with _told():
        _check_decoder(header)
        stored = pixel_array(stream, index=frame)
        kind = header.PhotometricInterpretation
        if kind in COLOUR:
            return _colour(stored, int(header.BitsStored))
        if kind == "PALETTE COLOR":
            colours = apply_color_lut(stored, header)
            return _colour(colours, 8 * colours.dtype.itemsize)
        if kind in ("MONOCHROME1", "MONOCHROME2"):
            return grey_image(
                stored, settings_of_frame(header, frame), inverted=kind == "MONOCHROME1"
            )
    raise ImageError(f"The photometric interpretation {str(kind)[:40]!r} is not read.")


@contextmanager
def _told() -> Iterator[None]:
    """Whatever a parser makes of a stranger's bytes is an ImageError of one sentence."""
    try:
        with parsers_silenced:
            yield
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise all kinds
        said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ImageError(f"The DICOM file is damaged: {said[:300]}.") from None


def _inflated(stream: BinaryIO) -> BinaryIO:
    """The file, inflated into memory where it is deflated as a whole; never beyond MAX_BYTES."""
    stream.seek(PREAMBLE_BYTES)
    meta = read_dataset(
        stream, is_implicit_VR=False, is_little_endian=True, stop_when=_past_file_meta
    )
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return stream
    body_at = stream.tell()
    stream.seek(0)
    head = stream.read(body_at)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body = inflater.decompress(stream.read(), MAX_BYTES)
    if inflater.unconsumed_tail:
        raise ImageError(f"The DICOM file would inflate to more than {MAX_BYTES:,} bytes.")
    deflated, plain = DeflatedExplicitVRLittleEndian.encode(), ExplicitVRLittleEndian.encode()
    return io.BytesIO(head.replace(deflated, plain.ljust(len(deflated), b"\0")) + body)


def _past_file_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 2


def _check_size(header: Dataset) -> None:
    if "Rows" not in header or "Columns" not in header:
        raise NoPixelsError("The DICOM file holds no image, or is cut off before it.")
    rows, columns, frames = int(header.Rows), int(header.Columns), frame_count(header)
    if rows < 1 or columns < 1 or frames < 1:
        raise ImageError(f"The image has {columns} x {rows} pixels and {frames} frames.")
    if rows * columns > MAX_PIXELS:
        raise ImageError(
            f"The image has {columns:,} x {rows:,} pixels; at most {MAX_PIXELS:,} are decoded."
        )
    if rows * columns * frames > MAX_PIXELS_OF_ALL_FRAMES:
        raise ImageError(
            f"The {frames:,} frames of {columns:,} x {rows:,} pixels have more than "
            f"{MAX_PIXELS_OF_ALL_FRAMES:,} in all."
        )


def _check_decoder(header: Dataset) -> None:
    syntax = header.file_meta.get("TransferSyntaxUID")
    if not syntax:
        raise ImageError("The DICOM file names no transfer syntax.")
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise ImageError(f"Pixels kept as {syntax.name} are not read.") from None
    plugins = set(decoder.available_plugins)
    if syntax == JPEGExtended12Bit and header.get("BitsStored") != 8:
        plugins.discard("pillow")  # its libjpeg reads 8 bits only
    if decoder.is_encapsulated and not plugins:
        raise DecoderMissingError(
            f"The pixels are compressed as {syntax.name}, and no decoder for it is installed: "
            "install pylibjpeg, pylibjpeg-libjpeg and "
            "pylibjpeg-openjpeg with pip (the extra `dicom` names them)."
        )


def _colour(colours: NDArray[Any], bits: int) -> Image.Image:
    """uint8 or uint16 [H, W, 3] of so many bits, as "RGB"."""
    shift = max(bits - 8, 0)
    return Image.fromarray((colours >> shift).astype(np.uint8))
