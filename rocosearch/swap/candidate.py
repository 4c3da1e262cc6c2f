"""The index with the new encoder, built beside the current one.

It becomes the index after `switch`, or serves to evaluate the new encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypedDict

from encoders.base.progress import Progress, silent
from encoders.export.graphs import ensure_graphs
from encoders.inference.dual_encoder import DualEncoder
from encoders.inference.reranker import RerankerManifest
from encoders.model.manifest import CAPTION_ENCODER, Manifest
from ingest.corpus.corpus import Corpus
from ingest.feed.documents import documents
from ingest.vectors.embed import embed_corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.names import CAPTION_VECTORS, ROLES, encoder_names, role_of
from ranking.profiles.cosine import with_scale
from ranking.types import Document, EngineError
from rocosearch.open_index import embedding_encoder, encoder_folder
from rocosearch.pipeline import evaluate
from rocosearch.swap.job import Backfilled
from rocosearch.swap.state import SwapError

__all__ = [
    "Documents",
    "backfill_index",
    "build_candidate",
    "caption_encoder_of",
    "check_encoders",
    "embed_for",
    "evaluate_index",
    "fed_from",
]

BATCH = 2048


class Documents(TypedDict):
    """What documents of an index are of, as `ingest.feed.documents` takes it."""

    studies: bool
    captions: bool
    caption_encoder: str
    patches: bool


def fed_from(engine: EmbeddedEngine) -> Documents:
    """Whether its documents are studies, captions have vectors, images patches: by its fields.

    caption_encoder: what made the captions' vectors, where that is not the images' encoder.

    Raises SwapError if it has vectors that are not made from a corpus.
    """
    fields = engine.info().vector_fields
    roles = {role_of(field.name) for field in fields}
    of_captions = "".join(f.fingerprint for f in fields if role_of(f.name) == CAPTION_VECTORS)
    made = ROLES.keys() - ({"patches"} if "frames" in roles else set())  # of images alone
    if others := sorted(roles - made):
        raise SwapError(
            f"The index has the vectors {', '.join(others)}, which cannot be made from a corpus: "
            "build a new index with the new encoder."
        )
    return {
        "studies": "frames" in roles,
        "captions": CAPTION_VECTORS in roles,
        "caption_encoder": "" if of_captions == fields[0].fingerprint else of_captions,
        "patches": "patches" in roles,
    }


def check_encoders(index: Path, encoder: Path) -> tuple[str, str]:
    """Fingerprints of the index's encoder and of the new one.

    Raises SwapError if the index has no encoder, or already has the new one, or re-ranks and the
    new one cannot.
    """
    opened = EmbeddedEngine.open(index)
    fed_from(opened)
    reranks = any(opened.profiles.resolve(name).reranks for name in opened.profiles.names())
    if reranks and RerankerManifest.load(encoder_folder(encoder)) is None:
        raise SwapError(
            f"A profile of {index} re-ranks, and the new encoder has no re-ranker: train one with "
            "`rocosearch train-reranker CORPUS ENCODER`."
        )
    old = next((field.fingerprint for field in opened.info().vector_fields), "")
    new = Manifest.load(encoder_folder(encoder)).fingerprint
    if not old:
        raise SwapError(f"{index} has no vectors: index the corpus with the encoder instead.")
    if old == new:
        raise SwapError(f"{index} already uses this encoder ({new[:8]}).")
    return old, new


def build_candidate(index: Path, encoder: Path, out: Path, progress: Progress = silent) -> None:
    """Write to `out` the documents and profiles of `index`, with the new encoder's fields.

    The fields are empty. An existing candidate is kept.
    """
    encoder = encoder_folder(encoder, progress)
    current = EmbeddedEngine.open(index)
    manifest = ensure_graphs(encoder, progress, parts=fed_from(current)["patches"])
    if _is_candidate(out, manifest.fingerprint):
        return
    names = encoder_names(manifest.fingerprint)
    kept = fed_from(current)["caption_encoder"]
    fields = [
        field
        if kept and field.fingerprint == kept
        else replace(  # cells, metric and labels stay
            field,
            name=names.field(role_of(field.name)),
            dimension=manifest.dimension,
            fingerprint=manifest.fingerprint,
        )
        for field in current.info().vector_fields
    ]
    EmbeddedEngine.build(
        out,
        _without_vectors(current),
        fields,
        with_scale(current.profiles, manifest.logit_scale, instead_of=_scales(current)),
        attributes=current.info().attributes,
        encoder=encoder,
        captions=caption_encoder_of(current) if kept else None,
        progress=progress,
    )


def caption_encoder_of(engine: EmbeddedEngine) -> Path | None:
    """The folder of the encoder of captions that an index carries beside the images'."""
    folder = engine.encoder_folder
    return folder / CAPTION_ENCODER if folder and (folder / CAPTION_ENCODER).is_dir() else None


