"""Compare two engines on the same queries, and explain differences.

Meant for an index and the Vespa application written from it. Causes of differences are named if
the answers show them: missing documents, statistics, tokens, approximate neighbours, ties.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from encoders.base.errors import UserError
from encoders.base.progress import Progress, silent
from encoders.inference.dual_encoder import DualEncoder
from ranking.engine.engine import EmbeddedEngine
from ranking.searcher import with_vectors
from ranking.types import Engine, Query, Result

__all__ = ["Parity", "ParityError", "ProfileParity", "compare_engines"]

Values = NDArray[np.float64]
Rows = NDArray[np.int64]

DEPTH = 100
SAME = 1e-6  # relative; closeness on a server is float32
LATE = 1e-4  # of scores that MaxSim or a re-ranker, which a server computes in float32, is part of
ALIKE = 0.3  # other counts change each word's weight a little differently, another word far more
LISTED = 5
BM25 = "bm25(caption)"
CAUSES = {
    "statistics": "bm25 differs by nearly one factor for all hits: document counts or caption "
    "lengths differ (several content nodes, removed documents, another mean length)",
    "tokens": "bm25 differs for only some hits of a query: these captions or the query have "
    "other tokens or stems",
    "vectors": "closeness differs: other vectors, or a cell type with lower precision",
    "approximate": "top hits are missing on the server: HNSW or weakAnd found too few candidates "
    "(increase target hits, or search exactly)",
    "profile": "relevance differs although hits and features agree: another expression or other "
    "inputs",
    "list": "the server returns a hit twice, or in the wrong order",
    "ties": "equal scores at rank k: which of them is returned is arbitrary",
}


class ParityError(UserError):
    """The two engines cannot be compared."""


@dataclass
class ProfileParity:
    """One profile over all queries.

    overlap: k -> mean share of the index's top k that are in the server's top k.
    correlation: mean Kendall tau-b of the scores of hits that both returned. differences:
    feature, or "relevance", -> largest relative difference. causes: name -> queries it explains.
    """

    profile: str
    queries: int = 0
    overlap: dict[int, float] = field(default_factory=dict)
    correlation: float = 1.0
    differences: dict[str, float] = field(default_factory=dict)
    causes: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Parity:
    """All profiles, and documents that only one side has (counts, and the first few ids)."""

    profiles: Sequence[ProfileParity]
    documents: int
    only_first: tuple[int, tuple[str, ...]]
    only_second: tuple[int, tuple[str, ...]]

    def summary(self) -> dict[str, object]:
        """Everything as JSON values, with causes as sentences."""
        return {
            "documents": self.documents,
            "only_in_index": {"count": self.only_first[0], "ids": self.only_first[1]},
            "only_on_server": {"count": self.only_second[0], "ids": self.only_second[1]},
            "profiles": [{**asdict(p), "causes": dict(self.explained(p))} for p in self.profiles],
        }

    def explained(self, parity: ProfileParity) -> Iterator[tuple[str, int]]:
        """The causes of one profile's differences in words, and how many queries have each."""
        recall = ", ".join(f"recall@{cut} {share:.3f}" for cut, share in parity.overlap.items())
        for name, count in parity.causes.most_common():
            yield (f"{CAUSES[name]}; {recall}" if name == "approximate" else CAUSES[name]), count


def compare_engines(
    index: EmbeddedEngine,
    server: Engine,
    encoder: DualEncoder | None = None,
    *,
    profiles: Sequence[str] = (),
    queries: int = 100,
    seed: int = 0,
    progress: Progress = silent,
) -> Parity:
    """Query both engines with the captions of `queries` random documents, with every profile.

    Without an encoder, only profiles without vectors are compared. Raises ParityError if no
    query is possible.
    """
    here, there = set(index.ids()), set(server.ids())
    names = _profiles(index, server, profiles, vectors=encoder is not None)
    texts = _texts(index, sorted(here & there), queries, seed)
    vectors = encoder.encode_texts(texts) if encoder else [None] * len(texts)
    found = []
    for done, name in enumerate(names):
        progress("compare", done, len(names), name)
        profile = index.profiles.resolve(name)
        reads_vector = "vector" in profile.retrieve
        drawn = [
            Query(text, vector if reads_vector else None, name, k=DEPTH, with_documents=False)
            for text, vector in zip(texts, vectors, strict=True)
        ]
        asked = with_vectors(drawn, texts, encoder, profile)
        pairs = zip(index.search_many(asked), server.search_many(asked), strict=True)
        found.append(_compare(name, pairs, LATE if profile.late else SAME))
    progress("compare", len(names), len(names))
    return Parity(found, len(here), _first(here - there), _first(there - here))


def _profiles(
    index: EmbeddedEngine, server: Engine, wanted: Sequence[str], *, vectors: bool
) -> list[str]:
    served = set(server.info().profiles)
    known = [name for name in index.info().profiles if name in served]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ParityError(
            f"Not on both sides: profile {', '.join(unknown)}. Both have {', '.join(known)}."
        )
    resolved = {name: index.profiles.resolve(name) for name in known}
    usable = [n for n, p in resolved.items() if vectors or not ("vector" in p.retrieve or p.late)]
    return list(wanted) or usable


