"""Train several recipes on one corpus, with several seeds, and print what each is worth.

    python benchmarks/recipes.py build/corpus build/recipes --seeds 3 --epochs 20
    python benchmarks/recipes.py build/corpus build/recipes --recipes "base,96 pixels"

OUT keeps one line of JSON a run, so that a benchmark that was killed goes on where it stopped;
the table is written anew after each run. Figures are of the validation split (full pool): MRR@10
of text to image ("caption") and of a caption to the other images of its case ("same case"), mean
over the seeds with the 95% interval of the mean (Student's t), and CPU seconds. Every run keeps
its epoch of best caption MRR@10. "last epoch" involves no choice, nor does the test split where
there is one. The figures in brackets are 95% intervals over queries as well as seeds: clusters of
cases and equal captions are resampled, and the seeds' half-width is added in quadrature. "gain" is
the difference from the first recipe over the same seeds. docs/experiments.md has the results.
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
from numpy.typing import NDArray
from scipy.stats import t as student

from encoders.base.progress import silent
from encoders.base.storage import whole_file
from encoders.model.clip import Encoder, pick_device
from encoders.training.augment import NO_AUGMENTATION, Augmentation
from encoders.training.augment_text import TextAugmentation
from encoders.training.concepts import average_precision
from encoders.training.curves import VALIDATION
from encoders.training.frozen import frozen_images, text_features
from encoders.training.pairs import read_pairs
from encoders.training.presets import TrainingConfig, preset, resized
from encoders.training.train import Further, train
from encoders.training.validation import asked_once, embed_pairs, reciprocal_ranks
from eval.collection.clusters import Clusters
from eval.measure.bootstrap import bootstrap
from ingest.corpus.corpus import FEATURES, Corpus
from rocosearch.pipeline import training_pairs

Row = dict[str, object]
HELD_OUT = ("validation", "test")

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
    "text pretraining on further captions": {"text_epochs": 5, "further": True},
}
# With --text-tower: a published text tower, locked, or tuned at a hundredth of the rate.
TEXT_TOWERS: Mapping[str, Mapping[str, object]] = {
    "text tower frozen": {"freeze": ("text.bert",)},
    "text tower tuned": {"rates": (("text.bert", 0.01),)},
    "text tower frozen and concepts": {"freeze": ("text.bert",), "concept_epochs": 5},
}
# All but the last of EfficientNet-lite0's 16 blocks, and the text tower.
BELOW_LAST_BLOCK = (
    "text.tower",
    "image.body.stem.",
    *(f"image.body.blocks.{block}." for block in range(15)),
)
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
    "concept pairs": {"concept_pairs": True},
    "concept loss": {"concept_epochs": 10},
    # EfficientNet-lite0's last block and last convolution learn at a tenth of the rate.
    "last image block": {"freeze": BELOW_LAST_BLOCK, "rates": (("image.body", 0.1),)},
    "last image block and concept pairs": {
        "freeze": BELOW_LAST_BLOCK,
        "rates": (("image.body", 0.1),),
        "concept_pairs": True,
    },
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
    parser.add_argument("--dimension", type=int, default=0, help="instead of the preset's")
    parser.add_argument("--text-tower", type=Path, help="folder of a published BERT")
    parser.add_argument("--further", type=Path, help="corpus whose captions pretraining reads")
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
    if not options.further:
        known.pop("text pretraining on further captions", None)
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
    changes["dimension"] = options.dimension
    changes |= recipes(options)[name]
    sizes = ("image_size", "context", "heads", "dimension")
    concept_pairs = bool(changes.pop("concept_pairs", False))
    further = Corpus.open(options.further) if changes.pop("further", False) else None
    named = {size: int(str(changes.pop(size, 0))) for size in sizes}
    config = resized(preset(options.preset, **changes), **named)
    folder = options.out / "encoder"
    fields = options.concept_field
    trained = train(
        training_pairs(corpus, "train", fields, concept_pairs=concept_pairs),
        training_pairs(corpus, "validation", fields),
        folder,
        config,
        resume=True,
        cache=corpus.path / FEATURES,
        further=Further(texts=[r.caption for r in further.records()] if further else ()),
    )
    encoder = Encoder.load(folder)
    last = encoder.curves.strip().splitlines()[-1]
    names = encoder.curves.splitlines()[0].split(",")
    found = {split: asked(corpus, encoder, config, split, options) for split in HELD_OUT}
    shutil.rmtree(folder)
    return {
        "recipe": name,
        "seed": seed,
        "caption": trained.mrr10,
        "last": float(dict(zip(names, last.split(","), strict=True))[VALIDATION]),
        "same case": found["validation"].pop("same case"),
        **{f"concepts, {split}": own.pop("concepts") for split, own in found.items()},
        "asked": found,
        "best epoch": trained.best_epoch,
        "cpu_seconds": trained.cpu_seconds,
        "pairs": trained.pairs,
        "pool": trained.pool,
        "chance": trained.chance_mrr10,
    }


def asked(
    corpus: Corpus,
    encoder: Encoder,
    config: TrainingConfig,
    split: str,
    options: argparse.Namespace,
) -> dict[str, object]:
    """RR@10 of each question of a split with the cluster it is of, and the MRR@10 of same case.

    Concepts: mean average precision of the whole split, asked by the name of each concept.
    """
    cache, module = corpus.path / FEATURES, encoder.module
    towers = replace(config, model=module.config)
    held_out = read_pairs(
        training_pairs(corpus, split),
        module.config.preprocessing,
        options.out,
        "reading",
        silent,
        frozen_images(module.image, towers, pick_device("auto"), cache),
    )
    if not len(held_out):
        return {"values": [], "clusters": [], "same case": 0.0, "concepts": 0.0}
    images, texts = embed_pairs(module, held_out, text_features(module, held_out.texts, cache))
    captions, cases = held_out.labels.T
    weights = asked_once(captions) if options.ask == "caption" else np.ones(len(captions))
    values = reciprocal_ranks(images, texts, cases, own=False)
    asks = ~np.isnan(values)
    case = float(np.average(values[asks], weights=weights[asks])) if asks.any() else 0.0
    keys = [[f"caption {c}", *([f"case {g}"] if g >= 0 else [])] for c, g in held_out.labels]
    rows = np.arange(len(captions))
    if options.ask == "caption":
        rows = np.sort(np.unique(captions, return_index=True)[1])
    # A caption of several images finds each of them: any of its rows asks the same question.
    values = reciprocal_ranks(images, texts, captions)
    clusters = Clusters.connect(keys).numbers
    return {
        "values": [round(float(v), 5) for v in values[rows]],
        "clusters": clusters[rows].tolist(),
        "same case": case,
        "concepts": concept_precision(encoder, images, held_out.concepts),
    }


def concept_precision(
    encoder: Encoder, images: NDArray[np.float32], concepts: Sequence[tuple[str, ...]]
) -> float:
    """Mean over the concepts of the average precision of a ranking by the concept's name."""
    names = sorted({name for own in concepts for name in own})
    if not names:
        return 0.0
    truth = np.array([[name in own for name in names] for own in concepts])
    some = ~truth.all(axis=0)  # what every image has ranks nothing
    names, truth = [n for n, s in zip(names, some, strict=True) if s], truth[:, some]
    scores = images @ encoder.encode_texts(names).T
    found = [average_precision(s, t) for s, t in zip(scores.T, truth.T, strict=True)]
    return float(np.mean(found))


