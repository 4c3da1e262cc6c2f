"""HTML views of results and records for notebooks."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

from ingest.corpus.corpus import Corpus
from ranking.types import Result
from rocosearch.page.pictures import Pictures

__all__ = ["Shown", "show"]

SIDE = 110  # pixels


class Shown:
    """HTML for a notebook."""

    def __init__(self, html: str) -> None:
        self._html = html

    def __repr__(self) -> str:
        return f"<Shown: {len(self._html):,} characters of HTML>"

    def _repr_html_(self) -> str:
        return self._html


def show(result: Result, corpus: str | Path) -> Shown:
    """A result with the images of its corpus: a card for each hit.

    >>> show(searcher.search("ring lesion"), "build/corpus")  # doctest: +SKIP
    """
    pictures = Pictures(Corpus.open(Path(corpus)))
    cards = []
    for rank, hit in enumerate(result, 1):
        data = pictures.get(hit.id)
        image = ""
        if data is not None:
            source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
            image = f'<img src="{source}" alt="" width="{SIDE}">'
        caption = (hit.document.caption if hit.document else "") or "(no caption)"
        cards.append(
            f'<figure style="display:inline-block;width:{SIDE + 60}px;margin:4px;'
            f'vertical-align:top">{image}<figcaption><b>{rank}</b> {hit.score:.3f} '
            f"<small>{escape(hit.id)}<br>{escape(caption[:120])}</small></figcaption></figure>"
        )
    return Shown("".join(cards) or "<p>No hit.</p>")
