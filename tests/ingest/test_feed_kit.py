"""Feeding Vespa's own HTTP front (the kit's `serve`) and its own reader of feed files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ingest.corpus.corpus import write_corpus
from ingest.corpus.records import Record
from ingest.feed.documents import documents
from ingest.feed.feed import FeedSource, feed
from ingest.feed.feed_file import write_feed_file
from ingest.feed.reconcile import reconcile
from ingest.feed.targets import VespaTarget, with_fingerprints
from ingest.vectors.embed import embed_corpus
from ranking.names import encoder_names
from ranking.profiles.shipped import SHIPPED
from tests.vespa_app.client.kit_server import kit_server
from vespa_app.feed.documents import DocumentClient
from vespa_app.feed.operations import Operation
from vespa_app.feed.store import Store
from vespa_app.http.connection import Connection, Credentials
from vespa_app.http.retries import Retries
from vespa_app.package.options import PackageOptions
from vespa_app.package.package import PackagedEncoder, write_application
from vespa_app.read.application import read_application

from .conftest import PixelEncoder, Rows, png_bytes


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    out = tmp_path_factory.mktemp("app") / "app"
    other = PackagedEncoder(PixelEncoder("b").manifest)
    options = PackageOptions(embedding="client")
    write_application(out, PixelEncoder().manifest, SHIPPED, others=[other], options=options)
    return out


@pytest.fixture(scope="module")
def url(vespa_check, package):
    with kit_server(vespa_check, package) as found:
        yield found


@pytest.fixture
def corpus(tmp_path, pixel_encoder):
    records = [
        Record(f"r{n}/é", f"caption {n}: ½ «右肺»", image=png_bytes(n, side=5 + n), group_id="g")
        for n in range(300)
    ]
    records.append(Record("control", "a\x01b"))
    made = write_corpus(Rows(records), tmp_path / "corpus")
    embed_corpus(made, pixel_encoder)
    return made


def test_a_whole_feed(url, package, corpus, pixel_encoder):
    prints = (pixel_encoder.manifest.fingerprint,)
    application = read_application(package)
    with DocumentClient(url, Credentials()) as client:
        target = VespaTarget(client, application)
        result = feed(FeedSource(corpus, prints), target)
        assert (result.put, result.refused) == (300, 1)
        letter = json.loads(result.dead_letters.read_text())
        assert letter["id"] == "control"
        assert "illegal code point" in letter["message"]
        assert feed(FeedSource(corpus, prints), target).put == 0

        other = PixelEncoder("b")
        embed_corpus(corpus, other)
        result = feed(FeedSource(corpus, (other.manifest.fingerprint,)), target)
        assert (result.updated, result.put) == (300, 0)

        found = reconcile(corpus, target)
        assert (found.visited, found.lost, found.unknown) == (300, (), ())
        known = with_fingerprints(application, [*prints, other.manifest.fingerprint])
        store = Store(Connection(url, Credentials()), known, Retries(), 10)
        stored = store.get("r7/é")
        (expected,) = [
            d for d in documents(corpus, [*prints, other.manifest.fingerprint]) if d.id == "r7/é"
        ]
        assert stored.caption == expected.caption
        assert len(expected.vectors) == 2
        for name, vector in expected.vectors.items():
            np.testing.assert_array_equal(stored.vectors[name], vector)

        # The server is emptied behind the ledger's back: updates turn into puts.
        for identifier in list(client.ids())[::2]:
            client.send(Operation("remove", identifier))
        assert len(reconcile(corpus, target).lost) == 150
        assert feed(FeedSource(corpus, prints), target).put == 150

        smaller = Rows([r for r in corpus.records() if r.id < "r2"])
        kept = write_corpus(smaller, corpus.path)
        result = feed(FeedSource(kept, prints, delete=True), target)
        assert result.removed == 301 - len(smaller.rows)
        assert sorted(client.ids()) == sorted(r.id for r in smaller.rows if r.id != "control")


def test_an_absent_document_is_put_after_its_update_was_refused(
    url, package, corpus, pixel_encoder
):
    prints = (pixel_encoder.manifest.fingerprint,)
    other = PixelEncoder("b")
    embed_corpus(corpus, other)
    with DocumentClient(url, Credentials()) as client:
        target = VespaTarget(client, read_application(package))
        feed(FeedSource(corpus, prints), target)
        for identifier in list(client.ids())[:20]:
            client.send(Operation("remove", identifier))
        result = feed(FeedSource(corpus, (other.manifest.fingerprint,)), target)
        assert (result.put, result.updated) == (20, 280)
        assert len(set(client.ids())) == 300


def test_vespa_itself_accepts_the_feed_file(kit, package, corpus, pixel_encoder, tmp_path):
    source = FeedSource(corpus, (pixel_encoder.manifest.fingerprint,))
    out = tmp_path / "feed.jsonl"
    application = read_application(package)
    assert write_feed_file(source, application, out) == (301, [])
    lines = out.read_text().splitlines()
    name = encoder_names(pixel_encoder.manifest.fingerprint).embedding
    wrong = [line.replace(f'"{name}"', '"embedding_00000000"') for line in lines[:3]]
    rejected = read(kit, package, lines + wrong)
    assert rejected == ["control", *(record_id(line) for line in wrong)]


def record_id(line: str) -> str:
    return json.loads(line)["put"].split("::", 1)[1]


def read(kit, package, lines: list[str]) -> list[str]:
    """Ids of the lines that Vespa's reader rejects."""
    answers = kit("feed-json", package, lines=lines)
    return [record_id(line) for line, a in zip(lines, answers, strict=True) if not a["ok"]]
