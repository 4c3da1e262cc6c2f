"""The engine contract on a real server, which is emptied before each test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from encoders.model.manifest import Manifest
from ingest.feed.targets import with_fingerprints
from ranking.names import CAPTION_VECTORS
from ranking.profiles.shipped import ProfileSet
from ranking.types import Attribute, Document, Engine, VectorField
from tests.live.server import ROOMY, LiveServer
from vespa_app.engine import VespaEngine
from vespa_app.package.options import PackageOptions
from vespa_app.package.package import PackagedEncoder, write_application
from vespa_app.read.application import read_application

RERANKERS: dict[str, Path] = {}
"""Folders of encoders that have a re-ranker, by fingerprint."""

_deployed: list[tuple[object, ...]] = []


class NamedManifest(Manifest):
    """A manifest of the fingerprint that the contract gives its field."""

    given = ""

    @property
    def fingerprint(self) -> str:
        return self.given


def manifest_of(field: VectorField) -> Manifest:
    named = type("Given", (NamedManifest,), {"given": field.fingerprint})
    sizes = {"dimension": field.dimension, "max_tokens": 77, "image_size": 16}
    looks = {"image_mode": "L", "image_resize": "pad", "image_mean": (0.5,), "image_std": (0.5,)}
    rest = {"weights_sha256": "", "tokenizer_sha256": "", "architecture": "{}"}
    return named(**sizes, **looks, **rest, normalized=True)


def make_live(path: Path, server: LiveServer):
    """An engine over the server, holding the given documents and nothing else."""

    def make(
        documents: Sequence[Document],
        fields: Sequence[VectorField],
        profiles: ProfileSet,
        attributes: Sequence[Attribute] = (),
    ) -> Engine:
        package = path / "app"
        made = {each.fingerprint: manifest_of(each) for each in fields}
        alone = [f for f in fields if f.name.startswith(CAPTION_VECTORS)]
        alone = [f for f in alone if sum(f.fingerprint == o.fingerprint for o in fields) == 1]
        captions = [PackagedEncoder(made.pop(field.fingerprint)) for field in alone]
        current, *others = made.values()
        write_application(
            package,
            current,
            profiles,
            RERANKERS.get(current.fingerprint),
            others=[PackagedEncoder(each) for each in others],
            captions=next(iter(captions), None),
            options=PackageOptions(embedding="client", cluster=ROOMY, attributes=tuple(attributes)),
        )
        wanted = (server, tuple(fields), profiles, tuple(attributes))
        if [wanted] != _deployed:
            server.fresh(package, path / "scratch")
            _deployed[:] = [wanted]
        known = with_fingerprints(read_application(package), [f.fingerprint for f in fields])
        engine = VespaEngine.connect(server.url, known)
        engine.remove(list(engine.ids()))
        report = engine.feed(documents)
        assert not report.failed, report.failed
        return engine

    return make
