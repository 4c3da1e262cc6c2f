"""What tuning found, and where it says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table

from eval.metrics import HEADLINE
from eval.results import Estimate
from ingest.corpus import Corpus
from ranking.profiles import ProfileSet

__all__ = ["TUNED_ON", "Inputs", "Tuning", "TuningOptions", "tuned_split"]

Inputs = dict[str, float]

ALPHA_LEVEL = 0.05
TUNED_ON = "Defaults tuned on "


@dataclass(frozen=True)
class TuningOptions:
    """On which queries to tune: `split` must not be one that figures are reported on."""

    protocol: str = "split-caption"
    split: str = "validation"
    folds: int = 5
    seed: int = 0
    command: str = ""


@dataclass(frozen=True)
class Tuning:
    """What was found.

    profiles: the index's profiles with tuned defaults. chosen: profile -> its inputs.
    estimates: cross-validated figures of the tuned profiles, of the shipped defaults
    ("hybrid as it was") and of the single rankings. curve: MRR@10 over alpha, at the chosen k.
    better_single: the single ranking that does better; difference, low, high, p: tuned hybrid
    minus that; helps: whether that is more than noise.
    """

    profiles: ProfileSet
    chosen: Mapping[str, Inputs]
    estimates: Mapping[str, Estimate]
    curve: Mapping[float, Estimate]
    better_single: str
    difference: float
    low: float
    high: float
    p: float
    detectable: float | None
    protocol: str
    split: str
    queries: int

    @property
    def helps(self) -> bool:
        """Whether blending beats the better single ranking by more than noise."""
        return self.difference > 0 and self.p < ALPHA_LEVEL

    def verdict(self) -> str:
        """The outcome in a sentence or two."""
        if not self.detectable:
            return (
                f"On {self.protocol} ({self.queries:,} queries of the {self.split} split) no blend "
                f"beats {self.better_single} ranking: tuning arrives at it."
            )
        told = (
            f"Tuned hybrid against {self.better_single}, the better single ranking, on "
            f"{self.protocol} ({self.queries:,} queries of the {self.split} split, "
            f"cross-validated): {self.difference:+.3f} M{HEADLINE} "
            f"({self.low:+.3f} to {self.high:+.3f}), p = {self.p:.4f}."
        )
        if self.helps:
            return told
        return (
            f"{told} No blend beats {self.better_single} by more than noise: these queries "
            f"could show a difference of {self.detectable:.3f}."
        )

    def table(self) -> Table:
        """MRR@10 of every ranking; those that were tuned are cross-validated."""
        table = Table("ranking", f"M{HEADLINE}", "95 % interval", box=None, pad_edge=False)
        for name, found in self.estimates.items():
            table.add_row(name, f"{found.value:.3f}", f"{found.low:.3f} to {found.high:.3f}")
        return table

    def metrics(self) -> dict[str, object]:
        """As JSON values."""
        return {
            "protocol": self.protocol,
            "split": self.split,
            "queries": self.queries,
            "chosen": {name: dict(inputs) for name, inputs in self.chosen.items()},
            "estimates": {name: vars(found) for name, found in self.estimates.items()},
            "curve": [{"alpha": alpha, **vars(found)} for alpha, found in self.curve.items()],
            "better_single": self.better_single,
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "p": self.p,
            "detectable": self.detectable,
            "helps": self.helps,
        }


def tuned_split(split: str, corpus: Corpus) -> str:
    """How a tuned profile's description names the queries that it was tuned on."""
    return f"{split} split, corpus {corpus.manifest.content_sha256[:8]}"
