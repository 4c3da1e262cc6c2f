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
from pydicom.dataelem import RawDataElement
from pydicom.filereader import data_element_generator, read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.tag import BaseTag
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from encoders.images.dicom_greys import GREY_KEYWORDS, grey_image, settings_of_frame, value_of
from encoders.images.dicom_preamble import PREAMBLE_BYTES, has_preamble
from encoders.images.limits import MAX_BYTES, MAX_PIXELS, ImageError, parsers_silenced

__all__ = [
    "DecoderMissingError",
    "NoPixelsError",
    "decode_dicom",
    "described",
    "frame_count",
    "middle_frame",
    "read_header",
    "render_frame",
]

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
    "HighBit",
    "PixelRepresentation",
    "PlanarConfiguration",
    "SOPClassUID",
)
UNDEFINED_LENGTH = 0xFFFFFFFF  # of pixels kept in fragments
FRAGMENTS_LOOKED_AT = 1 << 16
# What a JPEG's frame header begins with, and the usual transfer syntax of it.
JPEG_KINDS = {
    0xC0: JPEGBaseline8Bit,
    0xC1: JPEGExtended12Bit,
    0xC3: JPEGLosslessSV1,
    0xF7: JPEGLSLossless,
}


class NoPixelsError(ImageError):
    """The DICOM file is a report, a plan or a list of files, without an image."""


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
    with _told("header"):
        stream = _inflated(stream)
        stream.seek(0)
        header = dcmread(
            stream,
            stop_before_pixels=True,
            force=True,
            specific_tags=wanted,
            defer_size=LARGEST_VALUE,
        )
        _check_size(stream, header)
    return header, stream


def described(header: Dataset, keywords: Sequence[str]) -> dict[str, str]:
    """Those of the elements that say something and can be read, as texts on one line."""
    with parsers_silenced:
        texts = {keyword: _text(value_of(header, keyword, [])) for keyword in keywords}
    return {keyword: text for keyword, text in texts.items() if text}


def _text(value: object) -> str:
    if value is None:
        return ""
    parts = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
    return " ".join(" ".join(str(part) for part in parts).replace("\0", " ").split())


def frame_count(header: Dataset) -> int:
    """Number of frames, 1 where the file does not say."""
    return int(value_of(header, "NumberOfFrames", []) or 1)


def middle_frame(header: Dataset) -> int:
    """The frame that stands for a file, from 0: of four frames the third."""
    return frame_count(header) // 2


def render_frame(
    stream: BinaryIO, header: Dataset, frame: int, notes: list[str] | None = None
) -> Image.Image:
    """Frame number `frame` (from 0) of the file; mode "L" or "RGB". Other frames are not read.

    notes: gains a sentence on each tag that could not be used, and on what was guessed.
    Raises ImageError: damaged, or (DecoderMissingError) compressed in a way that
    needs another decoder.
    """
    notes = [] if notes is None else notes
    with _told("pixels"):
        syntax, length = _syntax(stream, header, notes)
        _check_decoder(header, syntax)
        options = _options(header, syntax, length, notes)
        stream.seek(0)
        shift, signed = _shift(header, syntax), bool(header.get("PixelRepresentation"))
        if shift:  # the values do not end where BitsStored says
            own = {"bits_stored": header.BitsAllocated, "pixel_representation": 0}
            stored = pixel_array(stream, index=frame, **{**options, **own})
            stored = _shifted(stored, shift, options["bits_stored"], signed)
        else:
            stored = pixel_array(stream, index=frame, **options)
        kind = str(options["photometric_interpretation"])
        if kind in COLOUR:
            return _colour(stored, options["bits_stored"])
        if kind == "PALETTE COLOR":
            colours = apply_color_lut(stored, header)
            return _colour(colours, 8 * colours.dtype.itemsize)
        if kind in ("MONOCHROME1", "MONOCHROME2"):
            settings = settings_of_frame(header, frame)
            image = grey_image(stored, settings, inverted=kind == "MONOCHROME1")
            notes += settings.notes
            return image
    raise ImageError(f"The photometric interpretation {kind[:40]!r} is not supported.")


def _options(header: Dataset, syntax: UID, length: int, notes: list[str]) -> dict[str, Any]:
    """What pydicom is to take the pixels for, where the header says nothing or cannot be right."""
    samples = int(value_of(header, "SamplesPerPixel", notes) or 1)
    allocated = int(header.BitsAllocated)
    stored = int(value_of(header, "BitsStored", notes) or allocated)
    if not 1 <= stored <= allocated:
        notes.append(f"BitsStored of {stored} does not fit {allocated} bits")
        stored = allocated
    kind = str(value_of(header, "PhotometricInterpretation", notes) or "").strip()
    if not kind:
        kind = "RGB" if samples == 3 else "MONOCHROME2"
        notes.append(f"PhotometricInterpretation is missing; {kind} is assumed")
    pixels = int(header.Rows) * int(header.Columns) * frame_count(header)
    if kind == "YBR_FULL_422" and not syntax.is_compressed and length >= 3 * pixels:
        kind = "YBR_FULL"  # its pixels were never halved
        notes.append("PhotometricInterpretation is YBR_FULL_422, but all pixels are there")
    return {
        "transfer_syntax_uid": syntax,
        "samples_per_pixel": samples,
        "bits_stored": stored,
        "photometric_interpretation": kind,
        "number_of_frames": frame_count(header),
        "pixel_representation": int(value_of(header, "PixelRepresentation", notes) or 0),
        "planar_configuration": int(value_of(header, "PlanarConfiguration", notes) or 0),
    }


