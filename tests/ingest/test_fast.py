"""The compiled image tower: taken where its vectors are the encoder's, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.corpus.corpus import write_corpus
from ingest.sources.phantoms import Phantoms
from ingest.vectors.embed import embed_corpus, read_embeddings
from ingest.vectors.fast import SAME, compiled_exactly
from tests.vespa_app.conftest import tiny_encoder


@pytest.fixture(scope="module")
def encoder():
    return tiny_encoder(0, 24)


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(Phantoms(40), tmp_path / "corpus")


def images_of(corpus):
    return [record.image for record in corpus.records() if record.image]


def test_a_large_corpus_is_embedded_by_it(corpus, encoder, monkeypatch):
    monkeypatch.setattr("ingest.vectors.embed.CHUNK", 32)
    report = embed_corpus(corpus, encoder)
    assert report.embedded == 40
    assert report.by.startswith("compiled image tower, float32")
    _, vectors = read_embeddings(corpus, encoder.manifest.fingerprint)
    expected = encoder.encode_images(images_of(corpus))
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=SAME)
    assert embed_corpus(corpus, encoder).by == ""


def test_a_small_one_is_not(corpus, encoder):
    assert embed_corpus(corpus, encoder).by == "the encoder itself"


def test_other_vectors_are_not_taken(corpus, encoder, monkeypatch):
    monkeypatch.setattr("ingest.vectors.fast.SAME", 0.0)
    maker, why = compiled_exactly(encoder, images_of(corpus))
    assert maker is encoder
    assert "vectors differ by" in why


def test_what_cannot_be_compiled_stops_nothing(encoder, corpus):
    maker, why = compiled_exactly(encoder, images_of(corpus)[:3])
    assert maker is encoder
    assert "too few" in why


def test_any_other_encoder_is_left_alone(pixel_encoder, corpus):
    assert compiled_exactly(pixel_encoder, images_of(corpus))[0] is pixel_encoder
