"""Training a CLIP: one readable loop, on a CPU or on GPUs, that survives being killed.

    trained = train(pairs, validation, Path("build/encoder"), preset("tiny"))
    print(trained.sentence())

While it runs, everything lies in a hidden work folder beside `out`; the encoder's folder
appears whole at the end, with the weights of the best epoch.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from encoders.base.errors import UserError
from encoders.base.progress import Progress, silent
from encoders.base.storage import locked, make_folder
from encoders.model import tokenizer as tokens
from encoders.model.bert import BertTower
from encoders.model.clip import ClipModule, Encoder
from encoders.model.manifest import FILE_NAME as MANIFEST
from encoders.published.bert import load_bert
from encoders.published.clip import load_any
from encoders.training.checkpoint import begin_anew, remove_unless_begun
from encoders.training.concepts import Balance, balance
from encoders.training.curves import CONCEPT_F1, CONCEPT_MAP, curves_csv
from encoders.training.distributed import Team, join_team
from encoders.training.loop import Run, TrainingError
from encoders.training.pairs import Pairs, read_pairs
from encoders.training.presets import TrainingConfig
from encoders.training.record import Trained, finished, training_json

__all__ = ["Trained", "TrainingError", "train"]

BUSY = "Another process is training into {}: wait for it, or name another folder."


def train(
    pairs: Iterable[tuple[object, ...]],
    validation: Iterable[tuple[object, ...]],
    out: Path,
    config: TrainingConfig,
    progress: Progress = silent,
    resume: bool = False,
) -> Trained:
    """Train on `pairs` of (image, text, group, concepts), keep what does best on `validation`.

    Images are Pillow images, encoded bytes or paths; group and concepts (a sequence of names)
    may be left out. With `resume`, a run that was killed goes on from its last checkpoint, on
    the same pairs, and a finished one is left as it is; without it such a checkpoint is an error,
    for a new run would be written over it. In a process of `accelerate launch` the
    others take part. Raises TrainingError, ImageError, ResumeError, TeamError,
    DeviceError.
    """
    team = join_team(config.device)
    progress = progress if team.leads else silent
    work = out.parent / f".{out.name}.training"
    if resume and not work.exists() and (out / MANIFEST).exists():
        return finished(out, _start(config)[0], pairs, validation)
    with locked(work, TrainingError(BUSY.format(out))) if team.leads else nullcontext():
        if team.leads and not resume:
            begin_anew(work)
        team.wait()
        try:
            return _train(pairs, validation, out, config, progress, team, work)
        except UserError:
            remove_unless_begun(work)
            raise


def _train(
    pairs: Iterable[tuple[object, ...]],
    validation: Iterable[tuple[object, ...]],
    out: Path,
    config: TrainingConfig,
    progress: Progress,
    team: Team,
    work: Path,
) -> Trained:
    own = work / f"process-{team.rank}"
    make_folder(own)
    config, module = _start(config)
    prepare = config.model.preprocessing
    train_pairs = read_pairs(pairs, prepare, own, "reading training images", progress)
    held_out = read_pairs(validation, prepare, own, "reading validation images", progress)
    if len(train_pairs) < 2:
        raise TrainingError(
            f"There are {len(train_pairs)} pairs of image and caption to train on; "
            "contrastive training needs at least 2."
        )
    if told := _balance(train_pairs, config):
        progress("balancing pairs", round(told.kept), told.pairs, told.sentence())
    run = Run(
        module or _fresh_module(train_pairs.texts, config),
        train_pairs,
        held_out,
        work,
        config,
        team,
        progress,
    )
    run.fit()
    return _finish(run, out)


def _start(config: TrainingConfig) -> tuple[TrainingConfig, ClipModule | None]:
    """What training starts from, where that is not decided by the captions' vocabulary."""
    if config.start and config.text_tower:
        raise TrainingError(
            "An encoder to start from has a text tower of its own: leave out one of the two."
        )
    if config.start:
        module = load_any(Path(config.start)).module
        return replace(config, model=module.config), module
    if not config.text_tower:
        return config, None
    text, words, weights = load_bert(Path(config.text_tower), config.model.text.context)
    config = replace(config, model=replace(config.model, text=text))
    module = _seeded(config, words)
    if isinstance(module.text, BertTower):
        module.text.bert.load_state_dict(weights)
    return config, module


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
        epochs=math.ceil(counters.step / run.batches.steps_per_epoch),
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
        shutil.rmtree(run.work, ignore_errors=True)
    run.team.wait()
    return trained


def _balance(pairs: Pairs, config: TrainingConfig) -> Balance | None:
    return balance(pairs.concepts, config.balance_cap) if config.balance_cap else None


def _fresh_module(texts: Sequence[str], config: TrainingConfig) -> ClipModule:
    text = config.model.text
    words = tokens.train_tokenizer(texts, vocabulary=text.vocabulary, max_tokens=text.context)
    text = replace(text, vocabulary=words.get_vocab_size())
    return _seeded(replace(config, model=replace(config.model, text=text)), words)


def _seeded(config: TrainingConfig, words: Tokenizer) -> ClipModule:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return ClipModule(config.model, words)
