"""From a searcher to a server that is ready to run."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from encoders.base.errors import UserError
from ingest.corpus.corpus import Corpus
from ranking.searcher import Searcher
from rocosearch.page.answers import Desk
from rocosearch.page.pictures import Pictures
from rocosearch.page.server import PageServer

__all__ = ["open_page"]

LOOKED_AT = 100  # documents, to tell whether a corpus is theirs


def open_page(
    searcher: Searcher, corpus: Path | None = None, *, host: str = "127.0.0.1", port: int = 8765
) -> PageServer:
    """Put a searcher, and the corpus that its pictures are in, behind a server.

    Raises CorpusError or UserError in a sentence.
    """
    opened = Corpus.open(corpus) if corpus else None
    pictures = Pictures(opened) if opened else None
    if pictures and not any(name in pictures for name in islice(searcher.engine.ids(), LOOKED_AT)):
        raise UserError(
            f"{corpus} has none of the documents searched: name the corpus that they came from."
        )
    modalities = set(opened.table(["modality"])["modality"].to_pylist()) if opened else set()
    # The first query of a process loads compiled kernels and the towers: nobody should wait for it.
    searcher.search("warm", k=1)
    desk = Desk(searcher, sorted(filter(None, modalities)))
    return PageServer(desk, pictures, host, port)
