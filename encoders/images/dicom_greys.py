"""DICOM grey values: rescale, lookup tables, windows.

Stored values go through the modality transformation (rescale, or its table), the values of
interest (the first VOI table or window; percentiles where the file names none) and, for
MONOCHROME1, an inversion: DICOM PS3.3, C.11.1, C.11.2 and C.7.6.3.1.2. A tag that cannot be used is
passed over for the next rule, and named in `notes`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset

from encoders.images.limits import percentile_window

__all__ = ["GREY_KEYWORDS", "GreySettings", "grey_image", "settings_of_frame", "value_of"]

MODALITY = ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept")
VOI = ("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction")
PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")
# Where files of several frames keep what others keep at the top (PS3.3, C.7.6.16).
FRAMES = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
OF_A_FRAME = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
GREY_KEYWORDS = (*MODALITY, *VOI, *PADDING, *FRAMES)
STORAGE_SIZES = (8, 16)  # bits of an entry; tables of fewer bits are often described so


@dataclass(frozen=True)
class _Table:
    """Value `first` becomes values[0], and so on; `highest` is white in a VOI table."""

    first: int
    values: NDArray[np.float32]
    highest: float


@dataclass(frozen=True)
class GreySettings:
    """What turns stored values into greys. padding: lowest and highest value never measured."""

    modality: _Table | None = None
    rescale: tuple[float, float] = (1.0, 0.0)  # slope, intercept
    voi: _Table | None = None
    window: tuple[float, float, str] | None = None  # centre, width, function
    padding: tuple[int, int] | None = None
    notes: list[str] = field(default_factory=list)


def value_of(found: Dataset, keyword: str, notes: list[str]) -> Any:  # noqa: ANN401
    """An element's value; None if there is none, or, with a note, none that can be read."""
    if keyword not in found:
        return None
    try:
        value = found[keyword].value
    except Exception:  # noqa: BLE001 - pydicom converts on access, and raises all kinds
        notes.append(f"{keyword} cannot be read")
        return None
    if value in (None, ""):
        notes.append(f"{keyword} is empty")
        return None
    return value


def settings_of_frame(header: Dataset, frame: int) -> GreySettings:
    """What turns the values of frame `frame` (from 0) into greys, wherever the file keeps it."""
    notes: list[str] = []
    found = Dataset()
    for keyword in (*MODALITY, *VOI, *PADDING):
        if keyword in header:
            found[keyword] = header.get_item(keyword)
    shared, own = (value_of(header, keyword, notes) or [] for keyword in FRAMES)
    for groups in (*shared[:1], *own[frame : frame + 1]):
        for keyword in OF_A_FRAME:
            for item in value_of(groups, keyword, notes) or []:
                found.update(item)
    little = getattr(header, "is_little_endian", True) is not False
    signed = bool(value_of(header, "PixelRepresentation", []))
    bits = value_of(header, "BitsAllocated", []) or 16
    return GreySettings(
        _table(found, "ModalityLUTSequence", notes, little),
        _rescale(found, notes),
        _table(found, "VOILUTSequence", notes, little),
        _window(found, notes),
        _padding_values(found, notes, signed, int(bits)),
        notes,
    )


def grey_image(stored: NDArray[Any], settings: GreySettings, *, inverted: bool) -> Image.Image:
    """Mode "L" of stored values [H, W]; `settings` as `settings_of_frame` gives them.

    inverted: MONOCHROME1, whose smallest values are white. Padding is black either way.
    """
    padding = _padding(stored, settings)
    if settings.modality is not None:
        values = _through_table(settings.modality, stored)
    else:
        slope, intercept = settings.rescale
        values = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    greys = np.asarray(_of_interest(values, settings, ~padding))
    greys = 255 - greys if inverted else greys
    return Image.fromarray(np.where(padding, np.uint8(0), greys))


