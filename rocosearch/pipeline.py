"""The Python API: all steps as functions.

Each function writes a complete folder or nothing. Arguments are folders, not open objects, so that
any step can be repeated or run in another process.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from encoders.base.arguments import typed
from encoders.base.errors import Notice, UserError
from encoders.base.progress import Progress, expect, in_notebook
from encoders.base.storage import write_whole
from encoders.export.graphs import ensure_graphs
from encoders.model.manifest import FILE_NAME as ENCODER_FILE, TRAINING, Manifest
from encoders.published.folders import is_published
from ingest.corpus.corpus import EMBEDDINGS, FEATURES, Corpus, write_corpus
from ingest.corpus.duplicates import normal_caption
from ingest.corpus.manifest import MANIFEST as CORPUS_FILE
from ingest.corpus.records import CorpusError, Record as CorpusRecord, from_arrow
from ingest.corpus.writer import REJECTED
from ingest.feed.documents import PATCHES_OF_STUDIES, documents
from ingest.sources.columns import Reading
from ingest.sources.open import open_source
from ingest.sources.stored_corpus import StoredCorpus
from ranking.calibration import CALIBRATION, NOT_ITS_OWN, Calibration
from ranking.engine.engine import EmbeddedEngine
from ranking.engine.store.writer import UNFINISHED
from ranking.names import CAPTION_VECTORS, ROLES, encoder_names, role_of
from ranking.profiles.cosine import with_scale
from ranking.profiles.shipped import (
    CAPTION_PROFILES,
    SHIPPED,
    STUDY_PROFILES,
    ProfileSet,
    load_profiles,
    save_profiles,
)
from ranking.searcher import Searcher
from ranking.types import Attribute, VectorField
from rocosearch.fields import field_of
from rocosearch.open_index import (
    caption_encoder_folder,
    embedding_encoder,
    encoder_folder,
    load_encoder,
    open_engine,
    open_searcher,
)
from rocosearch.outputs import OutputError, check_file, check_profiles_file, check_replaceable

if TYPE_CHECKING:  # torch takes seconds to load
    from encoders.inference.onnx_encoder import OnnxEncoder
    from encoders.training.pairs import Pair
    from encoders.training.presets import TrainingConfig
    from encoders.training.reranking import MatchingPairs, TrainedReranker
    from encoders.training.seen_pairs import Record, Seen
    from encoders.training.train import Further, Trained
    from eval.evaluate import Options
    from eval.report.evaluation import Evaluation
    from eval.search.targets import Target
    from eval.tuning.tuning import Tuning, TuningOptions
    from ingest.vectors.embed import EmbedReport
    from vespa_app.package.options import PackageOptions

__all__ = [
    "build_corpus",
    "build_index",
    "calibrate_index",
    "embed_images",
    "embedding_encoder",
    "evaluate",
    "evaluate_target",
    "learn_synonyms",
    "load_encoder",
    "open_engine",
    "open_searcher",
    "seen_record",
    "train_encoder",
    "train_reranker",
    "training_pairs",
    "tune_profiles",
    "write_app",
]


# Measured on 100,000 made-up captions with vectors (benchmarks/cold_start.py), to tell in advance.
DOCUMENTS_A_SECOND = 2_000
BYTES_A_DOCUMENT = 300
BYTES_A_NUMBER = 4.5
WITH_PREDICTED = "hybrid_pseudo"  # the profile that reads predicted words too


@typed
def build_corpus(
    source: str | Path,
    out: str | Path,
    *,
    layout: str = "auto",
    reading: Reading = Reading(),  # noqa: B008 - frozen
    splits: Literal["auto", "source", "drawn"] = "auto",
    frames: str | int = "middle",
    key: str | Path | None = None,
    text: Literal["", "find", "mask"] = "",
    attributes: Sequence[Attribute] = (),
    progress: Progress = in_notebook,
) -> Corpus:
    """Read `source` into a corpus at `out`. Raises CorpusError if no row can be used.

    reading: options for the source's tables that override the detection. For DICOM files, frames is
    "middle", "all" or a number, key the key file of the pseudonyms (OUT.key if None), and text
    whether to detect or mask text in the pixels. attributes: fields of one's own; those of a
    corpus that is the source stay if none are named.
    """
    out = Path(out)
    named = Path(key) if key else None
    if out.is_dir() and [file.name for file in out.iterdir()] == [REJECTED]:
        (out / REJECTED).unlink()  # an attempt that used nothing left it
    check_replaceable(out, CORPUS_FILE, "a corpus")
    if Path(source).resolve() in out.resolve().parents:
        raise CorpusError(f"{out} is inside {source}: name a folder outside the source.")
    key = named or out.with_name(f"{out.name}.key")
    if key.resolve().is_relative_to(out.resolve()):
        raise CorpusError(f"{key} would be inside the corpus: keep the key outside it.")
    opened = open_source(source, layout, reading, frames=frames, key=key, text=text)
    if named and opened.format != "dicom":
        raise CorpusError(f"--key has no effect on {source}, which is not DICOM: leave it out.")
    if not attributes and isinstance(opened, StoredCorpus):
        attributes = Corpus.open(opened.path).manifest.fields
    if reading.split and splits == "drawn":
        raise CorpusError("--split-column has no effect where splits are drawn: leave it out.")
    written = write_corpus(
        opened,
        out,
        splits=splits,
        attributes=attributes,
        keep_rejections=True,
        progress=progress,
    )
    if reading.split and written.manifest.split_rule == "drawn":
        told = f"Column {reading.split!r} names no split but train, so splits were drawn."
        warnings.warn(told, Notice, stacklevel=2)
    return written


@typed
def train_encoder(
    corpus: str | Path,
    out: str | Path,
    *,
    preset: str = "",
    image_size: int = 0,
    context: int = 0,
    dimension: int = 0,
    heads: int = 0,
    concept_fields: Sequence[str] = (),
    concept_pairs: bool = False,
    resume: bool = False,
    replace: bool = False,
    progress: Progress = in_notebook,
    **changes: object,
) -> Trained:
    """Train on a corpus's training split, validate on its validation split, write to `out`.

    preset: "" selects adapter if its published towers are installed, else tiny; with a start
    encoder or towers, tiny. image_size: side of the tower's images in pixels, context:
    longest text in tokens, dimension: numbers of a vector, of each head, heads: projections on
    each tower; they override the preset.
    replace: overwrite a finished encoder at `out`; otherwise that is an error.
    concept_fields: fields of the records whose values count as concepts too, such as modality.
    concept_pairs: the names of an image's concepts stand beside it as a second text.
    changes: fields of encoders.training.presets.TrainingConfig that replace the preset's.
    Raises TrainingError if there are no pairs of image and caption, UserError for what has no
    effect.
    """
    corpus, out = Path(corpus), Path(out)
    from encoders.training.default_preset import choose_preset
    from encoders.training.distributed import leads
    from encoders.training.presets import preset as named_preset, resized
    from encoders.training.seen_pairs import SEEN
    from encoders.training.train import train

    check_replaceable(out, ENCODER_FILE, "an encoder")
    if (out / ENCODER_FILE).exists() and not (resume or replace):
        raise OutputError(
            f"{out} is a finished encoder: name another folder, or overwrite it with --replace."
        )
    config = resized(
        named_preset(preset or choose_preset(changes).name, **changes),
        image_size=image_size,
        context=context,
        dimension=dimension,
        heads=heads,
    )
    if resume and replace:
        raise UserError("--replace has no effect with --resume: leave one of them out.")
    named = config.concept_epochs or config.text_augmentation.concepts or config.balance_cap
    if concept_fields and not (named or concept_pairs):
        raise UserError(
            "--concept-field has no effect, since concepts are not used: leave it out, or add "
            "--concept-pairs, --concept-names, --concept-epochs or --balance-cap."
        )
    opened = Corpus.open(corpus)
    if not opened.manifest.splits.get("train"):
        splits = ", ".join(opened.manifest.splits)
        raise CorpusError(
            f"{corpus} has no training split, only {splits}. Draw new splits with `rocosearch "
            "corpus SOURCE OUT --splits draw`."
        )
    trained = train(
        training_pairs(opened, "train", concept_fields, concept_pairs=concept_pairs),
        training_pairs(opened, "validation", concept_fields),
        out,
        config,
        progress,
        resume,
        cache=opened.path / FEATURES,
        further=_further(opened, config),
    )
    if leads():
        paired = concept_fields if concept_pairs else None
        seen_record(opened, config=config, named=paired).write(out / SEEN)
        ensure_graphs(out, progress)
        _tell_of_few(trained, changes)
    return trained


def _tell_of_few(trained: Trained, changes: Mapping[str, Any]) -> None:
    """Warn of settings that a small corpus left without an effect."""
    for name, called in (("batch", "A batch"), ("samples_per_epoch", "An epoch")):
        if (changes.get(name) or 0) > trained.pairs:
            told = (
                f"{called} has {trained.pairs:,} pairs, not {changes[name]:,}: there are no more."
            )
            warnings.warn(told, Notice, stacklevel=3)
    asked = [name for name in ("patience", "ask") if changes.get(name)]
    if asked and not trained.pool:
        told = f"There is no validation split, so {' and '.join(asked)} had no effect."
        warnings.warn(told, Notice, stacklevel=3)


@typed
def train_reranker(
    corpus: str | Path,
    encoder: str | Path,
    *,
    resume: bool = False,
    replace: bool = False,
    progress: Progress = in_notebook,
    **settings: float,
) -> TrainedReranker:
    """Train a re-ranker on the training split, and add it to the encoder's folder.

    The best epoch by the validation split is kept. resume: continue an interrupted run. replace:
    overwrite an older re-ranker; otherwise that is an error. settings: fields of
    encoders.training.reranking.RerankerSettings.
    """
    from encoders.inference.reranker import RERANKER
    from encoders.training.reranking import RerankerSettings, train_reranker as train_on
    from ingest.vectors.embed import embed_corpus

    corpus, encoder = Path(corpus), Path(encoder)
    if (encoder / RERANKER).exists() and not replace:
        raise OutputError(f"{encoder} has a re-ranker: overwrite it with --replace.")
    opened = Corpus.open(corpus)
    ensure_graphs(encoder, progress, parts=True)
    loaded = load_encoder(encoder)
    embed_corpus(opened, loaded, progress, patches=True)
    pairs, held_out = (_matching_pairs(opened, loaded, s) for s in ("train", "validation"))
    chosen = RerankerSettings(**settings)  # type: ignore[arg-type]
    fingerprint = loaded.manifest.fingerprint
    return train_on(pairs, held_out, encoder, fingerprint, chosen, progress, resume=resume)


def _matching_pairs(corpus: Corpus, encoder: OnnxEncoder, split: str) -> MatchingPairs:
    """A split's pairs as the encoder sees them."""
    from encoders.training.pairs import labels_of
    from encoders.training.reranking import MatchingPairs

    names = encoder_names(encoder.manifest.fingerprint)
    patches, image = names.field("patches"), names.embedding
    found = [
        d
        for d in documents(corpus, encoder.manifest.fingerprint, patches=True)
        if d.split == split and d.caption and patches in d.labelled
    ]
    captions = [document.caption or "" for document in found]
    vectors = [document.vectors[image] for document in found]
    of_each = [list(document.labelled[patches].values()) for document in found]
    size = encoder.manifest.dimension
    return MatchingPairs(
        np.asarray(vectors, np.float32).reshape(-1, size),
        encoder.encode_texts(captions),
        np.asarray(of_each, np.float32).reshape(len(found), -1, size),
        encoder.encode_tokens(captions),
        np.stack([labels_of(captions), labels_of(document.group_id for document in found)], axis=1),
    )


