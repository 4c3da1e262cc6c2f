"""The headline in sentences: what won, by how much, and how sure that is."""

from __future__ import annotations

from eval.measure.chance import small_figure
from eval.measure.metrics import HEADLINE
from eval.measure.results import TaskResult
from eval.measure.significance import Comparison
from eval.report.evaluation import Evaluation

__all__ = ["summary"]

ALPHA = 0.05
# Fewer independent groups than this make a bootstrap interval too narrow to be believed.
FEW = 10
# The baseline is another formula on other tokens: it stands in the tables, not in the verdict.
_RIVALS = ("lexical", "vector", "hybrid")


def summary(evaluation: Evaluation) -> list[str]:
    """A few sentences for the top of the report."""
    headline = evaluation.headline
    if headline is None:
        return [*evaluation.notes, "Only the pairs card could be computed: see below."]
    verdict = _verdict(headline, len(evaluation.pool))
    # What makes every figure doubtful comes before the figures.
    return [*evaluation.notes, *verdict, *_warnings(headline)]


def _verdict(result: TaskResult, pool: int) -> list[str]:
    figures = {profile: found[HEADLINE] for profile, found in result.estimates.items()}
    ranked = sorted(figures, key=lambda profile: -figures[profile].value)
    best = figures[ranked[0]]
    chance = result.chance[HEADLINE]
    told = (
        f"On {result.task.protocol} ({best.queries:,} queries, {pool:,} documents searched), "
        f"{_standing(result, ranked)}: M{HEADLINE} {best.value:.3f} "
        f"({best.low:.3f} to {best.high:.3f}); a random ranking would score {small_figure(chance)}"
    )
    inside = ", and is not shown to be worse" if best.low <= chance else ""
    return [f"{told}{inside}.", *(_against(result, ranked[0], name) for name in _rivals(ranked))]


def _rivals(ranked: list[str]) -> list[str]:
    return [name for name in ranked[1:] if name in _RIVALS] or ranked[1:]


def _standing(result: TaskResult, ranked: list[str]) -> str:
    """How the best ranking stands: never more than the paired tests bear out."""
    rivals = _rivals(ranked)
    if not rivals:
        return f"{ranked[0]} ranking alone was evaluated"
    level = [name for name in rivals if _pair(result, ranked[0], name).p_holm >= ALPHA]
    if not level:
        return f"{ranked[0]} ranking does best"
    if level == rivals:
        return f"no ranking is shown to be better than another; {ranked[0]} ranking leads"
    return f"{ranked[0]} ranking leads, but is not shown to be better than {', '.join(level)}"


def _pair(result: TaskResult, first: str, second: str) -> Comparison:
    return next(c for c in result.comparisons if {c.first, c.second} == {first, second})


def _against(result: TaskResult, best: str, rival: str) -> str:
    found = _pair(result, best, rival)
    sign = 1 if found.first == best else -1
    low, high = sorted((sign * found.low, sign * found.high))
    told = (
        f"Against {rival}: {_signed(sign * found.difference)} "
        f"({_signed(low)} to {_signed(high)}), "
        f"{_p_value(found)} after Holm's correction"
    )
    if found.p_holm < ALPHA:
        return f"{told}."
    if not found.detectable:
        return f"{told}: no difference shown."
    return f"{told}: no difference shown; these queries could show one of {found.detectable:.3f}."


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # + 0.0: never "-0.000"


def _p_value(found: Comparison) -> str:
    return "p < .001" if found.p_holm < 0.001 else f"p = {found.p_holm:.3f}"


def _warnings(result: TaskResult) -> list[str]:
    told = []
    if result.leakage.leaky:
        leaked, count = result.leakage.leaked, len(result.leakage.kinds)
        told.append(
            f"This figure is leaky: {leaked:,} of {count:,} queries stand in the index with a "
            "relevant document, or ask for an image that stands in training."
        )
    if result.independent < FEW:
        told.append(
            f"Its queries come from {result.independent} cases, articles or images of none: too "
            "few for intervals and tests to mean much."
        )
    return told
