"""The whole line as functions: what the commands run, and the Python API.

Each writes a folder, whole or not at all. Folders are named, not opened objects, so that any
step can be done in another process, or again, from what lies on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from encoders.base.progress import Progress, expect, silent
from encoders.export.graphs import ensure_graphs
from encoders.model.manifest import FILE_NAME as ENCODER_FILE, Manifest
from encoders.published.folders import is_published
from ingest.corpus.corpus import FEATURES, Corpus, write_corpus
from ingest.corpus.manifest import MANIFEST as CORPUS_FILE
from ingest.corpus.records import CorpusError
from ingest.corpus.writer import REJECTED
from ingest.feed.documents import documents
from ingest.sources.columns import Reading
from ingest.sources.open import open_source
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.profiles.cosine import with_scale
from ranking.profiles.shipped import SHIPPED, load_profiles, save_profiles
from ranking.types import Engine, VectorField
from rocosearch.fields import field_of
from rocosearch.opening import (
    embedding_encoder,
    encoder_folder,
    load_encoder,
    open_engine,
    open_searcher,
)
from rocosearch.outputs import OutputError, check_profiles_file, check_replaceable

if TYPE_CHECKING:  # torch takes seconds to load
    from encoders.training.pairs import Pair
    from encoders.training.train import Trained
    from eval.evaluate import Options
    from eval.report.evaluation import Evaluation
    from eval.tuning.tuning import Tuning, TuningOptions
    from ingest.vectors.embed import EmbedReport
    from vespa_app.package.options import PackageOptions

__all__ = [
    "build_corpus",
    "build_index",
    "embed_images",
    "embedding_encoder",
    "evaluate",
    "evaluate_engine",
    "load_encoder",
    "open_engine",
    "open_searcher",
    "train_encoder",
    "training_pairs",
    "tune_profiles",
    "write_app",
]


# Measured on 100,000 made-up captions with vectors (benchmarks/cold_start.py), to tell in advance.
DOCUMENTS_A_SECOND = 2_000
BYTES_A_DOCUMENT = 300
BYTES_A_NUMBER = 4.5


def build_corpus(
    source: str | Path,
    out: Path,
    *,
    layout: str = "auto",
    reading: Reading = Reading(),  # noqa: B008 - frozen
    splits: Literal["auto", "source", "drawn"] = "auto",
    frames: str | int = "middle",
    key: Path | None = None,
    progress: Progress = silent,
) -> Corpus:
    """Read `source` into a corpus at `out`. Raises CorpusError where nothing can be used.

    reading: what is said of the source's tables, in place of what would be recognised. frames: of
    DICOM files, "middle", "all" or a number. key: of their pseudonyms; OUT.key if None.
    """
    if out.is_dir() and [file.name for file in out.iterdir()] == [REJECTED]:
        (out / REJECTED).unlink()  # an attempt that used nothing left it
    check_replaceable(out, CORPUS_FILE, "a corpus")
    if not str(source).strip():
        raise CorpusError("SOURCE is empty: name a data set's folder or file, or phantoms.")
    if Path(source).resolve() in out.resolve().parents:
        raise CorpusError(f"{out} lies inside {source}: name a folder outside what is read.")
    key = key or out.with_name(f"{out.name}.key")
    if key.resolve().is_relative_to(out.resolve()):
        raise CorpusError(f"{key} would lie inside the corpus: keep the key apart from it.")
    opened = open_source(source, layout, reading, frames=frames, key=key)
    return write_corpus(opened, out, splits=splits, keep_rejections=True, progress=progress)


def train_encoder(
    corpus: Path,
    out: Path,
    *,
    preset: str = "",
    image_size: int = 0,
    context: int = 0,
    concept_fields: Sequence[str] = (),
    resume: bool = False,
    replace: bool = False,
    progress: Progress = silent,
    **changes: object,
) -> Trained:
    """Train on a corpus's training split, validate on its validation split, write to `out`.

    preset: "" takes adapter where its published towers are installed, else tiny; with towers or
    an encoder to start from, tiny. image_size: side of the tower's images in pixels, context:
    longest text in tokens, in place of the preset's.
    replace: write over a finished encoder at `out`, which is an error otherwise.
    concept_fields: fields of the records whose values count as concepts too, such as modality.
    changes: fields of encoders.training.presets.TrainingConfig that replace the preset's.
    Raises TrainingError where there are no pairs of image and caption.
    """
    from encoders.training.choice import choose_preset
    from encoders.training.distributed import leads
    from encoders.training.presets import preset as named_preset, resized, with_context
    from encoders.training.train import train

    check_replaceable(out, ENCODER_FILE, "an encoder")
    if (out / ENCODER_FILE).exists() and not (resume or replace):
        raise OutputError(
            f"{out} is a finished encoder: name another folder, or say --replace to train over it."
        )
    config = named_preset(preset or choose_preset(changes).name, **changes)
    if image_size:
        config = resized(config, image_size)
    if context:
        config = with_context(config, context)
    opened = Corpus.open(corpus)
    if not opened.manifest.splits.get("train"):
        splits = ", ".join(opened.manifest.splits)
        raise CorpusError(
            f"{corpus} has no training split, only {splits}: nothing to train on. Draw splits of "
            "your own with `rocosearch corpus SOURCE OUT --splits draw`."
        )
    trained = train(
        training_pairs(opened, "train", concept_fields),
        training_pairs(opened, "validation", concept_fields),
        out,
        config,
        progress,
        resume,
        cache=opened.path / FEATURES,
    )
    if leads():
        ensure_graphs(out, progress)
    return trained


def training_pairs(
    corpus: Corpus, split: str, concept_fields: Sequence[str] = ()
) -> Iterator[Pair]:
    """The split's pairs of image and caption, with case or article, and concepts."""
    from encoders.training.pairs import Pair

    for record in corpus.records(split):
        if record.image is not None and record.caption:
            values = (field_of(record, name) for name in concept_fields)
            concepts = (*record.concept_names, *filter(None, values))
            yield Pair(record.image, record.caption, record.group_id, concepts)


