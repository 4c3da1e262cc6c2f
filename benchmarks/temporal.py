"""Whether a model of time finds studies better than the best or the mean of their frames.

    python -m benchmarks.temporal ENCODER [--seeds 3] [--epochs 20] [--split validation]

Cines are drawn: in frames b to e of twelve a finding is seen, and in these frames it rises or
descends, moves medially or laterally, grows or shrinks. Each motion is another one played
backwards, so a set of frames cannot tell the two apart. ENCODER was trained on single phantoms;
its image and text towers stay as they are. Over a cine's frame vectors a small transformer with
positions gives one vector of the study (ViViT, model 2: arXiv:2103.15691), and a head gives begin
and end of what a text says (HAMMER's localisation: arXiv:2011.09046). They are compared with the
best frame and the mean direction, and with the same transformer without positions.

Neither a combination of motion and finding nor one of region, finding, side, size and position that
is tested occurs in training. The pool is the tested cines and each of them played backwards.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn import functional

from encoders.inference.onnx_encoder import OnnxEncoder
from ingest.sources.phantom_captions import describe
from ingest.sources.phantom_images import NO_FINDING, Motion, draw
from ingest.sources.phantoms import ATTRIBUTES, FINDINGS, MODALITIES, held_out_combinations

FRAMES, SIDE = 12, 64
SHORTEST, LONGEST = 5, 9  # frames in which the finding is seen
PATH = 0.2  # of a moving finding, to either side of its place; the image is 2 wide
GROWTH = 1.6  # times as large at the end, as much smaller at the beginning
CINES = {"train": 720, "validation": 96, "test": 192}
SAYINGS = 4  # captions drawn of a training cine
DATA_SEED = 11
SAID = {
    "rises": ("It rises over the cine.", "Over time it rises.", "The finding rises."),
    "descends": ("It descends over the cine.", "Over time it descends.", "The finding descends."),
    "medial": ("It moves medially.", "Over time it migrates medially.", "Medial migration."),
    "lateral": ("It moves laterally.", "Over time it migrates laterally.", "Lateral migration."),
    "grows": ("It grows over the cine.", "Over time it grows.", "The finding grows."),
    "shrinks": ("It shrinks over the cine.", "Over time it shrinks.", "The finding shrinks."),
}
MOTIONS = tuple(SAID)
BACKWARDS = dict(zip(MOTIONS, (MOTIONS[i ^ 1] for i in range(len(MOTIONS))), strict=True))

WIDTH, HEADS, LAYERS = 128, 4, 2
BATCH, RATE, DECAY = 64, 1e-3, 0.05
LOCALISING = 0.5  # weight of the localisation's loss
CUT = 10
SAME = 1e-5  # of scores: a sum in another order is not another one

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Cine:
    """A drawn cine. begin, end: first and last frame of the finding, from 0."""

    attributes: dict[str, str]
    motion: str
    begin: int
    end: int
    number: int


@dataclass(frozen=True)
class Data:
    """Cines, and behind them each one played backwards.

    frames: float32 [cines, FRAMES, D]. texts: float32 [cines, sayings, D], of captions with the
    motion; plain: [cines, D], of one without. spans: begin and end, int [cines, 2].
    """

    frames: Floats
    texts: Floats
    plain: Floats
    spans: NDArray[np.int64]


def held_out(motion: str, finding: str) -> bool:
    """Whether the two occur together in tests alone: a motion and its reverse, of two findings."""
    return MOTIONS.index(motion) // 2 == FINDINGS.index(finding) // 2


def drawn(split: str) -> list[Cine]:
    """The cines of a split, always the same."""
    rng = np.random.default_rng([DATA_SEED, list(CINES).index(split)])
    combinations = held_out_combinations(0)[split]
    cines = []
    for number in range(CINES[split]):
        combination = combinations[number % len(combinations)]
        allowed = [
            motion for motion in MOTIONS if held_out(motion, combination[1]) == (split == "test")
        ]
        modality = MODALITIES[int(rng.integers(len(MODALITIES)))]
        length = int(rng.integers(SHORTEST, LONGEST + 1))
        begin = int(rng.integers(FRAMES - length + 1))
        cines.append(
            Cine(
                dict(zip(ATTRIBUTES, (modality, *combination), strict=True)),
                allowed[int(rng.integers(len(allowed)))],
                begin,
                begin + length - 1,
                number,
            )
        )
    return cines


def pictures(split: str, cine: Cine) -> list[NDArray[np.uint8]]:
    """Its frames, uint8 [SIDE, SIDE] each."""
    images = []
    for frame in range(FRAMES):
        seeds = [DATA_SEED, list(CINES).index(split), cine.number, frame]
        inside = cine.begin <= frame <= cine.end
        along = 2 * (frame - cine.begin) / (cine.end - cine.begin) - 1  # from -1 to 1
        attributes = cine.attributes if inside else {**cine.attributes, "finding": NO_FINDING}
        rng = np.random.default_rng(seeds)
        images.append(draw(attributes, SIDE, rng, moved(cine, along) if inside else Motion()))
    return images


def moved(cine: Cine, along: float) -> Motion:
    """Where the finding is; y points downwards, and the patient's left is at positive x."""
    outwards = 1 if cine.attributes["side"] == "left" else -1
    return {
        "rises": Motion(y=-PATH * along),
        "descends": Motion(y=PATH * along),
        "medial": Motion(x=-PATH * along * outwards),
        "lateral": Motion(x=PATH * along * outwards),
        "grows": Motion(scale=GROWTH**along),
        "shrinks": Motion(scale=GROWTH**-along),
    }[cine.motion]


