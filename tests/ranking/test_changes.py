"""However documents came and went, the index answers as one built of what is left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ranking.engine.engine import EmbeddedEngine
from ranking.types import Document, Query, VectorField

FIELD = VectorField("embedding", 4)
WORDS = ("chest", "lung", "heart", "ct", "of")
DOCUMENTS = st.builds(
    lambda number, words, seed: Document(
        f"d{number:02}",
        None if words is None else " ".join(words),
        {} if seed < 0 else {"embedding": np.random.default_rng(seed).random(4, np.float32)},
        modality=words[0] if words else "",
    ),
    st.integers(0, 15),
    st.none() | st.lists(st.sampled_from(WORDS), max_size=6),
    st.integers(-1, 50),
)
CHANGES = st.lists(
    st.lists(DOCUMENTS, min_size=1, max_size=4) | st.sets(st.integers(0, 15), min_size=1),
    min_size=1,
    max_size=14,
)
QUERIES = [
    Query("chest of ct", profile="lexical", k=20),
    Query("lung", np.float32([1, 0.2, 0, 0]), profile="hybrid_sum", k=20, target_hits=5),
    Query(vector=np.float32([0, 1, 0, 1]), profile="vector", k=20, target_hits=3),
    Query("heart ct", np.float32([1, 1, 1, 0]), profile="hybrid_rrf", k=3),
]


@settings(max_examples=30, deadline=None)
@given(CHANGES)
def test_changes_are_as_good_as_building_anew(changes):
    engine = EmbeddedEngine.in_memory([], [FIELD])
    left: dict[str, Document] = {}
    for change in changes:
        if isinstance(change, set):
            gone = {f"d{number:02}" for number in change}
            assert engine.remove(gone) == len(gone & set(left))
            left = {i: document for i, document in left.items() if i not in gone}
        else:
            engine.feed(change)
            left |= {document.id: document for document in change}
    anew = EmbeddedEngine.in_memory(left.values(), [FIELD])
    assert sorted(engine.ids()) == sorted(left)
    assert engine.average_field_lengths == pytest.approx(anew.average_field_lengths)
    for query in QUERIES:
        one, other = engine.search(query), anew.search(query)
        assert one.ids == other.ids
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-12)
        assert one.total == other.total


def test_many_small_changes_are_merged(tmp_path):
    engine = EmbeddedEngine.build(tmp_path / "index", [], [FIELD])
    for number in range(40):
        engine.feed([Document(f"d{number:02}", f"chest w{number}")])
    assert engine.info().details["segments"] <= 8
    assert engine.count() == 40
    assert engine.search(Query("w17", profile="lexical")).ids == ("d17",)
    assert len(list((tmp_path / "index" / "segments").iterdir())) <= 8
