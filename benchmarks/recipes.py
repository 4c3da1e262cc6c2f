"""Train several recipes on one corpus, with several seeds, and print what each is worth.

    python benchmarks/recipes.py build/corpus --recipes base,concepts --seeds 3 --epochs 20

The table is text to image on the validation split (full pool): mean MRR@10 over the seeds with
the 95% interval of the mean (Student's t), and CPU seconds. docs/experiments.md has the results.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student

from encoders.augment import NO_AUGMENTATION, Augmentation
from encoders.augment_text import TextAugmentation
from encoders.pairs import Pair
from encoders.presets import preset
from encoders.training import Trained, train
from encoders.validation import chance_mrr
from ingest.corpus import Corpus

RECIPES: Mapping[str, Mapping[str, object]] = {
    "base": {},
    "no augmentation": {"augmentation": NO_AUGMENTATION},
    "every image moved": {"augmentation": Augmentation(share=1.0)},
    "cutout": {"augmentation": Augmentation(cutout=0.25)},
    "one positive": {"positives": "none"},
    "same case positive": {"positives": "group"},
    "near captions": {"near_captions": 8},
    "concept epochs": {"concept_epochs": 5},
    "concept names": {"text_augmentation": TextAugmentation(concepts=0.5)},
    "text augmentation": {"text_augmentation": TextAugmentation(sentences=0.3, words=0.1)},
    "balanced": {"balance_cap": 200},
}


def main() -> None:
    """Print the table row by row."""
    options = arguments()
    torch.set_num_threads(options.threads)
    names = list(RECIPES) if options.recipes == "all" else options.recipes.split(",")
    corpus = Corpus.open(options.corpus)
    print("| recipe | validation MRR@10 | CPU s |\n|---|---|---|")
    for name in names:
        runs = [run(corpus, options, seed, RECIPES[name]) for seed in range(options.seeds)]
        print(f"| {name} | {interval([r.mrr10 for r in runs])} | {cpu_seconds(runs):.0f} |")
    print(
        f"\n{runs[0].pairs:,} pairs, pool {runs[0].pool:,}, chance {chance_mrr(runs[0].pool):.3f}"
    )


def arguments() -> argparse.Namespace:
    """What to train, and how often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--recipes", default="all", help="names, comma-separated, or all")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def run(
    corpus: Corpus, options: argparse.Namespace, seed: int, changes: Mapping[str, object]
) -> Trained:
    """Train once; the encoder itself is thrown away."""
    config = preset(options.preset, epochs=options.epochs, patience=0, seed=seed, **changes)
    with tempfile.TemporaryDirectory() as folder:
        return train(
            pairs(corpus, "train"), pairs(corpus, "validation"), Path(folder) / "encoder", config
        )


def pairs(corpus: Corpus, split: str) -> Iterator[Pair]:
    """The split's pairs of image and caption."""
    return (
        Pair(record.image, record.caption, record.group_id, record.concept_names)
        for record in corpus.records(split)
        if record.image is not None
    )


def interval(values: list[float]) -> str:
    """Mean of MRR@10s and the half-width of its 95% interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.3f}"
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{mean:.3f} ± {half:.3f}"


def cpu_seconds(runs: list[Trained]) -> float:
    """Mean over runs."""
    return float(np.mean([run.cpu_seconds for run in runs]))


if __name__ == "__main__":
    main()