def _further(corpus: Corpus, config: TrainingConfig) -> Further:
    """Images without a caption, and captions without an image, where pretraining wants them."""
    from encoders.training.train import Further

    def records(wanted: int) -> Iterator[CorpusRecord]:
        return corpus.records("train") if wanted else iter(())

    return Further(
        images=(r.image for r in records(config.image_epochs) if r.image and not r.caption),
        texts=(r.caption for r in records(config.text_epochs) if r.caption and r.image is None),
    )


@typed
def seen_record(
    corpus: Corpus,
    key: bytes = b"",
    config: TrainingConfig | None = None,
    named: Sequence[str] | None = None,
) -> Record:
    """Hashes of what an encoder of this corpus is trained and validated on.

    That is pairs, and what pretraining sees where `config` asks for it: images without a caption,
    captions without an image. named: fields whose values are concepts too, where images are paired
    with their concepts' names. key: the key of an earlier stage's record, to join the two.
    """
    from encoders.training.seen_pairs import Record

    images, texts = (config.image_epochs, config.text_epochs) if config else (0, 0)
    seen: dict[str, list[tuple[dict[str, Any], str]]] = {"train": [], "validation": []}
    for row in corpus.table().to_pylist():  # without the images
        caption, image, training = row["caption"], row["hashes"]["image_sha256"], seen["train"]
        if row["split"] not in seen:
            continue
        if caption and image:
            seen[row["split"]].append((row, caption))
            names = () if named is None else _concepts(from_arrow({**row, "image": None}), named)
            if names and row["split"] == "train":
                training.append((row, ", ".join(names)))
        elif row["split"] == "train" and ((image and images) or (caption and texts)):
            training.append((row, caption))
    trained = _seen(seen["train"], key)
    return Record(trained, _seen(seen["validation"], trained.key))


