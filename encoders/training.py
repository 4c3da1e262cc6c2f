"""Training a CLIP: one readable loop, on a CPU or a GPU, that survives being killed.

    trained = train(pairs, validation, Path("build/encoder"), preset("tiny"))
    print(trained.sentence())

While it runs, everything lies in a hidden work folder beside `out`; the encoder's folder
appears whole at the end, with the weights of the best epoch.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders import tokenizer as tokens
from encoders.augment import augment_images
from encoders.checkpoint import Clock, Counters, load_state, save_state, step_generator
from encoders.clip import MAX_LOGIT_SCALE, ClipModule, Encoder, pick_device
from encoders.curves import VALIDATION, curves_csv
from encoders.errors import UserError
from encoders.loss import batch_accuracy, positives, symmetric_infonce
from encoders.optimizer import make_optimizer, rate_at
from encoders.pairs import Pairs, read_pairs
from encoders.presets import TrainingConfig
from encoders.progress import Progress, silent
from encoders.storage import sha256_bytes
from encoders.validation import chance_mrr, embed_pairs, text_to_image_mrr

__all__ = ["Trained", "TrainingError", "train"]

ROWS_PER_EPOCH = 5
LABEL_COLUMNS = {"none": 0, "caption": 1, "group": 2}


class TrainingError(UserError):
    """There is nothing to train on, or the loss is no longer a number."""


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
    """Train on `pairs` of (image, text, group), keep what does best on `validation`.

    Images are Pillow images, encoded bytes or paths. With `resume`, a run that was killed goes
    on from its last checkpoint; the pairs must be the same. Raises TrainingError, ImageError,
    ResumeError.
    """
    work = out.parent / f".{out.name}.training"
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    prepare = config.model.preprocessing
    train_pairs = read_pairs(pairs, prepare, work, "reading training images", progress)
    held_out = read_pairs(validation, prepare, work, "reading validation images", progress)
    if len(train_pairs) < 2:
        raise TrainingError(
            f"There are {len(train_pairs)} pairs of image and caption to train on; "
            "contrastive training needs at least 2."
        )
    run = _Run(train_pairs, held_out, work, config, progress)
    run.fit()
    run.module.load_state_dict(run.best)
    counters = run.counters
    encoder = Encoder(run.module.cpu(), curves=curves_csv(counters.rows))
    encoder.save(out)
    shutil.rmtree(work, ignore_errors=True)
    return Trained(
        folder=out,
        fingerprint=encoder.manifest.fingerprint,
        pairs=len(train_pairs),
        pool=len(held_out),
        mrr10=counters.best,
        best_epoch=counters.best_epoch,
        epochs=math.ceil(counters.step / run.steps_per_epoch),
        steps=counters.step,
        seconds=counters.seconds,
        cpu_seconds=counters.cpu_seconds,
        stopped=counters.stopped,
    )


class _Run:
    """One training run: the module, its optimizer, its data and how far it has come."""

    def __init__(
        self,
        pairs: Pairs,
        held_out: Pairs,
        work: Path,
        config: TrainingConfig,
        progress: Progress,
    ) -> None:
        self.pairs, self.held_out = pairs, held_out
        self.work, self.config, self.progress = work, config, progress
        self.device = pick_device(config.device)
        self.module = _fresh_module(pairs, config).to(self.device)
        self.optimizer = make_optimizer(self.module, config.weight_decay)
        samples = min(config.samples_per_epoch or len(pairs), len(pairs))
        self.batch = min(config.batch, samples)
        self.steps_per_epoch = samples // self.batch
        self.total_steps = self.steps_per_epoch * config.epochs
        run = f"{config} {pairs.fingerprint()} {held_out.fingerprint()}"
        self.counters = Counters(run=sha256_bytes(run.encode()))
        self.best = _copy(self.module)

    def fit(self) -> None:
        """Train from the last checkpoint, if there is one, to the end."""
        self._restore()
        counters = self.counters
        clock = Clock(counters.seconds, counters.cpu_seconds)
        saved = time.monotonic()
        while not counters.stopped:
            counters.recent.append(self._step())
            counters.step += 1
            counters.seconds, counters.cpu_seconds = clock.read()
            epoch, within = divmod(counters.step, self.steps_per_epoch)
            if within == 0:
                self._end_epoch(epoch)
            elif within % max(1, self.steps_per_epoch // ROWS_PER_EPOCH) == 0:
                self._add_row()
            due = time.monotonic() - saved > self.config.checkpoint_seconds
            if due or counters.stopped:
                save_state(self.work, self.module, self.optimizer, self.best, counters)
                saved = time.monotonic()

    def _restore(self) -> None:
        state = load_state(self.work, self.counters.run, self.module, self.optimizer)
        if state is not None:
            self.counters, self.best = state

    def _step(self) -> tuple[float, float]:
        """Move the weights once; return loss and accuracy of the batch."""
        epoch, within = divmod(self.counters.step, self.steps_per_epoch)
        rows = self._order(epoch)[within * self.batch : (within + 1) * self.batch]
        generator = step_generator(self.config.seed, self.counters.step)
        pixels = augment_images(
            self.pairs.images(rows).to(self.device), self.config.augmentation, generator
        )
        ids, mask = tokens.batch_ids(self.module.words, [self.pairs.texts[row] for row in rows])
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.module.train()
        images = self.module.embed_pixels(pixels)
        texts = self.module.embed_ids(ids.to(self.device), mask.to(self.device))
        positive = positives(self._labels(rows))
        loss = symmetric_infonce(images, texts, self.module.scale, positive)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), self.config.clip_norm)
        self.optimizer.step()
        with torch.no_grad():
            self.module.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss is {value} at step {self.counters.step}. Lower the learning rate."
            )
        return value, batch_accuracy(images.detach(), texts.detach(), positive)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.config.seed, epoch]).permutation(len(self.pairs))

    def _labels(self, rows: NDArray[np.int64]) -> Tensor:
        columns = LABEL_COLUMNS[self.config.positives]
        return torch.from_numpy(self.pairs.labels[rows, :columns]).to(self.device)

    def _learning_rate(self) -> float:
        done = (self.counters.step + 1) / self.total_steps
        if self.config.max_seconds:
            done = max(done, self.counters.seconds / self.config.max_seconds)
        return rate_at(min(done, 1.0), self.config.learning_rate, self.config.warmup)

    def _end_epoch(self, epoch: int) -> None:
        counters, config = self.counters, self.config
        mrr = self._validate() if len(self.held_out) else None
        self._add_row(mrr)
        if mrr is None or mrr > counters.best:
            counters.best, counters.best_epoch, self.best = mrr or 0.0, epoch, _copy(self.module)
        if epoch >= config.epochs:
            counters.stopped = "all epochs done"
        elif config.max_seconds and counters.seconds >= config.max_seconds:
            counters.stopped = "time was up"
        elif config.patience and epoch - counters.best_epoch >= config.patience:
            counters.stopped = f"no better for {config.patience} epochs"
        self.progress("training", epoch, config.epochs, _note(mrr, counters))

    def _validate(self) -> float:
        self.module.eval()
        images, texts = embed_pairs(self.module, self.held_out)
        return text_to_image_mrr(images, texts, self.held_out.labels[:, 0])

    def _add_row(self, mrr: float | None = None) -> None:
        counters = self.counters
        loss, accuracy = np.mean(counters.recent, axis=0)
        counters.recent.clear()
        row: dict[str, float | int] = {
            "step": counters.step,
            "epoch": math.ceil(counters.step / self.steps_per_epoch),
            "seconds": round(counters.seconds, 2),
            "cpu_seconds": round(counters.cpu_seconds, 2),
            "loss": round(float(loss), 5),
            "accuracy": round(float(accuracy), 4),
            "temperature": round(1 / float(self.module.scale.detach()), 5),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        if mrr is not None:
            row |= {VALIDATION: round(mrr, 4), "validation_pool": len(self.held_out)}
        counters.rows.append(row)


def _note(mrr: float | None, counters: Counters) -> str:
    loss = f"loss {counters.rows[-1]['loss']:.2f}"
    return loss if mrr is None else f"{loss}, validation MRR@10 {mrr:.3f}"


def _fresh_module(pairs: Pairs, config: TrainingConfig) -> ClipModule:
    text = config.model.text
    tokenizer = tokens.train_tokenizer(
        pairs.texts, vocabulary=text.vocabulary, max_tokens=text.context
    )
    text = replace(text, vocabulary=tokenizer.get_vocab_size())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return ClipModule(replace(config.model, text=text), tokenizer)


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
