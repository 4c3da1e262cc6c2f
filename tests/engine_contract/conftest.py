"""Engines under contract: each is a function from documents, fields and profiles to an engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ranking.engine.engine import EmbeddedEngine
from ranking.profiles.shipped import ProfileSet
from ranking.types import Attribute, Document, Engine, VectorField
from tests.live.contract import make_live
from tests.live.server import URL, LiveServer, live_server
from tests.live.stand_in import stand_in

Make = Callable[..., Engine]


def in_memory(_: Path) -> Make:
    return EmbeddedEngine.in_memory


def on_disk(path: Path) -> Make:
    return lambda *given, **own: EmbeddedEngine.build(path / "index", *given, **own)


def fed(path: Path) -> Make:
    """An index that began empty, and got its documents in three goes, some of them twice."""

    def make(
        documents: Sequence[Document],
        fields: Sequence[VectorField],
        profiles: ProfileSet,
        attributes: Sequence[Attribute] = (),
    ) -> Engine:
        engine = EmbeddedEngine.build(path / "index", [], fields, profiles, attributes=attributes)
        for start in range(3):
            engine.feed(documents[start::3])
            engine.feed(documents[start : start + 1])
        return engine

    return make


@pytest.fixture(scope="session")
def server_stand_in() -> Iterator[LiveServer]:
    """What the Vespa client speaks to where no Vespa is."""
    with stand_in() as url:
        yield LiveServer(url, url)


ENGINES = {"embedded-memory": in_memory, "embedded-disk": on_disk, "embedded-fed": fed}
SERVERS = {"vespa-client": "server_stand_in"}
if URL in os.environ:  # make test-live
    SERVERS["vespa-live"] = "live"


@pytest.fixture(scope="session")
def live() -> LiveServer:
    return live_server()


@pytest.fixture(params=[*ENGINES, *SERVERS])
def make_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param in ENGINES:
        return ENGINES[request.param](tmp_path)
    return make_live(tmp_path, request.getfixturevalue(SERVERS[request.param]))