def _seen(pairs: Sequence[tuple[dict[str, Any], str]], key: bytes) -> Seen:
    from encoders.training.seen_pairs import Seen

    return Seen.of(
        images=[row["hashes"]["image_sha256"] for row, _ in pairs],
        looks=[row["hashes"]["image_dhash"] for row, _ in pairs],
        captions=[normal_caption(text) for _, text in pairs],
        groups=[row["group_id"] for row, _ in pairs],
        subjects=[row["subject_id"] for row, _ in pairs],
        key=key,
    )


@typed
def training_pairs(
    corpus: Corpus,
    split: str,
    concept_fields: Sequence[str] = (),
    *,
    concept_pairs: bool = False,
) -> Iterator[Pair]:
    """The split's pairs of image and caption, with case or article, and concepts.

    concept_pairs: each image that has concepts is in a second pair, with their names.
    Raises CorpusError at the end if no record of the training split has one of the fields, or with
    concept_pairs a concept.
    """
    from encoders.training.pairs import Pair

    lacking, named = dict.fromkeys(concept_fields), False
    for record in corpus.records(split):
        if record.image is not None and record.caption:
            concepts = _concepts(record, concept_fields)
            named = named or bool(concepts)
            for field in [name for name in lacking if field_of(record, name)]:
                del lacking[field]
            yield Pair(record.image, record.caption, record.group_id, concepts)
            if concept_pairs and concepts:
                yield Pair(record.image, ", ".join(concepts), record.group_id, concepts)
    if lacking and split == "train":
        raise CorpusError(f"No pair has a field {next(iter(lacking))!r}: name another field.")
    if concept_pairs and not named:
        raise CorpusError(
            "No image has a concept to be paired with: leave --concept-pairs out, or name a field "
            "with --concept-field."
        )