def _shift(header: Dataset, syntax: UID) -> int:
    """How many bits lie below the stored value (PS3.5, 8.1.1 of earlier editions)."""
    high, bits = value_of(header, "HighBit", []), value_of(header, "BitsStored", [])
    if syntax.is_compressed or high is None or bits is None:
        return 0
    shift = int(high) + 1 - int(bits)
    return shift if shift > 0 and int(high) < int(header.BitsAllocated) else 0


def _shifted(stored: NDArray[Any], shift: int, bits: int, signed: bool) -> NDArray[Any]:
    values = (stored.astype(np.int64) >> shift) & (2**bits - 1)
    top = np.int64(2 ** (bits - 1) if signed else 2**bits)
    found: NDArray[Any] = np.where(values >= top, values - 2**bits, values)
    return found


def _syntax(stream: BinaryIO, header: Dataset, notes: list[str]) -> tuple[UID, int]:
    """Transfer syntax, guessed where the file names none, and the length of the pixels in bytes.

    Raises ImageError if the file ends before its pixels.
    """
    head = stream.read(8)  # `dcmread` stopped at the pixels
    named = header.file_meta.get("TransferSyntaxUID") if hasattr(header, "file_meta") else None
    if len(head) < 8:
        raise ImageError("The DICOM file is truncated: its pixels are missing.")
    implicit, little = header.original_encoding
    order: Any = "big" if little is False else "little"
    long = stream.read(4) if not implicit else head[4:]
    length = int.from_bytes(long, order)
    if named:
        return UID(named), length
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    if little is False:
        syntax = ExplicitVRBigEndian
    if length == UNDEFINED_LENGTH:
        syntax = _compression(stream.read(FRAGMENTS_LOOKED_AT))
    notes.append(f"no transfer syntax is named; {syntax.name} is assumed")
    return syntax, length


def _compression(fragments: bytes) -> UID:
    """The transfer syntax of pixels in fragments, by how the first of them begins."""
    if b"\xff\x4f\xff\x51" in fragments[:4096]:
        return JPEG2000
    start = fragments.find(b"\xff\xd8\xff")
    place = start + 2
    while start >= 0 and place + 4 <= len(fragments) and fragments[place] == 0xFF:
        if fragments[place + 1] in JPEG_KINDS:
            return JPEG_KINDS[fragments[place + 1]]
        place += 2 + int.from_bytes(fragments[place + 2 : place + 4], "big")
    return RLELossless if start < 0 else JPEGBaseline8Bit


@contextmanager
def _told(part: str) -> Iterator[None]:
    """Whatever a parser makes of a stranger's bytes is an ImageError of one sentence."""
    try:
        with parsers_silenced:
            yield
    except ImageError:
        raise
    except Exception:  # noqa: BLE001 - decoders raise all kinds
        raise ImageError(f"The DICOM file is damaged: its {part} cannot be read.") from None


def _inflated(stream: BinaryIO) -> BinaryIO:
    """The file, inflated into memory where it is deflated as a whole; never beyond MAX_BYTES."""
    stream.seek(0)
    stream.seek(PREAMBLE_BYTES if has_preamble(stream.read(PREAMBLE_BYTES)) else 0)
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


def _check_size(stream: BinaryIO, header: Dataset) -> None:
    if "Rows" not in header or "Columns" not in header:
        if not _ends_whole(stream, header):
            raise ImageError("The DICOM file is truncated before its image.")
        kind = UID(str(value_of(header, "SOPClassUID", []) or "")).name
        raise NoPixelsError("The DICOM file has no image" + (f" ({kind[:60]})." if kind else "."))
    rows, columns, frames = int(header.Rows), int(header.Columns), frame_count(header)
    if rows < 1 or columns < 1 or frames < 1:
        raise ImageError(f"The image has {columns} x {rows} pixels and {frames} frames.")
    if rows * columns > MAX_PIXELS:
        raise ImageError(
            f"The image has {columns:,} x {rows:,} pixels; at most {MAX_PIXELS:,} are decoded."
        )


def _ends_whole(stream: BinaryIO, header: Dataset) -> bool:
    """Whether the last element of a file without pixels is all there."""
    implicit, little = header.original_encoding
    stream.seek(0)
    stream.seek(PREAMBLE_BYTES if has_preamble(stream.read(PREAMBLE_BYTES)) else 0)
    read_dataset(stream, is_implicit_VR=False, is_little_endian=True, stop_when=_past_file_meta)
    elements = data_element_generator(stream, bool(implicit), little is not False)
    lengths = [
        (element.length, len(element.value or b""))
        for element in elements
        if isinstance(element, RawDataElement)
    ]
    return all(said in (held, UNDEFINED_LENGTH) for said, held in lengths)


def _check_decoder(header: Dataset, syntax: UID) -> None:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise ImageError(f"Pixels in the format {syntax.name} are not supported.") from None
    plugins = set(decoder.available_plugins)
    if syntax == JPEGExtended12Bit and header.get("BitsStored") != 8:
        plugins.discard("pillow")  # its libjpeg reads 8 bits only
    if decoder.is_encapsulated and not plugins:
        raise DecoderMissingError(
            f"The pixels are compressed as {syntax.name}, and no decoder for it is installed: pip "
            "install 'rocosearch[dicom]' installs pylibjpeg, pylibjpeg-libjpeg and "
            "pylibjpeg-openjpeg."
        )


def _colour(colours: NDArray[Any], bits: int) -> Image.Image:
    """uint8 or uint16 [H, W, 3] with this number of bits, as "RGB"."""
    shift = max(bits - 8, 0)
    return Image.fromarray((colours >> shift).astype(np.uint8))
