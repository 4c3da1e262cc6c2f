"""Retrieval metrics per query, vectorised over [queries, depth] matrices of grades.

Named as ir-measures names them (MacAvaney et al., ECIR 2022): `RR@10`, `Success@5`,
`nDCG@10`, `R@100`, `AP@100`, `P@10`. A document is relevant from grade 1. A query that got no
answer, or has nothing relevant, scores 0: the mean is over all queries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.search.runs import EvaluationError, Qrels, Run, gains

__all__ = ["DEFAULT_METRICS", "HEADLINE", "Metric", "default_metrics", "measure", "parse_metrics"]

HEADLINE = "RR@10"

Values = NDArray[np.float64]
Grades = NDArray[np.int32]


@dataclass(frozen=True)
class Metric:
    """A measure and the rank it is cut at."""

    measure: str
    cutoff: int

    def __str__(self) -> str:
        """The name ir-measures gives it."""
        return f"{self.measure}@{self.cutoff}"


def _reciprocal_rank(grades: Grades, qrels: Qrels, cutoff: int) -> Values:
    relevant = grades[:, :cutoff] > 0
    if relevant.shape[1] == 0:
        return np.zeros(len(grades))
    first = relevant.argmax(axis=1) + 1
    return np.asarray(relevant.any(axis=1) / first, dtype=np.float64)


def _success(grades: Grades, qrels: Qrels, cutoff: int) -> Values:
    return np.asarray((grades[:, :cutoff] > 0).any(axis=1), dtype=np.float64)


def _precision(grades: Grades, qrels: Qrels, cutoff: int) -> Values:
    return np.asarray((grades[:, :cutoff] > 0).sum(axis=1) / cutoff, dtype=np.float64)


def _recall(grades: Grades, qrels: Qrels, cutoff: int) -> Values:
    return _share((grades[:, :cutoff] > 0).sum(axis=1), qrels.relevant)


def _average_precision(grades: Grades, qrels: Qrels, cutoff: int) -> Values:
    # Only the places of relevant hits count: the i-th of a query adds i / rank.
    rows, columns = np.nonzero(grades[:, :cutoff] > 0)
    counts = np.bincount(rows, minlength=len(grades))
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    summed = np.bincount(rows, weights=nth / (columns + 1), minlength=len(grades))
    return _share(summed, qrels.relevant)


def _ndcg(grades: Grades, qrels: Qrels, cutoff: int) -> Values:
    # Järvelin & Kekäläinen (2002) with gain = grade, as trec_eval; the ideal is taken from all
    # judged documents, whether retrieved or not.
    discounts = 1.0 / np.log2(np.arange(2, cutoff + 2))
    shown = grades[:, :cutoff]
    return _share(shown @ discounts[: shown.shape[1]], qrels.ideal(cutoff) @ discounts)


def _share(part: NDArray[np.generic], whole: NDArray[np.generic]) -> Values:
    """Divide; 0 where there is nothing to find."""
    out = np.zeros(len(whole))
    np.divide(part, whole, out=out, where=np.asarray(whole != 0))
    return out


_MEASURES: dict[str, Callable[[Grades, Qrels, int], Values]] = {
    "RR": _reciprocal_rank,
    "Success": _success,
    "nDCG": _ndcg,
    "R": _recall,
    "AP": _average_precision,
    "P": _precision,
}
_NAME = re.compile(r"(?P<measure>[A-Za-z]+)@(?P<cutoff>[1-9][0-9]{0,5})")


def default_metrics(ks: Sequence[int] = (1, 5, 10)) -> tuple[Metric, ...]:
    """RR@k and Success@k for each k, then nDCG@10, R@100 and AP@100; RR@10 is always there."""
    cutoffs = sorted({*ks, 10})
    known = [Metric(name, k) for name in ("RR", "Success") for k in cutoffs]
    return (*known, Metric("nDCG", 10), Metric("R", 100), Metric("AP", 100))


DEFAULT_METRICS = default_metrics()


def parse_metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    """Metrics of these names.

    Raises EvaluationError naming every name that is not a metric.

    >>> [str(metric) for metric in parse_metrics(["RR@10", "nDCG@10"])]
    ['RR@10', 'nDCG@10']
    """
    matches = {name: _NAME.fullmatch(name) for name in names}
    wrong = [
        name for name, match in matches.items() if not match or match["measure"] not in _MEASURES
    ]
    if wrong:
        known = ", ".join(f"{name}@k" for name in _MEASURES)
        raise EvaluationError(
            f"Not a metric: {', '.join(map(repr, wrong))}. Name some of {known}, such as RR@10."
        )
    return tuple(
        Metric(match["measure"], int(match["cutoff"])) for match in matches.values() if match
    )


def measure(run: Run, qrels: Qrels, metrics: Sequence[Metric]) -> dict[str, Values]:
    """Name -> value of each query, float64 [queries], in the order of `qrels.queries`."""
    grades = gains(run, qrels)
    return {
        str(metric): _MEASURES[metric.measure](grades, qrels, metric.cutoff) for metric in metrics
    }