def said(cine: Cine, rng: np.random.Generator) -> str:
    """A caption: what is seen, then what it does."""
    phrases = SAID[cine.motion]
    return f"{describe(cine.attributes, rng)} {phrases[int(rng.integers(len(phrases)))]}"


def backwards(cine: Cine) -> Cine:
    """The cine played backwards, which is one of the opposite motion."""
    span = {"begin": FRAMES - 1 - cine.end, "end": FRAMES - 1 - cine.begin}
    return replace(cine, motion=BACKWARDS[cine.motion], **span)


def encoded(encoder: OnnxEncoder, split: str) -> tuple[Data, str]:
    """The split's vectors, and the hash of its pixels and captions."""
    cines = drawn(split)
    rng = np.random.default_rng([DATA_SEED, 9, list(CINES).index(split)])
    both = [*cines, *map(backwards, cines)]
    images = [image for cine in cines for image in pictures(split, cine)]
    sayings = SAYINGS if split == "train" else 1
    texts = [said(cine, rng) for cine in both for _ in range(sayings)]
    plain = [describe(cine.attributes, rng) for cine in both]
    frames = encoder.encode_images([Image.fromarray(image) for image in images])
    frames = frames.reshape(len(cines), FRAMES, -1)
    data = Data(
        np.concatenate([frames, frames[:, ::-1]]),
        encoder.encode_texts(texts).reshape(len(both), sayings, -1),
        encoder.encode_texts(plain),
        np.array([(cine.begin, cine.end) for cine in both]),
    )
    content = b"".join(image.tobytes() for image in images) + "\n".join(texts).encode()
    return data, hashlib.sha256(content).hexdigest()[:16]


class Temporal(nn.Module):
    """A transformer over frame vectors [B, FRAMES, D] -> study [B, D] and states [B, FRAMES, W].

    The study's vector is the mean direction and what the transformer adds, at first nothing.
    """

    def __init__(self, dimension: int, scale: float, *, positions: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 2 * WIDTH, 0.1, "gelu", batch_first=True, norm_first=True
        )
        self.into = nn.Linear(dimension, WIDTH)
        self.start = nn.Parameter(0.02 * torch.randn(1, 1, WIDTH))
        self.places = nn.Parameter(0.02 * torch.randn(1, FRAMES, WIDTH), requires_grad=positions)
        if not positions:
            nn.init.zeros_(self.places)
        self.blocks = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), False)
        self.out = nn.Linear(WIDTH, dimension)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.asked = nn.Linear(dimension, WIDTH)
        self.ends = nn.Linear(WIDTH, 2)
        self.scale = nn.Parameter(torch.tensor(scale).log())

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Study vectors of length 1, and the states of the frames."""
        # Unit vectors have small numbers; the network expects a variance of about 1.
        tokens = self.into(frames * frames.shape[-1] ** 0.5) + self.places
        states = self.blocks(torch.cat([self.start.expand(len(frames), -1, -1), tokens], 1))
        study = functional.normalize(frames.mean(1), dim=-1) + self.out(states[:, 0])
        return functional.normalize(study, dim=-1), states[:, 1:]

    def spans(self, states: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Logits of begin and end of what each text says of its cine, [B, FRAMES, 2]."""
        asked = self.asked(texts * texts.shape[-1] ** 0.5)
        return self.ends(functional.gelu(states * asked[:, None]))  # type: ignore[no-any-return]


