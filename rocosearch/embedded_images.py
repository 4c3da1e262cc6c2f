"""Vectors of a corpus's images, and features before the projection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.analysis.zero_shot import ClassificationError
from encoders.base.progress import Progress, silent
from ingest.corpus.corpus import FEATURES, Corpus
from ingest.vectors.embed import embed_corpus, read_embeddings
from rocosearch.opening import embedding_encoder, encoder_folder, load_encoder

if TYPE_CHECKING:
    from encoders.inference.onnx_encoder import OnnxEncoder

__all__ = ["EmbeddedImages", "open_embedded"]

CHUNK = 512


@dataclass(frozen=True, eq=False)
class EmbeddedImages:
    """The images of a corpus, embedded. vectors: float32 [images, D], in the order of `ids`.

    held_out: the evaluated split.
    """

    corpus: Corpus
    held_out: str
    folder: Path
    encoder: OnnxEncoder
    ids: Sequence[str]
    vectors: NDArray[np.float32]

    @cached_property
    def rows(self) -> dict[str, int]:
        """Id -> its row of `vectors`."""
        return {identifier: row for row, identifier in enumerate(self.ids)}

    def features(
        self, ids: Sequence[str], progress: Progress = silent
    ) -> tuple[NDArray[np.float32], str]:
        """Float32 [N, W] of the images with these ids before the projection, and what they are.

        Without torch these are the vectors, because ONNX towers have no other output.
        """
        if find_spec("torch") is None:
            rows = [self.rows[identifier] for identifier in ids]
            return self.vectors[rows], "the vectors (torch is not installed)"
        found = _features(self.corpus, self.folder, ids, progress)
        return found, "features before the projection"


def open_embedded(
    corpus: Path, encoder: Path, split: str | None, progress: Progress = silent
) -> EmbeddedImages:
    """Embed images without a vector. split: by default test, or validation if there is no test.

    Raises ClassificationError if the split is the training split.
    """
    if split == "train":
        raise ClassificationError(
            "The probe and few-shot learn from the train split, so it cannot be evaluated: "
            "choose --split validation or test."
        )
    opened = Corpus.open(corpus)
    held_out = split or ("test" if opened.manifest.splits.get("test") else "validation")
    embed_corpus(opened, embedding_encoder(encoder, progress), progress)
    loaded = load_encoder(encoder)
    ids, vectors = read_embeddings(opened, loaded.manifest.fingerprint)
    return EmbeddedImages(opened, held_out, encoder, loaded, ids, vectors)


def _features(
    corpus: Corpus, encoder: Path, ids: Sequence[str], progress: Progress
) -> NDArray[np.float32]:
    """They are cached in CORPUS/features; training with the same frozen tower uses them."""
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
    return np.stack([each for each in found if each is not None])
