"""The result of tuning, and the profiles file with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from eval.measure.metrics import HEADLINE
from eval.measure.results import Estimate
from eval.measure.significance import Comparison
from ingest.corpus.corpus import Corpus
from ranking.profiles.shipped import ProfileSet

__all__ = ["TUNED_ON", "Gain", "Guarded", "Inputs", "Tuning", "TuningOptions", "tuned_split"]

Inputs = dict[str, float]

ALPHA_LEVEL = 0.05
TUNED_ON = "Defaults tuned on "


@dataclass(frozen=True)
class TuningOptions:
    """On which queries to tune: `split` must not be one that figures are reported on.

    allow_loss: write the profiles even where another protocol loses by more than noise.
    """

    protocol: str = "split-caption"
    split: str = "validation"
    folds: int = 5
    seed: int = 0
    allow_loss: bool = False
    command: str = ""


@dataclass(frozen=True)
class Gain:
    """A profile's tuned values minus its shipped ones, cross-validated over the partitions.

    spread: the standard deviation of the difference over partitions.
    """

    difference: float
    spread: float
    comparison: Comparison

    @property
    def beats(self) -> bool:
        """Whether the tuned values are better by more than their spread and by more than noise."""
        return self.difference > self.spread and self.comparison.p_holm < ALPHA_LEVEL

    def told(self, name: str) -> str:
        """The outcome in a sentence."""
        figure = (
            f"{self.difference:+.3f} (± {self.spread:.3f} over partitions, "
            f"p = {self.comparison.p_holm:.3f})"
        )
        if self.beats:
            return f"{name} gets new values, which differ from the shipped ones by {figure}."
        return f"{name} keeps its shipped values: the tuned ones differ by {figure}."


@dataclass(frozen=True)
class Guarded:
    """What new values do to another protocol: MRR@10 before and after; p of a loss, one sided."""

    protocol: str
    profile: str
    before: float
    after: float
    p: float

    @property
    def lost(self) -> bool:
        """Whether the protocol loses by more than noise."""
        return self.after < self.before and self.p < ALPHA_LEVEL

    def told(self) -> str:
        """The loss in words."""
        return (
            f"{self.profile} on {self.protocol} falls from {self.before:.3f} to {self.after:.3f} "
            f"(p = {self.p:.3f})"
        )


@dataclass(frozen=True)
class Tuning:
    """What was found.

    profiles: the index's profiles with their defaults. chosen: profile -> its inputs, new where
    `gains` says that they beat the shipped ones. guarded: what they do to other protocols.
    estimates: cross-validated figures of the tuned profiles, of the shipped defaults
    ("hybrid as it was") and of the single rankings. left_out: queries like the
    encoder's training. curve: MRR@10 over alpha, at the chosen k.
    better_single: the single ranking that does better. comparisons: each tuned blend minus that,
    corrected together.
    """

    profiles: ProfileSet
    chosen: Mapping[str, Inputs]
    gains: Mapping[str, Gain]
    guarded: Sequence[Guarded]
    estimates: Mapping[str, Estimate]
    curve: Mapping[float, Estimate]
    better_single: str
    comparisons: Sequence[Comparison]
    protocol: str
    split: str
    queries: int
    left_out: int = 0

    @property
    def losses(self) -> list[Guarded]:
        """Other protocols that lose by more than noise."""
        return [each for each in self.guarded if each.lost]

    @property
    def winners(self) -> list[str]:
        """The blends that beat the better single ranking by more than noise, the best first."""
        won = [c for c in self.comparisons if c.difference > 0 and c.p_holm < ALPHA_LEVEL]
        return [c.first for c in sorted(won, key=lambda c: -c.difference)]

    def verdict(self) -> str:
        """The outcome in a few sentences: each tuned blend, and which of them helps."""
        single, blends = self.better_single, "; ".join(map(_against, self.comparisons))
        told = (
            f"M{HEADLINE} on {self.protocol} ({self.queries:,} queries of the {self.split} split, "
            f"cross-validated) against {single}, the better single ranking: {blends}."
        )
        kept = " ".join(gain.told(name) for name, gain in self.gains.items())
        if self.winners:
            return f"{kept} {told} It is beaten by tuned {' and tuned '.join(self.winners)}."
        return f"{kept} {told} No blend beats {single} by more than noise."

    def advice(self) -> str:
        """What to rank by."""
        if self.winners:
            return f"Then rank by --profile {self.winners[0]}."
        return (
            f"But --profile {self.better_single}, which needs no tuning, is not shown to be worse."
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
            "left_out": self.left_out,
            "gains": {
                name: {"beats": gain.beats, **asdict(gain)} for name, gain in self.gains.items()
            },
            "guarded": [{"lost": each.lost, **asdict(each)} for each in self.guarded],
            "chosen": {name: dict(inputs) for name, inputs in self.chosen.items()},
            "estimates": {name: vars(found) for name, found in self.estimates.items()},
            "curve": [{"alpha": alpha, **vars(found)} for alpha, found in self.curve.items()],
            "better_single": self.better_single,
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
            "winners": self.winners,
            "verdict": self.verdict(),
        }


def tuned_split(split: str, corpus: Corpus) -> str:
    """How a tuned profile's description names the queries that it was tuned on."""
    return f"{split} split, corpus {corpus.manifest.content_sha256[:8]}"


def _against(found: Comparison) -> str:
    """One blend against the better single ranking."""
    if not found.wins and not found.losses:
        return f"tuned {found.first} gives the same figure"
    told = (
        f"tuned {found.first} {found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f}), "
        f"p = {found.p_holm:.4f} after Holm's correction"
    )
    if found.p_holm < ALPHA_LEVEL or not found.detectable:
        return told
    return f"{told} (these queries could show {found.detectable:.3f})"
