"""What an encoder's image tower gives before its projection, for a corpus's images."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.base.progress import Progress, silent
from ingest.corpus.corpus import FEATURES, Corpus
from rocosearch.opening import encoder_folder

__all__ = ["image_features"]

CHUNK = 512


def image_features(
    corpus: Corpus, encoder: Path, ids: Sequence[str], progress: Progress = silent
) -> tuple[NDArray[np.float32] | None, str]:
    """Float32 [N, W] of the images with these ids, and what they are, for a person.

    They are kept in CORPUS/features, where training with the same tower, frozen, finds them too.
    None where torch is not installed: the ONNX towers give vectors alone.
    """
    if find_spec("torch") is None:
        return None, "the vectors (torch is not installed)"
    # torch takes seconds to load
    from encoders.images.preprocess import open_image  # noqa: PLC0415
    from encoders.model.clip import Encoder  # noqa: PLC0415
    from encoders.training.frozen import FrozenImages  # noqa: PLC0415

    module = Encoder.load(encoder_folder(encoder, progress)).module
    prepare, device = module.config.preprocessing, module.logit_scale.device
    frozen = FrozenImages(module.image, prepare, device, corpus.path / FEATURES)
    row_of = {identifier: row for row, identifier in enumerate(ids)}
    found: list[NDArray[np.float32] | None] = [None] * len(ids)
    waiting: list[tuple[int, bytes, bytes]] = []

    def embed() -> None:
        chunk = list(waiting)
        made = frozen.of(
            [key for _, key, _ in chunk],
            lambda new: np.stack([prepare.pixels(open_image(chunk[n][2])) for n in new]),
        )
        for (row, _, _), features in zip(chunk, made, strict=True):
            found[row] = features
        waiting.clear()

    for record in corpus.records():
        row = row_of.get(record.id)
        if row is not None and record.image is not None:
            waiting.append((row, bytes.fromhex(record.image_sha256), record.image))
        if len(waiting) == CHUNK:
            embed()
            progress("image features", sum(each is not None for each in found), len(ids))
    if waiting:
        embed()
    return np.stack([each for each in found if each is not None]), "features before the projection"