def _concepts(record: CorpusRecord, fields: Sequence[str]) -> tuple[str, ...]:
    values = (field_of(record, name) for name in fields)
    return (*record.concept_names, *filter(None, values))


@typed
def build_index(
    corpus: str | Path,
    out: str | Path,
    *,
    encoder: str | Path | None = None,
    profiles: str | Path | None = None,
    studies: bool = False,
    captions: bool = False,
    caption_encoder: str | Path | None = None,
    caption_missing: bool = False,
    progress: Progress = in_notebook,
) -> EmbeddedEngine:
    """Compute missing vectors of `encoder`, then build the index at `out`.

    Without an encoder ranking is lexical only. studies: the images of a case are one document.
    captions: they have a vector too, of the text tower; without an encoder that is a UserError.
    caption_encoder: the same, of this encoder's text tower.
    caption_missing: images without one are ranked by predicted words too: hybrid_pseudo is the
    default profile, and a corpus without predictions of this encoder is labelled first.
    Images' patches have vectors where a profile reads them.
    """
    corpus, out = Path(corpus), Path(out)
    check_replaceable(out, "CURRENT", "an index", UNFINISHED)
    if encoder is None and (captions or caption_encoder is not None):
        raise UserError(
            "Vectors of captions stand beside those of images: name the encoder of images, too, "
            "with --encoder."
        )
    opened = Corpus.open(corpus)
    encoder = encoder_folder(encoder, progress) if encoder else None
    captions = captions or caption_encoder is not None
    shipped = SHIPPED.replaced(CAPTION_PROFILES if captions else ())
    if studies and encoder:
        shipped = shipped.replaced(STUDY_PROFILES, default="study")
    own = opened.manifest.fields
    chosen = load_profiles(profiles, own) if profiles else shipped
    if caption_missing:
        _predict_words(corpus, encoder, chosen, progress, studies=studies)
        chosen = chosen.replaced((), default=WITH_PREDICTED)
    patches = encoder is not None and _reads_patches(chosen, studies=studies)
    dimension = Manifest.load(encoder).dimension if encoder else 0
    expect(
        progress,
        f"an index of {len(opened):,} documents{', vectors apart' if encoder else ''}",
        len(opened) / DOCUMENTS_A_SECOND,
        len(opened) * (BYTES_A_DOCUMENT + BYTES_A_NUMBER * dimension),
    )
    fingerprint, of_captions, fields = None, "", []
    reader = None
    if encoder is not None:
        from ingest.vectors.embed import embed_corpus

        loaded = embedding_encoder(encoder, progress)
        fingerprint, by = loaded.manifest.fingerprint, loaded
        if captions and (reader := caption_encoder_folder(encoder, caption_encoder, progress)):
            by = embedding_encoder(reader, progress)
            of_captions = by.manifest.fingerprint
        embed_corpus(opened, loaded, progress, captions=by if captions else None, patches=patches)
        _keep_record(opened, encoder, fingerprint)
        if reader:
            _keep_record(opened, reader, of_captions)
        chosen = with_scale(chosen, loaded.manifest.logit_scale)
        names = encoder_names(fingerprint, of_captions)
        wanted = {"frames": studies, "patches": patches, CAPTION_VECTORS: captions}
        roles = ["embedding", *(role for role, has in wanted.items() if has)]
        made = {role: by.manifest if role == CAPTION_VECTORS else loaded.manifest for role in roles}
        fields = [
            VectorField(names.field(role), each.dimension, each.fingerprint, labels=ROLES[role])
            for role, each in made.items()
        ]
    found = documents(
        opened,
        fingerprint,
        studies=studies,
        captions=captions,
        caption_encoder=of_captions,
        patches=patches,
    )
    return EmbeddedEngine.build(
        out,
        found,
        fields,
        chosen,
        attributes=own,
        encoder=encoder,
        captions=reader,
        progress=progress,
    )


