"""BM25 against rank_bm25 with Vespa's idf, and against a real server's scores."""

from __future__ import annotations

import gzip
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from rank_bm25 import BM25Okapi

from ranking.engine.engine import EmbeddedEngine
from ranking.engine.reader import IndexReader
from ranking.engine.segment.postings import TextIndex, idf, text_arrays
from ranking.engine.segment.segment import Segment, segment_arrays
from ranking.types import Document, Query

PLAIN = re.compile(r"[A-Za-z0-9 ]+")
WORDS = st.sampled_from(["chest", "lung", "heart", "ct", "of", "the", "left", "mass"])
CAPTIONS = st.lists(st.lists(WORDS, min_size=1, max_size=12), min_size=1, max_size=20)


def oracle(captions: list[list[str]]) -> BM25Okapi:
    found = BM25Okapi(captions, k1=1.2, b=0.75)
    frequencies = {word: sum(word in caption for caption in captions) for word in found.idf}
    found.idf = {word: idf(len(captions), n) for word, n in frequencies.items()}
    return found


def reader_of(captions: list[str | None]) -> IndexReader:
    documents = [Document(f"d{n:03}", caption) for n, caption in enumerate(captions)]
    return IndexReader([(Segment("s", segment_arrays(documents, ()), ()), None)], ())


def scores(reader: IndexReader, terms: list[str]) -> np.ndarray:
    asked = reader.texts["caption"].terms(terms)[0]
    return reader.parts[0][0].texts["caption"].scores(asked)


@settings(max_examples=60, deadline=None)
@given(CAPTIONS, st.lists(WORDS, min_size=1, max_size=6))
def test_scores_are_those_of_okapi_with_vespas_idf(captions, terms):
    reader = reader_of([" ".join(caption) for caption in captions])
    assert np.allclose(
        scores(reader, terms), oracle(captions).get_scores(terms), rtol=1e-12, atol=0
    )


def test_idf_is_vespas_formula():
    assert idf(10, 3) == pytest.approx(math.log(1 + (10 - 3 + 0.5) / (3 + 0.5)), rel=1e-15)
    assert idf(10, 10) > 0


def test_a_document_without_caption_counts_in_n_but_not_in_the_mean_length():
    reader = reader_of(["one two three", None, ""])
    assert reader.count == 3
    assert reader.texts["caption"].average_length == 1.5


def test_unknown_terms_and_an_empty_index_score_nothing():
    assert not scores(reader_of(["chest"]), ["zebra"]).any()
    assert scores(reader_of([]), ["chest"]).shape == (0,)


def test_postings_are_sorted_and_words_of_any_script_are_found():
    index = TextIndex("t", text_arrays("t", [["ñ", "b", "b"], ["b"], None, ["胸部"]]))
    start, end, _ = index.find("b")
    assert end - start == 2
    assert index.find("胸部")[:2] != (0, 0)
    assert index.find("a") == index.find("zz") == (0, 0, -1)


@pytest.fixture(scope="module")
def roco(vespa_golden: Path, shared_data: Path) -> EmbeddedEngine:
    path = shared_data / "roco/data/test/radiology/captions.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    captions = dict(line.split("\t", 1) for line in lines if "\t" in line)
    with gzip.open(vespa_golden / "documents.jsonl.gz", "rt", encoding="utf-8") as stream:
        ids = [json.loads(line)["id"] for line in stream]
    return EmbeddedEngine.in_memory([Document(i, captions[i].strip()) for i in ids])


def lexical_records(vespa_golden: Path) -> list[dict]:
    with gzip.open(vespa_golden / "lexical.jsonl.gz", "rt", encoding="utf-8") as stream:
        records = [json.loads(line) for line in stream]
    return [
        record
        for record in records
        if record["kind"].endswith("-any") and PLAIN.fullmatch(record["request"].get("text", ""))
    ]


def test_a_real_servers_scores(roco, vespa_golden):
    """Every recorded hit's score, where the server looked for the same words as we do."""
    assert roco.average_field_lengths["caption"] == pytest.approx(172972 / 8179, rel=1e-3)
    compared = 0
    for record in lexical_records(vespa_golden):
        text = record["request"]["text"]
        result = roco.search(Query(text=text, profile="lexical", k=8179, with_documents=False))
        ours = dict(zip(result.ids, result.scores, strict=True))
        for identifier, score, *_ in record["hits"]:
            assert ours.get(identifier, 0.0) == pytest.approx(score, rel=1e-9), text
            compared += 1
    assert compared > 2_000