def _texts(index: EmbeddedEngine, ids: Sequence[str], count: int, seed: int) -> list[str]:
    order = np.random.default_rng(seed).permutation(len(ids))
    drawn = (index.get(ids[row]) for row in order)
    captions = (document.caption for document in drawn if document and document.caption)
    texts = [caption for caption, _ in zip(captions, range(count), strict=False)]
    if not texts:
        raise ParityError("The index and the server have no captioned document in common.")
    return texts


def _compare(
    name: str, pairs: Iterator[tuple[Result, Result]], same: float = SAME
) -> ProfileParity:
    parity = ProfileParity(name)
    taus, overlaps = [], []
    for ours, theirs in pairs:
        parity.queries += 1
        rows = {identifier: row for row, identifier in enumerate(theirs.ids)}
        mine = np.array([row for row, i in enumerate(ours.ids) if i in rows], dtype=np.int64)
        other = np.array([rows[i] for i in ours.ids if i in rows], dtype=np.int64)
        overlaps.append([_overlap(ours.ids, theirs.ids, cut) for cut in (10, DEPTH)])
        if len(mine) > 1:
            taus.append(_correlation(ours.scores[mine], theirs.scores[other]))
        gaps = _gaps(ours, theirs, mine, other)
        for feature, gap in gaps.items():
            largest = float(gap.max(initial=0.0))
            parity.differences[feature] = max(parity.differences.get(feature, 0.0), largest)
        parity.causes.update(_causes(ours, theirs, gaps, mine, other, same))
    parity.overlap = dict(zip((10, DEPTH), np.mean(overlaps, axis=0).tolist(), strict=True))
    parity.correlation = float(np.mean(taus)) if taus else 1.0
    return parity


def _gaps(ours: Result, theirs: Result, mine: Rows, other: Rows) -> dict[str, Values]:
    """Relative differences of the hits that both returned, float64 [hits], by feature."""
    columns = {"relevance": (ours.scores, theirs.scores)}
    for name in ours.features.keys() & theirs.features.keys():
        columns[name] = (ours.features[name], theirs.features[name])
    return {name: _relative(a[mine], b[other]) for name, (a, b) in sorted(columns.items())}


def _relative(left: Values, right: Values) -> Values:
    """A value that only one side has counts as a relative difference of 1."""
    size = np.maximum(np.maximum(np.abs(left), np.abs(right)), 1e-12)
    with np.errstate(invalid="ignore"):
        gaps = np.abs(left - right) / size
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    return np.asarray(np.where(same, 0.0, np.where(np.isnan(gaps), 1.0, gaps)))


def _correlation(left: Values, right: Values) -> float:
    """Kendall's tau-b; 1 if all scores are equal."""
    if np.isnan(left).any() or np.isnan(right).any():
        return 0.0
    from scipy.stats import kendalltau  # noqa: PLC0415 - loads slowly, after the first request

    tau = float(kendalltau(left, right).statistic)
    return 1.0 if np.isnan(tau) else tau


def _causes(
    ours: Result,
    theirs: Result,
    gaps: Mapping[str, Values],
    mine: Rows,
    other: Rows,
    same: float,
) -> set[str]:
    causes = set()
    lexical = gaps.get(BM25, np.zeros(0))
    if (lexical > SAME).any():
        ratio = theirs.features[BM25][other] / np.maximum(ours.features[BM25][mine], 1e-12)
        scored = ours.features[BM25][mine] > 0
        everywhere = bool((lexical[scored] > SAME).all()) and scored.any()
        alike = everywhere and np.ptp(ratio[scored]) <= ALIKE * np.median(ratio[scored])
        causes.add("statistics" if alike else "tokens")
    if any((gap > SAME).any() for name, gap in gaps.items() if name.startswith("closeness(")):
        causes.add("vectors")
    missing = [row for row, identifier in enumerate(ours.ids) if identifier not in set(theirs.ids)]
    if missing and len(theirs):
        worst = float(theirs.scores[-1])
        clear = ours.scores[missing] > worst + SAME * max(abs(worst), 1.0)
        causes.add("approximate" if clear.any() and not causes else "ties")
    if not causes and (gaps["relevance"] > same).any():
        causes.add("profile")
    if len(set(theirs.ids)) < len(theirs) or (np.diff(theirs.scores) > 0).any():
        causes.add("list")
    return causes


def _overlap(ours: Sequence[str], theirs: Sequence[str], cut: int) -> float:
    best = set(ours[:cut])
    return len(best & set(theirs[:cut])) / len(best) if best else 1.0


def _first(ids: set[str]) -> tuple[int, tuple[str, ...]]:
    return len(ids), tuple(sorted(ids)[:LISTED])
