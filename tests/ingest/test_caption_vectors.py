"""Vectors of captions: made once, and part of the documents that ask for them."""

from __future__ import annotations

import numpy as np

from ingest.corpus.corpus import write_corpus
from ingest.feed.documents import documents
from ingest.vectors.embed import embed_corpus, embedding_parts
from ranking.names import encoder_names

from .conftest import PixelEncoder
from .test_studies import RECORDS


class Reading(PixelEncoder):
    """Of a text its length: a real encoder of texts, without weights."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def encode_texts(self, texts, batch_size=64):
        self.texts += texts
        found = np.ones((len(texts), 16), np.float32)
        found[:, 0] = [len(text) for text in texts]
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_captions_are_embedded_once_and_stand_in_the_documents(tmp_path, rows):
    encoder = Reading()
    corpus = write_corpus(rows(RECORDS), tmp_path / "corpus")
    for _ in range(2):
        embed_corpus(corpus, encoder, captions=encoder)
    assert encoder.texts == [record.caption for record in RECORDS]
    fingerprint = encoder.manifest.fingerprint
    name = encoder_names(fingerprint).field("caption_embedding")
    assert len(embedding_parts(corpus, fingerprint)) == 1  # the images' alone
    made = {d.id: d for d in documents(corpus, fingerprint, captions=True)}
    assert all(name in document.vectors for document in made.values())
    np.testing.assert_array_equal(made["x"].vectors[name], encoder.encode_texts(["Alone."])[0])
    halves = documents(corpus, fingerprint, captions=True, view="split-caption")
    assert all(name not in document.vectors for document in halves)
    study = {d.id: d for d in documents(corpus, fingerprint, captions=True, studies=True)}["a"]
    assert list(study.labelled) == [encoder_names(fingerprint).field("frames")]
    np.testing.assert_allclose(study.vectors[name], made["a#1"].vectors[name], rtol=1e-6)
