"""Train several recipes on one corpus, with several seeds, and print what each is worth.

    python benchmarks/recipes.py build/corpus build/recipes --seeds 3 --epochs 20
    python benchmarks/recipes.py build/corpus build/recipes --recipes "base,96 pixels"

OUT keeps one line of JSON a run, so that a benchmark that was killed goes on where it stopped;
the table is written anew after each run. Figures are of the validation split (full pool): MRR@10
of text to image ("caption") and of a caption to the other images of its case ("same case"), mean
over the seeds with the 95% interval of the mean (Student's t), and CPU seconds. Every run keeps
its epoch of best caption MRR@10. docs/experiments.md has the results.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student

from encoders.base.progress import silent
from encoders.base.storage import whole_file
from encoders.model.clip import Encoder, pick_device
from encoders.training.augment import NO_AUGMENTATION, Augmentation
from encoders.training.augment_text import TextAugmentation
from encoders.training.curves import VALIDATION
from encoders.training.frozen import frozen_images, text_features
from encoders.training.pairs import Pairs, read_pairs
from encoders.training.presets import preset, resized, with_context, with_heads
from encoders.training.train import train
from encoders.training.validation import asked_once, embed_pairs, text_to_image_mrr
from ingest.corpus.corpus import FEATURES, Corpus
from rocosearch.pipeline import training_pairs

Row = dict[str, object]

# "base" is the preset as it is; the others change what is named.
RECIPES: Mapping[str, Mapping[str, object]] = {
    "base": {},
    "no augmentation": {"augmentation": NO_AUGMENTATION},
    "concept pretraining": {"concept_epochs": 5},
    "same case positive": {"positives": "group"},
    "text augmentation": {"text_augmentation": TextAugmentation(sentences=0.3, words=0.1)},
    "96 pixels": {"image_size": 96},
    "concept names": {"text_augmentation": TextAugmentation(concepts=0.5)},
    "every image moved": {"augmentation": Augmentation(share=1.0)},
    "cutout": {"augmentation": Augmentation(cutout=0.25)},
    "one positive": {"positives": "none"},
    "balanced": {"balance_cap": 200},
    "half an epoch": {"samples_per_epoch": 824},
    "128 pixels": {"image_size": 128},
    "image pretraining": {"image_epochs": 5},
    "text pretraining": {"text_epochs": 5},
}
# With --text-tower: a published text tower, locked, or tuned at a hundredth of the rate.
TEXT_TOWERS: Mapping[str, Mapping[str, object]] = {
    "text tower frozen": {"freeze": ("text.bert",)},
    "text tower tuned": {"rates": (("text.bert", 0.01),)},
    "text tower frozen and concepts": {"freeze": ("text.bert",), "concept_epochs": 5},
}
# With --preset adapter: published towers, frozen, whose features are kept in CORPUS/features.
ADAPTERS: Mapping[str, Mapping[str, object]] = {
    "base": {},
    "three heads": {"heads": 3},
    "no dropout": {"dropout": 0.0},
    "dropout .5": {"dropout": 0.5},
    "texts of 64 tokens": {"context": 64},
    "dimension 128": {"dimension": 128},
    "dimension 512": {"dimension": 512},
    "batches of 32": {"batch": 32},
    "batches of 128": {"batch": 128},
    "sigmoid loss": {"loss": "sigmoid"},
    "sigmoid loss, batches of 128": {"loss": "sigmoid", "batch": 128},
    "same case positive": {"positives": "group"},
    "learning rate 3e-3": {"learning_rate": 3e-3},
}
# With --start: an encoder that was trained on other pairs.
STARTS: Mapping[str, Mapping[str, object]] = {
    "fine-tuned": {"learning_rate": 1e-3},
    "fine-tuned but the image tower": {"learning_rate": 1e-3, "freeze": ("image",)},
}


def main() -> None:
    """Run what has not been run, seed by seed, and print the table after each."""
    options = arguments()
    torch.set_num_threads(options.threads)
    names = list(recipes(options)) if options.recipes == "all" else options.recipes.split(",")
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "runs.jsonl"
    corpus = Corpus.open(options.corpus)
    for seed in range(options.seeds):
        for name in names:
            rows = read_rows(log)
            if not any(row["recipe"] == name and row["seed"] == seed for row in rows):
                rows.append(run(corpus, options, name, seed))
                with log.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(rows[-1]) + "\n")
            with whole_file(options.out / "table.md") as path:
                path.write_text(table(rows), "utf-8")
    print(table(read_rows(log)))


def arguments() -> argparse.Namespace:
    """What to train, and how often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipes", default="all", help="names, comma-separated, or all")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--text-tower", type=Path, help="folder of a published BERT")
    parser.add_argument("--start", type=Path, help="folder of an encoder to fine-tune")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ask", choices=("pair", "caption"), default="caption", help="as of train")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--concept-field", action="append", default=[], help="as of `rocosearch train`"
    )
    return parser.parse_args()


