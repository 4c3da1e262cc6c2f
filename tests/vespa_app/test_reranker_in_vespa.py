"""A profile that re-ranks against Vespa's own Java code: deployed, asked, and computed by it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from encoders.inference.reranker import RERANKER, RERANKER_GRAPH, Reranker
from encoders.model.manifest import Manifest
from ranking.names import EncoderNames, encoder_names
from ranking.profiles.shipped import SHIPPED, Phase, Profile
from ranking.types import Query
from tests.encoder_folders import drawn_pairs, reranker_folder
from tests.live.kit import Kit
from vespa_app.package.options import PackageError, PackageOptions
from vespa_app.package.package import write_application
from vespa_app.query.query import search_request
from vespa_app.read.application import read_application

SIZE = 24
RERANKED = Profile(
    "reranked",
    inherits="hybrid",
    functions={"matches": "rerank(q_tokens, patches)"},
    global_phase=Phase("matches + 0 * bm25(caption)", 50),
)
PROFILES = SHIPPED.replaced([RERANKED])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory, encoder_folders: tuple[Path, Path]) -> Path:
    folder = tmp_path_factory.mktemp("reranked") / "encoder"
    shutil.copytree(encoder_folders[0], folder)
    trained = reranker_folder(Manifest.load(folder).fingerprint, SIZE)
    for name in (RERANKER, RERANKER_GRAPH):
        shutil.copy(trained / name, folder)
    return folder


@pytest.fixture(scope="module")
def names(encoder: Path) -> EncoderNames:
    return encoder_names(Manifest.load(encoder).fingerprint)


@pytest.fixture(scope="module")
def package(encoder: Path) -> Path:
    out = encoder.with_name("app")
    client = PackageOptions(embedding="client")
    write_application(out, Manifest.load(encoder), PROFILES, encoder, options=client)
    return out


def test_the_package_carries_the_model(encoder: Path, package: Path, names: EncoderNames) -> None:
    graph = package / "files" / f"{names.reranker}.onnx"
    assert graph.read_bytes() == (encoder / RERANKER_GRAPH).read_bytes()
    served = read_application(package).resolve("reranked")
    assert (served.late, served.patches) == (True, names.field("patches"))
    assert not read_application(package).resolve("hybrid").late


def test_without_a_reranker_it_is_refused(
    tmp_path: Path, encoder_folders: tuple[Path, Path]
) -> None:
    manifest = Manifest.load(encoder_folders[1])
    with pytest.raises(PackageError, match="train-reranker"):
        write_application(tmp_path / "app", manifest, PROFILES, encoder_folders[1])


def test_vespa_takes_it_and_computes_our_scores(
    encoder: Path, package: Path, names: EncoderNames, kit: Kit
) -> None:
    (answer,) = kit.validate(package)
    assert (answer["ok"], answer["warnings"], answer["suspects"]) == (True, [], [])
    drawn = drawn_pairs(8, SIZE)
    tokens, patches = drawn.tokens[2], np.array(drawn.patches)
    patches[3, 5:] = 0  # fewer patches than others
    model = Reranker.load(encoder, Manifest.load(encoder).fingerprint)
    assert model is not None
    field = f"attribute({names.field('patches')})"
    same = {"bm25(caption)": 2.0, f"closeness(field,{names.embedding})": 0.5}
    hits = [
        {
            "id": str(row),
            "relevance": 1.0 - row / 10,
            "matchfeatures": {**same, field: literal("patch", stored[stored.any(axis=1)])},
        }
        for row, stored in enumerate(patches)
    ]
    query = {f"query({names.tokens})": literal("token", tokens)}
    line = json.dumps({"features": query, "hits": hits, "rerankCount": len(hits)})
    profile = f"reranked_{names.short}"
    arguments = ("expr", "--app", package, "--profile", profile, "--phase", "global")
    (answer,) = kit(*arguments, lines=[line])
    scores = model.score(tokens, patches)
    found = [int(hit["id"]) for hit in answer["hits"]]
    assert found == np.argsort(-scores).tolist()
    np.testing.assert_allclose(
        [hit["relevance"] for hit in answer["hits"]], scores[found], atol=1e-4
    )


def test_a_query_sends_its_tokens(package: Path, names: EncoderNames, kit: Kit) -> None:
    tokens = drawn_pairs(3, SIZE).tokens[2]
    vector = drawn_pairs(2, SIZE).texts[0]
    query = Query("effusion", vector, "reranked", vectors={names.field("patches"): tokens})
    body = search_request(query, read_application(package), hits=10).body
    (answer,) = kit("yql", package, lines=[json.dumps({**body, "timeout": "30s"})])
    assert answer["status"] == 200, answer
    assert names.tokens in json.dumps(answer)


def literal(label: str, vectors: np.ndarray) -> str:
    cells = (f"{number}:{vector.tolist()}" for number, vector in enumerate(vectors))
    return f"tensor<float>({label}{{}},x[{SIZE}]):{{{','.join(cells)}}}"
