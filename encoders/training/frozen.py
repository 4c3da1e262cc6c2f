"""Cached features of frozen towers, on disk by content.

A tower is frozen where training changes nothing of it but its projection, and its input is not
augmented. An epoch then costs what the projections cost: seconds.

    FOLDER/<tower>/part-<hash>.npy    key uint8 [N, 32], features float [N, ...]

<tower> is a hash of the tower's weights and of how its input is prepared, a key the sha256 of an
image's bytes or of a text. Parts are written whole, so any number of trainings may share a folder,
and read through memory maps: what is on disk need not fit into memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.base.progress import Progress, silent
from encoders.base.storage import sha256_bytes, whole_file
from encoders.images.preprocess import Preprocessing
from encoders.model import tokenizer as tokens
from encoders.model.architecture import ImageTower
from encoders.model.module import ClipModule, normalize
from encoders.training.augment import NO_AUGMENTATION
from encoders.training.augment_text import NO_TEXT_AUGMENTATION
from encoders.training.optimizer import is_projection
from encoders.training.presets import TrainingConfig

__all__ = ["FrozenImages", "Kept", "frozen_images", "frozen_texts", "is_locked", "text_features"]

CHUNK = 512  # features in one part file: what a kill can cost
BATCH = 32  # texts
# Images at a time. On a CPU one, channels last: what lies between the layers then stays in its
# cache (EfficientNet-Lite0, one thread: 19 ms an image; 28 by eights, 37 by 32; channels first 63).
IMAGES = {"cpu": 1}
MANY = 64
GRID = 4  # cells a side that a decoder reads: 16 cells of 1,280 halves are 41 KB an image
CELLS = f"cells {GRID}"
Floats = NDArray[np.float32]
Features = NDArray[Any]  # float32, or float16 of cells


class Kept:
    """Features by key, in memory or, where a folder is named, mapped from its parts."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._parts: list[NDArray[np.void]] = []
        self._places: dict[bytes, tuple[int, int]] = {}  # part and row
        for path in sorted(folder.glob("part-*.npy")) if folder else ():
            try:
                self._add(np.load(path, mmap_mode="r"))
            except (OSError, ValueError, EOFError):
                path.unlink(missing_ok=True)  # cut short by a full disk: it is made again

    def of(self, keys: Sequence[bytes], make: Callable[[list[int]], Features]) -> Features:
        """Features [N, ...] of the keys; `make` gives those of the numbers it is asked for."""
        first = {key: number for number, key in reversed(list(enumerate(keys)))}
        new = sorted(number for key, number in first.items() if key not in self._places)
        if new:
            made = make(new)
            kind = [("key", np.uint8, 32), ("features", made.dtype, made.shape[1:])]
            part = np.empty(len(new), kind)
            part["key"] = [np.frombuffer(keys[n], np.uint8) for n in new]
            part["features"] = made
            if self._folder:
                name = sha256_bytes(part["key"].tobytes())[:16]
                path = self._folder / f"part-{name}.npy"
                with whole_file(path) as beside, beside.open("wb") as stream:
                    np.save(stream, part)
                part = np.load(path, mmap_mode="r")
            self._add(part)
        found = [self._places[key] for key in keys]
        return np.stack([self._parts[part]["features"][row] for part, row in found])

    def _add(self, part: NDArray[np.void]) -> None:
        for row, key in enumerate(np.asarray(part["key"])):
            self._places[key.tobytes()] = (len(self._parts), row)
        self._parts.append(part)


