"""Images of phantoms: anatomy, finding, then the look of the modality.

Coordinates: x and y run from -1 to 1 over the square, y downwards. As in radiology the viewer
faces the patient, so the patient's left is on the right of the image.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from struct import pack

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_FINDING", "Motion", "draw", "png"]

Array = NDArray[np.float32]

RADIUS = {"small": 0.10, "medium": 0.17, "large": 0.26}
HEIGHT = {"upper": -0.42, "middle": 0.02, "lower": 0.44}
NO_FINDING = "none"
OFFSET = 0.40  # of a finding from the midline
JITTER = 0.03


@dataclass(frozen=True)
class Motion:
    """How far a finding lies from its place, and how many times as large it is."""

    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0


STILL = Motion()


@dataclass(frozen=True)
class Tissue:
    """How much of each tissue a pixel holds, 0..1, float32 [side, side] each."""

    body: Array
    bone: Array
    air: Array
    organ: Array


@cache
def _grid(side: int) -> tuple[Array, Array]:
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return x, y


def draw(
    attributes: Mapping[str, str], side: int, rng: np.random.Generator, motion: Motion = STILL
) -> NDArray[np.uint8]:
    """Grey image uint8 [side, side] of a phantom with these attributes."""
    x, y = _grid(side)
    # Every patient lies a little differently.
    shift = rng.uniform(-JITTER, JITTER, 2).astype(np.float32)
    scale = np.float32(rng.uniform(0.95, 1.05))
    x, y = (x - shift[0]) * scale, (y - shift[1]) * scale
    tissue = _REGIONS[attributes["region"]](x, y)
    image = _LOOKS[attributes["modality"]](tissue, x, y, rng)
    image = _with_finding(image, attributes, x, y, rng, motion)
    image = _FINISHES[attributes["modality"]](image, x, y, rng)
    return np.asarray(np.clip(image, 0, 1) * 255, np.uint8)


def png(image: NDArray[np.uint8]) -> bytes:
    """`image` as an 8-bit grey PNG (RFC 2083), compressed lightly for speed."""
    height, width = image.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with its filter, 0: none
    rows[:, 1:] = image
    out = io.BytesIO()
    out.write(b"\x89PNG\r\n\x1a\n")
    for kind, data in (
        (b"IHDR", pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes(), 1)),
        (b"IEND", b""),
    ):
        out.write(pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data)))
    return out.getvalue()


# --- shapes: 1 inside, 0 outside, with a soft edge -------------------------------------------


def _disc(x: Array, y: Array, cx: float, cy: float, rx: float, ry: float) -> Array:
    radius = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
    return _inside(1 - radius, 12 * min(rx, ry) + 4)


def _ring(x: Array, y: Array, cx: float, cy: float, rx: float, ry: float, width: float) -> Array:
    inner = _disc(x, y, cx, cy, max(rx - width, 0.01), max(ry - width, 0.01))
    return _disc(x, y, cx, cy, rx, ry) * (1 - inner)


def _line(
    x: Array, y: Array, a: tuple[float, float], b: tuple[float, float], width: float
) -> Array:
    dx, dy = b[0] - a[0], b[1] - a[1]
    along = np.clip(((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy), 0, 1)
    distance = np.hypot(x - a[0] - along * dx, y - a[1] - along * dy)
    return _inside(width - distance, 40)


def _inside(margin: NDArray[np.floating], sharpness: float) -> Array:
    return np.asarray(np.clip(margin * sharpness + 0.5, 0, 1), np.float32)


def _union(*shapes: Array) -> Array:
    return np.asarray(np.maximum.reduce(shapes), np.float32)


# --- anatomy ---------------------------------------------------------------------------------


def _chest(x: Array, y: Array) -> Tissue:
    body = _disc(x, y, 0, 0.05, 0.92, 0.95)
    lungs = _union(_disc(x, y, -0.42, 0, 0.32, 0.68), _disc(x, y, 0.42, 0, 0.30, 0.68))
    heart = _disc(x, y, 0.12, 0.30, 0.27, 0.27)  # towards the patient's left
    ribs = [_ring(x, y, 0, cy, 0.85, 0.26, 0.035) for cy in (-0.5, -0.2, 0.1, 0.4)]
    spine = _line(x, y, (0, -0.9), (0, 0.9), 0.05)
    return Tissue(body, _union(spine, 0.45 * _union(*ribs)) * body, lungs * (1 - heart), heart)


def _head(x: Array, y: Array) -> Tissue:
    body = _disc(x, y, 0, 0, 0.76, 0.94)
    skull = _ring(x, y, 0, 0, 0.74, 0.92, 0.09)
    ventricles = _union(_disc(x, y, -0.1, -0.05, 0.06, 0.22), _disc(x, y, 0.1, -0.05, 0.06, 0.22))
    midline = 0.6 * _line(x, y, (0, -0.8), (0, 0.8), 0.012)
    return Tissue(body, skull, 0.35 * ventricles, midline)


def _abdomen(x: Array, y: Array) -> Tissue:
    body = _disc(x, y, 0, 0, 0.97, 0.72)
    liver = _disc(x, y, -0.42, -0.15, 0.42, 0.40)  # the patient's right
    spleen = _disc(x, y, 0.62, -0.2, 0.18, 0.26)
    kidneys = _union(_disc(x, y, -0.35, 0.38, 0.13, 0.18), _disc(x, y, 0.35, 0.38, 0.13, 0.18))
    bowel = _union(_disc(x, y, 0.08, -0.35, 0.14, 0.10), _disc(x, y, 0.28, -0.05, 0.1, 0.1))
    spine = _disc(x, y, 0, 0.42, 0.14, 0.13)
    return Tissue(body, spine, 0.6 * bowel, 0.8 * _union(liver, spleen, kidneys))


def _pelvis(x: Array, y: Array) -> Tissue:
    body = _disc(x, y, 0, 0, 0.97, 0.88)
    wings = [_ring(x, y, s * 0.5, -0.25, 0.40, 0.45, 0.10) for s in (-1, 1)]
    heads = [_disc(x, y, s * 0.62, 0.38, 0.15, 0.15) for s in (-1, 1)]
    rami = [_ring(x, y, s * 0.24, 0.55, 0.2, 0.18, 0.07) for s in (-1, 1)]
    sacrum = _disc(x, y, 0, -0.3, 0.15, 0.34)
    bladder = _disc(x, y, 0, 0.18, 0.2, 0.13)
    return Tissue(body, 0.85 * _union(*wings, *heads, *rami, sacrum), 0 * body, bladder)


def _knees(x: Array, y: Array) -> Tissue:
    legs = [_disc(x, y, s * 0.46, 0, 0.40, 1.35) for s in (-1, 1)]
    femurs = [_line(x, y, (s * 0.46, -1.1), (s * 0.46, -0.22), 0.15) for s in (-1, 1)]
    tibias = [_line(x, y, (s * 0.46, 0.22), (s * 0.46, 1.1), 0.14) for s in (-1, 1)]
    caps = [_disc(x, y, s * 0.46, -0.12, 0.26, 0.13) for s in (-1, 1)]
    plateaus = [_disc(x, y, s * 0.46, 0.14, 0.26, 0.10) for s in (-1, 1)]
    bones = 0.8 * _union(*femurs, *tibias, *caps, *plateaus)
    return Tissue(_union(*legs), bones, 0 * x, 0 * x)


_REGIONS: dict[str, Callable[[Array, Array], Tissue]] = {
    "chest": _chest,
    "head": _head,
    "abdomen": _abdomen,
    "pelvis": _pelvis,
    "knees": _knees,
}


# --- modalities: densities to grey values ----------------------------------------------------


def _radiograph(t: Tissue, x: Array, y: Array, rng: np.random.Generator) -> Array:
    # A projection: the rim of the body is thinner, edges overlap.
    thickness = t.body * np.sqrt(np.clip(1.15 - 0.6 * x * x, 0, 1))
    image = 0.08 + 0.34 * thickness + 0.34 * t.bone - 0.24 * t.air + 0.12 * t.organ
    return np.asarray(image, np.float32)


def _ct(t: Tissue, x: Array, y: Array, rng: np.random.Generator) -> Array:
    table = 0.35 * _ring(x, y, 0, 0.2, 1.1, 0.82, 0.03) * (y > 0.75)
    image = 0.40 * t.body + 0.55 * t.bone - 0.34 * t.air + 0.10 * t.organ + table
    return np.asarray(image, np.float32)


def _mri(t: Tissue, x: Array, y: Array, rng: np.random.Generator) -> Array:
    fat = t.body * (1 - _inside(t.body - 0.9, 8))
    image = 0.50 * t.body + 0.3 * fat - 0.38 * t.bone - 0.42 * t.air - 0.16 * t.organ
    coil = 1 + rng.uniform(-0.2, 0.2) * x + rng.uniform(-0.2, 0.2) * y
    return np.asarray(image * coil, np.float32)


def _ultrasound(t: Tissue, x: Array, y: Array, rng: np.random.Generator) -> Array:
    edges = np.abs(np.gradient(t.body + t.bone + t.organ - t.air, axis=0))
    return np.asarray(
        0.26 * t.body + 0.9 * edges + 0.25 * t.bone - 0.1 * t.air + 0.06 * t.organ + 0.08,
        np.float32,
    )


_LOOKS: dict[str, Callable[[Tissue, Array, Array, np.random.Generator], Array]] = {
    "radiograph": _radiograph,
    "ct": _ct,
    "mri": _mri,
    "ultrasound": _ultrasound,
}


def _noisy(sigma: float) -> Callable[[Array, Array, Array, np.random.Generator], Array]:
    def finish(image: Array, x: Array, y: Array, rng: np.random.Generator) -> Array:
        noise = sigma * rng.standard_normal(image.shape, np.float32)
        return np.asarray(image + noise, np.float32)

    return finish


def _rician(image: Array, x: Array, y: Array, rng: np.random.Generator) -> Array:
    # The magnitude of a complex signal: noise never falls below zero, the background is not black.
    noise = 0.04 * rng.standard_normal((2, *image.shape), np.float32)
    return np.asarray(np.hypot(image + noise[0], noise[1]), np.float32)


def _speckled_fan(image: Array, x: Array, y: Array, rng: np.random.Generator) -> Array:
    speckle = rng.gamma(20.0, 1 / 20.0, image.shape).astype(np.float32)
    apex = y + 1.5
    fan = (np.abs(x) < 0.62 * apex) & (np.hypot(x, apex) < 2.5) & (np.hypot(x, apex) > 0.45)
    return np.where(fan, image * speckle, 0).astype(np.float32)


_FINISHES: dict[str, Callable[[Array, Array, Array, np.random.Generator], Array]] = {
    "radiograph": _noisy(0.02),
    "ct": _noisy(0.035),
    "mri": _rician,
    "ultrasound": _speckled_fan,
}


# --- findings --------------------------------------------------------------------------------


def _with_finding(
    image: Array,
    attributes: Mapping[str, str],
    x: Array,
    y: Array,
    rng: np.random.Generator,
    motion: Motion,
) -> Array:
    if attributes["finding"] == NO_FINDING:
        return image
    sign = 1 if attributes["side"] == "left" else -1
    jitter = rng.uniform(-JITTER, JITTER, 2)
    cx = sign * OFFSET + float(jitter[0]) + motion.x
    cy = HEIGHT[attributes["position"]] + float(jitter[1]) + motion.y
    radius = RADIUS[attributes["size"]] * float(rng.uniform(0.93, 1.07)) * motion.scale
    weight, grey = _FINDINGS[attributes["finding"]](x - cx, y - cy, radius, rng)
    return np.asarray(image * (1 - weight) + weight * grey, np.float32)


Painted = tuple[Array, Array | float]  # how much of each pixel is the finding, and its grey value


def _mass(x: Array, y: Array, r: float, rng: np.random.Generator) -> Painted:
    return _disc(x, y, 0, 0, r, r * 0.9), 0.85


def _cyst(x: Array, y: Array, r: float, rng: np.random.Generator) -> Painted:
    # A thin wall, so that it can be seen in a dark lung.
    wall = _ring(x, y, 0, 0, r, r, 0.03)
    return _disc(x, y, 0, 0, r, r), np.asarray(0.03 + 0.4 * wall, np.float32)


def _calcifications(x: Array, y: Array, r: float, rng: np.random.Generator) -> Painted:
    angles = rng.uniform(0, 2 * np.pi) + np.arange(6) * 2.399963  # golden angle: evenly spread
    radii = r * 1.1 * np.sqrt((np.arange(6) + 0.4) / 6)
    dot = 0.02 + 0.22 * r
    dots = [
        _disc(x, y, float(d * np.cos(a)), float(d * np.sin(a)), dot, dot)
        for a, d in zip(angles, radii, strict=True)
    ]
    return _union(*dots), 1.0


def _spiculated(x: Array, y: Array, r: float, rng: np.random.Generator) -> Painted:
    turn = rng.uniform(0, np.pi)
    rays = [
        _line(
            x,
            y,
            (-1.45 * r * float(np.cos(a)), -1.45 * r * float(np.sin(a))),
            (1.45 * r * float(np.cos(a)), 1.45 * r * float(np.sin(a))),
            0.022,
        )
        for a in turn + np.arange(4) * np.pi / 4
    ]
    return _union(_disc(x, y, 0, 0, 0.55 * r, 0.55 * r), *rays), 0.9


def _ring_lesion(x: Array, y: Array, r: float, rng: np.random.Generator) -> Painted:
    rim = _ring(x, y, 0, 0, r * 1.1, r * 1.1, 0.06)
    weight = _disc(x, y, 0, 0, r * 1.1, r * 1.1)
    return weight, np.asarray(0.25 + 0.75 * rim, np.float32)


def _foreign_body(x: Array, y: Array, r: float, rng: np.random.Generator) -> Painted:
    angle = rng.uniform(-0.4, 0.4)
    dx, dy = 1.3 * r * float(np.cos(angle)), 1.3 * r * float(np.sin(angle))
    return _line(x, y, (-dx, -dy), (dx, dy), 0.01 + 0.16 * r), 1.0


_FINDINGS: dict[str, Callable[[Array, Array, float, np.random.Generator], Painted]] = {
    "mass": _mass,
    "cyst": _cyst,
    "calcifications": _calcifications,
    "spiculated-lesion": _spiculated,
    "ring-lesion": _ring_lesion,
    "foreign-body": _foreign_body,
}
