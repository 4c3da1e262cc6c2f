"""The profiles that docs/profiles.md shows work, in this engine and in Vespa."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from encoders.model.manifest import Manifest
from ranking.engine.engine import EmbeddedEngine
from ranking.expressions.functions import FUNCTIONS
from ranking.names import ROLES, encoder_names
from ranking.profiles.shipped import SHIPPED, ProfileSet, load_profiles
from ranking.types import Document, Query, VectorField
from tests.encoder_folders import reranker_folder
from vespa_app.package.options import PackageOptions
from vespa_app.package.package import write_application

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "profiles.md").read_text("utf-8")
MANIFEST = Manifest(4, True, 16, 32, "L", "pad", (0.5,), (0.5,), "00", "11", "{}")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def from_toml(tmp_path) -> ProfileSet:
    path = tmp_path / "my-profiles.toml"
    files = []
    for text in blocks("toml"):
        path.write_text(text, encoding="utf-8")
        files.append(load_profiles(path))
    return ProfileSet(tuple(p for each in files for p in each.profiles), files[0].default)


@pytest.fixture
def from_python() -> ProfileSet:
    names: dict[str, object] = {}
    exec(blocks("python")[0], names)
    made = names["profiles"]
    assert isinstance(made, ProfileSet)
    return made


@pytest.fixture(params=["toml", "python"])
def profiles(request, from_toml, from_python):
    return from_toml if request.param == "toml" else from_python


def test_in_the_embedded_engine(profiles):
    names = encoder_names(MANIFEST.fingerprint)
    fields = [
        VectorField(names.field(role), 4, MANIFEST.fingerprint, labels=ROLES[role])
        for role in ("embedding", "frames", "patches")
    ]
    vectors = np.eye(4, dtype=np.float32)
    labelled = {names.field("frames"): {"1": vectors[0], "2": vectors[1]}}
    documents = [
        Document(f"d{n}", caption, {names.embedding: vectors[n]}, labelled=labelled)
        for n, caption in enumerate(["left effusion", "effusion", None, "normal chest"])
    ]
    engine = EmbeddedEngine.in_memory(documents, fields, profiles.instantiate(names))
    engine.encoder_folder = reranker_folder(MANIFEST.fingerprint, 4)
    for name in profiles.names():
        tokens = {names.field("patches"): vectors[:2]}
        result = engine.search(Query("left effusion", vectors[2], name, vectors=tokens))
        assert np.isfinite(result.scores).all()
    found = engine.search(Query("left effusion", vectors[2], profiles.default))
    assert found.ids[0] in ("d0", "d2")
    assert {"bm25(caption)", f"closeness(field,{names.embedding})"} <= set(found.features)


def test_in_vespa(profiles, tmp_path, kit):
    options = PackageOptions(embedding="client")
    folder = reranker_folder(MANIFEST.fingerprint, 4)
    write_application(tmp_path / "app", MANIFEST, profiles, folder, options=options)
    (answer,) = kit.validate(tmp_path / "app")
    assert answer["ok"], answer.get("error")
    written = answer["schemas"]["image"]["rank-profiles"]
    assert set(profiles.names()) <= set(written)


def test_the_page_names_every_shipped_profile_and_function():
    assert [name for name in SHIPPED.names() if f"`{name}`" not in PAGE] == []
    listed = re.search(r"Functions: (.*?)\.", PAGE, re.DOTALL)[1]
    assert {name.strip() for name in listed.replace("\n", " ").split(",")} == set(FUNCTIONS)
