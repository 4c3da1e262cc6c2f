"""Feeding engines in this process and a fake Vespa: what is sent, and what is not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from encoders.model.manifest import Manifest
from ingest.corpus.corpus import Corpus, write_corpus
from ingest.corpus.records import Record
from ingest.feed.documents import documents, second_half
from ingest.feed.feed import FeedSource, feed, ledger_path
from ingest.feed.feed_file import write_feed_file
from ingest.feed.reconcile import contradiction, reconcile
from ingest.feed.targets import Change, EngineTarget, FeedError, VespaTarget
from ingest.vectors.embed import embed_corpus, embedding_parts
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.profiles.shipped import SHIPPED
from ranking.types import Document, VectorField
from rocosearch.vespa_jobs import write_feed
from tests.vespa_app.fake_server import FakeVespa, Fault
from vespa_app.feed.documents import DocumentClient, FeedSettings
from vespa_app.http.connection import Credentials
from vespa_app.read.application import Application, ServedEncoder

from .conftest import PixelEncoder, Rows, png_bytes

QUICK = FeedSettings(streams=8, seconds=5, patience=3, first=0.001, longest=0.02)


def fields(*manifests: Manifest) -> tuple[VectorField, ...]:
    return tuple(
        VectorField(encoder_names(m.fingerprint).embedding, m.dimension) for m in manifests
    )


@dataclass
class Counting:
    """An engine target that remembers what it was sent."""

    inner: EngineTarget
    sent: list[Change] = field(default_factory=list)

    @property
    def name(self):
        return self.inner.name

    @property
    def content(self):
        return self.inner.content

    @property
    def vector_fields(self):
        return self.inner.vector_fields

    @property
    def attributes(self):
        return self.inner.attributes

    def for_encoders(self, fingerprints):
        return self

    def ids(self):
        return self.inner.ids()

    def held(self):
        return self.inner.held()

    def send(self, changes):
        def noted():
            for change in changes:
                self.sent.append(change)
                yield change

        return self.inner.send(noted())

    def take(self) -> list[tuple[str, str]]:
        kinds = [(change.kind, change.document.id) for change in self.sent]
        self.sent.clear()
        return kinds


def target_for(*manifests: Manifest) -> Counting:
    engine = EmbeddedEngine.in_memory([], fields(*manifests), SHIPPED)
    return Counting(EngineTarget(engine, "memory"))


def rows(count: int, **changed: str) -> Rows:
    records = [
        Record(f"r{n}", changed.get(f"r{n}", f"caption {n}"), image=png_bytes(n, side=5 + n))
        for n in range(count)
    ]
    return Rows(records)


@pytest.fixture
def corpus(tmp_path, pixel_encoder) -> Corpus:
    made = write_corpus(rows(6), tmp_path / "corpus")
    embed_corpus(made, pixel_encoder)
    return made


def test_only_what_changed_is_sent(corpus, pixel_encoder, tmp_path):
    manifest = pixel_encoder.manifest
    target = target_for(manifest)
    source = FeedSource(corpus, (manifest.fingerprint,))
    first = feed(source, target)
    assert (first.put, first.unchanged) == (6, 0)
    assert sorted(target.take()) == [("put", f"r{n}") for n in range(6)]
    again = feed(source, target)
    assert (again.sent, again.unchanged, target.take()) == (0, 6, [])

    changed = write_corpus(rows(7, r3="another caption"), tmp_path / "corpus")
    embed_corpus(changed, pixel_encoder)
    third = feed(FeedSource(changed, (manifest.fingerprint,)), target)
    assert (third.put, third.unchanged) == (2, 5)
    assert sorted(target.take()) == [("put", "r3"), ("put", "r6")]
    assert target.inner.engine.get("r3").caption == "another caption"


def test_what_an_index_holds_already_is_not_sent_again(corpus, pixel_encoder, tmp_path):
    fingerprint = pixel_encoder.manifest.fingerprint
    name = encoder_names(fingerprint).embedding
    built = [*documents(corpus, fingerprint), Document("another corpus's", "caption")]
    built[1] = replace(built[1], caption="outdated")
    built[4] = replace(built[4], vectors={})
    field = VectorField(name, pixel_encoder.manifest.dimension, fingerprint)
    engine = EmbeddedEngine.build(tmp_path / "index", built, [field], SHIPPED)
    target = Counting(EngineTarget(engine, "index"))
    result = feed(FeedSource(corpus, (fingerprint,), delete=True), target)
    assert (result.put, result.updated, result.unchanged, result.removed) == (1, 1, 4, 0)
    assert sorted(target.take()) == [("put", "r1"), ("update", "r4")]
    assert engine.count() == 7
    assert feed(FeedSource(corpus, (fingerprint,)), target).unchanged == 6


def test_a_new_encoder_is_a_partial_update(corpus, pixel_encoder):
    other = PixelEncoder("b")
    embed_corpus(corpus, other)
    target = target_for(pixel_encoder.manifest, other.manifest)
    feed(FeedSource(corpus, (pixel_encoder.manifest.fingerprint,)), target)
    target.take()
    result = feed(FeedSource(corpus, (other.manifest.fingerprint,)), target)
    assert (result.put, result.updated) == (0, 6)
    assert {kind for kind, _ in target.take()} == {"update"}
    assert len(target.inner.engine.get("r1").vectors) == 2


def test_a_changed_caption_does_not_cost_the_other_encoders_vector(corpus, pixel_encoder, tmp_path):
    other = PixelEncoder("b")
    embed_corpus(corpus, other)
    target = target_for(pixel_encoder.manifest, other.manifest)
    for each in (pixel_encoder, other):
        feed(FeedSource(corpus, (each.manifest.fingerprint,)), target)
    target.take()
    changed = write_corpus(rows(6, r2="new"), tmp_path / "corpus")
    feed(FeedSource(changed, (other.manifest.fingerprint,)), target)
    assert target.take() == [("put", "r2")]
    assert len(target.inner.engine.get("r2").vectors) == 2


def test_deletes_only_when_asked(corpus, pixel_encoder, tmp_path):
    target = target_for(pixel_encoder.manifest)
    prints = (pixel_encoder.manifest.fingerprint,)
    feed(FeedSource(corpus, prints), target)
    smaller = write_corpus(rows(4), tmp_path / "corpus")
    assert feed(FeedSource(smaller, prints), target).removed == 0
    assert target.inner.engine.count() == 6
    assert feed(FeedSource(smaller, prints, delete=True), target).removed == 2
    assert sorted(target.inner.engine.ids()) == ["r0", "r1", "r2", "r3"]
    assert feed(FeedSource(smaller, prints, delete=True), target).removed == 0


def test_what_the_target_lost_is_put_whole(corpus, pixel_encoder):
    other = PixelEncoder("b")
    embed_corpus(corpus, other)
    target = target_for(pixel_encoder.manifest, other.manifest)
    feed(FeedSource(corpus, (pixel_encoder.manifest.fingerprint,)), target)
    target.inner.engine.remove(["r1", "r4"])
    result = feed(FeedSource(corpus, (other.manifest.fingerprint,)), target)
    assert (result.put, result.updated, result.refused) == (2, 4, 0)
    assert target.inner.engine.count() == 6
    assert len(target.inner.engine.get("r4").vectors) == 2


def test_reconciling_finds_what_is_lost_and_what_is_strange(corpus, pixel_encoder):
    target = target_for(pixel_encoder.manifest)
    source = FeedSource(corpus, (pixel_encoder.manifest.fingerprint,))
    feed(source, target)
    engine = target.inner.engine
    engine.remove(["r1"])
    engine.feed([replace(engine.get("r2"), id="stranger")])
    engine.feed([replace(engine.get("r3"), caption="by another hand")])
    assert feed(source, target).unchanged == 6  # the ledger cannot know
    found = reconcile(corpus, target)
    assert (found.visited, found.lost, found.unknown) == (6, ("r1",), ("stranger",))
    assert found.changed == ("r3",)
    assert feed(source, target).put == 2
    assert (engine.count(), engine.get("r3").caption) == (7, "caption 3")


def test_the_view_of_split_captions_is_fed_like_a_change(corpus, pixel_encoder):
    target = target_for(pixel_encoder.manifest)
    source = FeedSource(corpus, (pixel_encoder.manifest.fingerprint,))
    feed(source, target)
    feed(replace(source, view="split-caption"), target)
    assert target.inner.engine.get("r3").caption == second_half("caption 3") == "3"


def test_an_encoder_that_the_target_does_not_know_is_an_error_before_anything(
    corpus, pixel_encoder
):
    target = target_for(PixelEncoder("b").manifest)
    source = FeedSource(corpus, (pixel_encoder.manifest.fingerprint,))
    with pytest.raises(FeedError, match="has no vector field"):
        feed(source, target)
    mixed = [replace(fields(pixel_encoder.manifest)[0], fingerprint="other")]
    engine = EmbeddedEngine.in_memory([], mixed, SHIPPED)
    with pytest.raises(FeedError, match="cannot be mixed"):
        feed(source, EngineTarget(engine, "memory"))
    other = PixelEncoder("b")
    with pytest.raises(FeedError, match="embed it first"):
        feed(FeedSource(corpus, (other.manifest.fingerprint,)), target_for(other.manifest))
    assert target.take() == []


def test_an_index_on_disk(corpus, pixel_encoder, tmp_path):
    manifest = pixel_encoder.manifest
    engine = EmbeddedEngine.build(tmp_path / "index", [], fields(manifest), SHIPPED)
    result = feed(FeedSource(corpus, (manifest.fingerprint,)), EngineTarget(engine, "index"))
    assert result.put == 6
    assert EmbeddedEngine.open(tmp_path / "index").count() == 6


def test_an_index_built_anew_is_not_what_the_ledger_tells_of(corpus, pixel_encoder, tmp_path):
    manifest = pixel_encoder.manifest
    source, results = FeedSource(corpus, (manifest.fingerprint,)), []
    for _ in range(2):
        engine = EmbeddedEngine.build(tmp_path / "index", [], fields(manifest), SHIPPED)
        results += [feed(source, EngineTarget(engine, "index")) for _ in range(2)]
        assert EmbeddedEngine.open(tmp_path / "index").count() == 6
    assert [each.restarted for each in results] == [False, False, True, False]
    assert [each.put for each in results] == [6, 0, 6, 0]


# --- over HTTP -------------------------------------------------------------------------------


def application(*manifests: Manifest) -> Application:
    served = (
        ServedEncoder(encoder_names(m.fingerprint).short, f)
        for m, f in zip(manifests, fields(*manifests), strict=True)
    )
    return Application({}, tuple(served))


def vespa(server: FakeVespa, *manifests: Manifest) -> VespaTarget:
    client = DocumentClient(server.url, Credentials(), QUICK)
    return VespaTarget(client, application(*manifests))


def test_over_http_the_whole_fingerprint_and_the_vector_arrive(corpus, pixel_encoder):
    manifest = pixel_encoder.manifest
    names = encoder_names(manifest.fingerprint)
    with FakeVespa() as server:
        target = vespa(server, manifest)
        result = feed(FeedSource(corpus, (manifest.fingerprint,)), target)
        assert result.put == 6
        assert sorted(target.ids()) == sorted(server.documents)
    found = server.documents["r2"]
    assert found[names.fingerprint] == manifest.fingerprint
    (document,) = [d for d in documents(corpus, manifest.fingerprint) if d.id == "r2"]
    sent = np.frombuffer(bytes.fromhex(found[names.embedding]["values"]), ">f4")
    np.testing.assert_array_equal(sent, document.vectors[names.embedding])


def test_faults_lose_nothing_and_refusals_become_dead_letters(corpus, pixel_encoder):
    rng = random.Random(1)

    def faults(request):
        if request.id == "r5":
            return Fault(500, "Index 16 out of bounds for length 16")
        return (
            Fault(rng.choice([0, 429, 503, 504]), applied=rng.random() < 0.5)
            if rng.random() < 0.5
            else None
        )

    manifest = pixel_encoder.manifest
    source = FeedSource(corpus, (manifest.fingerprint,))
    with FakeVespa(faults) as server:
        result = feed(source, vespa(server, manifest))
        assert (result.put, result.refused) == (5, 1)
        assert result.tries_again > 0
        assert sorted(server.documents) == [f"r{n}" for n in range(5)]
        letter = json.loads(result.dead_letters.read_text())
        assert letter == {"id": "r5", "message": "Index 16 out of bounds for length 16"}
        server.faults = lambda _: None
        server.requests.clear()
        assert feed(source, vespa(server, manifest)).put == 1
    assert [r.id for r in server.requests] == ["r5"]
    assert not result.dead_letters.exists()


def test_a_full_server_stops_with_a_sentence_and_the_next_feed_goes_on(corpus, pixel_encoder):
    manifest = pixel_encoder.manifest
    source = FeedSource(corpus, (manifest.fingerprint,))
    with FakeVespa(lambda r: Fault(507, "disk is full") if r.number >= 3 else None) as server:
        with pytest.raises(FeedError, match=r"disk is full Fed until then: 3 of 6|is full.*3 of 6"):
            feed(source, vespa(server, manifest))
        server.faults = lambda _: None
        assert feed(source, vespa(server, manifest)).put == 3
    assert all(server.puts(f"r{n}") <= 2 for n in range(6))


def test_a_vector_that_must_not_be_sent_is_not(corpus, pixel_encoder):
    manifest = pixel_encoder.manifest
    with FakeVespa() as server:
        target = vespa(server, manifest)
        (document,) = [d for d in documents(corpus, manifest.fingerprint) if d.id == "r2"]
        name = encoder_names(manifest.fingerprint).embedding
        bad = [np.full(16, np.nan), np.ones(16), np.ones(3), np.zeros(16)]
        changes = [
            Change("put", replace(document, id=str(n), vectors={name: v.astype(np.float32)}))
            for n, v in enumerate(bad)
        ]
        outcomes = list(target.send(changes))
    assert [o.verdict.value for o in outcomes] == ["refused"] * 4
    assert server.requests == []


def test_a_feed_file(corpus, pixel_encoder, tmp_path):
    manifest = pixel_encoder.manifest
    out = tmp_path / "feed.jsonl"
    source = FeedSource(corpus, (manifest.fingerprint,))
    assert write_feed_file(source, application(manifest), out) == (6, [])
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["put"] for line in lines] == [f"id:image:image::r{n}" for n in range(6)]


def test_a_feed_file_for_an_application_of_another_encoder_is_one_sentence(
    corpus, pixel_encoder, tmp_path
):
    folder, out = tmp_path / "encoder", tmp_path / "feed.jsonl"
    folder.mkdir()
    pixel_encoder.manifest.save(folder)
    with pytest.raises(FeedError, match="has no vector field") as told:
        write_feed(corpus.path, folder, application(PixelEncoder("b").manifest), out)
    assert str(told.value).count("\n") == 0
    assert not out.exists()


def test_a_missing_part_of_the_vectors_is_told_before_anything_is_sent(
    corpus, pixel_encoder, tmp_path
):
    manifest = pixel_encoder.manifest
    parts = embedding_parts(corpus, manifest.fingerprint)
    more = write_corpus(rows(9), corpus.path)
    embed_corpus(more, pixel_encoder)
    parts[0].unlink()
    target = target_for(manifest)
    source = FeedSource(more, (manifest.fingerprint,))
    with pytest.raises(FeedError, match=r"6 images of .* have no vector"):
        feed(source, target)
    assert target.take() == []
    embed_corpus(more, pixel_encoder)
    assert feed(source, target).put == 9


# Forks a process for each line it reads, so that all is imported when a feed begins.
FEEDER = """
import os, sys
from pathlib import Path
from ingest.corpus.corpus import Corpus
from ingest.feed.feed import FeedSource, feed
from ingest.feed.targets import VespaTarget
from vespa_app.read.application import Application
from vespa_app.http.connection import Credentials
from vespa_app.feed.documents import DocumentClient, FeedSettings

