from __future__ import annotations

import os
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ingest.vectors.embed
from encoders.base.parquet import write_parquet
from ingest.corpus.corpus import Corpus, write_corpus
from ingest.corpus.records import CorpusError, Record
from ingest.feed.documents import documents, second_half
from ingest.vectors.embed import (
    Partition,
    embed_corpus,
    embedding_parts,
    read_embeddings,
    read_part,
)
from ingest.vectors.vectors import VectorError, check_vectors
from ranking.names import encoder_names

from .conftest import PixelEncoder, Rows, png_bytes


def test_every_image_is_embedded_once(own_corpus, pixel_encoder):
    first = embed_corpus(own_corpus, pixel_encoder)
    again = embed_corpus(own_corpus, pixel_encoder)
    assert (first.embedded, first.present) == (54, 0)
    assert (again.embedded, again.present) == (0, 54)
    assert pixel_encoder.images == 54
    ids, vectors = read_embeddings(own_corpus, pixel_encoder.manifest.fingerprint)
    assert ids == own_corpus.table(["id"])["id"].to_pylist()
    images = [record.image for record in own_corpus.records()]
    np.testing.assert_array_equal(vectors, pixel_encoder.encode_images(images))


def test_time_and_disk_are_told_from_the_first_images(tmp_path, pixel_encoder):
    rows = [Record(f"{n:03}", f"caption {n}", image=png_bytes(n)) for n in range(200)]
    corpus = write_corpus(Rows(rows), tmp_path / "c")
    told = []
    embed_corpus(corpus, pixel_encoder, lambda *report: told.append(report))
    expected = [report[3] for report in told if report[0] == "expected"]
    assert len(expected) == 1
    assert expected[0].startswith("embedding 200 images: about ")
    assert [done for stage, done, *_ in told if stage == "embed"][:2] == [1, 64]
    _, vectors = read_embeddings(corpus, pixel_encoder.manifest.fingerprint)
    images = [record.image for record in rows]
    np.testing.assert_array_equal(vectors, pixel_encoder.encode_images(images))


def test_a_kill_costs_one_chunk(own_corpus, pixel_encoder, monkeypatch):
    monkeypatch.setattr("ingest.vectors.embed.CHUNK", 10)
    encode, calls = pixel_encoder.encode_images, []

    def dying(images, batch_size=64):
        calls.append(len(images))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return encode(images, batch_size)

    monkeypatch.setattr(pixel_encoder, "encode_images", dying)
    with pytest.raises(KeyboardInterrupt):
        embed_corpus(own_corpus, pixel_encoder)
    monkeypatch.setattr(pixel_encoder, "encode_images", encode)
    report = embed_corpus(own_corpus, pixel_encoder)
    assert (report.embedded, report.present) == (24, 30)


def _embed_part(path, index, count):
    ingest.vectors.embed.CHUNK = 8
    embed_corpus(Corpus.open(path), PixelEncoder(), partition=Partition(index, count))


