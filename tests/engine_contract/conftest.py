"""Engines under contract: each is a function from documents, fields and profiles to an engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ranking.embedded import EmbeddedEngine
from ranking.profiles import ProfileSet
from ranking.types import Document, Engine, VectorField
from tests.live.contract import make_live
from tests.live.server import URL

Make = Callable[[Sequence[Document], Sequence[VectorField], ProfileSet], Engine]


def in_memory(_: Path) -> Make:
    return EmbeddedEngine.in_memory


def on_disk(path: Path) -> Make:
    return lambda *given: EmbeddedEngine.build(path / "index", *given)


def fed(path: Path) -> Make:
    """An index that began empty, and got its documents in three goes, some of them twice."""

    def make(
        documents: Sequence[Document], fields: Sequence[VectorField], profiles: ProfileSet
    ) -> Engine:
        engine = EmbeddedEngine.build(path / "index", [], fields, profiles)
        for start in range(3):
            engine.feed(documents[start::3])
            engine.feed(documents[start : start + 1])
        return engine

    return make


ENGINES = {"embedded-memory": in_memory, "embedded-disk": on_disk, "embedded-fed": fed}
if URL in os.environ:  # make test-live
    ENGINES["vespa-live"] = make_live


@pytest.fixture(params=list(ENGINES))
def make_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    return ENGINES[request.param](tmp_path)


@pytest.fixture(autouse=True)
def no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test cuts the power: waiting for the disk would be most of their time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
