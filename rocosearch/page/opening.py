"""From a searcher to a server that is ready to run."""

from __future__ import annotations

from pathlib import Path

from ingest.corpus import Corpus
from ranking.searcher import Searcher
from rocosearch.page.answers import Desk
from rocosearch.page.pictures import Pictures
from rocosearch.page.server import PageServer

__all__ = ["open_page"]


def open_page(
    searcher: Searcher, corpus: Path | None = None, *, host: str = "127.0.0.1", port: int = 8765
) -> PageServer:
    """Put a searcher, and the corpus that its pictures are in, behind a server.

    Raises CorpusError or UserError in a sentence.
    """
    opened = Corpus.open(corpus) if corpus else None
    modalities = set(opened.table(["modality"])["modality"].to_pylist()) if opened else set()
    # The first query of a process loads compiled kernels and the towers: nobody should wait for it.
    searcher.search("warm", k=1)
    desk = Desk(searcher, sorted(filter(None, modalities)))
    return PageServer(desk, Pictures(opened) if opened else None, host, port)