def trained(data: Data, scale: float, seed: int, epochs: int, *, positions: bool) -> Temporal:
    """The model after the last epoch: none is chosen."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([DATA_SEED, seed])
    model = Temporal(data.frames.shape[-1], scale, positions=positions)
    steps = epochs * (len(data.frames) // BATCH)
    chosen = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(chosen, RATE, total_steps=steps, pct_start=0.1)
    frames, texts, spans = map(torch.from_numpy, (data.frames, data.texts, data.spans))
    half = len(frames) // 2
    for _ in range(epochs):
        order = rng.permutation(half)
        for start in range(0, half - BATCH // 2 + 1, BATCH // 2):
            # A cine and its reverse are in one batch: the nearest wrong answer there is.
            forwards = torch.from_numpy(order[start : start + BATCH // 2])
            rows = torch.cat([forwards, forwards + half])
            words = texts[rows, torch.from_numpy(rng.integers(texts.shape[1], size=len(rows)))]
            studies, states = model(frames[rows])
            logits = model.scale.exp().clamp(max=100) * studies @ words.T
            right = torch.arange(len(rows))
            loss = functional.cross_entropy(logits, right) + functional.cross_entropy(
                logits.T, right
            )
            loss = loss / 2 + LOCALISING * functional.cross_entropy(
                model.spans(states, words), spans[rows]
            )
            chosen.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            chosen.step()
            rate.step()
    return model.eval()


def judged(scores: Floats, plain: Floats, spans: NDArray[np.int64], data: Data) -> dict[str, float]:
    """Figures over the tested cines, which are the first half of the pool.

    scores, plain: of captions with and without the motion, [pool, pool]; spans: [pool, 2].
    """
    count = len(scores) // 2
    own = np.arange(count)

    def reciprocal(table: Floats, right: NDArray[np.float32]) -> float:
        apart = table - right[:, None]
        ranks = 1 + (apart > SAME).sum(1) + ((np.abs(apart) <= SAME).sum(1) - 1) / 2
        return float(np.where(ranks <= CUT, 1 / ranks, 0).mean())

    forwards = scores[own, own]
    apart = forwards - scores[own, own + count]
    begin, end = spans[:count].T
    first, last = data.spans[:count].T
    shared = np.minimum(end, last) - np.maximum(begin, first) + 1
    union = np.maximum(end, last) - np.minimum(begin, first) + 1
    iou = np.maximum(shared, 0) / union
    # A caption without the motion is of a cine and its reverse alike: only cines are searched.
    return {
        "RR@10": reciprocal(scores[:count], forwards),
        "not reversed": float((0.5 + 0.5 * np.sign(apart) * (np.abs(apart) > SAME)).mean()),
        "without motion": reciprocal(plain[:count, :count], plain[own, own]),
        "IoU": float(iou.mean()),
        "IoU >= .7": float((iou >= 0.7).mean()),
    }


def by_frames(data: Data, how: str) -> dict[str, float]:
    """The best frame, or the mean direction; the span is where frames are nearer than midway."""
    similar = np.einsum("qd,pfd->qpf", data.texts[:, 0], data.frames)
    plain = np.einsum("qd,pfd->qpf", data.plain, data.frames)
    own = similar[np.arange(len(similar)), np.arange(len(similar))]
    near = own >= (own.max(1, keepdims=True) + own.min(1, keepdims=True)) / 2
    spans = np.array([_run(row, int(best)) for row, best in zip(near, own.argmax(1), strict=True)])
    if how == "max":
        return judged(similar.max(2), plain.max(2), spans, data)
    lengths = np.linalg.norm(data.frames.mean(1), axis=1)
    return judged(similar.mean(2) / lengths, plain.mean(2) / lengths, spans, data)


def _run(near: NDArray[np.bool_], best: int) -> tuple[int, int]:
    begin = end = best
    while begin and near[begin - 1]:
        begin -= 1
    while end + 1 < len(near) and near[end + 1]:
        end += 1
    return begin, end


def by_model(model: Temporal, data: Data) -> dict[str, float]:
    """The study's vector against the texts, and the likeliest span of each pair."""
    with torch.no_grad():
        studies, states = model(torch.from_numpy(data.frames))
        logits = model.spans(states, torch.from_numpy(data.texts[:, 0])).log_softmax(1)
        pairs = logits[:, :, None, 0] + logits[:, None, :, 1]
        pairs += torch.full((FRAMES, FRAMES), -torch.inf).tril(-1)  # the end is not before
        best = pairs.flatten(1).argmax(1).numpy()
    vectors = studies.numpy()
    return judged(
        data.texts[:, 0] @ vectors.T,
        data.plain @ vectors.T,
        np.stack([best // FRAMES, best % FRAMES], 1),
        data,
    )


def report(name: str, found: Sequence[dict[str, float]], spent: float) -> None:
    """Print the mean over seeds of each figure, and each seed's."""
    figures = ", ".join(
        f"{key} {np.mean([each[key] for each in found]):.3f}"
        + f" ({', '.join(f'{each[key]:.3f}' for each in found)})" * (len(found) > 1)
        for key in found[0]
    )
    print(f"{name}: {figures}; {spent:.0f} CPU s of training a seed", flush=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = OnnxEncoder.load(options.encoder)
    started = time.process_time()
    data, digests = {}, []
    for split in ("train", options.split):
        data[split], digest = encoded(encoder, split)
        digests.append(f"{split} {digest}")
    spent = time.process_time() - started
    print(f"drawn and encoded in {spent:.0f} CPU s; {', '.join(digests)}")
    tested = data[options.split]
    report("best frame", [by_frames(tested, "max")], 0.0)
    report("mean direction", [by_frames(tested, "mean")], 0.0)
    for name, positions in (("with positions", True), ("without positions", False)):
        started = time.process_time()
        models = [
            trained(data["train"], encoder.scale, seed, options.epochs, positions=positions)
            for seed in range(options.seeds)
        ]
        spent = (time.process_time() - started) / options.seeds
        report(name, [by_model(model, tested) for model in models], spent)
    parts = torch.from_numpy(tested.frames[:64])
    started = time.process_time()
    with torch.no_grad():
        for part in parts:
            models[0](part[None])
    print(f"a study of {FRAMES} frames: {1000 * (time.process_time() - started) / 64:.2f} CPU ms")


if __name__ == "__main__":
    main()