class FrozenImages:
    """Features of a frozen image tower, float32 [N, W].

    cells: of its last feature map instead, averaged to GRID x GRID cells, float16 [N, cells, W].
    """

    def __init__(
        self,
        tower: ImageTower,
        preprocessing: Preprocessing,
        device: torch.device,
        cache: Path | None,
        *,
        cells: bool = False,
    ) -> None:
        self._tower, self._preprocessing, self._device = tower.eval(), preprocessing, device
        self._cells = cells
        told = json.dumps(asdict(preprocessing), sort_keys=True) + (CELLS if cells else "")
        self._kept = Kept(cache and cache / _name(tower, told))

    def of(
        self,
        keys: Sequence[bytes],
        pixels: Callable[[list[int]], NDArray[np.uint8]] | None = None,
    ) -> Features:
        """Features of images by their keys; `pixels` gives uint8 [n, C, S, S] of the new.

        Without `pixels` there must be no new one.
        """

        def make(new: list[int]) -> Features:
            if pixels is None:
                raise KeyError(f"{len(new)} images have no features yet.")
            return self._features(pixels(new))

        return self._kept.of(keys, make)

    @torch.inference_mode()
    def _features(self, pixels: NDArray[np.uint8]) -> Features:
        self._tower.to(self._device)
        self._tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        out, size = [], IMAGES.get(self._device.type, MANY)
        for start in range(0, len(pixels), size):
            part = torch.from_numpy(pixels[start : start + size]).to(self._device)
            seen = normalize(part, self._preprocessing)
            seen = seen.contiguous(memory_format=torch.channels_last)
            if self._cells:
                grid = F.adaptive_avg_pool2d(self._tower.cells(seen), GRID)
                out.append(grid.flatten(2).transpose(1, 2).half().cpu().numpy())
            else:
                out.append(self._tower.features(seen).float().cpu().numpy())
        return np.concatenate(out)


def is_locked(config: TrainingConfig, side: str) -> bool:
    """Whether training changes nothing of the image or text tower but, at most, its projection."""
    return any(part in (side, f"{side}.tower") for part in config.freeze)


def frozen_images(
    tower: ImageTower | None, config: TrainingConfig, device: torch.device, cache: Path | None
) -> FrozenImages | None:
    """The features' reader, or None where training changes the tower or the images, or asks more.

    Late interaction asks for cells and tokens, which are not kept.
    """
    if tower is None or not is_locked(config, "image") or config.augmentation != NO_AUGMENTATION:
        return None
    if config.late_interaction:
        return None
    return FrozenImages(tower, config.model.preprocessing, device, cache)


def frozen_texts(
    module: ClipModule,
    texts: Sequence[str],
    config: TrainingConfig,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Tensor | None:
    """`text_features` of all texts, or None where `frozen_images` gives none for images."""
    learned = (name for name, p in module.text.named_parameters() if p.requires_grad)
    changed = config.late_interaction or config.text_augmentation != NO_TEXT_AUGMENTATION
    if changed or not all(map(is_projection, learned)):
        return None
    return text_features(module, texts, cache, progress)


def text_features(
    module: ClipModule,
    texts: Sequence[str],
    cache: Path | None = None,
    progress: Progress = silent,
) -> Tensor:
    """The text tower's pooled states float32 [N, W] on the CPU, without its projection."""
    kept = Kept(cache and cache / _name(module.text, module.tokenizer.to_str()))
    # Texts of a length together: little padding is computed.
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    out = torch.empty(len(texts), module.text.projection.in_features)
    for start in range(0, len(order), CHUNK):
        rows = order[start : start + CHUNK]
        chunk = [texts[row] for row in rows]
        keys = [
            bytes.fromhex(sha256_bytes(text.encode("utf-8", "surrogatepass"))) for text in chunk
        ]
        found = kept.of(keys, lambda new, chunk=chunk: _read(module, [chunk[n] for n in new]))  # type: ignore[misc]
        out[torch.tensor(rows)] = torch.from_numpy(found)
        progress("reading texts", start + len(rows), len(texts))
    return out


@torch.inference_mode()
def _read(module: ClipModule, texts: Sequence[str]) -> Floats:
    device, out = module.logit_scale.device, []
    for start in range(0, len(texts), BATCH):
        words = tokens.batch_ids(module.tokenizer, texts[start : start + BATCH])
        ids, mask = map(torch.from_numpy, words)
        out.append(module.text.features(ids.to(device), mask.to(device)).float().cpu().numpy())
    return np.concatenate(out)


def _name(tower: nn.Module, told: str) -> str:
    """A hash of the tower without its projection, and of its input."""
    digests = [sha256_bytes(f"{tower.config} {told}".encode())]
    for name, value in sorted(tower.state_dict().items()):
        if not is_projection(name):
            digests.append(name + sha256_bytes(value.cpu().contiguous().numpy().tobytes()))
    return sha256_bytes("\n".join(digests).encode())[:16]
