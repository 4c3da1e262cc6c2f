"""From a DICOM file's stored values to greys, the way a viewer would first show them.

Stored values go through the modality transformation (rescale, or its table), the values of
interest (the first VOI table or window; percentiles where the file names none) and, for
MONOCHROME1, an inversion: DICOM PS3.3, C.11.1, C.11.2 and C.7.6.3.1.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from encoders.images.limits import percentile_window

__all__ = ["GREY_KEYWORDS", "grey_image", "settings_of_frame"]

MODALITY = ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept")
VOI = ("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction")
PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")
# Where files of several frames keep what others keep at the top (PS3.3, C.7.6.16).
FRAMES = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
OF_A_FRAME = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
GREY_KEYWORDS = (*MODALITY, *VOI, *PADDING, *FRAMES)


def settings_of_frame(header: Dataset, frame: int) -> Dataset:
    """What turns the values of frame `frame` (from 0) into greys, wherever the file keeps it."""
    found = Dataset()
    found.file_meta = header.file_meta
    for keyword in (*MODALITY, *VOI, *PADDING, "PixelRepresentation"):
        if keyword in header:
            found[keyword] = header[keyword]
    shared, own = (header.get(keyword) or [] for keyword in FRAMES)
    for groups in (*shared[:1], *own[frame : frame + 1]):
        for keyword in OF_A_FRAME:
            for item in groups.get(keyword) or []:
                found.update(item)
    return found


def grey_image(stored: NDArray[Any], settings: Dataset, *, inverted: bool) -> Image.Image:
    """Mode "L" of stored values [H, W]; `settings` as `settings_of_frame` gives them.

    inverted: MONOCHROME1, whose smallest values are white. Padding is black either way.
    """
    padding = _padding(stored, settings)
    values = apply_modality_lut(stored, settings).astype(np.float32)
    greys = np.asarray(_of_interest(values, settings, ~padding))
    greys = 255 - greys if inverted else greys
    return Image.fromarray(np.where(padding, np.uint8(0), greys))


def _padding(stored: NDArray[Any], settings: Dataset) -> NDArray[np.bool_]:
    """Bool [H, W]: the pixels that fill up the rectangle and were never measured (C.7.5.1.1.2)."""
    value = settings.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, np.bool_)
    limit = settings.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if limit is None else limit)))
    padding = (stored >= low) & (stored <= high)
    return padding if not padding.all() else np.zeros(stored.shape, np.bool_)


def _of_interest(
    values: NDArray[np.float32], settings: Dataset, measured: NDArray[np.bool_]
) -> Image.Image:
    if settings.get("VOILUTSequence"):
        table = settings.VOILUTSequence[0]
        shown = apply_voi(np.rint(values).astype(np.int32), settings)
        scaled = shown * (255 / (2 ** int(table.LUTDescriptor[2]) - 1))
        return Image.fromarray(scaled.clip(0, 255).round().astype(np.uint8))
    window = _window(settings)
    if window is None:
        return percentile_window(values, measured)
    shares = _through(window, values)
    return Image.fromarray((np.nan_to_num(shares) * 255).round().astype(np.uint8))


_Window = tuple[float, float, str]  # centre, width, function


def _window(settings: Dataset) -> _Window | None:
    """The first window, or None where there is none that means anything."""
    centre, width = (_first(settings.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    function = str(settings.get("VOILUTFunction") or "LINEAR")
    smallest = 1 if function == "LINEAR" else 1e-6
    if math.isfinite(centre) and math.isfinite(width) and width >= smallest:
        return centre, width, function
    return None


def _first(value: object) -> float:
    """The first of one number or several, NaN where there is none."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if value else None
    return math.nan if value in (None, "") else float(cast(float, value))


def _through(window: _Window, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [H, W] in 0..1: equations of PS3.3, C.11.2.1.2.1 and C.11.2.1.3."""
    centre, width, function = window
    if function == "SIGMOID":
        shares = 1 / (1 + np.exp(-4 * (values - centre) / width))
    elif function == "LINEAR" and width == 1:
        shares = (values > centre - 0.5).astype(np.float32)
    elif function == "LINEAR":
        shares = (values - (centre - 0.5)) / (width - 1) + 0.5
    else:
        shares = (values - centre) / width + 0.5
    clipped: NDArray[np.float32] = np.clip(shares, 0, 1)
    return clipped
