"""Training of a caption decoder on the cells of a frozen image tower, resumable.

The loss is the cross-entropy of each next token given the true ones before it, with smoothed labels
(Szegedy et al. 2016). After each epoch the held-out captions are read the same way, without
smoothing; the epoch with the least nats per token is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from encoders.base.progress import Progress, silent
from encoders.base.storage import sha256_bytes
from encoders.model.decoder import CaptionDecoder, Decoder, DecoderConfig
from encoders.model.tokenizer import PAD_ID, batch_ids, train_tokenizer
from encoders.training.checkpoint import TrainingError, drawn, work_folder
from encoders.training.epochs import EpochRun, Schedule
from encoders.training.optimizer import make_optimizer, rate_at, take_step

__all__ = ["CaptioningConfig", "Described", "train_decoder"]

BATCH = 128  # held-out captions at a time
NATS = "nats_per_token"
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
    with work_folder(out, resume=resume) as work:
        run = _Run(pairs, held_out, work, encoder, config, progress)
        run.fit()
        decoder = run.finished()
        decoder.save(out)
    return decoder


class _Run(EpochRun):
    def __init__(
        self,
        pairs: Described,
        held_out: Described,
        work: Path,
        encoder: str,
        config: CaptioningConfig,
        progress: Progress,
    ) -> None:
        self.pairs, self.held_out = pairs, held_out
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
        self.lengths = np.array([len(text) for text in pairs.captions])
        steps = max(1, len(pairs) // config.batch)
        schedule = Schedule(config.epochs, steps, config.patience, config.checkpoint_seconds)
        data = [[*each.ids, *each.captions] for each in (pairs, held_out)]
        run = sha256_bytes(f"{config} {encoder} {data}".encode())
        optimizer = make_optimizer(self.module, config.weight_decay)
        super().__init__(self.module, optimizer, schedule, run, work, progress)

    def finished(self) -> Decoder:
        """The decoder of the best epoch."""
        self.module.load_state_dict(self.best)
        counters = self.counters
        figures = {
            "pairs": len(self.pairs),
            "held_out": len(self.held_out),
            "nats_per_token": -math.log(counters.best) if counters.best > 0 else None,
            "best_epoch": counters.best_epoch,
            "epochs": counters.step // self.schedule.steps,
            "stopped": counters.stopped,
            "seconds": round(counters.seconds, 1),
            "cpu_seconds": round(counters.cpu_seconds, 1),
            "settings": asdict(self.config),
        }
        return Decoder(self.module.eval(), self.words, self.encoder, figures)

    def _step(self) -> tuple[float, float]:
        step, steps = self.counters.step, self.schedule.steps
        epoch, within = divmod(step, steps)
        size, config = self.config.batch, self.config
        order = np.random.default_rng([config.seed, epoch]).permutation(len(self.pairs))
        # Of some batches at a time, captions of a length together: little padding is computed.
        near = [order[at : at + TOGETHER * size] for at in range(0, len(order), TOGETHER * size)]
        order = np.concatenate([part[np.argsort(self.lengths[part])] for part in near])
        cells, texts = self.pairs.at(order[within * size : (within + 1) * size].tolist())
        self.module.train()
        self.optimizer.zero_grad()
        with drawn(config.seed, step):  # dropout
            loss, count = self._loss(cells, texts, config.smoothing)
            (loss / count).backward()  # type: ignore[no-untyped-call]
        rate = rate_at(self.schedule.share(step), config.learning_rate, config.warmup)
        take_step(self.module, self.optimizer, rate, config.clip_norm)
        return float(loss.detach()) / count, 0.0

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

    @torch.inference_mode()
    def _validate(self, epoch: int) -> dict[str, float]:
        self.module.eval()
        total, tokens = 0.0, 0
        for start in range(0, len(self.held_out), BATCH):
            rows = range(start, min(start + BATCH, len(self.held_out)))
            loss, count = self._loss(*self.held_out.at(rows))
            total, tokens = total + float(loss), tokens + count
        return {NATS: total / tokens} if tokens else {}

    def _score(self, values: dict[str, float]) -> float:
        return math.exp(-values[NATS]) if NATS in values else math.nan

    def _told(self, values: dict[str, float]) -> list[str]:
        return [f"validation {values[NATS]:.2f} nats per token"] if NATS in values else []
