"""Memory of training on many pairs with frozen towers, measured in a process of its own (Linux).

    python benchmarks/training_memory.py --pairs 65000

Made-up pictures of 224 pixels go through the path that the preset `adapter` takes: each is decoded
once, a frozen tower's features are kept, and epochs learn from those. The towers have as many
features as the published ones (1,280 and 384) but few layers, so that the run takes minutes; what
the published ones add, whatever the number of pairs, is measured apart (--real).
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from encoders.model.architecture import ClipConfig
from encoders.model.bert import BertConfig
from encoders.model.clip import ClipModule, Encoder
from encoders.model.efficientnet import EfficientNetConfig
from encoders.model.tokenizer import train_tokenizer
from encoders.training.pairs import Pair
from encoders.training.presets import ADAPTER
from encoders.training.train import train

WORDS = 12  # of a caption
NARROW = ((1, 3, 2, 1, 16),) * 4


def main() -> None:
    """Train once and print the largest resident size."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--pairs", type=int, default=65_000)
    options.add_argument("--real", action="store_true", help="the published towers")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = replace(ADAPTER, epochs=1, batch=1024)
        if not asked.real:
            narrow().save(folder / "start")
            config = replace(config, image_tower="", text_tower="", start=str(folder / "start"))
        begun, started = peak(), time.process_time()
        train(pictures(asked.pairs), [], folder / "out", config, cache=folder / "features")
        found = {
            "pairs": asked.pairs,
            "megabytes": round(peak() / 1e6),
            "before_training": round(begun / 1e6),
            "cpu_seconds": round(time.process_time() - started),
        }
    sys.stdout.write(json.dumps(found) + "\n")


def peak() -> int:
    """The largest resident size of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def pictures(count: int) -> Iterator[Pair]:
    """Pairs with a picture of 224 pixels and a caption of their own, made as they are asked for."""
    rng = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (14, 14), dtype=np.uint8))
        words = " ".join(f"w{word}" for word in rng.integers(0, 500, WORDS))
        yield Pair(small.resize((224, 224), Image.Resampling.NEAREST), f"{number} {words}")


def narrow() -> Encoder:
    """Towers as wide at the top as the published ones, and hardly anything below."""
    words = train_tokenizer([f"w{n} {n}" for n in range(500)], vocabulary=1000, max_tokens=64)
    config = ClipConfig(
        EfficientNetConfig(stages=NARROW, stem=8),
        BertConfig(words.get_vocab_size(), 64, 384, layers=1, heads=4, hidden=384),
        256,
        replace(ADAPTER.model.preprocessing, size=224, mode="RGB", mean=(0.5,) * 3, std=(0.5,) * 3),
    )
    torch.manual_seed(0)
    return Encoder(ClipModule(config, words))


if __name__ == "__main__":
    main()
