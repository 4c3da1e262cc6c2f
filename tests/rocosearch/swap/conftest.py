"""A small corpus, an index with one encoder, and another encoder to swap to."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from encoders.model.manifest import Manifest
from rocosearch.pipeline import build_corpus, build_index
from tests.encoder_folders import save_whole
from tests.vespa_app.conftest import tiny_encoder


@dataclass(frozen=True)
class Setting:
    corpus: Path
    index: Path
    old: Path
    new: Path

    @property
    def fingerprints(self) -> tuple[str, str]:
        return Manifest.load(self.old).fingerprint, Manifest.load(self.new).fingerprint


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    root = tmp_path_factory.mktemp("swap")
    setting = Setting(root / "corpus", root / "index", root / "old", root / "new")
    save_whole(tiny_encoder(0, 24), setting.old)
    save_whole(tiny_encoder(1, 16), setting.new)
    build_corpus("phantoms:80", setting.corpus)
    build_index(setting.corpus, setting.index, encoder=setting.old)
    return setting


@pytest.fixture
def setting(made: Setting, tmp_path: Path) -> Setting:
    """Corpus and index of this test's own."""
    own = Setting(tmp_path / "corpus", tmp_path / "index", made.old, made.new)
    shutil.copytree(made.corpus, own.corpus)
    shutil.copytree(made.index, own.index)
    return own
