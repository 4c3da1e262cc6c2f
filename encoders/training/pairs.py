"""Training pairs in memory: decoded images with texts and labels."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from encoders.base.progress import Progress
from encoders.base.storage import open_private, sha256_bytes
from encoders.images.preprocess import ImageError, ImageInput, Preprocessing, open_image

if TYPE_CHECKING:
    from encoders.training.frozen import FrozenImages

__all__ = ["Pair", "Pairs", "fingerprint_of", "labels_of", "read_pairs"]

IN_MEMORY = 2 * 2**30  # bytes; larger sets of images are kept in a memory-mapped file
CHUNK = 512


class Pair(NamedTuple):
    """One training example; `group` is the case or article, "" if there is none."""

    image: ImageInput
    text: str
    group: str = ""
    concepts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pairs:
    """N pairs: pixels uint8 [N, C, S, S], and int64 labels [N, 2] of equal captions and groups.

    Labels say which pairs are no negatives of each other; a pair without a group has -1.
    fingerprint: `fingerprint_of` what they were read from. features: float32 [N, W] of a frozen
    image tower; there are no pixels then.
    """

    pixels: NDArray[np.uint8]
    texts: tuple[str, ...]
    labels: NDArray[np.int64]
    concepts: tuple[tuple[str, ...], ...]
    fingerprint: str
    features: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self.texts)

    def images(self, rows: NDArray[np.int64]) -> Tensor:
        """uint8 [B, C, S, S] of the rows, or a frozen image tower's features, float32 [B, W]."""
        source = self.pixels if self.features is None else self.features
        return torch.from_numpy(np.asarray(source[rows]))


def fingerprint_of(pairs: Iterable[tuple[object, ...]]) -> str:
    """Hex sha256 over the pairs' images as they are encoded, texts, groups and concepts."""
    found = (Pair(*pair) for pair in pairs)  # type: ignore[arg-type]
    return sha256_bytes("".join(_digest(pair, _content(pair)) for pair in found).encode())


def read_pairs(
    pairs: Iterable[tuple[object, ...]],
    preprocessing: Preprocessing,
    work: Path,
    stage: str,
    progress: Progress,
    frozen: FrozenImages | None = None,
) -> Pairs:
    """Decode every pair, in order; large sets go to a memory-mapped file in `work`.

    frozen: what makes features of the images; then they are kept in place of the pixels.
    Raises ImageError, with the number of the pair, for an image that cannot be decoded.
    """
    rows: list[Pair] = []
    digests: list[str] = []
    pixels: list[NDArray[np.uint8]] = []
    keys: list[bytes] = []
    store = _Store(work / f"{stage.replace(' ', '-')}.pixels")

    def decode(pair: Pair) -> NDArray[np.uint8]:
        return preprocessing.pixels(open_image(pair.image))

    with ThreadPoolExecutor() as pool:
        for chunk in _chunks(Pair(*pair) for pair in pairs):  # type: ignore[arg-type]
            contents = list(pool.map(_content, chunk))
            digests += map(_digest, chunk, contents)

            def new_pixels(wanted: Sequence[int]) -> NDArray[np.uint8]:
                return np.stack(_decoded(pool, decode, chunk, wanted, len(rows)))  # noqa: B023

            if frozen is None:
                pixels.append(new_pixels(range(len(chunk))))
            else:
                keys += map(bytes.fromhex, contents)
                frozen.of(keys[len(rows) :], new_pixels)  # kept there, once
            rows += [pair._replace(image=b"") for pair in chunk]  # the encoded bytes may go
            if sum(block.nbytes for block in pixels) > IN_MEMORY:
                store.append(pixels)
            progress(stage, len(rows), None)
    shape = (0, preprocessing.channels, preprocessing.size, preprocessing.size)
    return Pairs(
        pixels=store.all(pixels, shape),
        texts=tuple(row.text for row in rows),
        labels=np.stack(
            [labels_of(row.text for row in rows), labels_of(row.group for row in rows)], axis=1
        ),
        concepts=tuple(tuple(row.concepts) for row in rows),
        fingerprint=sha256_bytes("".join(digests).encode()),
        features=frozen.of(keys) if frozen and keys else None,
    )


def _content(pair: Pair) -> str:
    """Hex sha256 of the image as it is encoded."""
    image = pair.image
    if isinstance(image, Image.Image):
        image = repr((image.mode, image.size)).encode() + image.tobytes()
    elif isinstance(image, str | Path):
        image = Path(image).read_bytes()
    return sha256_bytes(image)


def _digest(pair: Pair, content: str) -> str:
    told = repr((content, pair.text, pair.group, tuple(pair.concepts)))
    return sha256_bytes(told.encode("utf-8", "surrogatepass"))


def _chunks(pairs: Iterator[Pair]) -> Iterator[list[Pair]]:
    while chunk := list(itertools.islice(pairs, CHUNK)):
        yield chunk


def _decoded(
    pool: ThreadPoolExecutor,
    decode: Callable[[Pair], NDArray[np.uint8]],
    chunk: Sequence[Pair],
    wanted: Sequence[int],
    before: int,
) -> list[NDArray[np.uint8]]:
    """Pixels of the `wanted` of a chunk; `before` pairs came before it."""
    done = [pool.submit(decode, chunk[row]) for row in wanted]
    out = []
    for row, future in zip(wanted, done, strict=True):
        try:
            out.append(future.result())
        except ImageError as error:
            raise ImageError(f"Pair {before + row + 1}: {error}") from None
    return out


def labels_of(values: Iterable[str]) -> NDArray[np.int64]:
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
