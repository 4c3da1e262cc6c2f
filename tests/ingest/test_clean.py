from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings, strategies as st

from ingest.corpus.corpus import write_corpus
from ingest.corpus.duplicates import find_duplicates, normal_caption
from ingest.corpus.records import SCHEMA, Record, to_arrow

from .conftest import Rows, png_bytes


def with_hashes(hashes: list[int], tmp_path):
    records = [
        Record(f"{n}", f"caption {n}", image=str(n).encode(), image_dhash=f"{value:016x}")
        for n, value in enumerate(hashes)
    ]
    path = tmp_path / "part.parquet"
    pq.write_table(pa.Table.from_pylist([to_arrow(r) for r in records], schema=SCHEMA), path)
    return find_duplicates([path]).to_pylist()


def test_marks_by_kind_and_deletes_nothing(tmp_path):
    image, other = png_bytes(10), png_bytes(250, mode="RGB", side=9)
    rows = [
        Record("a", "Chest X-ray.", image=image),
        Record("b", "Another", image=image),
        Record("c", "chest  x ray", image=other),
        Record("d", "Without an image"),
    ]
    corpus = write_corpus(Rows(rows), tmp_path / "c")
    marks = [tuple(row.values()) for row in corpus.duplicates().to_pylist()]
    # Flat images are all alike to a hash of differences.
    assert marks == [("b", "image", "a"), ("c", "near-image", "a"), ("c", "caption", "a")]
    assert len(corpus) == 4
    assert corpus.manifest.duplicates == {"image": 1, "near-image": 1, "caption": 1}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=8), st.data())
def test_near_means_at_most_three_bits(tmp_path_factory, hashes, data):
    for value in list(hashes):
        flipped = data.draw(st.sets(st.integers(0, 63), max_size=5))
        hashes.append(value ^ sum(1 << bit for bit in flipped))
    marked = {row["id"]: row["like"] for row in with_hashes(hashes, tmp_path_factory.mktemp("d"))}
    expected = {}
    for n, value in enumerate(hashes):
        first = next(m for m, other in enumerate(hashes) if (value ^ other).bit_count() <= 3)
        if first != n:
            expected[str(n)] = str(first)
    assert marked == expected


def test_large_buckets_are_compared_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("ingest.corpus.duplicates.BLOCK", 3)
    assert len(with_hashes([5] * 20, tmp_path)) == 19


def test_a_normal_caption_keeps_letters_of_every_script():
    assert normal_caption("右肺, CT!") == "右肺 ct"
    assert normal_caption("ﬁne") == "fine"


def test_no_image_no_near_duplicate(tmp_path):
    corpus = write_corpus(Rows([Record("a", "x"), Record("b", "y")]), tmp_path / "c")
    assert corpus.duplicates().num_rows == 0
    assert np.array(corpus.parts).size == 1