def test_several_processes_share_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("ingest.corpus.writer.ROW_GROUP", 5)
    monkeypatch.setattr("ingest.corpus.writer.PART_ROWS", 12)
    rows = [Record(f"{n:02}", f"caption {n}", image=png_bytes(n, side=5 + n)) for n in range(60)]
    corpus = write_corpus(Rows(rows), tmp_path / "c")
    jobs = [(corpus.path, i, 3) for i in (0, 1, 2, 2)]  # one of them started twice
    context = get_context("fork")
    processes = [context.Process(target=_embed_part, args=job) for job in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    fingerprint = PixelEncoder().manifest.fingerprint
    ids, vectors = read_embeddings(corpus, fingerprint)
    assert ids == [row.id for row in rows]
    np.testing.assert_array_equal(vectors, PixelEncoder().encode_images([r.image for r in rows]))
    found = {d.id: d.vectors for d in documents(corpus, fingerprint)}
    name = encoder_names(fingerprint).embedding
    np.testing.assert_array_equal([found[i][name] for i in ids], vectors)


def test_records_without_image_have_no_vector(tmp_path, pixel_encoder):
    rows = [Record("a", "with", image=png_bytes()), Record("b", "without")]
    corpus = write_corpus(Rows(rows), tmp_path / "c")
    assert embed_corpus(corpus, pixel_encoder).without_image == 1
    fingerprint = pixel_encoder.manifest.fingerprint
    assert read_embeddings(corpus, fingerprint)[0] == ["a"]
    found = {d.id: set(d.vectors) for d in documents(corpus, fingerprint)}
    assert found == {"a": {encoder_names(fingerprint).embedding}, "b": set()}


def test_each_image_is_read_once_for_its_vector_and_its_patches(own_corpus, pixel_encoder):
    """Also where some have one and lack the other; nothing is stored twice."""
    encode = pixel_encoder.encode_images
    asked = []

    def encode_parts(images, batch_size=64):
        asked.extend(images)
        found = encode(images)
        return [found, np.stack([found, -found], axis=1)]

    pixel_encoder.encode_parts = encode_parts
    embed_corpus(own_corpus, pixel_encoder, partition=Partition(0, 2))
    before, fingerprint = pixel_encoder.images, pixel_encoder.manifest.fingerprint
    for _ in range(2):
        embed_corpus(own_corpus, pixel_encoder, patches=True)
    assert len(asked) == pixel_encoder.images - before == 54
    names = encoder_names(fingerprint)
    for document in documents(own_corpus, fingerprint, patches=True):
        own = document.vectors[names.embedding]
        first, second = document.labelled[names.field("patches")].values()
        np.testing.assert_array_equal([first, second], [own, -own])
    ids = [i for p in embedding_parts(own_corpus, fingerprint) for i in read_part(p)["id"]]
    assert len(ids) == len(set(map(str, ids))) == 54


def test_a_replaced_image_is_embedded_again(tmp_path, pixel_encoder):
    corpus = write_corpus(Rows([Record("a", "x", image=png_bytes(1))]), tmp_path / "c")
    embed_corpus(corpus, pixel_encoder)
    changed = png_bytes(200, mode="RGB")
    corpus = write_corpus(Rows([Record("a", "x", image=changed)]), tmp_path / "c")
    with pytest.raises(CorpusError, match="has no vectors"):
        read_embeddings(corpus, "0" * 64)
    assert read_embeddings(corpus, pixel_encoder.manifest.fingerprint)[0] == []
    assert embed_corpus(corpus, pixel_encoder).embedded == 1
    _, vectors = read_embeddings(corpus, pixel_encoder.manifest.fingerprint)
    np.testing.assert_array_equal(vectors, pixel_encoder.encode_images([changed]))


def test_a_damaged_part_is_named(own_corpus, pixel_encoder):
    embed_corpus(own_corpus, pixel_encoder)
    (part,) = (own_corpus.path / "embeddings").rglob("part-*.parquet")
    os.truncate(part, 50)
    with pytest.raises(CorpusError, match=r"part-.* is damaged .* embed again"):
        embed_corpus(own_corpus, pixel_encoder)


def test_a_stored_vector_of_another_length_is_told_by_every_reader(own_corpus, pixel_encoder):
    embed_corpus(own_corpus, pixel_encoder)
    (part,) = (own_corpus.path / "embeddings").rglob("part-*.parquet")
    table = pq.read_table(part)
    vectors = [[2 * number for number in each] for each in table["vector"].to_pylist()]
    column = pa.array(vectors, table.schema.field("vector").type)
    write_parquet(table.set_column(table.schema.names.index("vector"), "vector", column), part)
    fingerprint = pixel_encoder.manifest.fingerprint
    with pytest.raises(CorpusError, match=r"part-.* has length 2; 1 expected"):
        read_embeddings(own_corpus, fingerprint)
    with pytest.raises(CorpusError, match=r"part-.* has length 2; 1 expected"):
        list(documents(own_corpus, (fingerprint,)))


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((1, 3)), r"shape \(1, 3\); \(1, 2\) expected"),
        (np.array([[np.nan, 1]]), "The vector of a contains NaN"),
        (np.array([[np.inf, 1]]), "The vector of a contains NaN"),
        (np.array([[3, 4]]), "The vector of a has length 5; 1 expected"),
        (np.zeros((1, 2)), "The vector of a has length 0; 1 expected"),
    ],
)
def test_a_wrong_vector_is_never_stored(vectors, message):
    with pytest.raises(VectorError, match=message):
        check_vectors(["a"], vectors.astype(np.float32), 2, normalized=True)


def test_lengths_are_free_where_the_encoder_does_not_normalise():
    check_vectors(["a"], np.array([[3, 4]], np.float32), 2, normalized=False)


@pytest.mark.parametrize("text", ["1", "a/2", "2/2", "-1/2", "1/0"])
def test_a_wrong_partition_is_refused(text):
    with pytest.raises(CorpusError, match="part"):
        Partition.parse(text)


def test_a_partition_is_parsed():
    assert Partition.parse("1/4") == Partition(1, 4)


def test_the_second_half_of_a_caption():
    assert second_half("one two  three\nfour five") == "three four five"
    assert second_half("one two three four") == "three four"


def test_the_split_caption_view_changes_captions_only(phantom_corpus):
    full = list(documents(phantom_corpus))
    halves = list(documents(phantom_corpus, view="split-caption"))
    assert [d.id for d in halves] == [d.id for d in full]
    assert all(second_half(a.caption) == b.caption for a, b in zip(full, halves, strict=True))
    assert full[0].concepts == halves[0].concepts
