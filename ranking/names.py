"""Schema names that contain an encoder's fingerprint.

Two encoders stand side by side in one application, so every name that belongs to an encoder
carries the first eight hex digits of its fingerprint.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = [
    "CAPTION_VECTORS",
    "ROLES",
    "EncoderNames",
    "encoder_names",
    "role_of",
    "vector_field_names",
]

SHORT = 8
_VECTOR_FIELD = re.compile(r"(\w+)_([0-9a-f]{8})")

CAPTION_VECTORS = "caption_embedding"
ROLES = {"embedding": "", "frames": "frame", "patches": "patch", CAPTION_VECTORS: ""}
"""What vectors of an encoder are of -> the dimension of their labels, "" where there is one.

`embedding` is of the image, or of a study the mean direction of its frames.
"""


@dataclass(frozen=True)
class EncoderNames:
    """The schema's names for one encoder; `embedder` is its component in services.xml.

    captions: digits of the encoder of captions, where that is another one.
    """

    short: str
    embedding: str
    query: str
    fingerprint: str
    has_vector: str
    embedder: str
    captions: str = ""

    @property
    def tokens(self) -> str:
        """The query's token vectors, which `max_sim` and `rerank` compare with patches."""
        return f"q_tokens_{self.short}"

    @property
    def reranker(self) -> str:
        """The ONNX model that `rerank` asks."""
        return f"reranker_{self.short}"

    def reranker_input(self, side: str) -> str:
        """The function that gives the model its `tokens` or `patches`."""
        return f"reranker_{side}_{self.short}"

    def field(self, role: str) -> str:
        """The vector field of one of ROLES."""
        return f"{role}_{self._digits(role)}"

    def query_of(self, role: str) -> str:
        """The query's vector that is compared with such a field."""
        return f"q_{self._digits(role)}"

    def embedder_of(self, role: str) -> str:
        """The component that embeds that vector's text."""
        return f"clip_{self._digits(role)}"

    def _digits(self, role: str) -> str:
        return self.captions if role == CAPTION_VECTORS and self.captions else self.short


def role_of(field: str) -> str:
    """What a field's vectors are of: its name without the digits of an encoder.

    >>> role_of("frames_1a2b3c4d")
    'frames'
    """
    match = _VECTOR_FIELD.fullmatch(field)
    return match[1] if match else field


def vector_field_names(field: str) -> EncoderNames | None:
    """The names of the encoder whose vectors this field holds; None for other fields.

    >>> vector_field_names("frames_1a2b3c4d").query
    'q_1a2b3c4d'
    """
    match = _VECTOR_FIELD.fullmatch(field)
    return encoder_names(match[2]) if match and match[1] in ROLES else None


def encoder_names(fingerprint: str, captions: str = "") -> EncoderNames:
    """Names for the encoder with this fingerprint (hex, at least eight digits).

    captions: fingerprint of the encoder of captions, where that is another one.

    >>> encoder_names("1a2b3c4d5e6f").embedding
    'embedding_1a2b3c4d'
    """
    short = fingerprint[:SHORT]
    if len(short) < SHORT or not all(c in "0123456789abcdef" for c in short):
        raise ValueError(
            f"An encoder fingerprint is lower-case hex, at least {SHORT} digits: "
            f"{fingerprint!r} is not."
        )
    return EncoderNames(
        short=short,
        embedding=f"embedding_{short}",
        query=f"q_{short}",
        fingerprint=f"fingerprint_{short}",
        has_vector=f"has_vector_{short}",
        embedder=f"clip_{short}",
        captions=captions[:SHORT],
    )
