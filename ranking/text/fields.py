"""The text fields of a document: its caption, and what that affirms and what it negates."""

from __future__ import annotations

from ranking.text.negation import split_negated
from ranking.types import TEXTS, Document

__all__ = ["texts_of"]


def texts_of(document: Document) -> dict[str, str | None]:
    """Every text field by name; None where the document has no caption.

    >>> texts_of(Document("a", "CT without effusion"))
    {'caption': 'CT without effusion', 'affirmed': 'CT without ', 'negated': 'effusion'}
    """
    caption = document.caption
    parts = (caption, *split_negated(caption)) if caption else (caption,) * len(TEXTS)
    return dict(zip(TEXTS, parts, strict=True))