for _ in sys.stdin:
    pid = os.fork()
    if pid == 0:
        client = DocumentClient(sys.argv[2], Credentials(), FeedSettings(streams=8, patience=20))
        feed(FeedSource(Corpus.open(Path(sys.argv[1]))), VespaTarget(client, Application({})))
        os._exit(0)
    print(pid, flush=True)
    os.waitpid(pid, 0)
"""


def test_killed_at_random_moments_it_ends_with_every_document(tmp_path):
    records = [Record(f"r{n:04}", f"caption {n}") for n in range(1500)]
    corpus = write_corpus(Rows(records), tmp_path / "corpus")
    moments = [40, 300, 301, 700]  # requests that the server has seen
    with FakeVespa() as server:
        with subprocess.Popen(
            [sys.executable, "-c", FEEDER, str(corpus.path), server.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as feeder:
            for moment in moments:
                print(file=feeder.stdin, flush=True)
                pid = int(feeder.stdout.readline())
                while len(server.requests) < moment:
                    time.sleep(0.0005)
                os.kill(pid, signal.SIGKILL)
            feeder.stdin.close()
        target = VespaTarget(DocumentClient(server.url, Credentials(), QUICK), Application({}))
        result = feed(FeedSource(corpus), target)
        assert feed(FeedSource(corpus), target).sent == 0
    assert set(server.documents) == {record.id for record in records}
    assert result.put + result.unchanged == 1500
    again = len(server.requests) - 1500
    # Twice only what was under way at a kill: sent, or answered and not yet entered.
    assert again <= len(moments) * 3 * 8
    assert ledger_path(corpus, target).exists()


def test_a_server_that_was_emptied_or_restored_contradicts_the_ledger(corpus, pixel_encoder):
    manifest = pixel_encoder.manifest
    source = FeedSource(corpus, (manifest.fingerprint,))
    with FakeVespa() as server:
        target = vespa(server, manifest)
        assert contradiction(corpus, target) == ""  # nothing was fed yet
        feed(source, target)
        server.documents["of another corpus"] = {}
        assert contradiction(corpus, target) == ""
        server.documents |= {"a": {}, "b": {}}
        del server.documents["r4"]  # as many as before, and one of ours is gone
        assert "no longer has document 'r4'" in contradiction(corpus, target)
        assert reconcile(corpus, target).lost == ("r4",)
        assert feed(source, target).put == 1
        server.documents.clear()
        assert "has 0 documents, and 6 were fed to it" in contradiction(corpus, target)
        reconcile(corpus, target)
        assert feed(source, target).put == 6
        assert contradiction(corpus, target) == ""
