"""Pretraining of one tower alone: images (SimCLR), or parts of captions.

Two views of one image are a pair, and so are the two parts of a caption, which is cut at another
place each time; all others of a batch are negatives (Chen et al. 2020, SimCLR, with negatives of
the other view only). So images without a caption contribute too, and captions without an image. Of
images a small head on top of the tower is used for this task only, and is discarded; the vectors of
texts are compared as they are, for that is what a search does with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.base.progress import Progress
from encoders.base.storage import whole_file
from encoders.model.clip import ClipModule
from encoders.model.tokenizer import batch_ids
from encoders.training.augment import Augmentation, augment_images
from encoders.training.checkpoint import TrainingError, step_generator
from encoders.training.distributed import Team, TeamError
from encoders.training.frozen import is_locked
from encoders.training.loss import symmetric_infonce
from encoders.training.optimizer import (
    FreezeError,
    freeze,
    make_optimizer,
    rate_at,
    share_done,
    take_step,
)
from encoders.training.pairs import Pairs
from encoders.training.presets import TrainingConfig

__all__ = ["check_pretraining", "cut", "learn_texts", "pretrain"]

# Views must differ more than augmented images do: what they share is all that can be learned.
VIEWS = Augmentation(
    zoom=0.25, turn=12, shift=0.12, brightness=0.2, contrast=0.4, cutout=0.25, share=1.0
)
SCALES = {"image": 10.0, "text": 20.0}  # 1 / temperature; of images SimCLR's, table 5
SHORTEST = 4  # words of a caption that is cut
LEARNED_FROM = {"image": "images", "text": f"captions of {SHORTEST} words or more"}
CHUNK = 16  # texts of about one length: little padding
FILE_NAME = "pretrained.safetensors"

Rows = NDArray[np.int64]
# Two views of the things with these numbers, [b, D] each.
Views = Callable[[Rows, torch.Generator], tuple[Tensor, Tensor]]


def check_pretraining(config: TrainingConfig, team: Team) -> None:
    """Raise FreezeError if the tower to pretrain is frozen, TeamError with several processes."""
    for side, epochs in (("image", config.image_epochs), ("text", config.text_epochs)):
        if epochs and is_locked(config, side):
            raise FreezeError(
                f"The {side} tower is frozen, so it cannot be pretrained: remove --{side}-epochs, "
                "or choose a preset that trains it, such as tiny."
            )
        if epochs and team.size > 1:
            raise TeamError(
                f"Pretraining runs in one process: remove --{side}-epochs, or pretrain first and "
                "continue from that encoder with --start."
            )


def pretrain(
    module: ClipModule,
    images: Sequence[Pairs],
    texts: Sequence[str],
    config: TrainingConfig,
    team: Team,
    work: Path,
    progress: Progress,
) -> None:
    """Train the towers as `config.image_epochs` and `text_epochs` say; keep them in `work`.

    images: whose pixels are learned from. A run that was interrupted later takes the towers from
    there.
    """
    if not (config.image_epochs or config.text_epochs):
        return
    path = work / FILE_NAME
    if path.exists():
        module.load_state_dict(load_file(path))
        return
    module.to(team.device).train()
    if config.image_epochs:
        width, count = module.config.dimension, sum(map(len, images))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        learner = _Learner("image", module.image, head, config, config.image_epochs, count)
        learner.fit(_image_views(module, images, team.device), progress)
    if config.text_epochs:
        learn_texts(module.text, module.tokenizer, texts, config, progress)
    with whole_file(path) as beside:
        save_file({name: value.contiguous() for name, value in module.state_dict().items()}, beside)


def learn_texts(
    tower: nn.Module,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    config: TrainingConfig,
    progress: Progress,
) -> None:
    """Train a text tower for `config.text_epochs` to bring the parts of each text together.

    Half of the texts of an epoch are cut in the middle, the others between a quarter and three
    quarters of their words. The rate, the batch and what is frozen are those of `config`. Texts of
    less than four words, and those that repeat, are left out.
    """
    cuttable = [text for text in dict.fromkeys(texts) if len(text.split()) >= SHORTEST]
    views = _text_views(tower, tokenizer, cuttable)
    learner = _Learner("text", tower, nn.Identity(), config, config.text_epochs, len(cuttable))
    learner.fit(views, progress)


def cut(caption: str, share: float) -> tuple[str, str]:
    """Both parts of a caption; the first has this share of its words, and either has one.

    >>> cut("axial CT of the chest", 0.5)
    ('axial CT', 'of the chest')
    """
    words = caption.split()
    place = min(max(1, int(share * len(words))), len(words) - 1)
    return " ".join(words[:place]), " ".join(words[place:])


@dataclass
class _Learner:
    """Trains one tower, with a head on top of it, on pairs of views."""

    side: str
    tower: nn.Module
    head: nn.Module
    config: TrainingConfig
    epochs: int
    count: int

    def fit(self, views: Views, progress: Progress) -> None:
        config, size = self.config, min(self.config.batch, self.count)
        if size < 2:
            raise TrainingError(
                f"There are {self.count} {LEARNED_FROM[self.side]} to pretrain the {self.side} "
                f"tower on, and it takes 2 at least: remove --{self.side}-epochs."
            )
        device = next(self.tower.parameters()).device
        head = self.head.to(device)
        together = nn.ModuleDict({self.side: self.tower, "head": head})
        freeze(together, [part for part in config.freeze if part.startswith(self.side)])
        optimizer = make_optimizer(together, config.weight_decay, config.layer_decay, config.rates)
        steps = self.count // size
        for step in range(self.epochs * steps):
            epoch, within = divmod(step, steps)
            if within == 0:
                order = np.random.default_rng([config.seed, epoch, 1]).permutation(self.count)
            rows = order[within * size : (within + 1) * size]
            first, second = (
                F.normalize(head(view), dim=-1)
                for view in views(rows, step_generator(config.seed, step))
            )
            own = torch.eye(size, dtype=torch.bool, device=device)
            loss = symmetric_infonce(first, second, torch.tensor(SCALES[self.side]), own)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            rate = rate_at(
                share_done(step, self.epochs * steps), config.learning_rate, config.warmup
            )
            take_step(together, optimizer, rate, config.clip_norm)
            if within == steps - 1:
                told = f"loss {float(loss.detach()):.2f}"
                progress(f"pretraining the {self.side} tower", epoch + 1, self.epochs, told)
        optimizer.zero_grad()


def _image_views(module: ClipModule, images: Sequence[Pairs], device: torch.device) -> Views:
    starts = np.cumsum([0, *map(len, images)])

    def pixels(rows: Rows) -> Tensor:
        place = np.searchsorted(starts, rows, side="right") - 1
        out = torch.empty((len(rows), *images[0].pixels.shape[1:]), dtype=torch.uint8)
        for number, part in enumerate(images):
            own = np.flatnonzero(place == number)
            out[torch.from_numpy(own)] = part.images(rows[own] - starts[number])
        return out.to(device)

    def views(rows: Rows, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        seen = pixels(rows)
        both = [augment_images(seen, VIEWS, draws) for _ in range(2)]
        first, second = module.image_features(torch.cat(both)).chunk(2)
        return first, second

    return views


def _text_views(tower: nn.Module, tokenizer: Tokenizer, texts: Sequence[str]) -> Views:
    device = next(tower.parameters()).device

    def embed(parts: Sequence[str]) -> Tensor:
        order = sorted(range(len(parts)), key=lambda row: len(parts[row]))
        found = []
        for start in range(0, len(order), CHUNK):
            chunk = [parts[row] for row in order[start : start + CHUNK]]
            ids, mask = map(torch.from_numpy, batch_ids(tokenizer, chunk))
            found.append(tower(ids.to(device), mask.to(device)))
        return torch.cat(found)[torch.tensor(order).argsort()]

    def views(rows: Rows, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        middle, place = torch.rand(2, len(rows), generator=draws)
        shares = torch.where(middle < 0.5, 0.5, 0.25 + 0.5 * place)
        pairs = [cut(texts[row], float(share)) for row, share in zip(rows, shares, strict=True)]
        first, second = embed([part for pair in zip(*pairs, strict=True) for part in pair]).chunk(2)
        return first, second

    return views