def read_rows(log: Path) -> list[Row]:
    """The runs so far."""
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return [json.loads(line) for line in lines]


def table(rows: Sequence[Row]) -> str:
    """Markdown of all runs so far."""
    heads = ("recipe", "seeds", "caption MRR@10", "gain", "last epoch", "test", "gain")
    heads += ("same case MRR@10", "concepts", "test", "best epochs", "CPU s")
    lines = [
        f"| {' | '.join(heads)} |",
        "|---" * 12 + "|",
    ]
    names = list(dict.fromkeys(str(row["recipe"]) for row in rows))
    for name in names:
        runs, first = ([r for r in rows if r["recipe"] == n] for n in (name, names[0]))
        paired = [r for r in first if r["seed"] in {run["seed"] for run in runs}]
        cells = [name, str(len(runs))]
        for split in HELD_OUT:
            cells += [over_all(questions(runs, split), runs, split, 0.0)]
            gains = questions(runs[: len(paired)], split) - questions(paired, split)
            cells += [over_all(gains, runs, split, -1.0) if name != names[0] else ""]
            cells += [interval(column(runs, "last"))] if split == "validation" else []
        epochs = ", ".join(str(row["best epoch"]) for row in runs)
        shown = ("same case", *(f"concepts, {split}" for split in HELD_OUT))
        cells += [*(interval(column(runs, name)) for name in shown), epochs]
        cells += [f"{np.mean(column(runs, 'cpu_seconds')):.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    if rows:
        pairs, pool, chance = (rows[0][name] for name in ("pairs", "pool", "chance"))
        lines.append(f"\n{pairs:,} pairs, pool {pool:,}, chance of a caption {chance:.3f}")
    return "\n".join(lines) + "\n"


def questions(runs: Sequence[Row], split: str) -> NDArray[np.float64]:
    """RR@10 of each seed and question, float64 [seeds, questions]."""
    return np.array([run["asked"][split]["values"] for run in runs])  # type: ignore[index]


def over_all(values: NDArray[np.float64], runs: Sequence[Row], split: str, lowest: float) -> str:
    """Mean, its interval over seeds, and that over seeds and clusters."""
    if not values.size:
        return ""
    numbers = np.array(runs[0]["asked"][split]["clusters"])  # type: ignore[index]
    clusters = Clusters.connect([[str(n)] for n in numbers])
    mean = float(values.mean())
    ends = bootstrap(values.mean(axis=0)[:, None], clusters).interval(lowest=lowest)
    means, half = values.mean(axis=1), 0.0
    if len(means) > 1:
        half = student.ppf(0.975, len(means) - 1) * means.std(ddof=1) / len(means) ** 0.5
    low, high = (
        mean + sign * np.hypot(end[0] - mean, half) for sign, end in zip((-1, 1), ends, strict=True)
    )
    return f"{interval(means.tolist())} ({max(low, lowest):.3f} to {min(high, 1):.3f})"


def column(rows: Sequence[Row], name: str) -> list[float]:
    """One figure of each run."""
    return [float(str(row.get(name, 0.0))) for row in rows]


def interval(values: Sequence[float]) -> str:
    """Mean of MRR@10s and the half-width of its 95% interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.3f}"
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{mean:.3f} ± {half:.3f}"


if __name__ == "__main__":
    main()
