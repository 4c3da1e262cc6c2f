"""A small index, and the application package that was written from it."""

from __future__ import annotations

import pytest

from rocosearch.pipeline import build_corpus, build_index, write_app
from tests.encoder_folders import save_whole
from tests.vespa_app.conftest import tiny_encoder
from vespa_app.package.options import PackageOptions


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of encoder, corpus, index and app; and the index, open."""
    root = tmp_path_factory.mktemp("made")
    save_whole(tiny_encoder(0, 24), root / "encoder")
    build_corpus("phantoms:60", root / "corpus")
    engine = build_index(root / "corpus", root / "index", encoder=root / "encoder")
    write_app(root / "index", root / "app", options=PackageOptions(embedding="client"))
    return root, engine
