"""Whether image bytes can be used, and their perceptual hash."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from encoders.errors import UserError
from ingest.records import Reason

__all__ = ["MAX_PIXELS", "ImageRejected", "check_image", "dhash"]

MAX_PIXELS = 100_000_000  # 10,000 x 10,000: above any radiograph, below what fills the memory
DHASH_SIDE = 8


class ImageRejected(UserError):
    """The bytes are not an image that can be used; `reason` is for `rejected.parquet`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def check_image(data: bytes) -> Image.Image:
    """Decode `data` fully and return the image as stored (no rotation, no conversion).

    The size is read from the header before any pixel is decoded. Raises ImageRejected.
    """
    if not data:
        raise ImageRejected(Reason.EMPTY_IMAGE, "the file has 0 bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata and sizes that are judged here
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > MAX_PIXELS:
                raise ImageRejected(
                    Reason.HUGE_IMAGE,
                    f"{image.width} x {image.height} pixels; at most {MAX_PIXELS:,} in all",
                )
            image.load()
    except Image.DecompressionBombError as error:
        raise ImageRejected(Reason.HUGE_IMAGE, str(error)) from None
    except UnidentifiedImageError:
        raise ImageRejected(Reason.UNREADABLE_IMAGE, "not a known image format") from None
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, IndexError) as error:
        raise ImageRejected(Reason.UNREADABLE_IMAGE, str(error)) from None
    return image


def dhash(image: Image.Image) -> str:
    """64-bit difference hash as 16 hex digits.

    Each bit tells whether a pixel of the 9 x 8 grey thumbnail is darker than its right
    neighbour, so it survives re-encoding, rescaling and brightness
    (N. Krawetz, "Kind of Like That", 2013).
    """
    # Grey values as numbers: a conversion of 16-bit images to 8 bits would clip them to white.
    grey = image if image.mode[0] in "IF" else image.convert("L")
    small = grey.convert("F").resize((DHASH_SIDE + 1, DHASH_SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small)
    bits = pixels[:, :-1] < pixels[:, 1:]
    return np.packbits(bits).tobytes().hex()
