"""A package with two encoders, and the kit's HTTP front serving it.

The kit's content node is a stand-in: every query finds all the hits of a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ranking.profiles.shipped import SHIPPED
from tests.vespa_app.client.kit_server import kit_server
from vespa_app.engine import VespaEngine
from vespa_app.package.package import PackagedEncoder, write_application
from vespa_app.read.application import Application, read_application

# (id, relevance, group): a tie of three, and groups that repeat.
HITS = (
    ("d5", 0.9, "g2"),
    ("d2", 0.8, "g2"),
    ("d9", 0.8, "g0"),
    ("d1", 0.8, "g1"),
    ("d7", 0.5, "g1"),
    ("d3", 0.4, ""),
)


@pytest.fixture(scope="session")
def package(encoder_folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An application whose current encoder is the first of two."""
    out = tmp_path_factory.mktemp("package") / "app"
    first, second = map(PackagedEncoder.open, encoder_folders)
    write_application(
        out, first.manifest, SHIPPED, first.folder, {"caption": 10.0}, others=[second]
    )
    return out


@pytest.fixture(scope="session")
def application(package: Path) -> Application:
    return read_application(package)


def hit(identifier: str, relevance: float, group: str, application: Application) -> str:
    features = {"bm25(caption)": 10 * relevance, "attribute(has_caption)": 1.0}
    for encoder in application.encoders:
        features[f"closeness(field,{encoder.field.name})"] = relevance
        features[f"attribute(has_vector_{encoder.short})"] = 1.0
    fields = {"id": identifier, "caption": f"caption {identifier}", "group_id": group}
    return json.dumps(
        {
            "id": f"id:image:image::{identifier}",
            "relevance": relevance,
            "fields": fields,
            "matchfeatures": features,
        }
    )


@pytest.fixture(scope="module")
def server(
    vespa_check: Path,
    package: Path,
    application: Application,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The URL of the kit's HTTP front, in a process that takes CPU time until it ends."""
    hits = tmp_path_factory.mktemp("serve") / "hits.jsonl"
    hits.write_text("".join(f"{hit(*row, application)}\n" for row in HITS))
    with kit_server(vespa_check, package, hits) as url:
        yield url


@pytest.fixture
def engine(server: str, application: Application) -> Iterator[VespaEngine]:
    connected = VespaEngine.connect(server, application)
    yield connected
    connected.close()
