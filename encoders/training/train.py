"""Train a CLIP: the entry point, resumable, on CPUs or GPUs.

    trained = train(pairs, validation, Path("build/encoder"), preset("tiny"))
    print(trained.sentence())

While it runs, everything lies in a hidden work folder beside `out`; the encoder's folder
appears whole at the end, with the weights of the best epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from encoders.base.errors import UserError
from encoders.base.progress import Progress, silent
from encoders.base.storage import make_folder
from encoders.model import tokenizer as tokens
from encoders.model.architecture import ImageTower, image_tower
from encoders.model.clip import ClipModule, Encoder
from encoders.model.manifest import FILE_NAME as MANIFEST
from encoders.model.resnet import ModifiedResNetConfig
from encoders.model.towers import ViTConfig
from encoders.published.single_towers import fill
from encoders.published.towers import image_part, load_any, text_part
from encoders.training.checkpoint import TrainingError, hidden_folder, work_folder
from encoders.training.concepts import Balance, balance
from encoders.training.contrastive import Run
from encoders.training.curves import CONCEPT_F1, CONCEPT_MAP, curves_csv
from encoders.training.distributed import Team, join_team
from encoders.training.frozen import frozen_images
from encoders.training.optimizer import is_projection
from encoders.training.pairs import Pairs, read_pairs
from encoders.training.presets import TrainingConfig
from encoders.training.pretraining import check_pretraining, pretrain
from encoders.training.training_record import Trained, finished, training_json

__all__ = ["Further", "Trained", "TrainingError", "train"]


def train(
    pairs: Iterable[tuple[object, ...]],
    validation: Iterable[tuple[object, ...]],
    out: Path,
    config: TrainingConfig,
    progress: Progress = silent,
    resume: bool = False,
    cache: Path | None = None,
    further: Further | None = None,
) -> Trained:
    """Train on `pairs` of (image, text, group, concepts), keep what does best on `validation`.

    Images are Pillow images, encoded bytes or paths; group and concepts (a sequence of names)
    may be left out. With `resume`, a run that was killed goes on from its last checkpoint, on
    the same pairs, and a finished one is left as it is; without it such a checkpoint is an error,
    for a new run would be written over it. In a process of `accelerate launch` the
    others take part. cache: folder for what frozen towers give for images and texts, so that the
    next run with the same towers begins at once. further: images without a caption and captions
    without an image, for pretraining.
    Raises TrainingError, ImageError, ResumeError, TeamError, DeviceError.
    """
    team = join_team(config.device)
    progress = progress if team.leads else silent
    if resume and not hidden_folder(out).exists() and (out / MANIFEST).exists():
        return finished(out, _start(config).config, pairs, validation)
    with work_folder(out, resume=resume, leads=team.leads) as work:
        team.wait()
        check_pretraining(config, team)
        started = _start(config)
        further = further or Further()
        return _train(
            pairs, validation, out, started, progress, team, work, cache=cache, further=further
        )


def _train(
    pairs: Iterable[tuple[object, ...]],
    validation: Iterable[tuple[object, ...]],
    out: Path,
    start: _Start,
    progress: Progress,
    team: Team,
    work: Path,
    *,
    cache: Path | None,
    further: Further,
) -> Trained:
    own = work / f"process-{team.rank}"
    make_folder(own)
    config, prepare = start.config, start.config.model.preprocessing
    frozen = frozen_images(start.image, config, team.device, cache)
    train_pairs = read_pairs(pairs, prepare, own, "reading training images", progress, frozen)
    held_out = read_pairs(validation, prepare, own, "reading validation images", progress, frozen)
    del frozen  # its memory; the pairs have their features
    if len(train_pairs) < 2:
        raise TrainingError(
            f"There are {len(train_pairs)} pairs of image and caption to train on; "
            "contrastive training needs at least 2."
        )
    _check_effect(train_pairs, config)
    if told := _balance(train_pairs, config):
        progress("balancing pairs", round(told.kept), told.pairs, told.sentence())
    texts = (*train_pairs.texts, *further.texts)
    module = start.module or _fresh_module(texts, config, start.image)
    images = [train_pairs]
    if config.image_epochs:
        alone = ((image, "") for image in further.images)
        images.append(read_pairs(alone, prepare, own, "reading further images", progress))
    pretrain(module, images, texts, config, team, work, progress)
    run = Run(
        module,
        train_pairs,
        held_out,
        work,
        config,
        team,
        progress,
        cache,
    )
    run.fit()
    return _finish(run, out)


def _check_effect(pairs: Pairs, config: TrainingConfig) -> None:
    """Raise TrainingError for a setting that these pairs leave without an effect."""
    asked = {"--concept-names": config.text_augmentation.concepts > 0}
    asked["--balance-cap"] = config.balance_cap > 0
    given = next((name for name, there in asked.items() if there), "")
    if given and not any(pairs.concepts):
        raise TrainingError(
            f"{given} has no effect, since no pair has a concept: leave it out, or name a field "
            "with --concept-field."
        )
    if config.positives == "group" and not (pairs.labels[:, 1] >= 0).any():
        raise TrainingError(
            "--positives group has no effect, since no pair has a case or an article: leave it out."
        )


@dataclass(frozen=True)
class Further:
    """What pretraining learns from beside the pairs; read only where it is asked for."""

    images: Iterable[object] = ()
    texts: Iterable[str] = ()


@dataclass(frozen=True)
class _Start:
    """What training starts from: the recipe, with the towers' own configurations in it.

    module: None if the captions' vocabulary decides the text tower. image: the published
    tower, or that of the module.
    """

    config: TrainingConfig
    module: ClipModule | None = None
    image: ImageTower | None = None


def _start(config: TrainingConfig) -> _Start:
    if config.start and (config.text_tower or config.image_tower):
        raise TrainingError("A start encoder has its own towers: use either --start or a tower.")
    if config.start:
        begun = load_any(config.start).module
        config = replace(config, model=begun.config)
        _check_late_interaction(config)
        return _Start(config, begun, begun.image)
    image: ImageTower | None = None
    module: ClipModule | None = None
    if config.image_tower:
        seen = image_part(config.image_tower, config.tower_size)
        model = replace(config.model, image=seen.config, preprocessing=seen.preprocessing)
        config = replace(config, model=model)
        image = image_tower(model)
        fill(image, seen.weights)
    if config.text_tower:
        read = text_part(config.text_tower, config.model.text.context)
        config = replace(config, model=replace(config.model, text=read.config))
        module = _seeded(config, read.words, image)
        fill(module.text, read.weights)
    _check_late_interaction(config)
    return _Start(config, module, image or (module.image if module else None))


def _check_late_interaction(config: TrainingConfig) -> None:
    """Before images are read: only cells of the joint space can be compared with tokens."""
    image = config.model.image
    attends = isinstance(image, ModifiedResNetConfig) or (
        isinstance(image, ViTConfig) and image.pooling == "attention"
    )
    if config.late_interaction and attends:
        raise UserError(
            "--late-interaction compares cells of the image with tokens, and this image tower has "
            "none, because it pools by attention: leave the option out, or take another tower."
        )


def _finish(run: Run, out: Path) -> Trained:
    """Write the encoder of the best epoch; the leader for all."""
    module, counters = run.module, run.counters
    module.load_state_dict(run.best)
    encoder = Encoder(module.requires_grad_().cpu(), curves=curves_csv(counters.rows))
    named = [row for row in counters.rows if CONCEPT_MAP in row]
    trained = Trained(
        folder=out,
        fingerprint=encoder.manifest.fingerprint,
        pairs=len(run.pairs),
        pool=len(run.held_out),
        mrr10=counters.best,
        chance_mrr10=run.chance,
        best_epoch=counters.best_epoch,
        epochs=math.ceil(counters.step / run.schedule.steps),
        steps=counters.step,
        seconds=counters.seconds,
        cpu_seconds=counters.cpu_seconds,
        stopped=counters.stopped,
        concepts=len(run.names),
        concept_map=named[-1][CONCEPT_MAP] if named else 0.0,
        concept_f1=named[-1][CONCEPT_F1] if named else 0.0,
    )
    if run.team.leads:
        data = (run.pairs.fingerprint, run.held_out.fingerprint)
        told = _balance(run.pairs, run.config)
        encoder.training = training_json(run.config, data, trained, told)
        encoder.save(out)
    run.team.wait()
    return trained


def _balance(pairs: Pairs, config: TrainingConfig) -> Balance | None:
    return balance(pairs.concepts, config.balance_cap) if config.balance_cap else None


def _fresh_module(
    texts: Sequence[str], config: TrainingConfig, image: ImageTower | None
) -> ClipModule:
    text = config.model.text
    words = tokens.train_tokenizer(texts, vocabulary=text.vocabulary, max_tokens=text.context)
    text = replace(text, vocabulary=words.get_vocab_size())
    return _seeded(replace(config, model=replace(config.model, text=text)), words, image)


def _seeded(config: TrainingConfig, words: Tokenizer, image: ImageTower | None) -> ClipModule:
    """New towers; the image tower's weights, but for its projection, are those of `image`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        module = ClipModule(config.model, words)
    if image is not None:
        state = image.state_dict()
        fill(module.image, {n: value for n, value in state.items() if not is_projection(n)})
    return module
