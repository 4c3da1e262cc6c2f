"""An encoder as a sentence-transformers model.

    model = as_sentence_transformer(Encoder.load(Path("build/encoder")))

Apart from clip.py because importing sentence-transformers takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modality_types import Modality
from sentence_transformers.base.modules.input_module import InputModule
from torch import Tensor

from encoders.model.clip import ClipModule, Encoder

__all__ = ["SentenceModule", "as_sentence_transformer"]


class SentenceModule(InputModule):
    """What sentence-transformers asks of a module, answered by a CLIP."""

    def __init__(self, clip: ClipModule) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.clip = clip
        self.tokenizer = clip.tokenizer

    @property
    def modalities(self) -> list[Modality]:
        """What `preprocess` takes."""
        return ["text", "image"]

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, **_: object
    ) -> dict[str, Any]:
        """Tensors of one batch of images, or of texts with the prompt before each."""
        if prompt and not isinstance(inputs[0], dict):
            inputs = [prompt + item if isinstance(item, str) else item for item in inputs]
        return dict(self.clip.preprocess(inputs))

    def forward(self, features: dict[str, Any], **_: object) -> dict[str, Any]:
        """Add `sentence_embedding`, unit vectors float [B, D]."""
        return {**features, "sentence_embedding": self.clip(features)}

    def get_sentence_embedding_dimension(self) -> int:
        """Dimension of the joint space."""
        return self.clip.config.dimension

    def get_config_dict(self) -> dict[str, Tensor | str | int]:
        """The towers, for those who look at a model's configuration."""
        return {"architecture": self.clip.config.to_json()}

    def save(self, output_path: str, *_: object, **__: object) -> None:
        """Write the encoder's folder; `Encoder.load` reads it back."""
        Encoder(self.clip).save(Path(output_path))


def as_sentence_transformer(encoder: Encoder) -> SentenceTransformer:
    """A model whose `encode` takes strings and Pillow images."""
    clip = encoder.module
    return SentenceTransformer(modules=[SentenceModule(clip)], device=str(clip.logit_scale.device))
