"""The image tower for whole corpora: compiled, in fewer bits where that changes nothing.

    fast = fast_images(encoder, calibration=first_hundred_images)
    vectors = fast.encode_images(images)   # float32 [N, D], as encoder.encode_images

Eight-bit towers are calibrated on a part of the images given, and every tower is judged on the
rest: one that turns a vector by more than the gate allows is not taken, and `note` says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Semaphore

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.base.errors import UserError
from encoders.compiled import Pixels, Precision, Run, compile_tower, torch_run
from encoders.grey_png import grey_png
from encoders.images.limits import parsers_silenced
from encoders.images.preprocess import ImageInput, Preprocessing, open_image
from encoders.model.clip import ClipModule, Encoder
from encoders.model.manifest import Manifest

__all__ = ["FastImages", "Precision", "fast_images"]

GATE = 0.999
FEWEST = 16
CHUNK = 256


@dataclass(frozen=True)
class FastImages:
    """A compiled image tower.

    precision: what was taken. cosine: the lowest between its vectors and the encoder's, over
    the images kept for judging. note: which precisions were refused, "" where none was.
    """

    manifest: Manifest
    precision: Precision
    cosine: float
    note: str
    _encoder: Encoder
    _run: Run

    def encode_images(
        self, images: Sequence[ImageInput], batch_size: int = CHUNK
    ) -> NDArray[np.float32]:
        """Unit vectors float32 [N, D]. Raises ImageError for an image that cannot be decoded.

        As many batches are worked on at a time as there are cores, each by one thread from the
        file to the vector: threads that share a batch spend more on waiting than they save. Half
        of them may decode: of small images more is Python than decoding, and two threads that
        want the interpreter at once are slower than one. Batches have `batch_size` images at
        most, fewer at the beginning and at the end.
        """
        out = np.empty((len(images), self.manifest.dimension), dtype=np.float32)
        preprocessing, cores = self._encoder.module.config.preprocessing, _cores()
        decoding = Semaphore(max(1, cores // 2))

        def encode(batch: slice) -> None:
            with decoding, parsers_silenced:
                pixels = _read(images[batch], preprocessing)
            out[batch] = self._run(pixels)

        with ThreadPoolExecutor(cores) as pool:
            for _ in pool.map(encode, _batches(len(images), batch_size, cores)):
                pass
        return out


def fast_images(
    encoder: Encoder,
    calibration: Sequence[ImageInput],
    precisions: Sequence[Precision] = ("int8", "bfloat16", "float32"),
    gate: float = GATE,
) -> FastImages:
    """Compile the image tower for this machine: the fastest of `precisions` that passes the gate.

    calibration: images of the corpus, a hundred or more; half of them calibrate, half judge.
    gate: the lowest cosine to the encoder's vectors that any of the judging images may have.

    Raises UserError for fewer than 16 images, or where no precision passes.
    """
    if len(calibration) < FEWEST:
        raise UserError(
            f"{len(calibration)} images are too few to judge a faster image tower by: give at "
            f"least {FEWEST}, or use the encoder as it is."
        )
    pixels = _read(calibration, encoder.module.config.preprocessing)
    to_fit, to_judge = pixels[::2], pixels[1::2]
    whole = encoder.module.pixels(calibration[1::2]).numpy()
    expected = torch_run(encoder.module, bfloat16=False)(whole)
    tried = [
        _try(encoder.module, precision, to_fit, to_judge, expected) for precision in precisions
    ]
    passed = [t for t in tried if t.cosine >= gate]
    note = "; ".join(
        f"{t.precision} refused: lowest cosine {t.cosine:.5f}, {gate:g} wanted"
        for t in tried
        if t.cosine < gate
    )
    if not passed:
        raise UserError(f"No faster image tower is close enough to the encoder: {note}.")
    best = min(passed, key=lambda t: t.seconds)
    return FastImages(encoder.manifest, best.precision, best.cosine, note, encoder, best.run)


def _read(images: Sequence[ImageInput], preprocessing: Preprocessing) -> Pixels:
    """uint8 [N, C, S, S]."""
    return np.stack([_pixels(image, preprocessing) for image in images])


def _pixels(image: ImageInput, preprocessing: Preprocessing) -> Pixels:
    """uint8 [C, S, S]; where grey is wanted, of JPEG files only the luminance is decoded."""
    grey = preprocessing.mode == "L"
    plain = grey_png(image) if grey and isinstance(image, bytes) else None
    if plain is None:
        return preprocessing.pixels(open_image(image, luminance=grey))
    if plain.shape == (preprocessing.size, preprocessing.size):
        return plain[None]
    return preprocessing.pixels(Image.fromarray(plain))


def _batches(count: int, largest: int, cores: int) -> Iterator[slice]:
    """Slices of `count` images: small first, so that no core waits long for its turn to decode.

    The last are small too, so that all cores are done at about the same time.
    """
    smallest = max(1, largest // 8)
    start, size = 0, smallest
    while start < count:
        yield slice(start, min(start + size, count))
        start += size
        size = max(smallest, min(2 * size, largest, (count - start) // (2 * cores)))


@dataclass(frozen=True)
class _Trial:
    precision: Precision
    run: Run
    cosine: float
    seconds: float


def _try(
    module: ClipModule,
    precision: Precision,
    to_fit: Pixels,
    to_judge: Pixels,
    expected: NDArray[np.float32],
) -> _Trial:
    run = compile_tower(module, precision, to_fit)
    cosine = float((run(to_judge) * expected).sum(axis=1).min())
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        with ThreadPoolExecutor(_cores()) as pool:
            list(pool.map(run, np.array_split(to_judge, _cores())))
        seconds.append(time.perf_counter() - start)
    return _Trial(precision, run, cosine, min(seconds))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