def _predict_words(
    corpus: Path, encoder: Path | None, profiles: ProfileSet, progress: Progress, *, studies: bool
) -> None:
    """Label a corpus that has no predictions of this encoder, for a profile that reads them."""
    if encoder is None:
        raise UserError("--caption-missing needs an encoder, which predicts the words.")
    if studies:
        raise UserError("--caption-missing is for images: leave out --studies.")
    if WITH_PREDICTED not in profiles.names():
        raise UserError(
            f"--caption-missing ranks by the profile {WITH_PREDICTED}, which the profiles named do "
            "not have: add it there, or leave the option out."
        )
    from ingest.corpus.predictions import Predictions
    from rocosearch.labelling import label_corpus

    if Predictions(corpus).encoder != Manifest.load(encoder).fingerprint:
        label_corpus(corpus, encoder, progress=progress)


def _reads_patches(profiles: ProfileSet, *, studies: bool) -> bool:
    found = any(profiles.resolve(name).late for name in profiles.names())
    if found and studies:
        raise UserError(PATCHES_OF_STUDIES)
    return found


def _keep_record(corpus: Corpus, encoder: Path, fingerprint: str) -> None:
    """Store the record of the encoder's training data with its vectors, never in an index."""
    from encoders.training.seen_pairs import SEEN, Record

    if (encoder / SEEN).exists():
        Record.read(encoder / SEEN).write(corpus.path / EMBEDDINGS / fingerprint / SEEN)


