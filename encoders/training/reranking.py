"""Train a re-ranker on the vectors of a finished encoder, and export it into the encoder's folder.

Each caption is to find its image among images that the encoder's own vectors confuse it with: the
image-text matching task of ALBEF (Li et al. 2021, section 3.2), its hard negatives drawn from the
first stage's best hits, as a softmax over each caption's list (LCE, Gao et al. 2021).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.rnn import pad_sequence

from encoders.base.errors import UserError
from encoders.base.progress import Progress, silent
from encoders.base.storage import sha256_bytes, sha256_file, whole_file
from encoders.export.torch_to_onnx import ExportError, write_onnx
from encoders.inference.reranker import (
    RERANKER_GRAPH,
    RERANKER_WEIGHTS,
    Reranker,
    RerankerManifest,
)
from encoders.training.cross_encoder import RerankerModule
from encoders.training.optimizer import make_optimizer, rate_at, set_rate
from encoders.training.validation import asked_once, text_to_image_mrr

__all__ = ["MatchingPairs", "RerankerSettings", "TrainedReranker", "train_reranker"]

TOLERANCE = 1e-4
MOST_VALIDATED = 200  # captions
WARMUP = 0.1  # of the run

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class MatchingPairs:
    """N pairs as an encoder sees them.

    images, texts: unit vectors [N, D]. patches: [N, P, D]. tokens: of each text, [T, D]. labels:
    int64 [N, 2] of equal captions and of groups, -1 where there is none: such pairs are no
    negatives of each other.
    """

    images: Floats
    texts: Floats
    patches: Floats
    tokens: Sequence[Floats]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class RerankerSettings:
    """How a re-ranker is made and trained.

    tokens: most of a text. negatives: images beside the right one in each caption's list, drawn
    from the `pool` nearest. window: hits that are reranked in validation. batch: captions a step.
    """

    tokens: int = 32
    width: int = 64
    layers: int = 2
    heads: int = 4
    epochs: int = 5
    negatives: int = 7
    pool: int = 50
    window: int = 50
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    dropout: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class TrainedReranker:
    """A finished run: validation MRR@10 of the first stage, and of the best epoch over it."""

    folder: Path
    fingerprint: str
    pairs: int
    first_stage: float
    mrr10: float
    best_epoch: int
    epochs: int
    seconds: float

    def summary(self) -> dict[str, object]:
        """Everything as JSON values."""
        return {**asdict(self), "folder": str(self.folder)}

    def sentence(self) -> str:
        """One line for a person."""
        return (
            f"Trained on {self.pairs:,} pairs, {self.epochs} epochs, {self.seconds:.0f} s: "
            f"validation MRR@10 {self.mrr10:.3f} after epoch {self.best_epoch}, without re-ranking "
            f"{self.first_stage:.3f}. Re-ranker {self.fingerprint[:8]} in {self.folder}."
        )


def train_reranker(
    pairs: MatchingPairs,
    held_out: MatchingPairs,
    folder: Path,
    encoder: str,
    settings: RerankerSettings = RerankerSettings(),
    progress: Progress = silent,
) -> TrainedReranker:
    """Train, keep the epoch that reranks `held_out` best, and write it into the encoder's folder.

    encoder: its fingerprint. Epoch 0 is the network before any step, which ranks nearly as the
    encoder does. Raises UserError where there is nothing to learn, ExportError where the graph
    gives other scores than the network by more than 1e-4.
    """
    if len(pairs.texts) < 2:
        raise UserError("A re-ranker needs at least two pairs of image and caption to train on.")
    started = time.monotonic()
    manifest = RerankerManifest(
        encoder,
        pairs.texts.shape[1],
        settings.tokens,
        pairs.patches.shape[1],
        settings.width,
        settings.layers,
        settings.heads,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        module = RerankerModule(manifest, settings.dropout)
        first = _validate(None, held_out, settings)
        best, best_epoch = _validate(module, held_out, settings), 0
        weights = _copy(module)
        run = _Run(module, pairs, settings)
        for epoch in range(1, settings.epochs + 1):
            run.epoch(epoch)
            found = _validate(module, held_out, settings)
            if found > best or not len(held_out.texts):
                best, best_epoch, weights = found, epoch, _copy(module)
            progress("training", epoch, settings.epochs, f"validation MRR@10 {found:.3f}")
    module.load_state_dict(weights)
    manifest = _write(module.eval(), manifest, folder, pairs)
    return TrainedReranker(
        folder,
        manifest.fingerprint,
        len(pairs.texts),
        first,
        best,
        best_epoch,
        settings.epochs,
        time.monotonic() - started,
    )


class _Run:
    def __init__(
        self, module: RerankerModule, pairs: MatchingPairs, settings: RerankerSettings
    ) -> None:
        self.module, self.pairs, self.settings = module, pairs, settings
        self.tokens = [torch.from_numpy(t[: settings.tokens]) for t in pairs.tokens]
        self.patches = torch.from_numpy(pairs.patches)
        self.optimizer = make_optimizer(module, settings.weight_decay)
        self.steps = max(1, len(pairs.texts) // settings.batch)
        self.hard = _confused(pairs, settings.pool)

    def epoch(self, number: int) -> None:
        """One pass over the captions, in an order of its own."""
        rng = np.random.default_rng([self.settings.seed, number])
        order = rng.permutation(len(self.pairs.texts))
        self.module.train()
        done, total = (number - 1) * self.steps, self.settings.epochs * self.steps
        for step, rows in enumerate(np.array_split(order, self.steps)):
            lists = np.stack([self._list(row, rng) for row in rows])  # [b, 1 + K]
            tokens = pad_sequence([self.tokens[row] for row in rows], batch_first=True)
            tokens = tokens.repeat_interleave(lists.shape[1], dim=0)
            scores = self.module(tokens, self.patches[lists.ravel()])
            loss = F.cross_entropy(
                scores.view(lists.shape), torch.zeros(len(rows), dtype=torch.int64)
            )
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
            share = (done + step + 0.5) / total
            set_rate(self.optimizer, rate_at(share, self.settings.learning_rate, WARMUP))
            self.optimizer.step()

    def _list(self, row: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """The right image, then wrong ones."""
        hard = self.hard[row]
        drawn = rng.choice(
            hard, self.settings.negatives, replace=len(hard) < self.settings.negatives
        )
        return np.concatenate([[row], drawn])


def _confused(pairs: MatchingPairs, pool: int) -> list[NDArray[np.int64]]:
    """For each text the rows of the `pool` nearest images that are no match of it."""
    found = []
    for row, text in enumerate(pairs.texts):
        same = ((pairs.labels == pairs.labels[row]) & (pairs.labels[row] >= 0)).any(axis=1)
        same[row] = True
        if same.all():
            raise UserError("All pairs share one caption or case: there is nothing to tell apart.")
        order = np.argsort(np.where(same, np.inf, -(pairs.images @ text)), kind="stable")
        found.append(order[: min(pool, int((~same).sum()))])
    return found


@torch.inference_mode()
def _validate(
    module: RerankerModule | None, pairs: MatchingPairs, settings: RerankerSettings
) -> float:
    """MRR@10 of captions over all held-out images, the best `window` reranked; 0 without any."""
    count = len(pairs.texts)
    if not count:
        return 0.0
    asked = np.unique(np.linspace(0, count - 1, min(count, MOST_VALIDATED)).astype(int))
    weights = np.zeros(count)
    weights[asked] = asked_once(pairs.labels[:, 0])[asked]
    scores = pairs.texts @ pairs.images.T
    if module is not None:
        module.eval()
        for row in asked:
            best = np.argsort(-scores[row], kind="stable")[: settings.window]
            tokens = torch.from_numpy(pairs.tokens[row][: settings.tokens])[None]
            found = module(tokens, torch.from_numpy(pairs.patches[best])).numpy()
            scores[row] -= 10.0 + np.abs(found).max()  # below all that is reranked
            scores[row, best] = found
    one_each = np.eye(count, dtype=np.float32)
    return text_to_image_mrr(one_each, scores, pairs.labels[:, 0], weights=weights)


def _write(
    module: RerankerModule, manifest: RerankerManifest, folder: Path, pairs: MatchingPairs
) -> RerankerManifest:
    """Weights, graph, then the manifest that names both."""
    content = save({name: value.contiguous() for name, value in module.state_dict().items()})
    with whole_file(folder / RERANKER_WEIGHTS) as path:
        path.write_bytes(content)
    with whole_file(folder / RERANKER_GRAPH) as graph:
        patches = torch.from_numpy(pairs.patches[:2])
        examples = {"tokens": torch.ones(1, 2, manifest.dimension), "patches": patches}
        dynamic: dict[str, dict[int, object]] = {
            "tokens": {1: torch.export.Dim("length", max=manifest.tokens)},
            "patches": {0: torch.export.Dim("documents")},
        }
        write_onnx(module, examples, dynamic, ["score"], graph)
        _check_graph(module, Reranker(manifest, graph), pairs)
        manifest = replace(
            manifest, weights_sha256=sha256_bytes(content), graph_sha256=sha256_file(graph)
        )
    manifest.save(folder)
    return manifest


def _check_graph(module: RerankerModule, exported: Reranker, pairs: MatchingPairs) -> None:
    """Raise ExportError where the graph scores otherwise, patches missing or not."""
    patches = np.array(pairs.patches[:8])
    patches[0] = 0
    patches[1:, 1:] *= np.arange(len(patches) - 1)[:, None, None] % 2
    # As they are, one alone, and with the zeros that Vespa fills up with.
    first = pairs.tokens[0][: exported.manifest.tokens]
    filled = np.pad(first, ((0, exported.manifest.tokens - len(first)), (0, 0)))
    scores = []
    for tokens in (first, first[:1], filled):
        with torch.inference_mode():
            asked = torch.from_numpy(tokens)[None]
            expected = module(asked, torch.from_numpy(patches)).numpy()
        scores.append(exported.score(tokens, patches))
        gaps = [np.abs(expected - scores[-1]).max(), np.abs(scores[-1] - scores[0]).max()]
        gap = float(gaps[0] if tokens is not filled else max(gaps))
        if not gap <= TOLERANCE:
            raise ExportError(
                "The exported re-ranker gives other scores than the network (difference "
                f"{gap:.2g}, {TOLERANCE:g} allowed): report this with the versions of torch and "
                "onnxruntime."
            )


def _copy(module: RerankerModule) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}
