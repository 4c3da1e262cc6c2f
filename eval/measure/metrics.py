"""Retrieval metrics per query, vectorised over [queries, depth] matrices of grades.

Named as ir-measures names them (MacAvaney et al., ECIR 2022): `RR@10`, `Success@5`,
`nDCG@10`, `R@100`, `AP@100`, `P@10`. A document is relevant from grade 1. A query that got no
answer, or has nothing relevant, scores 0: the mean is over all queries.

`Rprec` and `AP@R` (mAP@R of ECCV Caption, Chun et al., ECCV 2022; Musgrave et al., ECCV 2020) are
cut at R, the number of relevant documents of each query, at most 100: as deep as runs go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.collection.runs import EvaluationError, Qrels, Run, gains

__all__ = [
    "DEEPEST",
    "DEFAULT_METRICS",
    "HEADLINE",
    "Metric",
    "default_metrics",
    "measure",
    "parse_metrics",
]

HEADLINE = "RR@10"
DEEPEST = 100  # ranks looked at where a measure is cut at R

Values = NDArray[np.float64]
Grades = NDArray[np.int32]


@dataclass(frozen=True)
class Metric:
    """A measure and the rank it is cut at; 0 stands for R, the number of relevant documents."""

    measure: str
    cutoff: int

    def __str__(self) -> str:
        """The name ir-measures gives it."""
        if self.measure == "Rprec":
            return self.measure
        return f"{self.measure}@{self.cutoff or 'R'}"


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
    if not cutoff:
        return _average_precision_at_r(grades, qrels)
    # Only the places of relevant hits count: the i-th of a query adds i / rank.
    rows, columns = np.nonzero(grades[:, :cutoff] > 0)
    counts = np.bincount(rows, minlength=len(grades))
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    summed = np.bincount(rows, weights=nth / (columns + 1), minlength=len(grades))
    return _share(summed, qrels.relevant)


def _average_precision_at_r(grades: Grades, qrels: Qrels) -> Values:
    # The sum of P(k) over relevant ranks k <= R, divided by R.
    relevant = _within_r(grades, qrels)
    ranks = np.arange(1, relevant.shape[1] + 1)
    summed = (relevant * (relevant.cumsum(axis=1) / ranks)).sum(axis=1)
    return _share(summed, np.minimum(qrels.relevant, DEEPEST))


def _r_precision(grades: Grades, qrels: Qrels, cutoff: int) -> Values:
    found = _within_r(grades, qrels).sum(axis=1)
    return _share(found, np.minimum(qrels.relevant, DEEPEST))


def _within_r(grades: Grades, qrels: Qrels) -> NDArray[np.bool_]:
    shown = grades[:, :DEEPEST] > 0
    return np.asarray(shown & (np.arange(shown.shape[1]) < qrels.relevant[:, None]))


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
    "Rprec": _r_precision,
}
_NAME = re.compile(r"(?P<measure>[A-Za-z]+)(@(?P<cutoff>[1-9][0-9]{0,5}|R))?")


def default_metrics(ks: Sequence[int] = (1, 5, 10)) -> tuple[Metric, ...]:
    """RR@k and Success@k for each k, nDCG@10, P@10, R@100, AP@100, Rprec and AP@R.

    RR@10 is always there.
    """
    cutoffs = sorted({*ks, 10})
    known = [Metric(name, k) for name in ("RR", "Success") for k in cutoffs]
    others = ("nDCG@10", "P@10", "R@100", "AP@100", "Rprec", "AP@R")
    return (*known, *parse_metrics(others))


def parse_metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    """Metrics of these names.

    Raises EvaluationError naming every name that is not a metric.

    >>> [str(metric) for metric in parse_metrics(["RR@10", "nDCG@10"])]
    ['RR@10', 'nDCG@10']
    """
    matches = {name: _NAME.fullmatch(name) for name in names}
    wrong = [name for name, match in matches.items() if not match or not _known(match)]
    if wrong:
        known = ", ".join(f"{name}@k" for name in _MEASURES if name != "Rprec") + ", AP@R, Rprec"
        raise EvaluationError(
            f"Not a metric: {', '.join(map(repr, wrong))}. Name some of {known}, such as RR@10."
        )
    return tuple(
        Metric(match["measure"], int((match["cutoff"] or "0").replace("R", "0")))
        for match in matches.values()
        if match
    )


def _known(match: re.Match[str]) -> bool:
    """Whether there is such a measure, with a cut-off where it takes one."""
    measure, cutoff = match["measure"], match["cutoff"]
    if measure == "Rprec" or cutoff == "R":
        return (measure, cutoff) in {("Rprec", None), ("AP", "R")}
    return measure in _MEASURES and cutoff is not None


def measure(run: Run, qrels: Qrels, metrics: Sequence[Metric]) -> dict[str, Values]:
    """Name -> value of each query, float64 [queries], in the order of `qrels.queries`."""
    grades = gains(run, qrels)
    return {
        str(metric): _MEASURES[metric.measure](grades, qrels, metric.cutoff) for metric in metrics
    }


DEFAULT_METRICS = default_metrics()
