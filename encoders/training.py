"""Training a CLIP: one readable loop, on a CPU or a GPU, that survives being killed.

    trained = train(pairs, validation, Path("build/encoder"), preset("tiny"))
    print(trained.sentence())

While it runs, everything lies in a hidden work folder beside `out`; the encoder's folder
appears whole at the end, with the weights of the best epoch.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from encoders import tokenizer as tokens
from encoders.clip import ClipModule, Encoder
from encoders.concepts import balance
from encoders.curves import curves_csv
from encoders.pairs import Pairs, read_pairs
from encoders.presets import TrainingConfig
from encoders.progress import Progress, silent
from encoders.published import load_any
from encoders.run import Run, TrainingError
from encoders.validation import chance_mrr

__all__ = ["Trained", "TrainingError", "train"]


@dataclass(frozen=True)
class Trained:
    """A finished run: where the encoder is and how good it was on the validation pairs."""

    folder: Path
    fingerprint: str
    pairs: int
    pool: int
    mrr10: float
    best_epoch: int
    epochs: int
    steps: int
    seconds: float
    cpu_seconds: float
    stopped: str

    def summary(self) -> dict[str, object]:
        """Everything as JSON values."""
        return {**asdict(self), "folder": str(self.folder), "chance_mrr10": chance_mrr(self.pool)}

    def sentence(self) -> str:
        """One line for a person."""
        quality = (
            f"validation MRR@10 {self.mrr10:.3f} (text to image, {self.pool:,} images, "
            f"chance {chance_mrr(self.pool):.3f}) after epoch {self.best_epoch}"
            if self.pool
            else "no validation pairs, so the last epoch was kept"
        )
        return (
            f"Trained on {self.pairs:,} pairs, {self.epochs} epochs, {self.seconds:.0f} s "
            f"({self.stopped}): {quality}. Encoder {self.fingerprint[:8]} in {self.folder}."
        )


def train(
    pairs: Iterable[tuple[object, ...]],
    validation: Iterable[tuple[object, ...]],
    out: Path,
    config: TrainingConfig,
    progress: Progress = silent,
    resume: bool = False,
) -> Trained:
    """Train on `pairs` of (image, text, group, concepts), keep what does best on `validation`.

    Images are Pillow images, encoded bytes or paths; group and concepts (a sequence of names)
    may be left out. With `resume`, a run that was killed goes
    on from its last checkpoint; the pairs must be the same. Raises TrainingError, ImageError,
    ResumeError.
    """
    work = out.parent / f".{out.name}.training"
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    start = load_any(Path(config.start)).module if config.start else None
    if start is not None:
        config = replace(config, model=start.config)
    prepare = config.model.preprocessing
    train_pairs = read_pairs(pairs, prepare, work, "reading training images", progress)
    held_out = read_pairs(validation, prepare, work, "reading validation images", progress)
    if len(train_pairs) < 2:
        raise TrainingError(
            f"There are {len(train_pairs)} pairs of image and caption to train on; "
            "contrastive training needs at least 2."
        )
    _tell_balance(train_pairs, config, progress)
    module = start or _fresh_module(train_pairs.texts, config)
    run = Run(module, train_pairs, held_out, work, config, progress)
    run.fit()
    module.load_state_dict(run.best)
    counters = run.counters
    encoder = Encoder(module.requires_grad_().cpu(), curves=curves_csv(counters.rows))
    encoder.save(out)
    shutil.rmtree(work, ignore_errors=True)
    return Trained(
        folder=out,
        fingerprint=encoder.manifest.fingerprint,
        pairs=len(train_pairs),
        pool=len(held_out),
        mrr10=counters.best,
        best_epoch=counters.best_epoch,
        epochs=math.ceil(counters.step / run.batches.steps_per_epoch),
        steps=counters.step,
        seconds=counters.seconds,
        cpu_seconds=counters.cpu_seconds,
        stopped=counters.stopped,
    )


def _tell_balance(pairs: Pairs, config: TrainingConfig, progress: Progress) -> None:
    if config.balance_cap:
        told = balance(pairs.concepts, config.balance_cap)
        progress(
            "balancing pairs",
            round(told.kept),
            told.pairs,
            f"most frequent concept: {told.largest:,} pairs before, {told.largest_kept:,.0f} after",
        )


def _fresh_module(texts: Sequence[str], config: TrainingConfig) -> ClipModule:
    text = config.model.text
    words = tokens.train_tokenizer(texts, vocabulary=text.vocabulary, max_tokens=text.context)
    text = replace(text, vocabulary=words.get_vocab_size())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return ClipModule(replace(config.model, text=text), words)
