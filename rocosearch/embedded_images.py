"""Vectors of a corpus's images, and features before the projection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoders.analysis.zero_shot import ClassificationError
from encoders.base.errors import UserError
from encoders.base.progress import Progress, silent
from ingest.corpus.corpus import FEATURES, Corpus
from ingest.vectors.embed import embed_corpus, read_embeddings
from rocosearch.open_index import embedding_encoder, encoder_folder, load_encoder

if TYPE_CHECKING:
    from encoders.inference.onnx_encoder import OnnxEncoder
    from encoders.model.clip import ClipModule

__all__ = ["EmbeddedImages", "check_names", "open_embedded", "read_features"]

CHUNK = 512
SHOWN = 20  # names in a message


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
        # torch takes seconds to load
        from encoders.model.clip import Encoder  # noqa: PLC0415

        module = Encoder.load(encoder_folder(self.folder, progress)).module
        found = read_features(self.corpus, module, ids, progress)(ids)
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


def read_features(
    corpus: Corpus,
    module: ClipModule,
    ids: Sequence[str],
    progress: Progress = silent,
    *,
    cells: bool = False,
) -> Callable[[Sequence[str]], NDArray[Any]]:
    """Run the image tower over the images with these ids; returns what reads their features.

    They are cached in CORPUS/features; training with the same frozen tower uses them. cells: those
    of the last feature map, float16 [N, cells, W], in place of what the projection gets.
    """
    # torch takes seconds to load
    from encoders.images.preprocess import open_image  # noqa: PLC0415
    from encoders.training.frozen import FrozenImages  # noqa: PLC0415

    prepare, device = module.config.preprocessing, module.logit_scale.device
    frozen = FrozenImages(module.image, prepare, device, corpus.path / FEATURES, cells=cells)
    wanted = set(ids)
    keys: dict[str, bytes] = {}
    waiting: list[tuple[bytes, bytes]] = []

    def embed() -> None:
        frozen.of(
            [key for key, _ in waiting],
            lambda new: np.stack([prepare.pixels(open_image(waiting[n][1])) for n in new]),
        )
        waiting.clear()
        progress("image features", len(keys), len(wanted))

    for record in corpus.records():
        if record.id in wanted and record.image is not None:
            keys[record.id] = bytes.fromhex(record.image_sha256)
            waiting.append((keys[record.id], record.image))
        if len(waiting) == CHUNK:
            embed()
    if waiting:
        embed()
    return lambda some: frozen.of([keys[identifier] for identifier in some])


def check_names(names: Mapping[str, str] | None, known: Sequence[str]) -> None:
    """Raise UserError if words are given for a class or a concept that there is not."""
    strangers = sorted((names or {}).keys() - set(known))
    if strangers:
        more = f" and {len(known) - SHOWN:,} more" if len(known) > SHOWN else ""
        raise UserError(
            f"There is no {', '.join(map(repr, strangers))} to name; there are "
            f"{', '.join(map(repr, known[:SHOWN]))}{more}."
        )