@typed
def embed_images(
    corpus: str | Path, encoder: str | Path, *, part: str = "0/1", progress: Progress = in_notebook
) -> EmbedReport:
    """Embed one part ("I/N") of a corpus's images; existing vectors are kept."""
    from ingest.vectors.embed import Partition, embed_corpus

    partition = Partition.parse(part)
    opened, loaded = Corpus.open(corpus), embedding_encoder(encoder, progress)
    return embed_corpus(opened, loaded, progress, partition=partition)


@typed
def evaluate(
    index: str | Path,
    corpus: str | Path,
    out: str | Path,
    options: Options | None = None,
    *,
    profiles: str | Path | None = None,
    encoder: str | Path | None = None,
    seeds: Sequence[str | Path] = (),
    progress: Progress = in_notebook,
) -> Evaluation:
    """Evaluate an index on its corpus's held-out queries and write the report to `out`.

    encoder: embeds the queries; by default the one in the index. seeds: indexes of the
    same corpus whose encoders were trained by the same recipe with other seeds.
    Raises UserError if recipes differ.
    """
    from eval.search.targets import EmbeddedTarget

    engine = open_engine(index, profiles)
    others = [open_engine(other, profiles) for other in seeds]
    _check_recipes([Path(index), *map(Path, seeds)], [engine, *others])
    folder = encoder or engine.encoder_folder
    return evaluate_target(
        EmbeddedTarget(engine),
        corpus,
        out,
        options,
        encoder=folder,
        seeds=[(EmbeddedTarget(other), other.encoder_folder) for other in others],
        progress=progress,
    )


def _check_recipes(paths: Sequence[Path], engines: Sequence[EmbeddedEngine]) -> None:
    """Refuse seeds of different recipes, or with equal seeds."""
    if len(engines) < 2:
        return
    recipes = []
    for path, engine in zip(paths, engines, strict=True):
        folder = engine.encoder_folder
        try:
            settings = json.loads((folder or path).joinpath(TRAINING).read_text("utf-8"))[
                "settings"
            ]
        except (OSError, ValueError, KeyError):
            raise UserError(
                f"{path} has no record of its encoder's training ({TRAINING}), so it cannot be "
                "used as a seed."
            ) from None
        recipes.append((settings.pop("seed", None), settings))
        if recipes[-1][1] != recipes[0][1]:
            raise UserError(f"The encoders of {path} and {paths[0]} differ in more than `--seed`.")
        if recipes[-1][0] in [seed for seed, _ in recipes[:-1]]:
            raise UserError(f"{path} has the same training seed as another named index.")


