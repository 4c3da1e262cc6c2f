"""Preprocess an image to the input of a tower.

Images come from strangers: sizes are checked before pixels are decoded, and whatever Pillow
cannot make sense of is an ImageError of one sentence.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from encoders.base.arguments import read_given
from encoders.base.extras import need
from encoders.images.dicom_preamble import is_dicom
from encoders.images.limits import (
    MAX_BYTES,
    MAX_DECODED,
    MAX_PIXELS,
    MAX_SIDE,
    WINDOW,
    ImageError,
    parsers_silenced,
    percentile_window,
)

__all__ = [
    "ImageError",
    "ImageInput",
    "Preprocessing",
    "decode_image",
    "open_image",
]

ImageInput = Image.Image | bytes | str | Path
# A progressive JPEG has some ten scans; each is decoded over the whole image.
JPEG_SCAN, MOST_SCANS = b"\xff\xda", 100
FORMATS = ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "JPEG2000", "PPM")


@dataclass(frozen=True)
class Preprocessing:
    """How a decoded image becomes a tower's input.

    size: side of the square in pixels. mode: "L" (one channel) or "RGB" (three). resize: "pad"
    keeps the whole image on black, "crop" the middle square, "stretch" changes its proportions;
    "crop-rounded" cuts where torchvision does, which rounds the margin that "crop" cuts off.
    shortest: the short side before a crop, `size` where 0. mean, std: one number per channel, on
    intensities scaled to 0..1.
    """

    size: int = 64
    mode: Literal["L", "RGB"] = "L"
    resize: Literal["pad", "crop", "crop-rounded", "stretch"] = "pad"
    mean: tuple[float, ...] = (0.25,)
    std: tuple[float, ...] = (0.25,)
    resample: Literal["bilinear", "bicubic"] = "bilinear"
    window: tuple[float, float] = WINDOW
    shortest: int = 0

    @property
    def channels(self) -> int:
        """Channels of a tower's input."""
        return len(self.mode)

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """uint8 [C, size, size] of a decoded image."""
        method = Image.Resampling[self.resample.upper()]
        image = image if image.mode == self.mode else image.convert(self.mode)
        side = (self.size, self.size)
        if image.size == side and self.shortest in (0, self.size):
            square = image
        elif self.resize == "pad":
            square = ImageOps.pad(image, side, method=method, color=0)
        elif self.resize == "stretch":
            square = image.resize(side, method)
        else:
            square = self._middle(image, method)
        array = np.asarray(square, dtype=np.uint8)
        return array[None] if self.mode == "L" else np.ascontiguousarray(array.transpose(2, 0, 1))

    def _middle(self, image: Image.Image, method: Image.Resampling) -> Image.Image:
        """The middle square after the short side became `shortest`, as CLIP's preprocessing."""
        short = min(image.size)
        width, height = (int((self.shortest or self.size) * side / short) for side in image.size)
        margins = ((width - self.size) / 2, (height - self.size) / 2)
        left, top = (round(m) if self.resize == "crop-rounded" else int(m) for m in margins)
        whole = image.resize((width, height), method)
        return whole.crop((left, top, left + self.size, top + self.size))


def open_image(image: ImageInput) -> Image.Image:
    """Decode bytes or a file, or take a Pillow image as it is; 8-bit "L" or "RGB".

    Raises ImageError.
    """
    if isinstance(image, Image.Image):
        _check_size(image)
        return _plain(image)
    if isinstance(image, bytes):
        return decode_image(image)
    image = Path(image)
    try:
        return decode_image(read_given(image, MAX_BYTES))
    except OSError as error:
        raise ImageError(f"{image}: cannot be read ({error.strerror}).") from None
    except ImageError as error:
        raise ImageError(f"{image}: {error}") from None


def decode_image(data: bytes) -> Image.Image:
    """Decode one image to 8 bits, mode "L" or "RGB", upright as its EXIF tag says.

    Transparent pixels become black. More than 8 bits a pixel are windowed to 8: percentile
    0.5 becomes 0 and percentile 99.5 becomes 255. Of several frames the first is taken. How a
    DICOM file is decoded stands in encoders/images/dicom.py.
    Raises ImageError: empty, too large (by bytes, or by pixels before anything is decoded),
    truncated, or no image.
    """
    if not data:
        raise ImageError("The image is empty (0 bytes).")
    if len(data) > MAX_BYTES:
        raise ImageError(f"The image has {len(data):,} bytes; at most {MAX_BYTES:,} are read.")
    try:
        with parsers_silenced:
            return _decode(data)
    except UnidentifiedImageError:
        raise ImageError("The bytes are not an image in a known format.") from None
    except (Image.DecompressionBombError, MemoryError):
        raise ImageError(f"The image has more than {MAX_PIXELS:,} pixels.") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, OverflowError) as error:
        raise ImageError(f"The image is damaged: {str(error).rstrip('.')}.") from None
    except (IndexError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        # Pillow's parsers let these out of malformed headers.
        raise ImageError(f"The image is damaged: {type(error).__name__} in its header.") from None


def _decode(data: bytes) -> Image.Image:
    if is_dicom(data):
        need("pydicom", "Reading a DICOM file")
        from encoders.images.dicom import decode_dicom  # noqa: PLC0415 - most images need no pydicom

        return decode_dicom(data)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_size(image)
        if image.format in {"JPEG", "MPO"} and data.count(JPEG_SCAN) > MOST_SCANS:
            raise ImageError(f"The JPEG image has more than {MOST_SCANS} scans.")
        # A process-wide switch of Pillow's that others may have set: half an image is no image.
        if ImageFile.LOAD_TRUNCATED_IMAGES:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
        image.load()
        ImageOps.exif_transpose(image, in_place=True)  # most are upright, and need no copy
        return _plain(image)


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"The image has {width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are decoded."
        )
    if max(width, height) > MAX_SIDE:  # a line takes some steps of Python, however short
        raise ImageError(
            f"The image has {width:,} x {height:,} pixels; sides of at most {MAX_SIDE:,} are "
            "decoded."
        )
    if width < 1 or height < 1:
        raise ImageError(f"The image has {width} x {height} pixels.")
    if (size := width * height * len(image.getbands()) * _bytes_of_a_value(image)) > MAX_DECODED:
        raise ImageError(
            f"The image has {width:,} x {height:,} pixels of {size:,} bytes; at most "
            f"{MAX_DECODED:,} are decoded."
        )


def _bytes_of_a_value(image: Image.Image) -> int:
    """While it is decoded; from the header alone."""
    if image.mode.startswith("I") or image.mode == "F":
        return 4
    return 2 if any("16" in str(tile[3]) for tile in getattr(image, "tile", ())[:1]) else 1


def _plain(image: Image.Image) -> Image.Image:
    """8-bit "L" or "RGB" of any mode."""
    if image.mode == "1":
        return image.convert("L")
    if image.mode.startswith("I") or image.mode == "F":
        return percentile_window(np.asarray(image, dtype=np.float32))
    grey = image.mode in ("L", "LA", "La")
    if "transparency" in image.info or image.mode in ("LA", "La", "RGBA", "RGBa", "PA"):
        return _on_black(image.convert("LA" if grey else "RGBA"), "L" if grey else "RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _on_black(image: Image.Image, mode: str) -> Image.Image:
    black = Image.new(mode, image.size, 0)
    black.paste(image.convert(mode), mask=image.getchannel("A"))
    return black