def recipes(options: argparse.Namespace) -> dict[str, Mapping[str, object]]:
    """All that can be trained with these options."""
    known = dict(ADAPTERS if options.preset == "adapter" else RECIPES)
    if options.text_tower:
        tower = {"text_tower": str(options.text_tower)}
        known |= {name: {**tower, **changes} for name, changes in TEXT_TOWERS.items()}
    if options.start:
        start = {"start": str(options.start)}
        known |= {name: {**start, **changes} for name, changes in STARTS.items()}
    return known


def run(corpus: Corpus, options: argparse.Namespace, name: str, seed: int) -> Row:
    """Train once and measure; the encoder itself is thrown away."""
    changes = {"epochs": options.epochs, "patience": 0, "seed": seed, "ask": options.ask}
    changes |= recipes(options)[name]
    sizes = ("image_size", "context", "heads", "dimension")
    size, context, heads, dimension = (int(str(changes.pop(each, 0))) for each in sizes)
    config = preset(options.preset, **changes)
    if dimension:
        config = replace(config, model=replace(config.model, dimension=dimension))
    config = with_context(config, context) if context else config
    config = with_heads(config, heads) if heads else config
    folder = options.out / "encoder"
    fields = options.concept_field
    trained = train(
        training_pairs(corpus, "train", fields),
        training_pairs(corpus, "validation", fields),
        folder,
        resized(config, size) if size else config,
        resume=True,
        cache=corpus.path / FEATURES,
    )
    encoder = Encoder.load(folder)
    cache = corpus.path / FEATURES
    towers = replace(config, model=encoder.module.config)
    held_out = read_pairs(
        training_pairs(corpus, "validation"),
        encoder.module.config.preprocessing,
        options.out,
        "reading",
        silent,
        frozen_images(encoder.module.image, towers, pick_device("auto"), cache),
    )
    last = encoder.curves.strip().splitlines()[-1]
    names = encoder.curves.splitlines()[0].split(",")
    shutil.rmtree(folder)
    return {
        "recipe": name,
        "seed": seed,
        "caption": trained.mrr10,
        "last": float(dict(zip(names, last.split(","), strict=True))[VALIDATION]),
        "same case": same_case(encoder, held_out, options.ask, cache),
        "best epoch": trained.best_epoch,
        "cpu_seconds": trained.cpu_seconds,
        "pairs": trained.pairs,
        "pool": trained.pool,
        "chance": trained.chance_mrr10,
    }


def same_case(encoder: Encoder, held_out: Pairs, ask: str, cache: Path) -> float:
    """MRR@10 of a caption to the other images of its case."""
    features = text_features(encoder.module, held_out.texts, cache)
    images, texts = embed_pairs(encoder.module, held_out, features)
    captions, cases = held_out.labels.T
    weights = asked_once(captions) if ask == "caption" else None
    return text_to_image_mrr(images, texts, cases, own=False, weights=weights)


def read_rows(log: Path) -> list[Row]:
    """The runs so far."""
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return [json.loads(line) for line in lines]


def table(rows: Sequence[Row]) -> str:
    """Markdown of all runs so far."""
    lines = [
        "| recipe | seeds | caption MRR@10 | last epoch | same case MRR@10 | best epochs | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["recipe"] for row in rows):
        runs = [row for row in rows if row["recipe"] == name]
        epochs = ", ".join(str(row["best epoch"]) for row in runs)
        cells = [interval(column(runs, measure)) for measure in ("caption", "last", "same case")]
        seconds = np.mean(column(runs, "cpu_seconds"))
        lines.append(f"| {name} | {len(runs)} | {' | '.join(cells)} | {epochs} | {seconds:.0f} |")
    if rows:
        pairs, pool, chance = (rows[0][name] for name in ("pairs", "pool", "chance"))
        lines.append(f"\n{pairs:,} pairs, pool {pool:,}, chance of a caption {chance:.3f}")
    return "\n".join(lines) + "\n"


def column(rows: Sequence[Row], name: str) -> list[float]:
    """One figure of each run."""
    return [float(str(row[name])) for row in rows]


def interval(values: Sequence[float]) -> str:
    """Mean of MRR@10s and the half-width of its 95% interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.3f}"
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{mean:.3f} ± {half:.3f}"


if __name__ == "__main__":
    main()