@typed
def evaluate_target(
    target: Target,
    corpus: str | Path,
    out: str | Path,
    options: Options | None = None,
    *,
    encoder: str | Path | None = None,
    seeds: Sequence[tuple[Target, Path | None]] = (),
    progress: Progress = in_notebook,
) -> Evaluation:
    """The same for an open target: an index, or a running Vespa.

    encoder: embeds the queries; without it only lexical ranking is evaluated.
    """
    corpus, out = Path(corpus), Path(out)
    encoder = Path(encoder) if encoder else None
    from eval.evaluate import evaluate as run_evaluation
    from eval.leakage.training_overlap import find_record
    from eval.measure.seeds import over_seeds
    from eval.report.report import write_report

    check_replaceable(out, "metrics.json", "a report")
    loaded = load_encoder(encoder) if encoder else None
    opened = Corpus.open(corpus)
    record = find_record(opened, loaded.manifest.fingerprint, encoder) if loaded else None
    evaluation = run_evaluation(target, loaded, opened, options, progress, record=record)
    if seeds:
        results = [evaluation.results]
        for other, folder in seeds:
            loaded = load_encoder(folder) if folder else None
            record = find_record(opened, loaded.manifest.fingerprint, folder) if loaded else None
            again = run_evaluation(other, loaded, opened, options, progress, record=record)
            results.append(again.results)
        evaluation = replace(evaluation, seeds=over_seeds(results))
    write_report(evaluation, out)
    return evaluation


@typed
def tune_profiles(
    index: str | Path,
    corpus: str | Path,
    out: str | Path,
    options: TuningOptions | None = None,
    *,
    profiles: str | Path | None = None,
    progress: Progress = in_notebook,
) -> Tuning:
    """Tune the blend weights on a development split and write the profiles file `out`.

    Raises OutputError, before any work, if `out` is not a profiles file, and EvaluationError if
    the new values lose on another protocol and `allow_loss` is not set.
    """
    out = Path(out)
    from eval.collection.runs import EvaluationError
    from eval.leakage.training_overlap import find_record
    from eval.tuning.tuning import tune

    check_profiles_file(out)
    engine = open_engine(index, profiles)
    encoder = load_encoder(engine.encoder_folder) if engine.encoder_folder else None
    opened = Corpus.open(corpus)
    record = find_record(opened, encoder.manifest.fingerprint, None) if encoder else None
    tuning = tune(engine, encoder, opened, options, progress, record=record)
    if tuning.losses and not (options and options.allow_loss):
        lost = "; ".join(each.told() for each in tuning.losses)
        raise EvaluationError(
            f"{out} was not written, because the new values lose on another protocol: {lost}. To "
            "write it anyway, use --allow-loss."
        )
    save_profiles(tuning.profiles, out)
    return tuning


@typed
def calibrate_index(
    index: str | Path,
    *,
    split: str = "validation",
    profile: str | None = None,
    progress: Progress = in_notebook,
) -> Calibration:
    """Fit how probable it is that a hit is right, on a held-out split; kept in the index.

    Raises CalibrationError if the split's captions are too few or tell nothing.
    """
    from eval.tuning.calibration import calibrate

    engine = open_engine(index)
    encoder = load_encoder(engine.encoder_folder) if engine.encoder_folder else None
    searcher, found = Searcher(engine, encoder), engine.documents()
    made = calibrate(searcher, found, split=split, profile=profile, progress=progress)
    made.save(Path(index) / CALIBRATION)
    return made


@typed
def learn_synonyms(
    corpus: str | Path, out: str | Path, *, weight: float = 0.1, split: str = "train"
) -> int:
    """Write a synonym file of a split's concepts; return how many have several forms.

    split: "all" learns from every record, where those that are searched carry concepts too.
    Raises CorpusError if there is no such split, or no concept is said in two ways there.
    """
    corpus, out = Path(corpus), Path(out)
    from eval.collection.concept_forms import learned_forms, synonym_file
    from eval.collection.pool import load_pool

    check_file(out)
    opened = Corpus.open(corpus)
    every = split == "all"
    if not every and not opened.manifest.splits.get(split):
        raise CorpusError(f"{corpus} has no split {split!r} to learn synonyms from.")
    ids = opened.table(["id"])["id"].to_pylist()
    pool = load_pool(
        opened, ids, (), split=None if every else split, scope="all" if every else "split"
    )
    learned = learned_forms(pool)
    if not learned:
        raise CorpusError(f"Split {split!r} of {corpus} says no concept in two ways.")
    write_whole(out, synonym_file(learned, weight))
    return len(learned)


