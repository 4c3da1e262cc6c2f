"""The batches of each step, determined by seed and step number."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from encoders.model.tokenizer import batch_ids
from encoders.training.augment_text import augment_text
from encoders.training.concepts import balanced_weights
from encoders.training.distributed import Team, TeamError
from encoders.training.pairs import Pairs
from encoders.training.presets import TrainingConfig

__all__ = ["Batch", "Batches", "Prefetch"]

# Streams of the seed: an epoch's order and a step's words; images have another (checkpoint.py).
ORDER, WORDS = 1, 2
LABEL_COLUMNS = {"none": 0, "caption": 1, "group": 2}


@dataclass(frozen=True)
class Batch:
    """images uint8 [b, C, S, S]; input_ids, attention_mask int64 [b, T]; labels int64 [B, L].

    images: float32 [b, W] where they are features of a frozen tower. b pairs of this process, of
    B in all processes. rows: int64 [b], the pairs' numbers.
    text_features: float [b, W] in place of the token ids, where the text tower is frozen.
    """

    images: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    rows: NDArray[np.int64]
    text_features: Tensor | None = None

    def pinned(self) -> Batch:
        """The same in memory that a GPU copies from while it computes."""
        return self._moved(Tensor.pin_memory)

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        if device.type == "cpu":
            return self
        return self._moved(lambda tensor: tensor.to(device, non_blocking=True))

    def _moved(self, move: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            move(self.images),
            move(self.input_ids),
            move(self.attention_mask),
            move(self.labels),
            self.rows,
            None if self.text_features is None else move(self.text_features),
        )


class Batches:
    """The batches of a run, each to be had by the number of its step.

    text_features: float [N, W] of a frozen text tower. team: only this process's part of each
    batch is made.
    """

    def __init__(
        self,
        pairs: Pairs,
        words: Tokenizer,
        config: TrainingConfig,
        team: Team,
        text_features: Tensor | None = None,
    ) -> None:
        self._pairs, self._words, self._config = pairs, words, config
        self._team, self._text_features = team, text_features
        self._weights: NDArray[np.float64] | None = None
        samples = len(pairs)
        if config.balance_cap:
            self._weights = balanced_weights(pairs.concepts, config.balance_cap)
            samples = max(1, int(self._weights.sum()))
        self._samples = min(config.samples_per_epoch or samples, samples)
        self.size = min(config.batch, self._samples)
        self.size -= self.size % team.size
        if not self.size:
            raise TeamError(f"{team.size} processes cannot share batches of {config.batch} pairs.")
        self.steps_per_epoch = self._samples // self.size
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def at(self, step: int) -> Batch:
        """The batch of a step; what an epoch's last full batch leaves over sits that epoch out."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._draw(epoch)
        whole = self._order[within * self.size : (within + 1) * self.size]
        mine = self._team.share(len(whole))
        rows, columns = whole[mine], LABEL_COLUMNS[self._config.positives]
        ids, mask = batch_ids(self._words, self._texts(step, whole)[mine])
        batch = Batch(
            self._pairs.images(rows),
            torch.from_numpy(ids),
            torch.from_numpy(mask),
            labels=torch.from_numpy(self._pairs.labels[whole, :columns]),
            rows=rows,
            text_features=None if self._text_features is None else self._text_features[rows],
        )
        return batch.pinned() if self._team.device.type == "cuda" else batch

    def _texts(self, step: int, rows: NDArray[np.int64]) -> list[str]:
        rng = np.random.default_rng([self._config.seed, step, 0, WORDS])
        texts, concepts = self._pairs.texts, self._pairs.concepts
        settings = self._config.text_augmentation
        return [augment_text(texts[r], concepts[r], settings, rng) for r in rows]

    def _draw(self, epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([self._config.seed, epoch, 0, ORDER])
        order = rng.permutation(len(self._pairs))
        if self._weights is not None:
            order = _included(self._weights, order, rng)
        if self._config.samples_per_epoch:
            order = order[: self._samples]
        return order


def _included(
    weights: NDArray[np.float64], order: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Of the rows in random order, each with the probability of its weight.

    Systematic sampling (Madow 1949): rows lie side by side, each as long as its weight, and one
    point a unit is drawn. A row of weight 1 is always hit, as MetaCLIP keeps its pair always.
    """
    ends = np.cumsum(weights[order])
    hit = np.diff(np.floor(ends - rng.random()), prepend=-1) >= 1
    return rng.permutation(order[hit])


class Prefetch:
    """Make the next batch in a thread while the current one is trained on."""

    def __init__(self, make: Callable[[int], Batch]) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._next: tuple[int, Future[Batch]] | None = None

    def at(self, step: int) -> Batch:
        """The batch of a step; the one after it is begun."""
        if self._next is not None and self._next[0] == step:
            batch = self._next[1].result()
        else:
            batch = self._make(step)
        self._next = (step + 1, self._pool.submit(self._make, step + 1))
        return batch

    def close(self) -> None:
        """Stop the thread."""
        self._pool.shutdown(cancel_futures=True)
