"""An encoder folder as a dual encoder on ONNX Runtime.

    encoder = OnnxEncoder.load(Path("build/encoder"))
    encoder.encode_texts(["chest x-ray, frontal"]) @ encoder.encode_images([Path("x.png")]).T

Of the folder it reads encoder.json, tokenizer.json, text.onnx and image.onnx; a tower is
loaded when it is first asked. encoders/export writes the graphs; encoders/export/towers.py says
which inputs and outputs they have.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from encoders.base.errors import UserError
from encoders.inference.graph import Graph
from encoders.model.manifest import CAPTION_ENCODER, TEXT_GRAPH, Manifest, read_curves
from encoders.model.tokenizer import batch_ids, load_tokenizer

if TYPE_CHECKING:  # a search by words alone need not wait for Pillow
    from encoders.images.preprocess import ImageInput, Preprocessing

__all__ = [
    "IMAGE_GRAPH",
    "IMAGE_VECTORS",
    "PART_VECTORS",
    "PATCH_VECTORS",
    "PIXELS",
    "TEXT_GRAPH",
    "TEXT_INPUTS",
    "TEXT_VECTORS",
    "TOKEN_VECTORS",
    "NoGraphsError",
    "NoPartsError",
    "OnnxEncoder",
]

IMAGE_GRAPH = "image.onnx"
TEXT_INPUTS, TEXT_VECTORS = ("input_ids", "attention_mask"), "text_embedding"
TOKEN_VECTORS, PART_VECTORS = "token_embeddings", "part_embeddings"
PIXELS, IMAGE_VECTORS, PATCH_VECTORS = "pixels", "image_embedding", "patch_embeddings"

Vectors = NDArray[np.float32]


class NoGraphsError(UserError):
    """The encoder's towers have not been exported yet."""


class NoPartsError(UserError):
    """The encoder gives no vectors of patches and tokens."""


