"""The verdict in sentences: which ranking to use, and how certain that is."""

from __future__ import annotations

from collections.abc import Iterator

from eval.leakage.leakage import KINDS, PROVEN
from eval.measure.bootstrap import ENOUGH
from eval.measure.chance import small_figure
from eval.measure.results import TaskResult
from eval.measure.significance import ALPHA, DECLARED, Comparison
from eval.report.evaluation import Evaluation
from eval.search.rank_bm25 import BASELINE

__all__ = ["summary"]


def summary(evaluation: Evaluation) -> list[str]:
    """A few sentences for the top of the report, what decides first."""
    headline = evaluation.headline
    if headline is None:
        return [*evaluation.notes, "Only the pairs card could be computed: see below."]
    return [
        _decision(headline),
        *_baseline(headline),
        _figures(headline, len(evaluation.pool)),
        *_pairs(headline),
        *_steps(evaluation),
        *_warnings(headline),
        *evaluation.notes,
    ]


def _ranked(result: TaskResult) -> list[str]:
    """The rankings that the question is about, the best first: no baseline, where there is more."""
    figures = {name: found[result.metric].value for name, found in result.shown.estimates.items()}
    asked = [name for name in DECLARED if name in figures]
    if len(asked) < 2:
        asked = [name for name in figures if name != BASELINE] or list(figures)
    return sorted(asked, key=lambda profile: -figures[profile])


def _level(result: TaskResult, ranked: list[str]) -> list[str]:
    """The rankings that the best one is not shown to beat."""
    return [name for name in ranked[1:] if _pair(result, ranked[0], name).p_holm >= ALPHA]


def _decision(result: TaskResult) -> str:
    """Which ranking to use: never more than the paired tests bear out."""
    ranked = _ranked(result)
    best, level = ranked[0], _level(result, ranked)
    if not result.sound:
        return (
            f"These data cannot tell which ranking to use: on {result.task.protocol} nearly every "
            "query was seen before, in the index or in training."
        )
    if result.shown.estimates[best][result.metric].low <= result.chance[result.metric]:
        return (
            f"These data cannot tell which ranking to use: {best} leads, but is not shown to be "
            "better than a random ranking."
        )
    if len(ranked) == 1:
        return f"{best} ranking alone was evaluated."
    sure = ", as far as so few independent queries can tell" if result.shown.few else ""
    if not level:
        return f"Use {best} ranking: it does best, and the difference is more than noise{sure}."
    if len(level) + 1 == len(ranked):
        return (
            f"These data cannot tell which ranking to use: {best} leads, and no ranking is shown "
            "to be better than another."
        )
    beaten = [name for name in ranked[1:] if name not in level]
    return (
        f"Use {' or '.join([best, *level])} ranking: {best} leads, is better than "
        f"{' and '.join(beaten)}, and is not shown to be better than {' and '.join(level)}{sure}."
    )


def _figures(result: TaskResult, pool: int) -> str:
    best = _ranked(result)[0]
    found = result.shown.estimates[best][result.metric]
    without = (
        f", {result.leakage.leaked:,} leaked ones left out" if result.shown is result.clean else ""
    )
    return (
        f"On {_name(result)} ({found.queries:,} queries{without}; {pool:,} documents searched) "
        f"{best} has {_metric(result)} {found.value:.3f} ({found.low:.3f} to {found.high:.3f}); "
        f"a random ranking would have {small_figure(result.chance[result.metric])}."
    )


def _name(result: TaskResult) -> str:
    return "the overlap curve" if result.task.protocol == "overlap" else result.task.protocol


def _metric(result: TaskResult) -> str:
    return f"M{result.metric}" if result.metric.startswith("RR@") else f"mean {result.metric}"


def _pair(result: TaskResult, first: str, second: str) -> Comparison:
    return next(c for c in result.shown.comparisons if {c.first, c.second} == {first, second})


def _pairs(result: TaskResult) -> Iterator[str]:
    ranked = _ranked(result)
    for rival in ranked[1:]:
        found = _pair(result, ranked[0], rival)
        sign = 1 if found.first == ranked[0] else -1
        low, high = sorted((sign * found.low_adjusted, sign * found.high_adjusted))
        told = (
            f"{ranked[0]} against {rival}: {_signed(sign * found.difference)} "
            f"({_signed(low)} to {_signed(high)}), {_p_value(found)}, both corrected for the "
            "declared family"
        )
        if found.p_holm < ALPHA:
            yield f"{told}."
        elif not found.detectable:
            yield f"{told}: no difference shown."
        else:
            yield (
                f"{told}: no difference shown; these queries could show one of "
                f"{found.detectable:.3f}."
            )


def _steps(evaluation: Evaluation) -> Iterator[str]:
    """Who leads at which step of the overlap curve."""
    curve = evaluation.overlap_curve
    if curve is None or evaluation.headline is not curve.whole:
        return
    declared = _ranked(curve.whole)
    if len(declared) < 2:
        return
    for order, profiles in curve.curves.items():
        points = {name: profiles[name] for name in declared if name in profiles}
        steps = sorted(next(iter(points.values())))
        leaders: dict[str, list[int]] = {}
        for step in steps:
            best = max(points, key=lambda name: points[name][step].value)
            leaders.setdefault(best, []).append(step)
        how = "at random" if order == "random" else "stop words first"
        told = "; ".join(f"{name} at {', '.join(map(str, at))} %" for name, at in leaders.items())
        yield f"Words dropped {how}, the highest figure is: {told}."


def _baseline(result: TaskResult) -> Iterator[str]:
    """A baseline or another system's run that ties with the winner, or beats it."""
    best = _ranked(result)[0]
    for found in result.shown.comparisons:
        if {found.first, found.second} != {BASELINE, best}:
            continue
        difference = found.difference if found.first == BASELINE else -found.difference
        if found.p_holm >= ALPHA:
            yield f"The baseline {BASELINE} is not shown to be worse than {best}."
        elif difference > 0:
            yield f"The baseline {BASELINE} is better than {best} by {difference:.3f}."


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # + 0.0: never "-0.000"


def _p_value(found: Comparison) -> str:
    return "p < .001" if found.p_holm < 0.001 else f"p = {found.p_holm:.3f}"


def _warnings(result: TaskResult) -> Iterator[str]:
    shown = result.shown
    if not result.sound:
        counts = result.leakage.counts()
        ways = ", ".join(
            f"{kind} {counts[kind]:,}" for kind in KINDS if kind in PROVEN and counts[kind]
        )
        yield (
            f"Leaky: {result.leakage.leaked:,} of {len(result.leakage.kinds):,} queries were seen "
            f"before ({ways})."
        )
    if len(shown.clusters.names) < 2:
        yield "All queries are of one case, article or text: nothing can be told of others."
    elif shown.few:
        yield (
            f"Few independent queries: {len(shown.clusters.names)} clusters that tell as much as "
            f"{shown.clusters.effective:.1f} equally large ones. Below {ENOUGH}, intervals are too "
            "narrow to mean much."
        )
    if shown.heavy:
        profile, name, share = shown.heaviest
        yield f"One cluster, {name}, carries {100 * share:.0f} % of the figure of {profile}."
