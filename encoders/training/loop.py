"""The training loop, with checkpoints and validation."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.base.errors import UserError
from encoders.base.progress import Progress, expect
from encoders.base.storage import sha256_bytes
from encoders.model.clip import ClipModule
from encoders.model.module import MAX_LOGIT_SCALE
from encoders.training.augment import augment_images
from encoders.training.batches import Batch, Batches, Prefetch
from encoders.training.checkpoint import Clock, Counters, load_state, save_state, step_generator
from encoders.training.concepts import concept_scores, multi_hot, vocabulary
from encoders.training.curves import CONCEPT_F1, CONCEPT_MAP, VALIDATION
from encoders.training.distributed import Team
from encoders.training.frozen import frozen_texts
from encoders.training.objectives import concept_backward, contrastive_backward, share_gradients
from encoders.training.optimizer import check_parts, freeze, make_optimizer, rate_at, set_rate
from encoders.training.pairs import Pairs
from encoders.training.presets import TrainingConfig
from encoders.training.validation import (
    asked_once,
    chance_mrr,
    embed_pairs,
    predict_concepts,
    text_to_image_mrr,
)

__all__ = ["Run", "Trainee", "TrainingError"]

MEASURED = 4  # steps that tell how long all will take
ROWS_PER_EPOCH = 5  # of training.csv
START_BIAS = -10.0  # SigLIP, section 3.2: at first no pair is classified as positive

# torch 2.13 crashes in the backward pass of channels-last convolutions over a handful of images,
# on a CPU with several threads; batches of 18 and more were never seen to.
SAFE_BATCH = 32


class TrainingError(UserError):
    """There is nothing to train on, or the loss is no longer a number."""


class Trainee(nn.Module):
    """What the optimizer moves: the encoder, and what it needs only while it learns.

    That is a head that names concepts, and the bias of the sigmoid loss.
    """

    def __init__(self, clip: ClipModule, concepts: int, *, sigmoid: bool) -> None:
        super().__init__()
        self.clip = clip
        self.bias = nn.Parameter(torch.tensor(START_BIAS)) if sigmoid else None
        self.head = nn.Linear(clip.config.dimension, concepts) if concepts else nn.Identity()


class Run:
    """Trains `module` in place; `best` are the weights of the best epoch, `counters` the tale."""

    def __init__(
        self,
        module: ClipModule,
        pairs: Pairs,
        held_out: Pairs,
        work: Path,
        config: TrainingConfig,
        team: Team,
        progress: Progress,
        cache: Path | None = None,
    ) -> None:
        self.pairs, self.held_out = pairs, held_out
        self.work, self.config, self.team, self.progress = work, config, team, progress
        self.names = _concept_names(pairs, config)
        if config.precision == "bfloat16" and team.device.type == "cpu":
            raise TrainingError(
                "Training in bfloat16 needs a GPU: leave precision at auto or float32."
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            sigmoid = config.loss == "sigmoid"
            self.trainee = Trainee(module, len(self.names), sigmoid=sigmoid).to(team.device)
        freeze(module, config.freeze)
        check_parts(module, [part for part, _ in config.rates])
        if _fragile(config, len(pairs), team):
            module.image.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.module = module
        self.optimizer = make_optimizer(
            self.trainee,
            config.weight_decay,
            config.layer_decay,
            [(f"clip.{part}", rate) for part, rate in config.rates],
        )
        known = frozen_texts(module, pairs.texts, config, cache, progress)
        self.held_out_texts = frozen_texts(module, held_out.texts, config, cache)
        if config.dropout:
            for tower in (module.image, module.text):
                tower.projection.register_forward_pre_hook(self._drop)
        self.batches = Batches(pairs, module.tokenizer, config, team, known)
        self.targets = torch.from_numpy(multi_hot(pairs.concepts, self.names))
        self.best = _copy(module)
        self.counters = Counters(run=self._name())

    def fit(self) -> None:
        """Train from the last checkpoint, if there is one, to the end."""
        state = load_state(self.work, self.counters.run, self.trainee, self.optimizer)
        if state is not None:
            self.counters, self.best = state
        self.team.wait()  # for all to have read the state, before it is written again
        source = Prefetch(self.batches.at)
        try:
            self._loop(source)
        finally:
            source.close()

    def _loop(self, source: Prefetch) -> None:
        counters, steps = self.counters, self.batches.steps_per_epoch
        clock = Clock(counters.seconds, counters.cpu_seconds)
        saved, cost = time.monotonic(), 0.0
        first, warm = counters.step, saved
        total = self.config.concept_epochs + self.config.epochs
        self.progress("training", first // steps, total)
        while not counters.stopped:
            counters.recent.append(self._step(source.at(counters.step)))
            counters.step += 1
            if counters.step == first + 1:
                warm = time.monotonic()
            elif counters.step == first + 1 + MEASURED:
                self._expect((time.monotonic() - warm) / MEASURED)
            counters.seconds, counters.cpu_seconds = self.team.agree(clock.read())
            epoch, within = divmod(counters.step, steps)
            if within == 0:
                self._end_epoch(epoch)
            elif within % max(1, steps // ROWS_PER_EPOCH) == 0:
                self._add_row()
                told = f"epoch {epoch + 1}, step {within:,} of {steps:,}, {self._note({})}"
                self.progress("training", epoch, total, told)
            started = time.monotonic()
            # Large models take seconds to write: at most a twentieth of the time goes there.
            due = started - saved > max(self.config.checkpoint_seconds, 20 * cost)
            if self.team.leads and (due or counters.stopped):
                save_state(self.work, self.trainee, self.optimizer, self.best, counters)
                saved = time.monotonic()
                cost = saved - started

    def _expect(self, step: float) -> None:
        """Say how long what is left takes at most, from the `step` seconds of some steps."""
        config, steps = self.config, self.batches.steps_per_epoch
        epochs = config.concept_epochs + config.epochs
        seconds = (epochs * steps - self.counters.step) * step
        if config.max_seconds:
            seconds = min(seconds, config.max_seconds - self.counters.seconds)
        weights = sum(value.nbytes for value in self.best.values())
        # A checkpoint holds weights, the best weights and AdamW's two means; the folder both forms.
        what = f"training at most {epochs} epochs of {steps} steps"
        expect(self.progress, what, seconds, 6 * weights)

    def _step(self, batch: Batch) -> tuple[float, float]:
        """Move the weights once; return loss and accuracy of the batch."""
        config = self.config
        loss, accuracy = self._backward(batch.to(self.team.device))
        if not math.isfinite(loss):
            step = self.counters.step
            raise TrainingError(f"The loss is {loss} at step {step}. Lower the learning rate.")
        share_gradients(self.trainee, self.team)
        nn.utils.clip_grad_norm_(self.trainee.parameters(), config.clip_norm)
        set_rate(self.optimizer, self._rate())
        self.optimizer.step()
        with torch.no_grad():
            self.module.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        return loss, accuracy

    def _backward(self, batch: Batch) -> tuple[float, float]:
        step, config, team = self.counters.step, self.config, self.team
        draws = step_generator(config.seed, step, team.rank)
        images = batch.images
        if images.ndim > 2:  # not a frozen tower's features
            images = augment_images(images, config.augmentation, draws)
        self.trainee.train()
        self.optimizer.zero_grad()
        with self._precision():
            if step >= config.concept_epochs * self.batches.steps_per_epoch:
                seed = draws.initial_seed() // 2
                return contrastive_backward(
                    self.module,
                    images,
                    batch,
                    team,
                    config.micro_batch,
                    seed,
                    self.trainee.bias,
                    config.late_interaction,
                )
            targets = self.targets[batch.rows].float().to(team.device)
            head, kind = self.trainee.head, config.concept_loss
            return concept_backward(self.module, head, images, targets, team, kind)

    def _drop(self, projection: nn.Module, features: tuple[Tensor]) -> tuple[Tensor]:
        """Leave out a share of the features that a projection sees, while it learns."""
        return (F.dropout(features[0], self.config.dropout, projection.training),)

    def _precision(self) -> torch.autocast:
        device = self.team.device.type
        half = self.config.precision != "float32" and device == "cuda"
        return torch.autocast(device, torch.bfloat16, enabled=half)

    def _rate(self) -> float:
        """The learning rate now; concept pretraining and what follows rise and fall apart."""
        config, steps = self.config, self.batches.steps_per_epoch
        first, later = config.concept_epochs * steps, config.epochs * steps
        done = self.counters.step + 1
        if done <= first:
            return self._rate_of(done / first, first)
        share = (done - first) / later
        if config.max_seconds:
            share = max(share, self.counters.seconds / config.max_seconds)
        return self._rate_of(share, later)

    def _rate_of(self, share: float, steps: int) -> float:
        # At a share of 1 the rate is 0, and the last step, or the only one, would move nothing.
        share = min(share, 1 - 0.5 / steps)
        return rate_at(share, self.config.learning_rate, self.config.warmup)

    def _end_epoch(self, epoch: int) -> None:
        counters, config = self.counters, self.config
        naming = epoch <= config.concept_epochs
        values = self._validate(naming) if self.team.leads and len(self.held_out) else {}
        self._add_row(values)
        (score,) = self.team.agree([values.get(VALIDATION, math.nan)])
        if math.isnan(score) or score > counters.best:
            counters.best = 0.0 if math.isnan(score) else score
            counters.best_epoch, self.best = epoch, _copy(self.module)
        total = config.concept_epochs + config.epochs
        if epoch >= total:
            counters.stopped = "all epochs done"
        elif config.max_seconds and counters.seconds >= config.max_seconds:
            counters.stopped = "time limit reached"
        elif config.patience and epoch - counters.best_epoch >= config.patience:
            counters.stopped = f"no improvement for {config.patience} epochs"
        self.progress("training", epoch, total, self._note(values))

    def _note(self, values: dict[str, float]) -> str:
        told = [f"loss {self.counters.rows[-1]['loss']:.2f}"]
        if VALIDATION in values:
            told.append(f"validation MRR@10 {values[VALIDATION]:.3f}")
        if CONCEPT_MAP in values:
            scores = f"mAP {values[CONCEPT_MAP]:.3f}, F1 {values[CONCEPT_F1]:.3f}"
            told.append(f"naming concepts: validation {scores}")
        return ", ".join(told)

    def _validate(self, naming: bool) -> dict[str, float]:
        self.trainee.eval()
        with self._precision():
            if naming:
                scores = predict_concepts(self.module, self.trainee.head, self.held_out)
                found = concept_scores(scores, multi_hot(self.held_out.concepts, self.names))
                return {CONCEPT_MAP: found.mean_average_precision, CONCEPT_F1: found.f1}
            images, texts = embed_pairs(self.module, self.held_out, self.held_out_texts)
        captions, weights = self._questions()
        mrr = text_to_image_mrr(images, texts, captions, weights=weights)
        return {VALIDATION: mrr, "validation_pool": len(self.held_out)}

    @property
    def chance(self) -> float:
        """What a random order of the validation images would score."""
        return chance_mrr(*self._questions())

    def _questions(self) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
        """Labels of the validation captions, and how much each counts."""
        captions = self.held_out.labels[:, 0]
        return captions, asked_once(captions) if self.config.ask == "caption" else None

    def _add_row(self, values: dict[str, float] | None = None) -> None:
        counters = self.counters
        loss, accuracy = np.mean(counters.recent, axis=0)
        counters.recent.clear()
        row: dict[str, float | int] = {
            "step": counters.step,
            "epoch": math.ceil(counters.step / self.batches.steps_per_epoch),
            "pairs": len(self.pairs),
            "seconds": round(counters.seconds, 2),
            "cpu_seconds": round(counters.cpu_seconds, 2),
            "loss": round(float(loss), 5),
            "accuracy": round(float(accuracy), 4),
            "temperature": round(1 / float(self.module.scale.detach()), 5),
            "learning_rate": round(self.optimizer.param_groups[0]["lr"], 9),
        }
        row |= {name: round(value, 4) for name, value in (values or {}).items()}
        counters.rows.append(row)

    def _name(self) -> str:
        """What must be the same for a resumed run: settings, data and first weights."""
        start = sha256_bytes(b"".join(v.cpu().numpy().tobytes() for v in self.best.values()))
        data = (self.pairs.fingerprint, self.held_out.fingerprint)
        return sha256_bytes(f"{self.config} {self.team.size} {data} {start}".encode())


def _fragile(config: TrainingConfig, pairs: int, team: Team) -> bool:
    """Whether the towers may see fewer images at a time than channels-last is safe for."""
    smallest = min(config.micro_batch or config.batch, config.batch // team.size, pairs)
    return team.device.type == "cpu" and smallest < SAFE_BATCH


def _concept_names(pairs: Pairs, config: TrainingConfig) -> tuple[str, ...]:
    if not config.concept_epochs:
        return ()
    names = vocabulary(pairs.concepts, config.concept_minimum)
    if not names:
        raise TrainingError(
            f"No concept has {config.concept_minimum} pairs. Train without concept epochs."
        )
    return names


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
