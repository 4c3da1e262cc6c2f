"""From a corpus to a re-ranked search: train-reranker, index, search, eval, app."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from encoders.base.errors import UserError
from encoders.inference.reranker import RERANKER, RerankerManifest
from eval.evaluate import Options
from ingest.corpus.corpus import Corpus
from ingest.feed.documents import documents
from ingest.vectors.embed import embed_corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from rocosearch.cli import app
from rocosearch.live_parity import compare_engines
from rocosearch.pipeline import (
    build_corpus,
    build_index,
    evaluate,
    load_encoder,
    open_searcher,
    train_reranker,
    write_app,
)
from tests.encoder_folders import save_whole
from tests.vespa_app.conftest import tiny_encoder
from vespa_app.package.options import PackageOptions

PROFILES = """
[profiles.vector]
retrieve = ["vector"]
first_phase = "closeness(field, embedding)"

[profiles.reranked]
inherits = "vector"
functions = { late = "max_sim(q_tokens, patches)", matches = "rerank(q_tokens, patches)" }
second_phase = { expression = "late" }
global_phase = { expression = "matches", rerank_count = 20 }
match_features = ["late", "matches"]
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("reranked")
    save_whole(tiny_encoder(0, 24), root / "encoder")
    build_corpus("phantoms:60", root / "corpus")
    (root / "profiles.toml").write_text(PROFILES)
    build_index(root / "corpus", root / "before", encoder=root / "encoder")
    settings = {"width": 8, "layers": 1, "heads": 2, "epochs": 1, "negatives": 2}
    train_reranker(root / "corpus", root / "encoder", **settings)
    build_index(
        root / "corpus", root / "index", encoder=root / "encoder", profiles=root / "profiles.toml"
    )
    return root


def test_an_index_carries_the_reranker_and_the_patches(root):
    searcher = open_searcher(root / "index")
    result = searcher.search("spiculated lesion", profile="reranked", k=30)
    assert (
        result.scores[0] == result.features["matches"][0] == result.features["matches"][:20].max()
    )
    assert list(result.scores) == sorted(result.scores, reverse=True)
    assert np.any(result.features["late"])
    (patches,) = [f for f in searcher.engine.info().vector_fields if f.labels]
    assert len(searcher.engine.get(result.ids[0]).labelled[patches.name]) == 16


def test_a_profiles_file_without_the_patches_is_refused(root):
    searcher = open_searcher(root / "before", profiles=root / "profiles.toml")
    with pytest.raises(UserError, match="patches"):
        searcher.search("lesion", profile="reranked")
    with pytest.raises(UserError, match="--studies"):
        build_index(
            root / "corpus",
            root / "studies",
            encoder=root / "encoder",
            profiles=root / "profiles.toml",
            studies=True,
        )


def test_patches_are_embedded_once(root):
    corpus, encoder = Corpus.open(root / "corpus"), load_encoder(root / "encoder")
    assert embed_corpus(corpus, encoder, patches=True).embedded == 0
    name = encoder_names(encoder.manifest.fingerprint).field("patches")
    first = next(documents(corpus, encoder.manifest.fingerprint, patches=True))
    record = next(iter(corpus.records()))
    whole, (own,) = encoder.encode_parts([record.image])
    np.testing.assert_array_equal(whole, encoder.encode_images([record.image]))
    assert [*first.labelled[name]] == [str(label) for label in range(16)]
    np.testing.assert_allclose([*first.labelled[name].values()], own, atol=1e-6)


def test_protocols_ask_it_too(root, tmp_path):
    options = Options(profiles=("vector", "reranked"), protocols=("split-caption",), baseline=False)
    found = evaluate(root / "index", root / "corpus", tmp_path / "report", options)
    rows = {row["profile"] for row in found.metrics()["rows"]}
    assert {"vector", "reranked"} <= rows


def test_parity_sends_tokens_so_that_other_patches_are_found_out(root):
    searcher = open_searcher(root / "index")
    engine = searcher.engine
    documents = [engine.get(name) for name in engine.ids()]

    def compared(change):
        server = EmbeddedEngine.in_memory(
            [replace(each, labelled=change(each.labelled)) for each in documents],
            engine.info().vector_fields,
            engine.profiles,
        )
        server.encoder_folder = root / "encoder"
        (found,) = compare_engines(
            engine, server, searcher.encoder, profiles=["reranked"], queries=5
        ).profiles
        return found

    same = compared(dict)
    assert max(same.differences.values()) == 0
    assert not same.causes
    turned = compared(
        lambda fields: {
            name: {label: np.roll(vector, 1) for label, vector in each.items()}
            for name, each in fields.items()
        }
    )
    assert turned.differences["late"] > 1e-3
    assert "profile" in turned.causes


def test_the_package_has_it(root):
    files = write_app(root / "index", root / "app", options=PackageOptions(embedding="client"))
    short = RerankerManifest.load(root / "encoder").encoder[:8]
    assert f"files/reranker_{short}.onnx" in files


def test_the_command_asks_before_it_overwrites(root):
    arguments = ["train-reranker", str(root / "corpus"), str(root / "encoder")]
    before = (root / "encoder" / RERANKER).read_text()
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 1
    assert "--replace" in refused.output
    assert (root / "encoder" / RERANKER).read_text() == before


def test_searching_needs_no_torch(root):
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; from rocosearch.open_index import open_searcher\n"
        f"searcher = open_searcher(Path({str(root / 'index')!r}))\n"
        "print(len(searcher.search('lesion', profile='reranked')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "10"
