"""The pairs card: caption against image over matrices, as published CLIP figures are computed.

One figure says nothing without its pool: the same model scores R@1 of 70 % in batches of 32
and of 6 % among 8,000 pairs. So all three pools stand side by side, in both directions: every
held-out pair, a sample of 2,000, and batches of 64. Only the pair itself counts as relevant,
as in those publications, even where captions repeat.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.leakage.leakage import is_leaky
from eval.measure.metrics import Metric
from eval.measure.significance import RESAMPLES, bootstrap_means, cluster_numbers, interval

__all__ = ["PAIRS_METRICS", "PairsResult", "pairs_card"]

PAIRS_METRICS = tuple(Metric("RR", k) for k in (1, 10)) + tuple(
    Metric("Success", k) for k in (1, 5, 10)
)
SAMPLE = 2_000
BATCH = 64
BLOCK = 512

Vectors = NDArray[np.float32]
Ranks = NDArray[np.int64]


@dataclass(frozen=True)
class PairsResult:
    """One line of the card.

    protocol: "pairs-full", "pairs-2000" or "pairs-batch64", and the direction. pool: documents
    a query is compared with. ranks: int [queries], 1 for the best. metric -> (value, low, high).
    in_training: how many queries ask for a pair whose image stands in training.
    """

    protocol: str
    pool: int
    ids: tuple[str, ...]
    ranks: Ranks
    figures: Mapping[str, tuple[float, float, float]]
    chance: Mapping[str, float]
    in_training: int = 0

    @property
    def leaky(self) -> bool:
        """Whether the encoder was trained on what it is asked for."""
        return is_leaky(self.in_training, len(self.ranks))


def pairs_card(
    ids: Sequence[str],
    captions: Vectors,
    images: Vectors,
    *,
    groups: Sequence[str],
    in_training: NDArray[np.bool_] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[PairsResult]:
    """All lines of the card, of L2-normalised captions and images [pairs, dimension].

    groups: case or article of each pair, "" for none; pairs of one are resampled together.
    in_training: bool [pairs], whose image stands in training; None where nothing was trained.
    """
    seen = np.zeros(len(ids), np.bool_) if in_training is None else in_training
    clusters = cluster_numbers(groups)
    order = np.random.default_rng(seed).permutation(len(ids))
    pools = {"full": [np.arange(len(ids))]}
    if len(ids) > SAMPLE:
        pools[str(SAMPLE)] = [np.sort(order[:SAMPLE])]
    if len(ids) >= BATCH:
        # The last, smaller batch is left out: its queries would have an easier pool.
        whole = len(ids) // BATCH * BATCH
        pools[f"batch{BATCH}"] = list(order[:whole].reshape(-1, BATCH))
    return [
        _line(
            f"pairs-{name}-{direction}",
            ids,
            parts,
            (asking, asked),
            clusters,
            seen,
            seed,
            resamples,
        )
        for name, parts in pools.items()
        for direction, asking, asked in (
            ("text-to-image", captions, images),
            ("image-to-text", images, captions),
        )
    ]


def _line(
    protocol: str,
    ids: Sequence[str],
    parts: Sequence[NDArray[np.intp]],
    sides: tuple[Vectors, Vectors],
    clusters: NDArray[np.int64],
    seen: NDArray[np.bool_],
    seed: int,
    resamples: int,
) -> PairsResult:
    ranks = np.concatenate([_ranks(sides[0][part], sides[1][part]) for part in parts])
    pool = len(parts[0])
    values = np.column_stack([_value(metric, ranks) for metric in PAIRS_METRICS])
    # A sample lacks some of the groups: numbered anew, none is empty.
    drawn = np.unique(clusters[np.concatenate(parts)], return_inverse=True)[1]
    means = bootstrap_means(values, clusters=drawn, resamples=resamples, seed=seed)
    low, high = interval(means)
    every_rank = np.arange(1, pool + 1)
    return PairsResult(
        protocol=protocol,
        pool=pool,
        ids=tuple(ids[row] for part in parts for row in part),
        ranks=ranks,
        figures={
            str(metric): (float(values[:, i].mean()), float(low[i]), float(high[i]))
            for i, metric in enumerate(PAIRS_METRICS)
        },
        chance={str(m): float(_value(m, every_rank).mean()) for m in PAIRS_METRICS},
        in_training=int(seen[np.concatenate(parts)].sum()),
    )


def _ranks(asking: Vectors, asked: Vectors) -> Ranks:
    """Rank of the pair among all, int [queries]; of equal similarities the pair comes last."""
    return np.concatenate(list(_block_ranks(asking, asked)))


def _block_ranks(asking: Vectors, asked: Vectors) -> Iterator[Ranks]:
    for start in range(0, len(asking), BLOCK):
        similarity = asking[start : start + BLOCK] @ asked.T
        rows = np.arange(len(similarity))
        own = similarity[rows, start + rows][:, None]
        yield np.asarray((similarity >= own).sum(axis=1), dtype=np.int64)


def _value(metric: Metric, ranks: Ranks) -> NDArray[np.float64]:
    found = ranks <= metric.cutoff
    return found / ranks if metric.measure == "RR" else found.astype(np.float64)