def _check_captions(
    index: Path, encoder: Manifest, reader: Path | None, fields: Sequence[VectorField]
) -> None:
    """Raise UserError if an index's encoder of captions is not the one that made its vectors."""
    there = Manifest.load(reader).fingerprint if reader else encoder.fingerprint
    for field in fields:
        if role_of(field.name) == CAPTION_VECTORS and field.fingerprint not in {"", there}:
            raise UserError(
                f"{index} has lost its encoder of captions ({field.fingerprint[:8]}): index the "
                "corpus again, with --caption-encoder."
            )


@typed
def write_app(
    source: str | Path,
    out: str | Path,
    *,
    profiles: str | Path | None = None,
    others: Sequence[str | Path] = (),
    caption_encoder: str | Path | None = None,
    options: PackageOptions | None = None,
    progress: Progress = in_notebook,
) -> tuple[str, ...]:
    """Write the Vespa application package of an index, or of an encoder's folder, to `out`.

    others: folders of further encoders. caption_encoder: of the encoder of captions, where it is
    another one; an index names its own. Returns the file names.
    """
    source, out = Path(source), Path(out)
    from vespa_app.package.options import PackageOptions, check_effect
    from vespa_app.package.package import PackagedEncoder, write_application

    check_replaceable(out, "services.xml", "an application package")
    options, kept = options or PackageOptions(), SHIPPED
    if caption_encoder:
        kept = kept.replaced(CAPTION_PROFILES)
    averages: Mapping[str, float] | None = None
    folder: Path | None = source
    calibration = None
    fields: tuple[VectorField, ...] = ()
    if is_published(source):
        folder = encoder_folder(source, progress)
    elif not (source / ENCODER_FILE).exists():
        if caption_encoder:
            raise UserError(
                f"{source} is an index, which names its encoder of captions itself: leave out "
                "--caption-encoder."
            )
        engine = open_engine(source)
        kept = engine.profiles
        averages, folder = engine.average_field_lengths, engine.encoder_folder
        fields = engine.info().vector_fields
        calibration = Calibration.read(source / CALIBRATION)
        if calibration and calibration.index != engine.index_id:
            warnings.warn(NOT_ITS_OWN, Notice, stacklevel=2)
            calibration = None
        own = engine.info().attributes
        if options.attributes not in ((), own):
            raise UserError(
                f"{source} is an index, which has its own fields: leave attributes out."
            )
        options = replace(options, attributes=own)
    chosen = load_profiles(profiles, options.attributes) if profiles else kept
    manifest = Manifest.load(folder) if folder else None
    check_effect(options, has_vectors=bool(manifest or others))
    if caption_encoder and not any(
        CAPTION_VECTORS in chosen.resolve(name).roles for name in chosen.names()
    ):
        raise UserError(
            "--caption-encoder has no effect, since no profile compares vectors of captions: leave "
            "it out, or name such a profile."
        )
    reader = caption_encoder_folder(folder, caption_encoder, progress) if folder else None
    if manifest and not caption_encoder:
        _check_captions(source, manifest, reader, fields)
    write_application(
        out,
        manifest,
        chosen,
        folder,
        averages,
        others=[PackagedEncoder.open(encoder_folder(other, progress)) for other in others],
        captions=PackagedEncoder.open(reader) if reader else None,
        options=options,
        calibration=calibration,
        progress=progress,
    )
    return tuple(sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()))
