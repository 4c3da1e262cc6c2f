"""Schema names that follow from an encoder's fingerprint.

Two encoders stand side by side in one application, so every name that belongs to an encoder
carries the first eight hex digits of its fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EncoderNames", "encoder_names"]

SHORT = 8


@dataclass(frozen=True)
class EncoderNames:
    """The schema's names for one encoder; `embedder` is its component in services.xml."""

    short: str
    embedding: str
    query: str
    fingerprint: str
    has_vector: str
    embedder: str


def encoder_names(fingerprint: str) -> EncoderNames:
    """Names for the encoder with this fingerprint (hex, at least eight digits).

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
    )
