"""Pairs in memory: images decoded once, small enough to be kept, beside their texts and labels."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from encoders.base.progress import Progress
from encoders.base.storage import open_private, sha256_bytes
from encoders.images.preprocess import ImageError, ImageInput, Preprocessing, open_image

__all__ = ["Pair", "Pairs", "fingerprint_of", "read_pairs"]

IN_MEMORY = 2 * 2**30  # bytes; larger sets of images are kept in a memory-mapped file
CHUNK = 512


class Pair(NamedTuple):
    """One training example; `group` is the case or article, "" where there is none."""

    image: ImageInput
    text: str
    group: str = ""
    concepts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pairs:
    """N pairs: pixels uint8 [N, C, S, S], and int64 labels [N, 2] of equal captions and groups.

    Labels say which pairs are no negatives of each other; a pair without a group has -1.
    fingerprint: `fingerprint_of` what they were read from.
    """

    pixels: NDArray[np.uint8]
    texts: tuple[str, ...]
    labels: NDArray[np.int64]
    concepts: tuple[tuple[str, ...], ...]
    fingerprint: str

    def __len__(self) -> int:
        """Return N."""
        return len(self.texts)

    def images(self, rows: NDArray[np.int64]) -> Tensor:
        """uint8 [B, C, S, S] of the rows."""
        return torch.from_numpy(np.asarray(self.pixels[rows]))


def fingerprint_of(pairs: Iterable[tuple[object, ...]]) -> str:
    """Hex sha256 over the pairs' images as they are encoded, texts, groups and concepts."""
    return sha256_bytes("".join(_digest(Pair(*pair)) for pair in pairs).encode())  # type: ignore[arg-type]


def read_pairs(
    pairs: Iterable[tuple[object, ...]],
    preprocessing: Preprocessing,
    work: Path,
    stage: str,
    progress: Progress,
) -> Pairs:
    """Decode every pair, in order; large sets go to a memory-mapped file in `work`.

    Raises ImageError, with the number of the pair, for an image that cannot be decoded.
    """
    rows: list[Pair] = []
    digests: list[str] = []
    pixels: list[NDArray[np.uint8]] = []
    store = _Store(work / f"{stage.replace(' ', '-')}.pixels")

    def decode(pair: Pair) -> NDArray[np.uint8]:
        return preprocessing.pixels(open_image(pair.image))

    with ThreadPoolExecutor() as pool:
        for chunk in _chunks(Pair(*pair) for pair in pairs):  # type: ignore[arg-type]
            pixels.append(np.stack(_decoded(pool, decode, chunk, len(rows))))
            digests += map(_digest, chunk)
            rows += [pair._replace(image=b"") for pair in chunk]  # the encoded bytes may go
            if sum(block.nbytes for block in pixels) > IN_MEMORY:
                store.append(pixels)
            progress(stage, len(rows), None)
    shape = (0, preprocessing.channels, preprocessing.size, preprocessing.size)
    return Pairs(
        pixels=store.all(pixels, shape),
        texts=tuple(row.text for row in rows),
        labels=np.stack(
            [_labels(row.text for row in rows), _labels(row.group for row in rows)], axis=1
        ),
        concepts=tuple(tuple(row.concepts) for row in rows),
        fingerprint=sha256_bytes("".join(digests).encode()),
    )


def _digest(pair: Pair) -> str:
    image = pair.image
    if isinstance(image, Image.Image):
        image = repr((image.mode, image.size)).encode() + image.tobytes()
    elif isinstance(image, Path):
        image = image.read_bytes()
    told = repr((sha256_bytes(image), pair.text, pair.group, tuple(pair.concepts)))
    return sha256_bytes(told.encode("utf-8", "surrogatepass"))


def _chunks(pairs: Iterator[Pair]) -> Iterator[list[Pair]]:
    while chunk := list(itertools.islice(pairs, CHUNK)):
        yield chunk


def _decoded(
    pool: ThreadPoolExecutor,
    decode: Callable[[Pair], NDArray[np.uint8]],
    chunk: list[Pair],
    before: int,
) -> list[NDArray[np.uint8]]:
    done = [pool.submit(decode, pair) for pair in chunk]
    out = []
    for row, future in enumerate(done):
        try:
            out.append(future.result())
        except ImageError as error:
            raise ImageError(f"Pair {before + row + 1}: {error}") from None
    return out


def _labels(values: Iterable[str]) -> NDArray[np.int64]:
    """A number for each distinct value, -1 for an empty one."""
    numbers: dict[str, int] = {}
    listed = [numbers.setdefault(v, len(numbers)) if v else -1 for v in values]
    return np.asarray(listed, dtype=np.int64)


class _Store:
    """Blocks of pixels, appended to a file once they are too many for memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)

    def append(self, blocks: list[NDArray[np.uint8]]) -> None:
        with open(self.path, "ab", opener=open_private) as stream:
            for block in blocks:
                stream.write(block.tobytes())
        blocks.clear()

    def all(
        self, rest: list[NDArray[np.uint8]], shape: tuple[int, int, int, int]
    ) -> NDArray[np.uint8]:
        if not self.path.exists():
            return np.concatenate(rest) if rest else np.empty(shape, dtype=np.uint8)
        self.append(rest)
        return np.memmap(self.path, dtype=np.uint8, mode="r").reshape(-1, *shape[1:])
