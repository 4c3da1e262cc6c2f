"""What embedding needs of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encoders.model.manifest import Manifest

__all__ = ["ImageEncoder"]


class ImageEncoder(Protocol):
    """What embedding needs of `encoders.model.clip.Encoder`."""

    @property
    def manifest(self) -> Manifest:
        """Dimension, normalisation, fingerprint."""

    def encode_images(self, images: Sequence[bytes], batch_size: int = ...) -> NDArray[np.float32]:
        """float32 [N, D]."""
