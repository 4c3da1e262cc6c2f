"""Training of a caption decoder on the cells of a frozen image tower, resumable.

The loss is the cross-entropy of each next token given the true ones before it, with smoothed labels
(Szegedy et al. 2016). After each epoch the held-out captions are read the same way, without
smoothing; the epoch with the least nats per token is kept.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.base.progress import Progress, silent
from encoders.base.storage import locked, sha256_bytes
from encoders.model.decoder import CaptionDecoder, Decoder, DecoderConfig
from encoders.model.tokenizer import PAD_ID, batch_ids, train_tokenizer
from encoders.training.checkpoint import (
    Clock,
    Counters,
    begin_anew,
    load_state,
    remove_unless_begun,
    save_state,
    step_generator,
)
from encoders.training.loop import TrainingError
from encoders.training.optimizer import make_optimizer, rate_at, set_rate

__all__ = ["CaptioningConfig", "Described", "train_decoder"]

BATCH = 128  # held-out captions at a time
TOGETHER = 8  # batches whose captions are sorted by length


@dataclass(frozen=True)
class CaptioningConfig:
    """model: its vocabulary is an upper limit; cells and features are the image tower's.

    patience: epochs without a better held-out loss before stopping. smoothing: share of the
    probability that is spread over all tokens. The rest as in presets.TrainingConfig.
    """

    model: DecoderConfig = field(default_factory=lambda: DecoderConfig(2048, 0, 0))
    epochs: int = 10
    patience: int = 3
    batch: int = 32
    learning_rate: float = 3e-3
    warmup: float = 0.05
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    smoothing: float = 0.1
    checkpoint_seconds: float = 10.0
    seed: int = 0


@dataclass(frozen=True)
class Described:
    """Images with captions. cells: float [n, P, F] of the images with these ids."""

    ids: Sequence[str]
    captions: Sequence[str]
    cells: Callable[[Sequence[str]], NDArray[np.float16]]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.ids)

    def at(self, rows: Sequence[int]) -> tuple[Tensor, list[str]]:
        """Cells and captions of the rows."""
        cells = self.cells([self.ids[row] for row in rows])
        return torch.from_numpy(cells), [self.captions[row] for row in rows]


def train_decoder(
    pairs: Described,
    held_out: Described,
    out: Path,
    encoder: str,
    config: CaptioningConfig,
    *,
    resume: bool = False,
    progress: Progress = silent,
) -> Decoder:
    """Train on the cells of the encoder with this fingerprint, and write the decoder to `out`.

    With `resume` a run that was killed goes on from its last checkpoint. Raises TrainingError,
    ResumeError.
    """
    if len(pairs) < 2:
        raise TrainingError(
            f"There are {len(pairs)} images with a caption to learn from; a decoder needs 2."
        )
    work = out.parent / f".{out.name}.training"
    busy = TrainingError(f"Another process is training into {out}: wait, or name another folder.")
    with locked(work, busy):
        try:
            if not resume:
                begin_anew(work)
            run = _Run(pairs, held_out, work, encoder, config, progress)
            run.fit()
        except TrainingError:
            remove_unless_begun(work)
            raise
        decoder = run.finished()
        decoder.save(out)
        shutil.rmtree(work, ignore_errors=True)
    return decoder


class _Run:
    def __init__(
        self,
        pairs: Described,
        held_out: Described,
        work: Path,
        encoder: str,
        config: CaptioningConfig,
        progress: Progress,
    ) -> None:
        self.pairs, self.held_out, self.work, self.progress = pairs, held_out, work, progress
        self.encoder, self.config = encoder, config
        self.words = train_tokenizer(
            pairs.captions, vocabulary=config.model.vocabulary, max_tokens=config.model.context
        )
        (_, cells, features) = pairs.at([0])[0].shape
        model = replace(
            config.model,
            vocabulary=self.words.get_vocab_size(),
            cells=cells,
            features=features,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.module = CaptionDecoder(model)
        self.optimizer = make_optimizer(self.module, config.weight_decay)
        self.lengths = np.array([len(text) for text in pairs.captions])
        self.steps = max(1, len(pairs) // config.batch)
        self.best = self._weights()
        data = [[*each.ids, *each.captions] for each in (pairs, held_out)]
        self.counters = Counters(run=sha256_bytes(f"{config} {encoder} {data}".encode()))

    def fit(self) -> None:
        """Train from the last checkpoint, if there is one, to the end."""
        state = load_state(self.work, self.counters.run, self.module, self.optimizer)
        if state is not None:
            self.counters, self.best = state
        counters, config = self.counters, self.config
        clock = Clock(counters.seconds, counters.cpu_seconds)
        saved = clock.read()[0]
        self.progress("training", counters.step // self.steps, config.epochs)
        while not counters.stopped:
            counters.recent.append((self._step(counters.step), 0.0))
            counters.step += 1
            epoch, within = divmod(counters.step, self.steps)
            counters.seconds, counters.cpu_seconds = clock.read()
            if within == 0:
                self._end_epoch(epoch)
            else:
                told = f"epoch {epoch + 1}, step {within:,} of {self.steps:,}"
                self.progress("training", epoch, config.epochs, told)
            if counters.stopped or counters.seconds - saved > config.checkpoint_seconds:
                save_state(self.work, self.module, self.optimizer, self.best, counters)
                saved = clock.read()[0]

    def finished(self) -> Decoder:
        """The decoder of the best epoch."""
        self.module.load_state_dict(self.best)
        counters = self.counters
        figures = {
            "pairs": len(self.pairs),
            "held_out": len(self.held_out),
            "nats_per_token": -math.log(counters.best) if counters.best > 0 else None,
            "best_epoch": counters.best_epoch,
            "epochs": counters.step // self.steps,
            "stopped": counters.stopped,
            "seconds": round(counters.seconds, 1),
            "cpu_seconds": round(counters.cpu_seconds, 1),
            "settings": asdict(self.config),
        }
        return Decoder(self.module.eval(), self.words, self.encoder, figures)

    def _step(self, step: int) -> float:
        epoch, within = divmod(step, self.steps)
        size, config = self.config.batch, self.config
        order = np.random.default_rng([config.seed, epoch]).permutation(len(self.pairs))
        # Of some batches at a time, captions of a length together: little padding is computed.
        near = [order[at : at + TOGETHER * size] for at in range(0, len(order), TOGETHER * size)]
        order = np.concatenate([part[np.argsort(self.lengths[part])] for part in near])
        cells, texts = self.pairs.at(order[within * size : (within + 1) * size].tolist())
        self.module.train()
        self.optimizer.zero_grad()
        with torch.random.fork_rng(devices=[]):  # dropout follows from seed and step
            torch.manual_seed(step_generator(config.seed, step).initial_seed())
            loss, count = self._loss(cells, texts, config.smoothing)
            (loss / count).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), config.clip_norm)
        share = min((step + 1) / (config.epochs * self.steps), 1 - 0.5 / self.steps)
        set_rate(self.optimizer, rate_at(share, config.learning_rate, config.warmup))
        self.optimizer.step()
        mean = float(loss.detach()) / count
        if not math.isfinite(mean):
            raise TrainingError(f"The loss is {mean} at step {step}. Lower the learning rate.")
        return mean

    def _loss(
        self, cells: Tensor, texts: Sequence[str], smoothing: float = 0.0
    ) -> tuple[Tensor, int]:
        """Sum of the cross-entropy over all tokens but the first, and their number."""
        ids = torch.from_numpy(batch_ids(self.words, texts)[0])
        logits, targets = self.module(ids[:, :-1], cells), ids[:, 1:]
        loss = F.cross_entropy(
            logits.flatten(0, 1),
            targets.flatten(),
            ignore_index=PAD_ID,
            label_smoothing=smoothing,
            reduction="sum",
        )
        return loss, int((targets != PAD_ID).sum())

    def _end_epoch(self, epoch: int) -> None:
        counters, config = self.counters, self.config
        loss = float(np.mean([each for each, _ in counters.recent]))
        counters.recent.clear()
        told = f"loss {loss:.2f}"
        score = math.inf  # without held-out pairs the last epoch is kept
        if len(self.held_out):
            nats = self._validate()
            score = math.exp(-nats)
            told += f", validation {nats:.2f} nats per token"
        counters.rows.append({"step": counters.step, "epoch": epoch, "loss": loss})
        if score > counters.best:
            counters.best = 0.0 if math.isinf(score) else score
            counters.best_epoch, self.best = epoch, self._weights()
        if epoch >= config.epochs:
            counters.stopped = "all epochs done"
        elif config.patience and epoch - counters.best_epoch >= config.patience:
            counters.stopped = f"no improvement for {config.patience} epochs"
        self.progress("training", epoch, config.epochs, told)

    @torch.inference_mode()
    def _validate(self) -> float:
        self.module.eval()
        total, tokens = 0.0, 0
        for start in range(0, len(self.held_out), BATCH):
            rows = range(start, min(start + BATCH, len(self.held_out)))
            loss, count = self._loss(*self.held_out.at(rows))
            total, tokens = total + float(loss), tokens + count
        return total / tokens

    def _weights(self) -> dict[str, Tensor]:
        state = self.module.state_dict()
        return {name: value.detach().clone() for name, value in state.items()}
