"""A corpus of phantoms, indexed here and fed to a real Vespa server.

    make test-live VESPA_URL=http://localhost:8080 VESPA_CONFIG_URL=http://localhost:19071

Whatever is deployed on that server is replaced, its documents included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from encoders.model.clip import Encoder
from encoders.model.manifest import Manifest
from ingest.corpus.corpus import Corpus
from ingest.feed.feed import FeedSource, feed
from ingest.feed.targets import VespaTarget
from ranking.engine.engine import EmbeddedEngine
from rocosearch.pipeline import build_corpus, build_index
from rocosearch.swap.vespa import write_packages
from tests.encoder_folders import save_whole
from tests.live.server import ROOMY, LiveServer, live_server
from tests.vespa_app.conftest import tiny_encoder
from vespa_app.engine import EngineSettings, VespaEngine
from vespa_app.feed.documents import DocumentClient
from vespa_app.package.options import PackageOptions
from vespa_app.read.application import read_application
from vespa_app.read.read_options import Written

RECORDS = 400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.live)


@dataclass(frozen=True)
class Line:
    """Everything that was made of the corpus."""

    server: LiveServer
    corpus: Path
    index: Path
    old: Path
    new: Path
    packages: Path

    @property
    def encoder(self) -> Encoder:
        return Encoder.load(self.old)

    @property
    def fingerprints(self) -> tuple[str, str]:
        return Manifest.load(self.old).fingerprint, Manifest.load(self.new).fingerprint


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """The application deployed onto an empty server, and every document fed."""
    server = live_server()
    root = tmp_path_factory.mktemp("live")
    made = Line(server, *(root / n for n in ("corpus", "index", "old", "new", "packages")))
    save_whole(tiny_encoder(0, 24), made.old)
    save_whole(tiny_encoder(1, 16), made.new)
    build_corpus(f"phantoms:{RECORDS}", made.corpus)
    build_index(made.corpus, made.index, encoder=made.old)
    write_packages(made.packages, made.index, made.new, Written(PackageOptions(cluster=ROOMY), {}))
    server.fresh(made.packages / "before", root / "scratch")
    result = feed_all(made)
    assert (result.put, result.refused) == (RECORDS, 0)
    return made


def feed_all(line: Line):
    """Feed what the server lacks."""
    application = read_application(line.packages / "before")
    with DocumentClient(line.server.url) as client:
        source = FeedSource(Corpus.open(line.corpus), line.fingerprints[:1])
        return feed(source, VespaTarget(client, application))


@pytest.fixture(scope="session")
def embedded(line: Line) -> EmbeddedEngine:
    return EmbeddedEngine.open(line.index)


@pytest.fixture(scope="session")
def vespa(line: Line) -> Iterator[VespaEngine]:
    application = read_application(line.packages / "before")
    engine = VespaEngine.connect(line.server.url, application, EngineSettings(strict=True))
    yield engine
    engine.close()