def _number(value: object) -> float:
    """The first of one number or several, NaN where there is none."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if value else None
    try:
        return float(cast(float, value))
    except (TypeError, ValueError):
        return math.nan


def _rescale(found: Dataset, notes: list[str]) -> tuple[float, float]:
    slope, intercept = (value_of(found, keyword, notes) for keyword in MODALITY[1:])
    if slope is None or intercept is None:
        return 1.0, 0.0
    numbers = _number(slope), _number(intercept)
    if all(map(math.isfinite, numbers)) and numbers[0]:
        return numbers
    notes.append("RescaleSlope and RescaleIntercept are no transformation")
    return 1.0, 0.0


def _table(found: Dataset, sequence: str, notes: list[str], little: bool) -> _Table | None:
    """The first table of a sequence (PS3.3, C.11.1.1.1), None if there is none to be used."""
    for item in (value_of(found, sequence, notes) or [])[:1]:
        descriptor = value_of(item, "LUTDescriptor", notes)
        data = value_of(item, "LUTData", notes)
        if descriptor is None or data is None:
            continue
        try:
            count, first, bits = (int(part) for part in descriptor)
            values = _entries(data, count % 65536 or 65536, little)
        except (TypeError, ValueError):
            values, bits, first = np.zeros(0, np.float32), 0, 0
        if values.size and 1 <= bits <= 16:
            largest = float(values.max())
            full = 2.0**bits - 1
            own = bits in STORAGE_SIZES and 0 < largest < full / 2
            return _Table(first, values, largest if own or largest > full else full)
        notes.append(f"the table of {sequence} is empty, short or of no number of bits")
    return None


def _entries(data: object, count: int, little: bool) -> NDArray[np.float32]:
    """Entries of a table, kept as numbers or as words or bytes; raises ValueError: too few."""
    if isinstance(data, bytes):
        wide = len(data) >= 2 * count
        kind = ("<u2" if little else ">u2") if wide else "u1"
        values = np.frombuffer(data, kind, count)
    else:
        values = np.asarray(data).ravel()[:count]
    if values.size < count:
        raise ValueError("too few entries")
    return values.astype(np.float32) % 65536


def _through_table(table: _Table, values: NDArray[Any]) -> NDArray[np.float32]:
    whole = np.rint(values).astype(np.int64)
    # The descriptor does not say whether its second value has a sign.
    first = table.first - 65536 if table.first > 32767 and whole.min() < 0 else table.first
    found: NDArray[np.float32] = table.values[(whole - first).clip(0, len(table.values) - 1)]
    return found


def _window(found: Dataset, notes: list[str]) -> tuple[float, float, str] | None:
    """The first window, or None if there is none that means anything."""
    centre, width, function = (value_of(found, keyword, notes) for keyword in VOI[1:])
    function = str(function or "LINEAR").strip().upper()
    if centre is None or width is None:
        return None
    middle, wide = _number(centre), _number(width)
    if (
        math.isfinite(middle)
        and math.isfinite(wide)
        and wide >= (1 if function == "LINEAR" else 1e-6)
    ):
        return middle, wide, function
    notes.append("WindowCenter and WindowWidth are no window")
    return None


def _padding_values(
    found: Dataset, notes: list[str], signed: bool, bits: int
) -> tuple[int, int] | None:
    """The range of padding in the sign of the pixels, whatever sign the file wrote it with."""
    value, limit = (_number(value_of(found, keyword, notes)) for keyword in PADDING)
    if not math.isfinite(value):
        return None
    ends = []
    for end in (value, limit if math.isfinite(limit) else value):
        whole = int(end) % 2**bits
        ends.append(whole - 2**bits if signed and whole >= 2 ** (bits - 1) else whole)
    return min(ends), max(ends)


def _padding(stored: NDArray[Any], settings: GreySettings) -> NDArray[np.bool_]:
    """Bool [H, W]: the pixels that fill up the rectangle and were never measured (C.7.5.1.1.2)."""
    if settings.padding is None:
        return np.zeros(stored.shape, np.bool_)
    low, high = settings.padding
    padding = (stored >= low) & (stored <= high)
    return padding if not padding.all() else np.zeros(stored.shape, np.bool_)


def _of_interest(
    values: NDArray[np.float32], settings: GreySettings, measured: NDArray[np.bool_]
) -> Image.Image:
    """Mode "L" by VOI table, window or percentiles, the first that does not make all one grey."""
    for shares in _shares(values, settings):
        greys = (np.nan_to_num(shares) * 255).clip(0, 255).round().astype(np.uint8)
        shown = greys[measured]
        if shown.size and (shown.min() < shown.max() or values.min() == values.max()):
            return Image.fromarray(greys)
        settings.notes.append("the window or table of the file shows one grey only")
    return percentile_window(values, measured)


def _shares(values: NDArray[np.float32], settings: GreySettings) -> Sequence[NDArray[np.float32]]:
    found = []
    if settings.voi is not None:
        found.append(_through_table(settings.voi, values) / np.float32(settings.voi.highest))
    elif settings.window is not None:
        found.append(_through(settings.window, values))
    return found


def _through(window: tuple[float, float, str], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [H, W] in 0..1: equations of PS3.3, C.11.2.1.2.1 and C.11.2.1.3."""
    centre, width, function = window
    if function == "SIGMOID":
        shares = 1 / (1 + np.exp((-4 * (values - centre) / width).clip(-80, 80)))
    elif function == "LINEAR" and width == 1:
        shares = (values > centre - 0.5).astype(np.float32)
    elif function == "LINEAR":
        shares = (values - (centre - 0.5)) / (width - 1) + 0.5
    else:
        shares = (values - centre) / width + 0.5
    clipped: NDArray[np.float32] = np.clip(shares, 0, 1)
    return clipped
