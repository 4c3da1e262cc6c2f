"""Offset, sorting, cuts, facets and vectors by field: the client gives what the engine gives."""

from __future__ import annotations

import numpy as np
import pytest

from ranking.engine.engine import EmbeddedEngine
from ranking.profiles.shipped import SHIPPED
from ranking.types import Document, Query, QueryError, Sort, VectorField
from tests.eval.served import serving
from vespa_app.engine import VespaEngine
from vespa_app.http.connection import Credentials
from vespa_app.query.query import search_request
from vespa_app.read.application import Application, ServedEncoder, ServedProfile

FIELD = VectorField("embedding_1a2b3c4d", 8)
ENCODER = ServedEncoder("1a2b3c4d", FIELD)
BOTH = frozenset({"text", "vector"})
PROFILES = {
    "lexical": ServedProfile("lexical", ("text",), frozenset({"text"})),
    "vector": ServedProfile("vector", ("vector",), frozenset({"vector"}), encoder=ENCODER),
    "hybrid": ServedProfile("hybrid", ("text", "vector"), BOTH, encoder=ENCODER),
    "hybrid_rrf": ServedProfile("hybrid_rrf", ("text", "vector"), BOTH, encoder=ENCODER),
}


@pytest.fixture(scope="module")
def embedded():
    drawn = np.random.default_rng(5)
    documents = []
    for n in range(300):
        words = drawn.choice([f"w{i}" for i in range(12)], 4)
        vector = drawn.standard_normal(8).astype(np.float32)
        documents.append(
            Document(
                f"d{n:03}",
                " ".join(words),
                {FIELD.name: vector / np.linalg.norm(vector)},
                concepts=tuple(sorted({f"c{i}" for i in drawn.integers(0, 5, 2)})),
                modality=str(drawn.choice(["ct", "mri", "x-ray", ""])),
                group_id=f"g{n % 17}",
            )
        )
    return EmbeddedEngine.in_memory(documents, [FIELD], SHIPPED)


@pytest.fixture(scope="module")
def served(embedded):
    with serving(embedded) as url:
        engine = VespaEngine.connect(
            url, Application(PROFILES, (ENCODER,), max_hits=1000), credentials=Credentials()
        )
        yield engine
        engine.close()


def query(**parts) -> Query:
    vector = np.float32(np.random.default_rng(6).standard_normal(8))
    given = {"text": "w1 w3", "vector": vector / np.linalg.norm(vector), "k": 15}
    return Query(**(given | {"with_documents": False} | parts))


PARTS = {
    "offset": {"offset": 7},
    "offset beyond": {"offset": 900},
    "score": {"min_score": 0.5},
    "score, then offset": {"min_score": 0.1, "offset": 3},
    "sorted": {"sort": Sort("modality")},
    "sorted down": {"sort": Sort("group_id", descending=True), "offset": 11},
    "sorted by id": {"sort": Sort("id")},
    "sorted groups": {"sort": Sort("modality"), "group_by": "group_id", "offset": 2},
    "groups": {"group_by": "modality", "offset": 1},
    "facets": {"facets": ("modality", "concepts"), "k": 3},
    "closeness": {"min_closeness": 0.6},
    "all at once": {
        "facets": ("group_id",),
        "sort": Sort("modality", descending=True),
        "min_score": 0.2,
        "min_closeness": 0.5,
        "offset": 4,
    },
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", PARTS)
def test_both_engines_give_the_same(embedded, served, profile, name):
    asked = query(profile=profile, **PARTS[name])
    ours, theirs = embedded.search(asked), served.search(asked)
    assert theirs.ids == ours.ids
    np.testing.assert_allclose(theirs.scores, ours.scores)
    assert {k: list(v.items()) for k, v in theirs.facets.items()} == {
        k: list(v.items()) for k, v in ours.facets.items()
    }


def test_vectors_by_field(embedded, served):
    asked = query(vector=None, vectors={FIELD.name: query().vector})
    assert served.search(asked).ids == embedded.search(asked).ids == served.search(query()).ids
    wrong = query(vector=None, vectors={"frames": query().vector})
    for engine in (embedded, served):
        with pytest.raises(QueryError, match=r"no vector field frames; it has embedding_1a2b3c4d"):
            engine.search(wrong)


def test_too_many_to_sort_are_refused(embedded):
    with serving(embedded) as url:
        few = Application(PROFILES, (ENCODER,), max_hits=50)
        engine = VespaEngine.connect(url, few, credentials=Credentials())
        with pytest.raises(
            QueryError, match="only the best 50, so they cannot be sorted by modality"
        ):
            engine.search(query(sort=Sort("modality"), k=5))
        with pytest.raises(QueryError, match="lower k or the offset"):
            engine.search(query(offset=45))
        engine.close()


def test_a_dot_product_has_no_lowest_closeness():
    dot = ServedEncoder("1a2b3c4d", VectorField(FIELD.name, 8, distance="dotproduct"))
    profile = ServedProfile("vector", ("vector",), frozenset({"vector"}), encoder=dot)
    with pytest.raises(QueryError, match="remove min_closeness"):
        search_request(
            query(profile="vector", min_closeness=0.5),
            Application({"vector": profile}, (dot,)),
            hits=5,
        )


def test_vespas_own_code_reads_it(engine, application):
    """Facets, thresholds and fields are valid in the kit's front, which counts nothing."""
    for profile in application.profiles:
        if application.resolve(profile).encoder is None:
            continue
        field = application.resolve(profile).encoder.field
        engine.search(
            Query(
                "chest ct",
                np.eye(field.dimension, dtype=np.float32)[0],
                profile=profile,
                k=3,
                offset=1,
                sort=Sort("modality"),
                facets=("modality", "concepts", "id"),
                min_closeness=0.5,
                with_documents=False,
            )
        )
