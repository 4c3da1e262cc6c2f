"""Fit the probability that a hit is right (ranking/calibration.py) on a held-out split.

Nobody has said which hits are right for what people will type, so captions of the split ask. A
caption would find itself by all of its own words. So where the documents carry concepts, it asks
without itself, and right are the documents that carry all of its concepts, three or more, and say
it in their own words. Where too few do, the document itself is right, and equal captions: then each
query loses a share of its words, a step of the overlap curve, before captions are searched, while
its vector is made of the whole; caption vectors would know the caption, and are not looked at.

A query of few words has many right answers, and a caption says little of it: queries of at most
SHORT words have a fit of their own. They are names of concepts of the same captions, one to four at
a time, and right is what carries them; without enough concepts there is none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from random import Random

import numpy as np
from numpy.typing import NDArray

from encoders.base.progress import Progress, silent
from eval.protocols.known_item import SHORTEST_SPLIT
from eval.protocols.overlap import DROPPED
from eval.tuning.logistic import fit_logistic
from ingest.corpus.duplicates import normal_caption
from ranking.calibration import (
    CAPTION_VECTOR,
    LENGTH,
    SHORT,
    Calibration,
    CalibrationError,
    Evidence,
    evidence,
    is_there,
)
from ranking.searcher import Searcher, with_vectors
from ranking.text.tokens import query_terms
from ranking.types import Document, Query, Result

__all__ = ["BY_CAPTION", "Asking", "asked_of", "calibrate", "calibration_error", "short_queries"]

DEPTH = 10  # hits of a query
MOST_QUERIES = 1_000
FEWEST_QUERIES = 30
FEWEST_CONCEPTS = 3
MOST_CONCEPTS = 4  # of a short query
DRAWN = 8  # concepts of a document that short queries name
WRONGLY_NONE = 0.05  # of queries with an answer, those that are told that there is none
BY_CAPTION = "hybrid3"
SEED = 0

Values = NDArray[np.float64]
Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Asking:
    """Documents whose captions ask.

    apart: for each, the documents of its caption, that it asks without; () where each query loses
    words instead.
    """

    documents: tuple[Document, ...]
    apart: tuple[frozenset[str], ...] = ()

    def answers(self, searcher: Searcher, profile: str) -> list[Result]:
        """The hits of each query."""
        captions = [document.caption or "" for document in self.documents]
        texts = [c if self.apart else _kept(c, row) for row, c in enumerate(captions)]
        return _answers(searcher, texts, captions, profile, self.apart)

    def right(self, results: Sequence[Result]) -> Marks:
        """Which hits are right, of all queries one after another: bool [hits]."""
        pairs = zip(self.documents, results, strict=True)
        return np.array([self._is_right(d, hit) for d, r in pairs for hit in r.documents], bool)

    def _is_right(self, asked: Document, hit: Document) -> bool:
        if self.apart:
            return set(asked.concepts) <= set(hit.concepts)
        texts = [normal_caption(each.caption or "") for each in (asked, hit)]
        return hit.id == asked.id or texts[0] == texts[1]


def asked_of(documents: Iterable[Document], split: str) -> Asking:
    """The captions of a split that ask, at most 1,000. Raises CalibrationError if too few do."""
    alike, equal = defaultdict(set), defaultdict(set)
    asking = []
    for document in documents:
        caption = normal_caption(document.caption or "")
        alike[frozenset(document.concepts)].add(caption)
        equal[caption].add(document.id)
        if document.split == split and len(caption.split()) >= SHORTEST_SPLIT:
            asking.append(document)
    if len(asking) < FEWEST_QUERIES:
        raise CalibrationError(
            f"Split {split!r} of the index has {len(asking)} captions of {SHORTEST_SPLIT} words or "
            f"more; {FEWEST_QUERIES} are needed."
        )
    Random(SEED).shuffle(asking)  # noqa: S311  (a seeded sample, no secret)
    said = [
        document
        for document in asking
        if len(document.concepts) >= FEWEST_CONCEPTS
        and len(alike[frozenset(document.concepts)]) > 1
    ][:MOST_QUERIES]
    if len(said) < FEWEST_QUERIES:
        return Asking(tuple(asking[:MOST_QUERIES]))
    apart = (frozenset(equal[normal_caption(document.caption or "")]) for document in said)
    return Asking(tuple(said), tuple(apart))


def calibrate(
    searcher: Searcher,
    documents: Iterable[Document],
    *,
    split: str = "validation",
    profile: str | None = None,
    progress: Progress = silent,
) -> Calibration:
    """Ask with the captions of a split, which was held out of training, and fit.

    documents: all of the index. profile: whose match features are looked at; by default that with
    caption vectors, or the index's own. Raises CalibrationError if there are too few captions, or
    no hit is right, or all are.
    """
    asking = asked_of(documents, split)
    own = searcher.default_profile("text", None)
    if BY_CAPTION in searcher.engine.info().profiles and searcher.encoder:
        own = BY_CAPTION
    progress("queries", 0, len(asking.documents))
    results = asking.answers(searcher, profile or own)
    progress("queries", len(asking.documents), len(asking.documents))
    texts = [document.caption or "" for document in asking.documents]
    unseen = (LENGTH,) if asking.apart else (LENGTH, CAPTION_VECTOR)
    made = _fitted(searcher, texts, results, asking.right(results), unseen)
    short = short_queries(asking.documents)
    if len(short) < FEWEST_QUERIES:
        return made
    texts = list(short)
    results = _answers(searcher, texts, texts, profile or own)
    pairs = zip(short.values(), results, strict=True)
    right = np.array([asked <= set(h.concepts) for asked, r in pairs for h in r.documents], bool)
    if right.all() or not right.any():
        return made
    return replace(made, short=_fitted(searcher, texts, results, right))


def short_queries(documents: Iterable[Document]) -> dict[str, frozenset[str]]:
    """Names of one to MOST_CONCEPTS of a document's concepts, at most SHORT words: their ids.

    As many of each number of concepts, if there are enough.
    """
    drawn = Random(SEED)  # noqa: S311  (a seeded sample, no secret)
    found: list[dict[str, frozenset[str]]] = [{} for _ in range(MOST_CONCEPTS)]
    for document in documents:
        pairs = zip(document.concept_names, document.concepts, strict=False)
        named = [(name, concept) for name, concept in pairs if name.strip()]
        named = drawn.sample(named, min(len(named), DRAWN))
        for count, texts in enumerate(found, 1):
            for some in combinations(named, count):
                text = " ".join(name for name, _ in some)
                if 0 < len(query_terms(text)) <= SHORT:
                    texts.setdefault(text, frozenset(concept for _, concept in some))
    asked: dict[str, frozenset[str]] = {}
    for texts in found:
        every = list(texts.items())
        asked |= drawn.sample(every, min(len(every), MOST_QUERIES // MOST_CONCEPTS))
    return asked


def _answers(
    searcher: Searcher,
    texts: Sequence[str],
    seen: Sequence[str],
    profile: str,
    apart: Sequence[frozenset[str]] = (),
) -> list[Result]:
    """The hits of each text. seen: the texts of the vectors. apart: what each asks without."""
    encoder = searcher.encoder
    vectors = encoder.encode_texts(seen) if encoder else [None] * len(texts)
    queries = [
        Query(
            text,
            vector=vectors[row],
            profile=profile,
            k=DEPTH,
            exclude_ids=apart[row] if apart else frozenset(),
        )
        for row, text in enumerate(texts)
    ]
    resolved = searcher.engine.profiles.resolve(profile)
    return searcher.engine.search_many(with_vectors(queries, texts, encoder, resolved))


def _fitted(
    searcher: Searcher,
    texts: Sequence[str],
    results: Sequence[Result],
    right: Marks,
    unseen: Sequence[str] = (),
) -> Calibration:
    """Fitted to the hits of some texts. unseen: evidence that is not looked at."""
    sizes = [len(result) for result in results]
    owner = np.repeat(np.arange(len(sizes)), sizes)
    terms = np.repeat([len(query_terms(text)) for text in texts], sizes)
    if right.all() or not right.any():
        raise CalibrationError(
            f"Of {len(right):,} hits {'all' if right.all() else 'none'} are right: there is "
            "nothing to tell apart."
        )
    filled = [result for result in results if len(result)]
    features = {
        n: np.concatenate([each.features[n] for each in filled]) for n in filled[0].features
    }
    found = {n: v for n, v in evidence(features, terms).items() if n not in unseen}
    models = []
    length = tuple(name for name in found if name == LENGTH)  # alone it says nothing
    kinds = [name for name in found if name != LENGTH]
    for some in chain.from_iterable(combinations(kinds, n + 1) for n in range(len(kinds))):
        names = (*some, *length)
        there = np.all([is_there(features, name) for name in names], axis=0)
        if (right & there).any() and (~right & there).any():
            models.append(_fit(names, {n: found[n][there] for n in names}, right[there]))
    fingerprint = searcher.encoder.manifest.fingerprint if searcher.encoder else ""
    own = searcher.encoder.captions if searcher.encoder else None
    captions = own.manifest.fingerprint if own else ""
    index = searcher.engine.index_id
    made = Calibration(fingerprint, tuple(models), index=index, captions=captions)
    chances = np.nan_to_num(np.asarray(made.probabilities(features, terms), np.float64))
    cut, recall, f1 = _cut(chances, owner, right, len(sizes))
    told = {
        "queries": len(sizes),
        "hits": len(right),
        "right": int(right.sum()),
        "calibration_error": calibration_error(chances, right),
        "no_answer_recall": recall,
        "no_answer_f1": f1,
    }
    return replace(made, cut=cut, told=told)


def calibration_error(chances: Values, right: Marks, bins: int = 10) -> float:
    """Mean distance of probability and share of right hits over bins of equal width, by hits.

    Naeini et al. 2015, Obtaining well calibrated probabilities using Bayesian binning.
    """
    place = np.minimum((chances * bins).astype(int), bins - 1)
    gaps = np.bincount(place, chances - right, bins)
    return float(np.abs(gaps).sum() / len(right))


def _kept(caption: str, row: int) -> str:
    """The caption without a share of its words, a step of the overlap curve by turns."""
    words = caption.split()
    places = list(range(len(words)))
    Random(f"{SEED} {caption}").shuffle(places)  # noqa: S311  (seeded, no secret)
    count = max(1, len(words) * (100 - DROPPED[row % len(DROPPED)]) // 100)
    return " ".join(words[place] for place in sorted(places[:count]))


def _fit(names: Sequence[str], found: dict[str, Values], right: Marks) -> Evidence:
    table = np.column_stack([found[name] for name in names])
    middle, spread = table.mean(axis=0), table.std(axis=0)
    spread[spread == 0] = 1.0
    bias, *weights = fit_logistic((table - middle) / spread, right)
    scaled = np.asarray(weights) / spread
    return Evidence(
        float(bias - scaled @ middle), dict(zip(names, map(float, scaled), strict=True))
    )


def _cut(
    chances: Values, owner: NDArray[np.int64], right: Marks, queries: int
) -> tuple[float, float, float]:
    """The cut below which few queries with an answer lie; its recall and F1 of "no answer".

    Each query is asked twice: with its right hits, and with these left out.
    """
    best, empty = np.zeros(queries), np.zeros(queries)
    np.maximum.at(best, owner, chances)
    np.maximum.at(empty, owner[~right], chances[~right])
    best = best[np.unique(owner[right])]
    cut = float(np.quantile(best, WRONGLY_NONE))
    caught, missed = float((empty < cut).mean()), float((best < cut).mean())
    return cut, caught, 2 * caught / (1 + caught + missed)
