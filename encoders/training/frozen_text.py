"""What a frozen text tower says of each text, read once instead of in every epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from encoders.base.progress import Progress, silent
from encoders.model import tokenizer as tokens
from encoders.model.clip import ClipModule
from encoders.training.augment_text import NO_TEXT_AUGMENTATION
from encoders.training.presets import TrainingConfig

__all__ = ["frozen_text_features", "text_features"]

BATCH = 64


def frozen_text_features(
    module: ClipModule, texts: Sequence[str], config: TrainingConfig, progress: Progress = silent
) -> Tensor | None:
    """`text_features` of all texts, or None where training changes the tower or the texts."""
    learned = [name for name, p in module.text.named_parameters() if p.requires_grad]
    changed = any(not name.startswith("projection.") for name in learned)
    if changed or config.text_augmentation != NO_TEXT_AUGMENTATION:
        return None
    return text_features(module, texts, progress)


@torch.inference_mode()
def text_features(module: ClipModule, texts: Sequence[str], progress: Progress = silent) -> Tensor:
    """The text tower's pooled states float32 [N, W] on the CPU, without its projection."""
    device = module.logit_scale.device
    # Texts of a length together: little padding is computed.
    order = np.argsort([len(text) for text in texts], kind="stable")
    out = torch.empty(len(texts), module.text.projection.in_features)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        ids, mask = tokens.batch_ids(module.tokenizer, [texts[row] for row in rows])
        states = module.text.features(ids.to(device), mask.to(device))
        out[torch.from_numpy(rows)] = states.float().cpu()
        progress("reading texts", start + len(rows), len(texts))
    return out
