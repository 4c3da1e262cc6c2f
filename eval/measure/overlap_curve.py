"""The overlap curve: each ranking by the share of dropped caption words.

A step's figures are those of its own task. What a conclusion is drawn from is one figure a
ranking: each query's mean over the steps at which words are missing. At 0 % the query itself
stands in the index, so that step is shown and never counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.leakage.leakage import PROVEN, Kind, Leakage
from eval.measure.results import Estimate, TaskResult, judge_values
from eval.protocols.overlap import ORDERS, Order, step_of

__all__ = ["OVERLAP", "Curves", "OverlapCurve", "overlap_curve"]

OVERLAP = "overlap"

Curves = Mapping[Order, Mapping[str, Mapping[int, Estimate]]]


@dataclass(frozen=True)
class OverlapCurve:
    """Both curves and what is concluded from them.

    curves: order -> profile -> percent dropped -> Estimate, without leaked queries where there
    are any. whole: the mean over the steps, as a result of its own that has no runs.
    steps: the tasks' own results.
    """

    curves: Curves
    whole: TaskResult
    steps: Sequence[TaskResult]

    def leaders(self) -> list[tuple[Order, int, str]]:
        """Of each step, the declared ranking with the highest figure."""
        found = []
        for order, profiles in self.curves.items():
            for percent in sorted({p for points in profiles.values() for p in points}):
                best = max(profiles, key=lambda name: profiles[name][percent].value)
                found.append((order, percent, best))
        return found


def overlap_curve(results: Sequence[TaskResult], seed: int = 0) -> OverlapCurve | None:
    """From the results of the curve's steps; None if there are none."""
    steps = [(step_of(result.task.protocol), result) for result in results]
    known = [(step, result) for step, result in steps if step]
    counted = [result for step, result in known if step[1]]
    if not counted:
        return None
    first = counted[0]
    metric = first.metric
    profiles = [name for name in first.values if all(name in r.values for r in counted)]
    means = {
        name: {metric: np.mean([r.values[name][metric] for r in counted], axis=0)}
        for name in profiles
    }
    task = replace(
        first.task,
        protocol=OVERLAP,
        description="The mean over queries that lack 25, 50, 75 and 90 % of their caption's words.",
    )
    leakage = _joined([result.leakage for result in counted])
    chance = float(np.mean([result.chance[metric] for result in counted]))
    whole = judge_values(
        task,
        means,
        metric,
        leakage=leakage,
        clusters=first.clusters,
        chance={metric: chance},
        seed=seed,
    )
    curves: dict[Order, dict[str, dict[int, Estimate]]] = {order: {} for order in ORDERS}
    for (order, percent), result in known:
        for name in profiles:
            shown = result.shown if percent else result.everything
            point = shown.estimates[name][metric]
            for each in ORDERS if not percent else (order,):
                curves[each].setdefault(name, {})[percent] = point
    return OverlapCurve(curves, whole, [result for _, result in known])


def _joined(found: Sequence[Leakage]) -> Leakage:
    """A query is leaked where it is at any step; told kinds stay where nothing is proven."""
    kinds: list[Kind] = []
    for some in zip(*(leakage.kinds for leakage in found), strict=True):
        proven = [kind for kind in some if kind in PROVEN]
        kinds.append(next(iter([*proven, *filter(None, some)]), ""))
    return Leakage(tuple(kinds), max(leakage.elsewhere for leakage in found))
