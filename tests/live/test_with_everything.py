"""Studies with frames, captions with vectors, fields of one's own: asked, swapped, asked again.

It deploys another application than the other files, and comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from encoders.model.manifest import Manifest
from ingest.corpus.corpus import Corpus, write_corpus
from ingest.corpus.records import Record
from ingest.feed.feed import FeedSource, feed
from ingest.feed.reconcile import contradiction
from ingest.feed.targets import VespaTarget
from ranking import types
from ranking.attributes import read_condition
from ranking.engine.engine import EmbeddedEngine
from ranking.profiles.shipped import CAPTION_PROFILES, SHIPPED, STUDY_PROFILES, save_profiles
from ranking.types import Attribute, Filter, Sort
from rocosearch.pipeline import build_index, load_encoder
from rocosearch.swap import VespaServer, start_on_index, start_on_vespa
from rocosearch.swap.vespa import write_packages
from tests.encoder_folders import save_whole
from tests.ingest.conftest import Rows, png_bytes
from tests.live.server import ROOMY, LiveServer, live_server
from tests.vespa_app.conftest import tiny_encoder
from vespa_app.deploy.config_server import ConfigServer
from vespa_app.engine import EngineSettings, VespaEngine
from vespa_app.feed.documents import DocumentClient
from vespa_app.package.options import PackageOptions
from vespa_app.read.read_options import Written

Query = partial(types.Query, timeout=60.0)  # a server for tests may be slow
CASES, FRAMES = 20, 3
OWN = (
    Attribute("age", "int", "age"),
    Attribute("seen", "date", "seen"),
    Attribute("site", "keyword", "site"),
    Attribute("findings", "text", "findings"),
)
WORDS = ("effusion", "nodule", "fracture", "no effusion")
PROFILES = SHIPPED.replaced((*CAPTION_PROFILES, *STUDY_PROFILES), default="study")


@dataclass(frozen=True)
class Made:
    server: LiveServer
    corpus: Path
    index: Path
    encoders: tuple[Path, Path]

    @property
    def deployed(self):
        return ConfigServer(self.server.config_url).application()


def record(case: int, frame: int) -> Record:
    values = {"age": 30 + case, "seen": f"2020-01-{case + 1:02}", "site": "abc"[case % 3]}
    return Record(
        f"case{case}-{frame}",
        f"CT of case {case} with {WORDS[case % 4]}",
        image=png_bytes(10 * case + frame, side=16),
        group_id=f"case{case}",
        group_kind="case",
        modality="ct" if case % 2 else "mr",
        split="test",
        extra={**values, "findings": f"a large {WORDS[-case % 4]}"},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root, server = tmp_path_factory.mktemp("everything"), live_server()
    encoders = (root / "old", root / "new")
    for seed, folder in enumerate(encoders):
        save_whole(tiny_encoder(seed, 24 - 8 * seed), folder)
    rows = [record(case, frame) for case in range(CASES) for frame in range(FRAMES)]
    write_corpus(Rows(rows), root / "corpus", attributes=OWN)
    save_profiles(PROFILES, root / "profiles.toml")
    build_index(
        root / "corpus",
        root / "index",
        encoder=encoders[0],
        profiles=root / "profiles.toml",
        studies=True,
        captions=True,
    )
    options = PackageOptions(cluster=ROOMY, attributes=OWN)
    write_packages(root / "packages", root / "index", encoders[1], Written(options, {}))
    server.fresh(root / "packages" / "before", root / "scratch")
    found = Made(server, root / "corpus", root / "index", encoders)
    assert feed_all(found).put == CASES
    return found


def feed_all(made: Made):
    fingerprints = (Manifest.load(made.encoders[0]).fingerprint,)
    with DocumentClient(made.server.url) as client:
        target = VespaTarget(client, made.deployed).for_encoders(fingerprints)
        source = FeedSource(Corpus.open(made.corpus), fingerprints, studies=True, captions=True)
        assert contradiction(source.corpus, target) == ""
        return feed(source, target)


def conditions(*texts: str) -> tuple[Filter, ...]:
    return tuple(read_condition(text.lstrip("!"), exclude=text[0] == "!") for text in texts)


ASKED = {
    "study": {},
    "frames": {"text": ""},
    "hybrid": {},
    "hybrid3": {"inputs": {"beta": 2.0}},
    "negation": {"profile": "lexical_affirmed", "text": "effusion"},
    "synonyms": {"profile": "lexical", "expansions": {"nodule": 0.5, "fracture": 0.25}},
    "own range": {"profile": "lexical", "filters": conditions("age=33..41", "!site=b")},
    "own day": {"profile": "hybrid", "filters": conditions("seen>=2020-01-07")},
    "own words": {"profile": "lexical", "filters": conditions("findings=large nodule")},
    "modality": {"profile": "frames", "text": "", "filters": conditions("modality=ct")},
    "sorted": {"profile": "lexical", "sort": Sort("age", descending=True)},
    "grouped": {"profile": "lexical", "group_by": "site"},
    "counted": {"profile": "lexical", "facets": ("site", "age", "modality")},
    "score cut": {"profile": "lexical", "min_score": 0.5},
    "closeness cut": {"profile": "frames", "text": "", "min_closeness": 0.4},
    "offset": {"profile": "hybrid", "offset": 3, "k": 5},
}


def check_asked(made: Made, encoder: Path, name: str, asked: dict) -> None:
    """The server answers as the index does."""
    text = asked.get("text", "effusion of the case")
    vector = load_encoder(encoder).encode_texts(["effusion of the case"])[0]
    rest = {"profile": name, "k": 2 * CASES, "target_hits": 2 * CASES, **asked, "text": text}
    if rest["profile"].startswith("lexical"):
        vector = None
    query = Query(vector=vector, **rest)
    engine = VespaEngine.connect(made.server.url, made.deployed, EngineSettings(strict=True))
    here, there = EmbeddedEngine.open(made.index).search(query), engine.search(query)
    engine.close()
    assert len(there) == len(here) > 0
    np.testing.assert_allclose(there.scores, here.scores, rtol=2e-5, atol=2e-6)
    assert there.facets == here.facets
    if rest.get("sort") is None and "group_by" not in rest:
        near = np.isclose(here.scores[:-1], here.scores[1:], rtol=1e-4, atol=1e-5)
        assert near.any() or there.ids == here.ids
    if name in {"frames", "modality"}:
        assert nearest(there) == nearest(here)


def nearest(result) -> dict[str, str]:
    """Each study's nearest frame."""
    ((_, labels),) = result.closest.items()
    return dict(zip(result.ids, labels, strict=True))


@pytest.mark.parametrize("name", ASKED)
def test_the_server_answers_as_the_index_does(made, name):
    check_asked(made, made.encoders[0], name, ASKED[name])


def test_feeding_again_sends_nothing(made):
    result = feed_all(made)
    assert (result.sent, result.unchanged) == (0, CASES)


def test_values_of_ones_own_come_back(made):
    engine = VespaEngine.connect(made.server.url, made.deployed)
    held = EmbeddedEngine.open(made.index).get("case4")
    found = engine.get("case4")
    assert found.attributes == held.attributes
    assert {name: [*each] for name, each in found.labelled.items()} == {
        name: [*each] for name, each in held.labelled.items()
    }
    engine.close()


def test_all_of_it_is_swapped(made, tmp_path):
    server = VespaServer(made.server.url, made.server.config_url)
    swap = start_on_vespa(
        server, made.index, made.corpus, made.encoders[1], folder=tmp_path / "swap"
    )
    assert swap.backfill().with_vector == CASES
    swap.switch(force=True)
    swap.finish()
    local = start_on_index(made.index, made.corpus, made.encoders[1])
    local.backfill()
    local.switch(force=True)
    local.finish()
    for name, asked in ASKED.items():
        check_asked(made, made.encoders[1], name, asked)
