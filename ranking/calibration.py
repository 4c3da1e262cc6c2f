"""How probable it is that a hit is right, told by its match features.

Platt scaling (Platt 1999, Probabilistic outputs for support vector machines): logistic regression
over what words and image say. `rocosearch calibrate` fits it (eval/tuning/calibration.py) and
keeps the numbers as JSON beside the index; `rocosearch app` copies them into the package of a
Vespa application, whose hits come with the same match features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.base.errors import UserError, readable
from encoders.base.storage import sha256_json, write_whole

__all__ = [
    "CALIBRATION",
    "CAPTION_VECTOR",
    "LENGTH",
    "NOT_ITS_OWN",
    "SHORT",
    "Calibration",
    "CalibrationError",
    "Evidence",
    "evidence",
    "is_there",
]

CALIBRATION = "calibration.json"
NOT_ITS_OWN = (
    f"The probabilities in {CALIBRATION} were fitted on another index or encoder, so they are not "
    "used: fit them again with `rocosearch calibrate INDEX`, then start its server or deploy its "
    "package again."
)

Terms = int | NDArray[np.int64]
Columns = Mapping[str, NDArray[np.float64]]

SHORT = 6  # words

CAPTION_VECTOR = "closeness(field,caption_embedding)"
_WORDS = "bm25(caption)"
LENGTH = "log(words)"
_VECTORS = ("closeness(field,embedding)", "closeness(field,frames)", CAPTION_VECTOR)


class CalibrationError(UserError):
    """Probabilities cannot be fitted or read; the message says why."""


def evidence(features: Columns, terms: Terms) -> dict[str, NDArray[np.float64]]:
    """What counts, by name, each float64 [hits]: BM25 per word of the query, closeness, length.

    terms: how many the query has, or each hit's query, int [hits].
    """
    found = {name: features[name] for name in _VECTORS if name in features}
    if _WORDS in features:
        found[_WORDS] = features[_WORDS] / np.maximum(terms, 1)
    if found:
        hits = next(iter(found.values())).shape
        found[LENGTH] = np.broadcast_to(np.log(np.maximum(terms, 1)), hits)
    return found


def is_there(features: Columns, name: str) -> NDArray[np.bool_]:
    """Which hits have a caption, or a vector: bool [hits]."""
    if name == _WORDS and "attribute(has_caption)" in features:
        return features["attribute(has_caption)"] > 0
    if name in _VECTORS:
        return features[name] > 0
    return np.ones(len(next(iter(features.values()))), np.bool_)


@dataclass(frozen=True)
class Evidence:
    """One regression: log odds = bias + the sum of weight * evidence, by the evidence's name."""

    bias: float
    weights: Mapping[str, float]

    def probabilities(self, found: Columns) -> NDArray[np.float64]:
        """Probability of each hit, float64 [hits]."""
        odds = self.bias + sum(weight * found[name] for name, weight in self.weights.items())
        return np.asarray(1 / (1 + np.exp(-np.clip(odds, -700, 700))), np.float64)


@dataclass(frozen=True)
class Calibration:
    """A regression for each set of evidence that a hit may have.

    fingerprint: the encoder whose vectors it was fitted on, "" where there were none. cut: hits of
    a lower probability look like nothing that was asked for. told: how it was fitted. index: the id
    of the index whose hits it was fitted on: what another one holds was not looked at. short: that
    of queries of at most SHORT words, of which the same evidence says more, the less the longer.
    captions: the encoder of captions, where it is another one.
    """

    fingerprint: str
    models: tuple[Evidence, ...]
    cut: float = 0.0
    told: Mapping[str, float] = field(default_factory=dict)
    index: str = ""
    short: Calibration | None = None
    captions: str = ""

    def of_query(self, terms: int) -> Calibration:
        """The one for queries of so many words."""
        return self.short if self.short and terms <= SHORT else self

    def probabilities(self, features: Columns, terms: Terms) -> NDArray[np.float64] | None:
        """Probability that each hit is right, float64 [hits], of a query of plain words.

        terms: how many the query has.
        NaN for a hit without evidence; None where the profile shows none of the features.
        """
        for encoder in filter(None, (self.fingerprint, self.captions)):
            own = f"_{encoder[:8]})"  # of a deployed profile, which names its encoders
            features = {name.replace(own, ")"): values for name, values in features.items()}
        found = evidence(features, terms)
        usable = [model for model in self.models if model.weights.keys() <= found.keys()]
        if not usable:
            return None
        made = np.full(len(next(iter(found.values()))), np.nan)
        for model in sorted(usable, key=lambda each: len(each.weights)):
            there = np.all([is_there(features, name) for name in model.weights], axis=0)
            made = np.where(there, model.probabilities(found), made)
        return made

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        content = asdict(self)
        content["checksum"] = sha256_json(content)
        write_whole(path, json.dumps(content, indent=2) + "\n")

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> Calibration:
        models = tuple(
            Evidence(float(each["bias"]), {n: float(w) for n, w in each["weights"].items()})
            for each in content["models"]
        )
        told = {name: float(value) for name, value in content["told"].items()}
        short = cls._of(content["short"]) if content.get("short") else None
        made = {"models": models, "told": told, "cut": float(content["cut"]), "short": short}
        return cls(**{**content, **made})

    @classmethod
    def read(cls, path: Path) -> Calibration | None:
        """Read it; None if there is no such file. Raises CalibrationError if it is damaged."""
        try:
            with readable(path, CalibrationError):
                content = json.loads(path.read_text("utf-8"))
            checksum = content.pop("checksum", None)  # earlier versions wrote none
            if checksum is not None and checksum != sha256_json(content):
                raise ValueError("changed")
            return cls._of(content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise CalibrationError(
                f"{path} is damaged: fit it again with `rocosearch calibrate`."
            ) from None