class OnnxEncoder:
    """Unit vectors of texts and images, and the manifest they follow from.

    graphs: where text.onnx and image.onnx are.
    """

    def __init__(
        self, manifest: Manifest, tokenizer: Tokenizer, graphs: Mapping[str, Path]
    ) -> None:
        self.manifest = manifest
        self._folder = graphs[TEXT_GRAPH].parent
        self._tokenizer = tokenizer
        known = manifest.graphs
        self._text = Graph(graphs[TEXT_GRAPH], known.get(TEXT_GRAPH, ""))
        # One thread for each batch: threads that share a batch wait more than they save.
        self._image = Graph(graphs[IMAGE_GRAPH], known.get(IMAGE_GRAPH, ""), threads=1)

    @classmethod
    def load(cls, folder: str | Path) -> OnnxEncoder:
        """Read an encoder's folder.

        Raises ManifestError if these files are missing or not what the manifest names (of a tower
        when it is first asked), and NoGraphsError if the encoder was made by an earlier version
        and has no ONNX towers yet.
        """
        folder = Path(folder)
        manifest = Manifest.load(folder)
        if not manifest.graphs:
            raise NoGraphsError(
                f"{folder} was made by an earlier version and has no ONNX towers yet: run "
                f"`rocosearch index CORPUS INDEX --encoder {folder}` with the encoder's own "
                "folder, which adds them."
            )
        return cls(
            manifest,
            load_tokenizer(folder, manifest.tokenizer_sha256),
            {name: folder / name for name in (TEXT_GRAPH, IMAGE_GRAPH)},
        )

    @property
    def curves(self) -> str:
        """The content of training.csv; read when asked for, since searches need none."""
        return read_curves(self._folder)

    @cached_property
    def captions(self) -> OnnxEncoder | None:
        """The encoder of captions that an index keeps in this folder."""
        folder = self._folder / CAPTION_ENCODER
        return OnnxEncoder.load(folder) if folder.is_dir() else None

    @property
    def scale(self) -> float:
        """What cosine similarities are multiplied by before a softmax: 1 / temperature."""
        return self.manifest.logit_scale

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become pixels."""
        return self.manifest.preprocessing

    def encode_texts(self, texts: Sequence[str], batch_size: int = 32) -> Vectors:
        """Unit vectors float32 [N, D]; a text that names a file is still a text."""
        found: dict[str, Vectors] = {}
        for batch in _alike(texts, batch_size):
            ids = dict(zip(TEXT_INPUTS, batch_ids(self._tokenizer, batch), strict=True))
            found |= zip(batch, self._text.run(TEXT_VECTORS, ids), strict=True)
        vectors = [found[text] for text in texts]
        return np.array(vectors, np.float32).reshape(-1, self.manifest.dimension)

    def encode_images(self, images: Sequence[ImageInput], batch_size: int = 64) -> Vectors:
        """Unit vectors float32 [N, D] of Pillow images, encoded bytes or files.

        As many batches are worked on at a time as there are cores, each by one thread from the
        file to the vector. Raises ImageError for an image that cannot be decoded.
        """
        return self._encode_images([IMAGE_VECTORS], images, batch_size)[0]

    def encode_parts(self, images: Sequence[ImageInput], batch_size: int = 64) -> list[Vectors]:
        """What `encode_images` gives, and float32 [N, P, D] of each image's patches, 16 at most.

        Raises NoPartsError where the towers have none.
        """
        self._check_parts(self._image, PART_VECTORS)
        return self._encode_images([IMAGE_VECTORS, PART_VECTORS], images, batch_size)

    def encode_tokens(self, texts: Sequence[str], batch_size: int = 32) -> list[Vectors]:
        """Unit vectors float32 [T, D] of the tokens of each text, the special ones included.

        Raises NoPartsError where the towers have none.
        """
        self._check_parts(self._text, TOKEN_VECTORS)
        found: dict[str, Vectors] = {}
        for batch in _alike(texts, batch_size):
            ids, mask = batch_ids(self._tokenizer, batch)
            tokens = self._text.run(TOKEN_VECTORS, dict(zip(TEXT_INPUTS, (ids, mask), strict=True)))
            for text, row, own in zip(batch, tokens, mask, strict=True):
                found[text] = row[: int(own.sum())]
        return [found[text] for text in texts]

    def _check_parts(self, graph: Graph, output: str) -> None:
        if output not in graph.outputs:
            raise NoPartsError(
                f"The encoder {self.manifest.fingerprint[:8]} gives no vectors of patches and "
                "tokens: its image tower pools by attention, or it was exported by an earlier "
                "version (`rocosearch train-reranker` exports it again)."
            )

    def _encode_images(
        self, outputs: Sequence[str], images: Sequence[ImageInput], batch_size: int
    ) -> list[Vectors]:
        from encoders.images.limits import parsers_silenced  # noqa: PLC0415

        def encode(batch: slice) -> list[Vectors]:
            return self._image.run_all(outputs, {PIXELS: self.pixels(images[batch])})

        with parsers_silenced, ThreadPoolExecutor(_cores()) as pool:
            found = list(pool.map(encode, _batches(len(images), batch_size)))
        if not found:
            return [np.empty((0, self.manifest.dimension), np.float32) for _ in outputs]
        return [np.concatenate(each) for each in zip(*found, strict=True)]

    def pixels(self, images: Sequence[ImageInput]) -> NDArray[np.uint8]:
        """What the image tower sees, uint8 [N, C, S, S]. Raises ImageError."""
        from encoders.images.preprocess import open_image  # noqa: PLC0415

        return np.stack([self.preprocessing.pixels(open_image(image)) for image in images])

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> Vectors:
        """Unit vectors float32 [N, D] of uint8 [N, C, S, S]."""
        return self.see(IMAGE_VECTORS, pixels)

    def see(self, output: str, pixels: NDArray[np.uint8]) -> Vectors:
        """One output of the image tower for uint8 [N, C, S, S]."""
        return self._image.run(output, {PIXELS: pixels})

    @cached_property
    def has_patches(self) -> bool:
        """Whether the image tower sees patches (a vision transformer does)."""
        return PATCH_VECTORS in self._image.outputs

    def encode_patches(self, pixels: NDArray[np.uint8]) -> Vectors:
        """Unit vectors float32 [N, P, D] of the patches, row by row; only if `has_patches`."""
        return self.see(PATCH_VECTORS, pixels)


def _alike(texts: Sequence[str], largest: int) -> Iterator[list[str]]:
    """Each distinct text once, those of a length together: little padding is computed.

    Few at a time: long ones need less memory and a third of the time that 256 of them take.
    """
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    return (distinct[start : start + largest] for start in range(0, len(distinct), largest))


def _batches(count: int, largest: int) -> Iterator[slice]:
    """Slices of at most `largest`, smaller where some cores would otherwise have nothing to do."""
    size = max(1, min(largest, -(-count // _cores())))
    return (slice(start, start + size) for start in range(0, count, size))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
