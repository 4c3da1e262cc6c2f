"""A page over a small corpus, answering on a free port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ingest.corpus.corpus import Corpus
from rocosearch.page.build_server import open_page
from rocosearch.page.server import PageServer
from rocosearch.pipeline import build_corpus, build_index, open_searcher
from tests.encoder_folders import save_whole
from tests.vespa_app.conftest import tiny_encoder


class Served(NamedTuple):
    server: PageServer
    corpus: Corpus
    index: Path

    @property
    def url(self) -> str:
        return self.server.url.rstrip("/")


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("page")
    save_whole(tiny_encoder(0, 24), root / "encoder")
    build_corpus("phantoms:60", root / "corpus")
    build_index(root / "corpus", root / "index", encoder=root / "encoder")
    with open_page(open_searcher(root / "index"), root / "corpus", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Served(server, Corpus.open(root / "corpus"), root / "index")
        server.shutdown()
        thread.join()