def embed_for(
    corpus: Corpus, encoder: DualEncoder, engine: EmbeddedEngine, progress: Progress
) -> Documents:
    """Compute what an index's documents lack of this encoder's vectors; return what they are of."""
    fed, reader = fed_from(engine), caption_encoder_of(engine)
    by = embedding_encoder(reader, progress) if reader and fed["caption_encoder"] else encoder
    captions = by if fed["captions"] else None
    embed_corpus(corpus, encoder, progress, captions=captions, patches=fed["patches"])
    return fed


def _scales(engine: EmbeddedEngine) -> list[float]:
    """The `scale` inputs of the current encoder; the new one has its own."""
    folder = engine.encoder_folder
    return [Manifest.load(folder).logit_scale] if folder else []


def _is_candidate(path: Path, fingerprint: str) -> bool:
    try:
        fields = EmbeddedEngine.open(path).info().vector_fields
    except EngineError:
        return False
    return bool(fields) and fields[0].fingerprint == fingerprint


def _without_vectors(engine: EmbeddedEngine) -> Iterator[Document]:
    for identifier in engine.ids():
        document = engine.get(identifier)
        if document is not None:
            yield replace(document, vectors={}, labelled={})


def backfill_index(
    path: Path, corpus: Corpus, encoder: Path, progress: Progress = silent
) -> Backfilled:
    """Compute missing vectors, and add them to the index.

    Raises SwapError if a document with an image has no vector afterwards.
    """
    loaded = embedding_encoder(encoder, progress)
    engine = EmbeddedEngine.open(path)
    fed = embed_for(corpus, loaded, engine, progress)
    held = set(engine.ids())
    found = documents(corpus, loaded.manifest.fingerprint, **fed)
    wanted = (each for each in found if each.id in held and each.vectors)
    with_vector = 0
    for batch in _batches(wanted):
        missing = [each for each in batch if not _has_vectors(engine, each)]
        failed = engine.update(missing).failed if missing else ()
        if failed:
            identifier, reason = failed[0]
            raise SwapError(f"{len(failed)} documents got no vector; {identifier}: {reason}.")
        with_vector += len(batch)
        progress("backfill", with_vector, len(held))
    progress("backfill", len(held), len(held))
    return Backfilled(with_vector, len(held))


def _batches(items: Iterable[Document]) -> Iterator[list[Document]]:
    waiting = iter(items)
    while batch := list(islice(waiting, BATCH)):
        yield batch


def _has_vectors(engine: EmbeddedEngine, wanted: Document) -> bool:
    held = engine.get(wanted.id)
    return (
        held is not None
        and wanted.vectors.keys() <= held.vectors.keys()
        and wanted.labelled.keys() <= held.labelled.keys()
    )


def evaluate_index(index: Path, corpus: Path, out: Path, progress: Progress = silent) -> Path:
    """Write the report of an index to `out`, unless it exists; return `out`."""
    if not (out / "metrics.json").exists():
        evaluate(index, corpus, out, progress=progress)
    return out
