"""The pairs card: caption-image retrieval as in published CLIP figures.

One figure says nothing without its pool: the same model scores R@1 of 70 % in batches of 32
and of 6 % among 8,000 pairs. So several pools stand side by side, in both directions: every
held-out pair, 20 samples of 2,000, and batches of 64. Only the pair itself counts as relevant, as
in those publications, even where captions repeat; a column of its own counts every equal caption.

Ties are left as a stable sort leaves them, by the order of the pairs; beside it stands the figure
expected over all orders of equal similarities.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.collection.clusters import Clusters, group_numbers
from eval.leakage.leakage import is_leaky
from eval.measure.bootstrap import FEWER, bootstrap
from eval.measure.metrics import Metric

__all__ = ["PAIRS_METRICS", "PairsResult", "pairs_card"]

RECALLS = (1, 5, 10, 50, 200)
PAIRS_METRICS = tuple(Metric("RR", k) for k in (1, 10)) + tuple(
    Metric("Success", k) for k in RECALLS
)
SAMPLE = 2_000
SAMPLES = 20
BATCH = 64
BLOCK = 512

Vectors = NDArray[np.float32]
Ranks = NDArray[np.int64]
Values = NDArray[np.float64]
Figure = tuple[float, float, float]


@dataclass(frozen=True)
class PairsResult:
    """One line of the card.

    protocol: "pairs-full", "pairs-2000" or "pairs-batch64", and the direction. pool: documents
    a query is compared with. ranks: int [queries], 1 for the best, ties as a stable sort leaves
    them. figures: metric -> (value, low, high); of repeated samples the mean, and one standard
    deviation below and above. expected_r1, expected_rr10: the same over all orders of ties.
    multi_r1: any equal caption (or its image) counts. median_rank: of the pair. rsum: R@1, 5 and
    10 of both directions in percent, summed. repeats: how many samples. in_training: how many
    queries ask for a pair whose image was trained on.
    """

    protocol: str
    pool: int
    ids: tuple[str, ...]
    ranks: Ranks
    figures: Mapping[str, Figure]
    chance: Mapping[str, float]
    expected_r1: float
    expected_rr10: float
    multi_r1: float
    median_rank: float
    rsum: float = 0.0
    repeats: int = 1
    in_training: int = 0

    @property
    def leaky(self) -> bool:
        """Whether the encoder was trained on what it is asked for."""
        return is_leaky(self.in_training, len(self.ranks))


@dataclass(frozen=True)
class _Ranked:
    """Ranks of the queries of one pool, int [queries].

    stable: as a stable sort leaves ties; first, last: of the tie that the pair is in; multi: the
    best of any equal caption.
    """

    stable: Ranks
    first: Ranks
    last: Ranks
    multi: Ranks


def pairs_card(
    ids: Sequence[str],
    captions: Vectors,
    images: Vectors,
    *,
    clusters: Clusters,
    texts: Sequence[str] = (),
    in_training: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> list[PairsResult]:
    """All lines of the card, of L2-normalised captions and images [pairs, dimension].

    clusters: of the pairs, resampled together. texts: normalised captions; equal ones are right
    too in the multi-positive column. in_training: bool [pairs], whose image was trained on.
    """
    seen = np.zeros(len(ids), np.bool_) if in_training is None else in_training
    equal = group_numbers(texts) if texts else np.arange(len(ids))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(ids))
    pools = {"full": [np.arange(len(ids))]}
    if len(ids) > SAMPLE:
        pools[str(SAMPLE)] = [np.sort(rng.permutation(len(ids))[:SAMPLE]) for _ in range(SAMPLES)]
    if len(ids) >= BATCH:
        # The last, smaller batch is left out: its queries would have an easier pool.
        whole = len(ids) // BATCH * BATCH
        pools[f"batch{BATCH}"] = [np.sort(b) for b in order[:whole].reshape(-1, BATCH)]
    lines = []
    for name, parts in pools.items():
        both = [
            _line(f"pairs-{name}-{direction}", ids, parts, sides, equal, clusters, seen, seed)
            for direction, sides in (
                ("text-to-image", (captions, images)),
                ("image-to-text", (images, captions)),
            )
        ]
        rsum = 100 * sum(line.figures[f"Success@{k}"][0] for line in both for k in (1, 5, 10))
        lines += [PairsResult(**{**vars(line), "rsum": rsum}) for line in both]
    return lines


def _line(
    protocol: str,
    ids: Sequence[str],
    parts: Sequence[NDArray[np.intp]],
    sides: tuple[Vectors, Vectors],
    equal: NDArray[np.int64],
    clusters: Clusters,
    seen: NDArray[np.bool_],
    seed: int,
) -> PairsResult:
    pool = len(parts[0])
    repeated = pool == SAMPLE and len(parts) > 1
    ranked = [_ranks(sides[0][part], sides[1][part], equal[part]) for part in parts]
    ranks = np.concatenate([each.stable for each in ranked])
    rows = np.concatenate(parts)
    values = np.column_stack([_value(metric, ranks) for metric in PAIRS_METRICS])
    if repeated:
        means = np.stack([v.mean(axis=0) for v in np.split(values, len(parts))])
        spread = means.std(axis=0, ddof=1)
        low, high = values.mean(axis=0) - spread, values.mean(axis=0) + spread
    else:
        low, high = bootstrap(values, clusters.take(rows), resamples=FEWER, seed=seed).interval()
    every_rank = np.arange(1, pool + 1)
    first = np.concatenate([each.first for each in ranked])
    last = np.concatenate([each.last for each in ranked])
    multi = np.concatenate([each.multi for each in ranked])
    return PairsResult(
        protocol=protocol,
        pool=pool,
        ids=tuple(ids[row] for row in rows),
        ranks=ranks,
        figures={
            str(metric): (float(values[:, i].mean()), float(low[i]), float(high[i]))
            for i, metric in enumerate(PAIRS_METRICS)
        },
        chance={str(m): float(_value(m, every_rank).mean()) for m in PAIRS_METRICS},
        expected_r1=float(_expected(first, last, 1, reciprocal=False).mean()),
        expected_rr10=float(_expected(first, last, 10, reciprocal=True).mean()),
        multi_r1=float((multi == 1).mean()),
        median_rank=float(np.median(ranks)),
        repeats=len(parts) if repeated else 1,
        in_training=int(seen[rows].sum()),
    )


def _ranks(asking: Vectors, asked: Vectors, equal: NDArray[np.int64]) -> _Ranked:
    blocks = list(_block_ranks(asking, asked, equal))
    return _Ranked(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def _block_ranks(
    asking: Vectors, asked: Vectors, equal: NDArray[np.int64]
) -> Iterator[tuple[Ranks, Ranks, Ranks, Ranks]]:
    repeats = len(np.unique(equal)) < len(equal)
    for start in range(0, len(asking), BLOCK):
        similarity = asking[start : start + BLOCK] @ asked.T
        rows = np.arange(len(similarity))
        own = similarity[rows, start + rows][:, None]
        above = (similarity > own).sum(axis=1)
        tied = similarity == own
        before = (tied & (np.arange(len(asked)) < (start + rows)[:, None])).sum(axis=1)
        stable = above + before + 1
        multi = stable
        if repeats:
            right = equal[None, :] == equal[start + rows][:, None]
            best = np.where(right, similarity, -np.inf).max(axis=1)[:, None]
            at = (right & (similarity == best)).argmax(axis=1)[:, None]
            level = (similarity == best) & (np.arange(len(asked)) < at)
            multi = (similarity > best).sum(axis=1) + level.sum(axis=1) + 1
        yield stable, above + 1, above + tied.sum(axis=1), multi


def _value(metric: Metric, ranks: Ranks) -> Values:
    found = ranks <= metric.cutoff
    return found / ranks if metric.measure == "RR" else found.astype(np.float64)


def _expected(first: Ranks, last: Ranks, cutoff: int, *, reciprocal: bool) -> Values:
    """The value expected where the rank is any from first to last with equal chance."""
    gains = np.zeros(int(last.max(initial=1)) + 1)
    ranks = np.arange(1, min(cutoff, len(gains) - 1) + 1)
    gains[ranks] = 1 / ranks if reciprocal else 1.0
    summed = np.concatenate([[0.0], np.cumsum(gains)])
    return np.asarray((summed[last + 1] - summed[first]) / (last - first + 1))
