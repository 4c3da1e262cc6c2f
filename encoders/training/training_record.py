"""training.json: settings and results of a finished run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from encoders.base.errors import readable
from encoders.model.manifest import TRAINING
from encoders.training.checkpoint import ResumeError
from encoders.training.concepts import Balance
from encoders.training.pairs import fingerprint_of
from encoders.training.presets import TrainingConfig

__all__ = ["Trained", "finished", "training_json"]


@dataclass(frozen=True)
class Trained:
    """A finished run: where the encoder is and how good it was on the validation pairs.

    mrr10, chance_mrr10: of the best epoch, and of a random order of the pool. concepts: how many
    were learned beforehand; concept_map, concept_f1: how well they were named.
    """

    folder: Path
    fingerprint: str
    pairs: int
    pool: int
    mrr10: float
    chance_mrr10: float
    best_epoch: int
    epochs: int
    steps: int
    seconds: float
    cpu_seconds: float
    stopped: str
    concepts: int = 0
    concept_map: float = 0.0
    concept_f1: float = 0.0

    def summary(self) -> dict[str, object]:
        """Everything as JSON values."""
        return {**asdict(self), "folder": str(self.folder)}

    def sentence(self) -> str:
        """One line for a person."""
        quality = (
            f"validation MRR@10 {self.mrr10:.3f} (text to image, {self.pool:,} images, "
            f"chance {self.chance_mrr10:.3f}) after epoch {self.best_epoch}"
            if self.pool
            else "no validation pairs, so the last epoch was kept"
        )
        named = (
            f" Pretrained on {self.concepts:,} concepts: validation mAP {self.concept_map:.3f}, "
            f"F1 {self.concept_f1:.3f}."
            if self.concepts
            else ""
        )
        epochs = f"{self.epochs} epoch{'' if self.epochs == 1 else 's'}"
        return (
            f"Trained on {self.pairs:,} pairs, {epochs}, {self.seconds:.0f} s "
            f"({self.stopped}): {quality}.{named} "
            f"Encoder {self.fingerprint[:8]} in {self.folder}."
        )


def training_json(
    config: TrainingConfig,
    data: tuple[str, str],
    trained: Trained,
    balance: Balance | None = None,
) -> str:
    """Settings, data and figures of a run: the content of the encoder's training.json.

    data: fingerprints of the pairs that it learned from, and of those that validated it.
    """
    figures = {name: value for name, value in asdict(trained).items() if name != "folder"}
    content: dict[str, object] = {
        "settings": _settings(config),
        "data": data,
        "figures": figures,
    }
    if balance is not None:
        content["balance"] = asdict(balance)
    return json.dumps(content, indent=2) + "\n"


def finished(
    out: Path,
    config: TrainingConfig,
    pairs: Iterable[tuple[object, ...]],
    validation: Iterable[tuple[object, ...]],
) -> Trained:
    """The run whose encoder stands at `out`.

    Raises ResumeError if it was trained with other settings or on other pairs, or where it is
    not known with which.
    """
    again = f"Continue from it with --start {out} and another OUT, or train again without --resume."
    try:
        with readable(out / TRAINING, ResumeError):
            told = json.loads((out / TRAINING).read_text("utf-8"))
        settings, data = told["settings"], tuple(told["data"])
        trained = Trained(folder=out, **told["figures"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ResumeError(
            f"{out} is a finished encoder, and it has no {TRAINING} with its settings. {again}"
        ) from None
    # What this run does not name was added later; its default is what was done then.
    if _settings(TrainingConfig(config.model)) | settings != _settings(config):
        raise ResumeError(f"{out} is finished, with other settings. {again}")
    if data != (fingerprint_of(pairs), fingerprint_of(validation)):
        raise ResumeError(f"{out} is finished, and was trained on other pairs. {again}")
    return trained


def _settings(config: TrainingConfig) -> dict[str, Any]:
    """As JSON reads them back; the towers are left out, the manifest has them."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    settings["model"] = settings["model"]["preprocessing"]
    return settings
