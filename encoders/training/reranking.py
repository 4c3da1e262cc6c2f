"""Train a re-ranker on the vectors of a finished encoder, and export it into the encoder's folder.

Each caption is to find its image among images that the encoder's own vectors confuse it with: the
image-text matching task of ALBEF (Li et al. 2021, section 3.2), its hard negatives drawn from the
first stage's best hits, as a softmax over each caption's list (LCE, Gao et al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
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
from encoders.training.checkpoint import TrainingError, drawn, work_folder
from encoders.training.cross_encoder import RerankerModule
from encoders.training.curves import VALIDATION
from encoders.training.epochs import EpochRun, Schedule
from encoders.training.optimizer import make_optimizer, rate_at, take_step
from encoders.training.validation import asked_once, text_to_image_mrr

__all__ = ["MatchingPairs", "RerankerSettings", "TrainedReranker", "train_reranker"]

TOLERANCE = 1e-4
MOST_VALIDATED = 200  # captions

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
    warmup: float = 0.1
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    dropout: float = 0.1
    checkpoint_seconds: float = 10.0
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
    *,
    resume: bool = False,
) -> TrainedReranker:
    """Train, keep the epoch that reranks `held_out` best, and write it into the encoder's folder.

    encoder: its fingerprint. Epoch 0 is the network before any step, which ranks nearly as the
    encoder does. With `resume` a run that was killed goes on from its last checkpoint. Raises
    TrainingError where there is nothing to learn, ResumeError, ExportError where the graph gives
    other scores than the network by more than 1e-4.
    """
    if len(pairs.texts) < 2:
        raise TrainingError(
            "A re-ranker needs at least two pairs of image and caption to train on."
        )
    manifest = RerankerManifest(
        encoder,
        pairs.texts.shape[1],
        settings.tokens,
        pairs.patches.shape[1],
        settings.width,
        settings.layers,
        settings.heads,
    )
    # Not inside the encoder's folder, which is read while this runs.
    with work_folder(folder.with_name(f"{folder.name}.reranker"), resume=resume) as work:
        run = _Run(manifest, pairs, held_out, work, settings, progress)
        run.fit()
        run.module.load_state_dict(run.best)
        manifest = _write(run.module.eval(), manifest, folder, pairs)
    counters = run.counters
    return TrainedReranker(
        folder,
        manifest.fingerprint,
        len(pairs.texts),
        run.first_stage,
        counters.best,
        counters.best_epoch,
        settings.epochs,
        counters.seconds,
    )


class _Run(EpochRun):
    def __init__(
        self,
        manifest: RerankerManifest,
        pairs: MatchingPairs,
        held_out: MatchingPairs,
        work: Path,
        settings: RerankerSettings,
        progress: Progress,
    ) -> None:
        self.pairs, self.held_out, self.settings = pairs, held_out, settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.module = RerankerModule(manifest, settings.dropout)
        self.tokens = [torch.from_numpy(t[: settings.tokens]) for t in pairs.tokens]
        self.patches = torch.from_numpy(pairs.patches)
        self.hard = _confused(pairs, settings.pool)
        steps = max(1, len(pairs.texts) // settings.batch)
        schedule = Schedule(settings.epochs, steps, 0, settings.checkpoint_seconds)
        data = [
            array.tobytes() for each in (pairs, held_out) for array in (each.images, each.texts)
        ]
        run = sha256_bytes(b"".join([f"{settings} {manifest}".encode(), *data]))
        optimizer = make_optimizer(self.module, settings.weight_decay)
        super().__init__(self.module, optimizer, schedule, run, work, progress)
        self.first_stage = _validate(None, held_out, settings)
        self.counters.best = self._validate(0).get(VALIDATION, -1.0)

    def _step(self) -> tuple[float, float]:
        step, settings = self.counters.step, self.settings
        epoch, within = divmod(step, self.schedule.steps)
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(self.pairs.texts))
        rows = np.array_split(order, self.schedule.steps)[within]
        rng = np.random.default_rng([settings.seed, epoch, within])
        lists = np.stack([self._list(row, rng) for row in rows])  # [b, 1 + K]
        tokens = pad_sequence([self.tokens[row] for row in rows], batch_first=True)
        tokens = tokens.repeat_interleave(lists.shape[1], dim=0)
        self.module.train()
        self.optimizer.zero_grad()
        with drawn(settings.seed, step):  # dropout
            scores = self.module(tokens, self.patches[lists.ravel()]).view(lists.shape)
            loss = F.cross_entropy(scores, torch.zeros(len(rows), dtype=torch.int64))
            loss.backward()  # type: ignore[no-untyped-call]
        rate = rate_at(self.schedule.share(step), settings.learning_rate, settings.warmup)
        take_step(self.module, self.optimizer, rate, settings.clip_norm)
        right = float((scores.detach().argmax(dim=1) == 0).float().mean())
        return float(loss.detach()), right

    def _validate(self, epoch: int) -> dict[str, float]:
        if not len(self.held_out.texts):
            return {}
        return {VALIDATION: _validate(self.module, self.held_out, self.settings)}

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
