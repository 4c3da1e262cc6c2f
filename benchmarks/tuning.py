"""Whether `tune` says the same whatever seed divides the queries into folds.

    python -m benchmarks.tuning INDEX CORPUS [--protocol split-caption] [--seeds 10]

Of each seed: which profiles get new values, by how much they beat the shipped ones, and which
blend beats the better single ranking.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.inference.dual_encoder import DualEncoder
from eval.leakage.training_overlap import find_record
from eval.tuning.tuning import TuningOptions, tune
from ingest.corpus.corpus import Corpus
from rocosearch.open_index import load_encoder, open_engine


class Remembering:
    """An encoder that encodes each list of texts once."""

    def __init__(self, encoder: DualEncoder) -> None:
        self._encoder, self._known = encoder, dict[tuple[str, ...], NDArray[np.float32]]()
        self.manifest, self.curves = encoder.manifest, encoder.curves
        self.encode_images = encoder.encode_images

    def encode_texts(self, texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float32]:
        """Vectors float32 [N, D]."""
        key = tuple(texts)
        if key not in self._known:
            self._known[key] = self._encoder.encode_texts(texts, batch_size)
        return self._known[key]


def main() -> None:
    """Print a line for each seed, then how many agree."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("index", type=Path)
    options.add_argument("corpus", type=Path)
    options.add_argument("--protocol", default="split-caption")
    options.add_argument("--seeds", type=int, default=10)
    asked = options.parse_args()
    engine = open_engine(asked.index)
    if engine.encoder_folder is None:
        raise SystemExit(f"{asked.index} has no encoder, so there is nothing to blend.")
    encoder = Remembering(load_encoder(engine.encoder_folder))
    corpus = Corpus.open(asked.corpus)
    record = find_record(corpus, encoder.manifest.fingerprint, engine.encoder_folder)
    found: Counter[str] = Counter()
    for seed in range(asked.seeds):
        chosen = TuningOptions(protocol=asked.protocol, seed=seed)
        tuning = tune(engine, encoder, corpus, chosen, record=record)
        gains = ", ".join(
            f"{name} {gain.difference:+.4f} (± {gain.spread:.4f}, p {gain.comparison.p_holm:.3f})"
            for name, gain in tuning.gains.items()
        )
        changed = [name for name, gain in tuning.gains.items() if gain.beats]
        lost = [f"{each.profile} on {each.protocol}" for each in tuning.losses]
        verdict = f"new values: {', '.join(changed) or 'none'}; lost: {', '.join(lost) or 'none'}; "
        verdict += f"beats {tuning.better_single}: {', '.join(tuning.winners) or 'none'}"
        found[verdict] += 1
        print(f"seed {seed}: {gains}; {verdict}", flush=True)
    for verdict, count in found.most_common():
        print(f"{count} of {asked.seeds} seeds: {verdict}")


if __name__ == "__main__":
    main()
