"""Contrastive training of both towers, after concept pretraining where it is asked for."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.base.errors import Notice
from encoders.base.progress import Progress
from encoders.base.storage import sha256_bytes
from encoders.model.clip import ClipModule
from encoders.model.module import MAX_LOGIT_SCALE
from encoders.training.augment import augment_images
from encoders.training.batches import Batch, Batches, Prefetch
from encoders.training.checkpoint import TrainingError, step_generator
from encoders.training.concepts import concept_scores, multi_hot, vocabulary
from encoders.training.curves import CONCEPT_F1, CONCEPT_MAP, VALIDATION
from encoders.training.distributed import Team
from encoders.training.epochs import EpochRun, Schedule
from encoders.training.frozen import frozen_texts
from encoders.training.objectives import concept_backward, contrastive_backward, share_gradients
from encoders.training.optimizer import (
    check_parts,
    freeze,
    make_optimizer,
    rate_at,
    take_step,
    without_effect,
)
from encoders.training.pairs import Pairs
from encoders.training.presets import TrainingConfig
from encoders.training.validation import (
    asked_once,
    chance_mrr,
    embed_pairs,
    predict_concepts,
    text_to_image_mrr,
)

__all__ = ["Run", "Trainee"]

START_BIAS = -10.0  # SigLIP, section 3.2: at first no pair is classified as positive

# torch 2.13 crashes in the backward pass of channels-last convolutions over a handful of images,
# on a CPU with several threads; batches of 18 and more were never seen to.
SAFE_BATCH = 32


class Trainee(nn.Module):
    """What the optimizer moves: the encoder, and what it needs only while it learns.

    That is a head that names concepts, and the bias of the sigmoid loss.
    """

    def __init__(self, clip: ClipModule, concepts: int, *, sigmoid: bool) -> None:
        super().__init__()
        self.clip = clip
        self.bias = nn.Parameter(torch.tensor(START_BIAS)) if sigmoid else None
        self.head = nn.Linear(clip.config.dimension, concepts) if concepts else nn.Identity()


class Run(EpochRun):
    """Trains both towers of `module`, and keeps those of the best epoch."""

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
        self.config = config
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
        if team.leads:
            for sentence in without_effect(module, config.layer_decay, config.rates):
                warnings.warn(sentence, Notice, stacklevel=2)
        optimizer = make_optimizer(
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
        self.source = Prefetch(self.batches.at)
        schedule = Schedule(
            config.concept_epochs + config.epochs,
            self.batches.steps_per_epoch,
            config.patience,
            config.checkpoint_seconds,
            config.max_seconds,
        )
        run = self._name(team)
        super().__init__(self.trainee, optimizer, schedule, run, work, progress, team, module)

    def fit(self) -> None:
        """Train from the last checkpoint, if there is one, to the end."""
        try:
            super().fit()
        finally:
            self.source.close()

    def _step(self) -> tuple[float, float]:
        batch = self.source.at(self.counters.step)
        loss, accuracy = self._backward(batch.to(self.team.device))
        share_gradients(self.trainee, self.team)
        take_step(self.trainee, self.optimizer, self._rate(), self.config.clip_norm)
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
            if step >= config.concept_epochs * self.schedule.steps:
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
        config, steps = self.config, self.schedule.steps
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

    def _told(self, values: dict[str, float]) -> list[str]:
        told = super()._told(values)
        if CONCEPT_MAP in values:
            scores = f"mAP {values[CONCEPT_MAP]:.3f}, F1 {values[CONCEPT_F1]:.3f}"
            told.append(f"naming concepts: validation {scores}")
        return told

    def _validate(self, epoch: int) -> dict[str, float]:
        if not len(self.held_out):
            return {}
        self.trainee.eval()
        with self._precision():
            if epoch <= self.config.concept_epochs:
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

    def _more(self) -> dict[str, float | int]:
        temperature = 1 / float(self.module.scale.detach())
        return {"pairs": len(self.pairs), "temperature": round(temperature, 5)}

    def _name(self, team: Team) -> str:
        """What must be the same for a resumed run: settings, data and first weights."""
        state = self.module.state_dict().values()
        start = sha256_bytes(b"".join(v.detach().cpu().numpy().tobytes() for v in state))
        data = (self.pairs.fingerprint, self.held_out.fingerprint)
        return sha256_bytes(f"{self.config} {team.size} {data} {start}".encode())


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
