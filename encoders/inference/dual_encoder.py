"""The interface of an encoder for search, embedding and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # a search by words alone need not wait for Pillow
    from encoders.images.preprocess import ImageInput
    from encoders.model.manifest import Manifest

__all__ = ["DualEncoder"]


class DualEncoder(Protocol):
    """Texts and images to vectors of one space: `OnnxEncoder`, or the torch `Encoder`.

    curves: training.csv, "" if there is none.
    """

    @property
    def manifest(self) -> Manifest:
        """Dimension, normalisation, fingerprint."""

    def encode_images(
        self, images: Sequence[ImageInput], batch_size: int = ...
    ) -> NDArray[np.float32]:
        """Vectors float32 [N, D] of Pillow images, encoded bytes or files. Raises ImageError."""

    def encode_parts(
        self, images: Sequence[ImageInput], batch_size: int = ...
    ) -> list[NDArray[np.float32]]:
        """The same, and vectors float32 [N, P, D] of each image's patches."""

    @property
    def curves(self) -> str:
        """The content of training.csv."""

    @property
    def captions(self) -> DualEncoder | None:
        """The encoder whose text tower made the captions' vectors, where that is another one."""

    def encode_texts(self, texts: Sequence[str], batch_size: int = ...) -> NDArray[np.float32]:
        """Vectors float32 [N, D]."""

    def encode_tokens(
        self, texts: Sequence[str], batch_size: int = ...
    ) -> list[NDArray[np.float32]]:
        """Vectors float32 [T, D] of the tokens of each text."""