def build_index(
    corpus: Path,
    out: Path,
    *,
    encoder: Path | None = None,
    profiles: Path | None = None,
    progress: Progress = silent,
) -> EmbeddedEngine:
    """Embed what `encoder` has not embedded yet, then build the snapshot at `out`.

    Without an encoder ranking is lexical only.
    """
    check_replaceable(out, "CURRENT", "an index")
    opened = Corpus.open(corpus)
    chosen = load_profiles(profiles) if profiles else SHIPPED
    dimension = Manifest.load(encoder).dimension if encoder else 0
    expect(
        progress,
        f"an index of {len(opened):,} documents{', vectors apart' if encoder else ''}",
        len(opened) / DOCUMENTS_A_SECOND,
        len(opened) * (BYTES_A_DOCUMENT + BYTES_A_NUMBER * dimension),
    )
    if encoder is None:
        return EmbeddedEngine.build(out, documents(opened, None), (), chosen, progress=progress)
    from ingest.vectors.embed import embed_corpus

    encoder = encoder_folder(encoder, progress)
    loaded = embedding_encoder(encoder, progress)
    embed_corpus(opened, loaded, progress)
    manifest = loaded.manifest
    chosen = with_scale(chosen, manifest.logit_scale)
    field = VectorField(
        encoder_names(manifest.fingerprint).embedding, manifest.dimension, manifest.fingerprint
    )
    found = documents(opened, manifest.fingerprint)
    return EmbeddedEngine.build(out, found, [field], chosen, encoder=encoder, progress=progress)


def embed_images(
    corpus: Path, encoder: Path, *, part: str = "0/1", progress: Progress = silent
) -> EmbedReport:
    """Embed one part ("I/N") of a corpus's images; what is embedded already is left alone."""
    from ingest.vectors.embed import Partition, embed_corpus

    partition = Partition.parse(part)
    opened, loaded = Corpus.open(corpus), embedding_encoder(encoder, progress)
    return embed_corpus(opened, loaded, progress, partition=partition)


def evaluate(
    index: Path,
    corpus: Path,
    out: Path,
    options: Options | None = None,
    *,
    profiles: Path | None = None,
    encoder: Path | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Evaluate an index on its corpus's held-out queries and write the report to `out`.

    encoder: whose vectors ask; by default the one that the index carries.
    """
    engine = open_engine(index, profiles)
    return evaluate_engine(
        engine, corpus, out, options, encoder=encoder or engine.encoder_folder, progress=progress
    )


def evaluate_engine(
    engine: Engine,
    corpus: Path,
    out: Path,
    options: Options | None = None,
    *,
    encoder: Path | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """The same on an engine that is open: an index, or a running Vespa.

    encoder: whose vectors ask; lexical ranking alone is evaluated without one.
    """
    from eval.evaluate import evaluate as run_evaluation
    from eval.report.report import write_report

    check_replaceable(out, "metrics.json", "a report")
    loaded = load_encoder(encoder) if encoder else None
    evaluation = run_evaluation(engine, loaded, Corpus.open(corpus), options, progress)
    write_report(evaluation, out)
    return evaluation


def tune_profiles(
    index: Path,
    corpus: Path,
    out: Path,
    options: TuningOptions | None = None,
    *,
    profiles: Path | None = None,
    progress: Progress = silent,
) -> Tuning:
    """Tune the blend weights on a development split and write the profiles file `out`.

    Raises OutputError, before any work, where something else than profiles is there.
    """
    from eval.tuning.tuning import tune

    check_profiles_file(out)
    engine = open_engine(index, profiles)
    encoder = load_encoder(engine.encoder_folder) if engine.encoder_folder else None
    tuning = tune(engine, encoder, Corpus.open(corpus), options, progress)
    save_profiles(tuning.profiles, out)
    return tuning


def write_app(
    source: Path,
    out: Path,
    *,
    profiles: Path | None = None,
    others: Sequence[Path] = (),
    options: PackageOptions | None = None,
    progress: Progress = silent,
) -> tuple[str, ...]:
    """Write the Vespa application package of an index, or of an encoder's folder, to `out`.

    others: folders of encoders that stand beside the current one. Returns the files' names.
    """
    from vespa_app.package.options import PackageOptions
    from vespa_app.package.package import PackagedEncoder, write_application

    check_replaceable(out, "services.xml", "an application package")
    chosen = load_profiles(profiles) if profiles else None
    average: float | None = None
    folder: Path | None = source
    if is_published(source):
        folder = encoder_folder(source, progress)
    elif not (source / ENCODER_FILE).exists():
        engine = open_engine(source)
        chosen = chosen or engine.profiles
        average, folder = engine.average_field_length, engine.encoder_folder
    manifest = Manifest.load(folder) if folder else None
    write_application(
        out,
        manifest,
        chosen or SHIPPED,
        folder,
        average,
        others=[PackagedEncoder.open(encoder_folder(other, progress)) for other in others],
        options=options or PackageOptions(),
        progress=progress,
    )
    return tuple(sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()))
