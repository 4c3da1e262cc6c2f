"""Check an image, and compute its perceptual hash."""

from __future__ import annotations

import numpy as np
from PIL import Image

from encoders.base.errors import UserError
from encoders.images.dicom_preamble import is_dicom
from ingest.corpus.records import Reason

__all__ = ["MAX_IMAGE_BYTES", "ImageRejectedError", "check_image", "dhash"]

MAX_IMAGE_BYTES = 256 << 20
DHASH_SIDE = 8


class ImageRejectedError(UserError):
    """An image cannot be used; `reason` and `detail` are for `rejected.parquet`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def check_image(data: bytes) -> Image.Image:
    """Decode `data` as encoders will; raises ImageRejectedError.

    A DICOM file is refused: a corpus keeps images as they are, and its tags name the patient.
    """
    if is_dicom(data):
        detail = "a DICOM file, which names its patient: read its folder with --format dicom"
        raise ImageRejectedError(Reason.UNUSABLE_IMAGE, detail)
    # Not at the top: torch takes seconds to load, and reading a corpus needs none of it.
    from encoders.images.preprocess import ImageError, decode_image  # noqa: PLC0415

    try:
        return decode_image(data)
    except ImageError as error:
        raise ImageRejectedError(Reason.UNUSABLE_IMAGE, str(error)) from None


def dhash(image: Image.Image) -> str:
    """64-bit difference hash as 16 hex digits.

    Each bit tells whether a pixel of the 9 x 8 grey thumbnail is darker than its right
    neighbour, so it survives re-encoding, rescaling and brightness
    (N. Krawetz, "Kind of Like That", 2013).
    """
    size = (DHASH_SIDE + 1, DHASH_SIDE)
    small = np.asarray(image.convert("F").resize(size, Image.Resampling.BOX))
    return np.packbits(small[:, :-1] < small[:, 1:]).tobytes().hex()
