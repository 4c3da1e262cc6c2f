"""More vectors than are coded whole: codes of leading components against comparing every vector."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ranking.engine.engine import EmbeddedEngine
from ranking.engine.segment.codes import short_codes
from ranking.engine.segment.vectors import SHORT_CODES_FROM
from ranking.types import Document, Filter, Query, VectorField

_core = pytest.importorskip("ranking.engine.kernels._core", reason="was not compiled")

COUNT = 10_400
DIMENSION = 40
FIELD = VectorField("embedding", DIMENSION)
RECALL = 0.99  # .999 of an index's own sample; these are few other queries
PROFILES = ("vector", "hybrid", "hybrid_rrf")


def structured(random: np.random.Generator, count: int) -> np.ndarray:
    axes = np.random.default_rng(7).standard_normal((10, DIMENSION))
    return random.standard_normal((count, 10)) @ axes + 0.3 * noise(random, count)


def noise(random: np.random.Generator, count: int) -> np.ndarray:
    return random.standard_normal((count, DIMENSION))


def clustered(random: np.random.Generator, count: int) -> np.ndarray:
    centres = 3 * np.random.default_rng(8).standard_normal((60, DIMENSION))
    return centres[random.integers(60, size=count)] + 0.2 * noise(random, count)


def constant(random: np.random.Generator, count: int) -> np.ndarray:
    return np.repeat(noise(np.random.default_rng(9), 1), count, axis=0)


def few_distinct(random: np.random.Generator, count: int) -> np.ndarray:
    return noise(np.random.default_rng(10), 30)[random.integers(30, size=count)]


def with_zeros(random: np.random.Generator, count: int) -> np.ndarray:
    found = structured(random, count)
    found[::20] = 0
    return found


def flat(random: np.random.Generator, count: int) -> np.ndarray:
    """Nothing in the second half of the components."""
    found = noise(random, count)
    found[:, DIMENSION // 2 :] = 0
    return found


MADE = (structured, clustered, constant, few_distinct, flat, with_zeros)
SHAPES = {make.__name__: make for make in MADE}


def unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.float32(vectors / np.where(lengths > 0, lengths, 1))


def document(number: int, vector: np.ndarray) -> Document:
    vectors = {} if number % 50 == 7 else {"embedding": vector}
    caption = f"w{number % 7} w{number % 97} w{number % 1009}"
    return Document(f"d{number:05}", caption, vectors, modality=("ct", "mr", "us")[number % 3])


class Pair:
    """An index opened with codes and without, and its vectors by id."""

    def __init__(self, path, shape):
        self.make = SHAPES[shape]
        vectors = unit(self.make(np.random.default_rng(1), COUNT))
        self.documents = {f"d{n:05}": document(n, v) for n, v in enumerate(vectors)}
        self.coded = EmbeddedEngine.build(path, self.documents.values(), [FIELD])
        self.whole = EmbeddedEngine.open(path, route="exact")

    def queries(self, count=12):
        vectors = unit(self.make(np.random.default_rng(2), count) + 0.1)
        return [Query(f"w{n} w{n + 40}", v, "vector", k=100) for n, v in enumerate(vectors)]

    def closeness(self, query, ids):
        if not len(ids):
            return np.empty(0)
        stored = np.array([self.documents[each].vectors["embedding"] for each in ids], float)
        asked = query.vector.astype(float)
        return 1 / (2 - np.clip(stored @ asked / (asked @ asked), -1, 1))

    def check(self, queries, recall=RECALL):
        """Scores are exact; nearly every hit is among the best, of ties any."""
        shares = []
        for profile in PROFILES:
            for query in (replace(each, profile=profile) for each in queries):
                found, best = self.coded.search(query), self.whole.search(query)
                assert len(found) == len(best) == min(100, best.total)
                near = found.features["closeness(field,embedding)"]
                held = np.array([bool(self.documents[each].vectors) for each in found.ids], bool)
                exact = self.closeness(query, np.array(found.ids)[held])
                np.testing.assert_allclose(near[held], exact, rtol=1e-6)
                assert not near[~held].any()
                if profile == "vector":
                    np.testing.assert_array_equal(found.scores, near)
                if len(best):
                    shares.append(np.mean(found.scores >= best.scores[-1] - 1e-6))
        assert np.mean(shares or 1.0) >= recall


@pytest.fixture(scope="module", params=SHAPES)
def pair(request, tmp_path_factory):
    return Pair(tmp_path_factory.mktemp("codes") / "index", request.param)


def test_these_codes_are_short_or_not_certain(pair):
    assert COUNT > SHORT_CODES_FROM
    codes = pair.coded._reader.parts[0][0].vectors["embedding"].codes
    assert codes is not None
    assert len(codes.basis) > 0


def test_nearest_and_blends(pair):
    pair.check(pair.queries())


@pytest.mark.parametrize("values", [("ct",), ("ct", "us"), ("none",)])
def test_filters(pair, values):
    pair.check([replace(q, filters=(Filter("modality", values),)) for q in pair.queries(4)])


def test_a_filter_that_leaves_a_handful(pair):
    kept = frozenset(sorted(pair.documents)[::400])
    pair.check([replace(q, filters=(Filter("id", tuple(kept)),)) for q in pair.queries(4)])


def test_more_target_hits_than_candidates_of_equal_code(pair):
    pair.check([replace(q, target_hits=400, k=100) for q in pair.queries(4)])


def test_a_query_orthogonal_to_all(pair):
    """Or, where none is, in a direction that says little of the documents: found are fewer."""
    beside = np.zeros(DIMENSION, np.float32)
    beside[-1] = 1.0
    if pair.make is constant:
        own = pair.documents["d00000"].vectors["embedding"]
        beside = unit((beside - own * own[-1])[None])[0]
    recall = RECALL if pair.make in (constant, flat) else 0.0
    pair.check([replace(pair.queries(1)[0], vector=beside)], recall)


def test_many_give_what_each_gives(pair):
    queries = pair.queries()
    each = [pair.coded.search(query).ids for query in queries]
    assert [found.ids for found in pair.coded.search_many(queries)] == each


def test_a_query_far_from_all_documents_has_more_compared():
    """As a text's vector is in a CLIP: most of it says nothing of any image."""
    random = np.random.default_rng(4)
    vectors = unit(structured(random, COUNT) @ np.eye(DIMENSION, 128) + 0.3 * noise128(random))
    codes = short_codes(vectors, np.ones(COUNT, bool))
    coded = _core.Codes(codes.basis, codes.blocks, codes.bounds, codes.residuals, COUNT)
    whole = _core.Vectors(vectors, np.ones(COUNT, bool), None, 2)
    own = unit(structured(random, 40) @ np.eye(DIMENSION, 128))
    far = unit(0.3 * own + 0.95 * unit(random.standard_normal((1, 128))))
    compared = []
    for queries, least in ((own, RECALL), (far, 0.95)):
        found = [_core.nearest(whole, coded, query, None, 100) for query in queries]
        nearest = np.argsort(-(queries @ vectors.T))[:, :100]
        recall = [np.isin(a, b[0]).mean() for a, b in zip(nearest, found, strict=True)]
        assert np.mean(recall) >= least
        compared.append(np.mean([scan.compared for *_, scan in found]))
    assert compared[1] > 1.2 * compared[0]


def noise128(random: np.random.Generator) -> np.ndarray:
    return random.standard_normal((COUNT, 128))


def test_segments_and_removed_documents(tmp_path):
    pair = Pair(tmp_path / "index", "clustered")
    vectors = unit(pair.make(np.random.default_rng(3), 1500))
    for start in range(0, 1500, 500):
        added = [
            replace(document(n, vectors[n]), id=f"d{(COUNT - 700) + n:05}")
            for n in range(start, start + 500)
        ]
        pair.coded.feed(added)
        pair.documents |= {each.id: each for each in added}
    for query in pair.queries(2):
        gone = pair.coded.search(query).ids[:60]
        assert pair.coded.remove(gone) == 60
        pair.check([query])
        assert not {*gone} & {*pair.coded.search(query).ids}
    pair.check(pair.queries())
