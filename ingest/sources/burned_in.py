"""Detect and mask text burned into the pixels.

Found by RapidOCR (PP-OCR's detector and reader, whose models its wheel brings; the extra `ocr`).
The detector proposes boxes; the reader confirms those in which it reads letters or digits.
https://github.com/RapidAI/RapidOCR
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from encoders.base.extras import need

__all__ = ["Box", "TextFinder", "detail", "masked"]

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels

SMALL_SIDE, LARGEST_SIDE = 1024, 2048  # smaller images are enlarged, larger ones reduced
SURE = 0.4  # of the reader, for a text of several characters
FINE, AROUND, NOISE = 6, 20, 12  # pixels, pixels, grey levels
LARGE, LARGE_PIXELS = 1 / 6, 24  # of the image's shorter side; no annotation is written so large
TALLER = 1.5  # times a text's height, at most, is a part of it that was not read
GROWN = (1.6, 0.4)  # of a box's height, beside it and above and below: ends are often cut


class TextFinder:
    """Finds text. Loading takes a second, an image of 512 x 512 about a second on one core.

    Raises MissingExtraError if the extra is not installed.
    """

    def __init__(self) -> None:
        need("rapidocr", "Finding text in pixels")
        from rapidocr import RapidOCR  # noqa: PLC0415 - an extra

        self._lock = threading.Lock()
        self._read = RapidOCR(
            params={
                "Global.use_cls": False,
                "Global.log_level": "critical",
                "Global.text_score": 0.0,
                "Global.max_side_len": LARGEST_SIDE,
                "Det.limit_side_len": SMALL_SIDE,
                "Det.limit_type": "min",
                "Det.box_thresh": 0.3,
                "Det.thresh": 0.2,
            }
        )

    def boxes(self, image: Image.Image) -> list[Box]:
        """The boxes of texts, from the top; grown a little, inside the image."""
        grey = image.convert("L")
        found: list[Box] = []
        for shown in (grey, detail(grey)):  # thin and faint text is seen in the second
            found += self._boxes(shown)
        return sorted(_joined(found), key=lambda box: (box[1], box[0]))

    def _boxes(self, grey: Image.Image) -> list[Box]:
        with self._lock:
            answer: Any = self._read(np.asarray(grey.convert("RGB")))
        if answer.boxes is None:
            return []
        sure: list[Box] = []
        faint: list[Box] = []
        for corners, text, score in zip(answer.boxes, answer.txts, answer.scores, strict=True):
            if _thickness(corners) > max(LARGE * min(grey.size), LARGE_PIXELS):
                continue  # a bone or an organ that looks like a letter
            characters = sum(map(str.isalnum, text))
            read = score >= SURE and characters >= 2
            (sure if read else faint).append(_grown(corners, grey.size))
        # What was not read is a part of a text where it stands beside one, and is no larger.
        return sure + [box for box in faint if any(_continues(box, other) for other in sure)]


def detail(grey: Image.Image) -> Image.Image:
    """How far each pixel is from its surroundings, in terms of what is usual around it."""
    values = np.asarray(grey, np.float32)
    apart = np.abs(values - np.asarray(grey.filter(ImageFilter.GaussianBlur(FINE)), np.float32))
    usual = Image.fromarray(apart.astype(np.uint8)).filter(ImageFilter.GaussianBlur(AROUND))
    scaled = 255 * apart / (6 * np.asarray(usual, np.float32) + NOISE)
    return Image.fromarray(scaled.clip(0, 255).astype(np.uint8))


def masked(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """The image with black boxes."""
    covered = image.copy()
    draw = ImageDraw.Draw(covered)
    for left, top, right, bottom in boxes:
        draw.rectangle((left, top, right - 1, bottom - 1), fill=0)
    return covered


def _grown(corners: Any, size: tuple[int, int]) -> Box:  # noqa: ANN401 - float [4, 2]
    low, high = corners.min(axis=0), corners.max(axis=0)
    more = (high[1] - low[1]) * np.array(GROWN)
    left, top = np.floor(low - more).clip(0).astype(int).tolist()
    right, bottom = np.ceil(high + more).clip(max=size).astype(int).tolist()
    return left, top, right, bottom


def _joined(boxes: Sequence[Box]) -> list[Box]:
    """Boxes that overlap, as one."""
    found: list[Box] = []
    for box in boxes:
        together = [box, *(other for other in found if _touch(box, other))]
        found = [other for other in found if other not in together]
        left, top, right, bottom = zip(*together, strict=True)
        found.append((min(left), min(top), max(right), max(bottom)))
    return found


def _thickness(corners: Any) -> float:  # noqa: ANN401 - float [4, 2]
    """The shorter side of a box, which may stand upright or aslant."""
    return float(np.linalg.norm(corners[1:3] - corners[:2], axis=1).min())


def _continues(one: Box, text: Box) -> bool:
    return _touch(one, text) and one[3] - one[1] <= TALLER * (text[3] - text[1])


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
