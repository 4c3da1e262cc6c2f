"""The text fields of a document: caption, affirmed and negated words."""

from __future__ import annotations

from ranking.text.negation import split_negated
from ranking.types import OF_CAPTION, Document

__all__ = ["texts_of"]


def texts_of(document: Document) -> dict[str, str | None]:
    """Every text field by name; None where the document has no such text.

    >>> fields = texts_of(Document("a", "CT without effusion"))
    >>> fields["affirmed"], fields["negated"], fields["pseudo_caption"]
    ('CT without ', 'effusion', None)
    """
    caption = document.caption
    parts = (caption, *split_negated(caption)) if caption else (caption,) * len(OF_CAPTION)
    own = dict(zip(OF_CAPTION, parts, strict=True))
    return own | {"pseudo_caption": document.pseudo_caption or None}
