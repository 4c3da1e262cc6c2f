"""Text, image or both, with an encoder that stands still: vectors by what it is given."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

from encoders.base.errors import UserError
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.profiles.shipped import SHIPPED
from ranking.searcher import Searcher
from ranking.text.synonyms import Expansion, Synonyms
from ranking.types import Document, EngineError, Filter, Query, QueryError, VectorField

FINGERPRINT = "ab12cd34" * 8
NAMES = encoder_names(FINGERPRINT)


class Encoder:
    """Texts and images with the same bytes get the same unit vector."""

    def __init__(self, fingerprint: str = FINGERPRINT) -> None:
        self.manifest = SimpleNamespace(fingerprint=fingerprint)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([self._vector(text.encode()) for text in texts])

    def encode_images(self, images: Sequence[bytes]) -> np.ndarray:
        return np.stack(
            [
                self._vector(bytes(image, "utf-8") if isinstance(image, str) else image)
                for image in images
            ]
        )

    def _vector(self, content: bytes) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "little")
        vector = np.random.default_rng(seed).standard_normal(8).astype(np.float32)
        return vector / np.linalg.norm(vector)


def engine(names: bool = True) -> EmbeddedEngine:
    encoder = Encoder()
    documents = [
        Document(word, word, {NAMES.embedding: encoder.encode_texts([word])[0]} if names else {})
        for word in ("chest", "head", "knee")
    ]
    if not names:
        return EmbeddedEngine.in_memory(documents, (), SHIPPED.instantiate(None))
    field = VectorField(NAMES.embedding, 8, FINGERPRINT)
    return EmbeddedEngine.in_memory(documents, [field], SHIPPED.instantiate(NAMES))


def test_a_text_is_encoded_and_ranked_by_the_default_profile():
    result = Searcher(engine(), Encoder()).search("knee")
    assert result.ids[0] == "knee"
    assert result.features[f"closeness(field,{NAMES.embedding})"][0] == pytest.approx(1, abs=1e-6)


def test_as_many_nearest_are_retrieved_as_hits_are_asked_for():
    vectors = np.random.default_rng(3).standard_normal((150, 8)).astype(np.float32)
    documents = [Document(f"d{n}", None, {NAMES.embedding: v}) for n, v in enumerate(vectors)]
    field = VectorField(NAMES.embedding, 8, FINGERPRINT)
    many = EmbeddedEngine.in_memory(documents, [field], SHIPPED.instantiate(NAMES))
    searcher = Searcher(many, Encoder())
    assert len(searcher.search("knee", profile="vector", k=140)) == 140
    assert searcher.search("knee", profile="vector", k=5).total == 100
    assert len(searcher.search("knee", profile="vector", k=140, target_hits=20)) == 20


def test_an_image_alone_finds_images():
    result = Searcher(engine(), Encoder()).search(image=b"head")
    assert result.ids[0] == "head"


def test_text_and_image_share_the_vector():
    searcher = Searcher(engine(), Encoder())
    result = searcher.search("chest", image=b"knee", profile="vector", k=3)
    assert set(result.ids[:2]) == {"chest", "knee"}
    np.testing.assert_allclose(result.scores[0], result.scores[1], rtol=1e-5)


def test_an_image_beside_a_profile_of_words_alone_is_told_of():
    searcher = Searcher(engine(), Encoder())
    result = searcher.search("chest", image=b"knee", profile="lexical")
    assert result.ids == ("chest",)
    assert result.warnings == ("Profile lexical uses text only: the image had no effect.",)
    assert not searcher.search("chest", profile="lexical").warnings
    assert not searcher.search("chest", image=b"knee").warnings
    with pytest.raises(QueryError, match="needs a text"):
        searcher.search(image=b"knee", profile="lexical")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"like": ["knee"], "profile": "lexical"}, "uses text only: the examples had no effect."),
        ({"profile": "vector", "operators": True}, "for no words here: the operators had"),
        ({"profile": "lexical", "min_closeness": 0.5}, "no vectors here: the minimum closeness"),
        ({"profile": "lexical", "target_hits": 5}, "the number of nearest vectors had no effect."),
        ({"offset": 3}, "Only 3 documents match: none is left after the first 3."),
    ],
)
def test_what_changes_nothing_is_told(asked, said):
    (warning,) = Searcher(engine(), Encoder()).search("chest", **asked).warnings
    assert said in warning


def test_what_changes_something_is_not_told():
    searcher = Searcher(engine(), Encoder())
    asked = {"like": ["knee"], "operators": True, "min_closeness": 0.1, "target_hits": 2}
    assert not searcher.search("chest", **asked, profile="hybrid", offset=1).warnings


def test_synonyms_of_a_profile_without_words_are_told_of():
    searcher = Searcher(engine(), Encoder())
    searcher.synonyms = Synonyms({("chest",): (Expansion(("thorax",)),)})
    (warning,) = searcher.search("chest", profile="vector").warnings
    assert "the synonyms had no effect" in warning
    assert not searcher.search("chest").warnings


def test_an_encoder_without_vectors_to_compare_is_refused():
    with pytest.raises(EngineError, match="so an encoder has no effect"):
        Searcher(engine(names=False), Encoder())


def test_a_profile_without_a_name_is_not_the_default():
    with pytest.raises(QueryError, match="no profile"):
        Searcher(engine(), Encoder()).search("chest", profile="")


def test_without_an_encoder_captions_are_searched():
    searcher = Searcher(engine(names=False))
    assert searcher.search("head").ids == ("head",)
    with pytest.raises(QueryError, match="encoder"):
        searcher.search(image=b"head")


def test_another_encoder_than_the_indexs_is_refused():
    with pytest.raises(EngineError, match="ab12cd34, not with ffffffff"):
        Searcher(engine(), Encoder("f" * 64))


@pytest.mark.parametrize("text", [None, "", "  "])
def test_nothing_to_search_by_is_refused(text):
    with pytest.raises(QueryError, match="empty"):
        Searcher(engine(), Encoder()).search(text)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"filters": (Filter("nofield", ("a",)),)}, "no field 'nofield'"),
        ({"group_by": "nofield"}, "no field 'nofield'"),
        ({"inputs": {"alpha": "x"}}, "alpha is 'x'"),
        ({"k": 2.5}, "k is 2.5"),
        ({"k": -1}, "k is -1"),
        ({"target_hits": -5}, "target_hits is -5"),
    ],
)
def test_what_the_types_would_not_allow_is_a_sentence(options, reason):
    vectors = {NAMES.embedding: np.eye(1, 4, dtype=np.float32)[0]}
    engine = EmbeddedEngine.in_memory(
        [Document("a", "chest", vectors)],
        [VectorField(NAMES.embedding, 4, FINGERPRINT)],
        SHIPPED.instantiate(NAMES),
    )
    with pytest.raises(QueryError, match=reason):
        engine.search(Query("chest", **options))


ODD = (0, -1, 1.5, True, b"x", "x" * 9, [], {}, object(), float("nan"), 1j, [None], range(3))
PARTS = ("text", "image", "like", "unlike", "profile", "inputs", "k", "filters", "exclude_ids")


@pytest.mark.parametrize("value", ODD, ids=map(str, range(len(ODD))))
def test_what_is_of_another_type_is_refused_in_a_sentence(value):
    """Or taken for what it can be: no other error comes."""
    searcher = Searcher(engine(), Encoder())
    asked = [{part: value} for part in (*PARTS, "group_by", "offset", "sort", "min_score")]
    asked += [{"filters": (f,)} for f in (Filter(value, ("ct",)), Filter("modality", value))]
    for parts in asked:
        with suppress(UserError):
            searcher.search(**{"text": "chest", **parts})
