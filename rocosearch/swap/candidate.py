"""The index with the new encoder, built beside the current one.

It becomes the index after `switch`, or serves to evaluate the new encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from encoders.base.progress import Progress, silent
from encoders.export.graphs import ensure_graphs
from encoders.model.manifest import Manifest
from ingest.corpus.corpus import Corpus
from ingest.feed.documents import documents
from ingest.vectors.embed import embed_corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.profiles.cosine import with_scale
from ranking.types import Document, EngineError
from rocosearch.opening import embedding_encoder, encoder_folder
from rocosearch.pipeline import evaluate
from rocosearch.swap.job import Backfilled
from rocosearch.swap.state import SwapError

__all__ = ["backfill_index", "build_candidate", "check_encoders", "evaluate_index"]

BATCH = 2048


def check_encoders(index: Path, encoder: Path) -> tuple[str, str]:
    """Fingerprints of the index's encoder and of the new one.

    Raises SwapError if the index has no encoder, or already has the new one.
    """
    opened = EmbeddedEngine.open(index)
    old = next((field.fingerprint for field in opened.info().vector_fields), "")
    new = Manifest.load(encoder_folder(encoder)).fingerprint
    if not old:
        raise SwapError(f"{index} has no vectors: index the corpus with the encoder instead.")
    if old == new:
        raise SwapError(f"{index} already uses this encoder ({new[:8]}).")
    return old, new


def build_candidate(index: Path, encoder: Path, out: Path, progress: Progress = silent) -> None:
    """Write to `out` the documents and profiles of `index`, with a field for the new encoder.

    The field is empty. An existing candidate is kept.
    """
    encoder = encoder_folder(encoder, progress)
    manifest = ensure_graphs(encoder, progress)
    if _is_candidate(out, manifest.fingerprint):
        return
    current = EmbeddedEngine.open(index)
    field = replace(
        current.info().vector_fields[0],  # cells and metric stay
        name=encoder_names(manifest.fingerprint).embedding,
        dimension=manifest.dimension,
        fingerprint=manifest.fingerprint,
    )
    EmbeddedEngine.build(
        out,
        _without_vectors(current),
        [field],
        with_scale(current.profiles, manifest.logit_scale, instead_of=_scales(current)),
        attributes=current.info().attributes,
        encoder=encoder,
        progress=progress,
    )


def _scales(engine: EmbeddedEngine) -> list[float]:
    """The `scale` inputs of the current encoder; the new one has its own."""
    folder = engine.encoder_folder
    return [Manifest.load(folder).logit_scale] if folder else []


def _is_candidate(path: Path, fingerprint: str) -> bool:
    try:
        fields = EmbeddedEngine.open(path).info().vector_fields
    except EngineError:
        return False
    return [field.fingerprint for field in fields] == [fingerprint]


def _without_vectors(engine: EmbeddedEngine) -> Iterator[Document]:
    for identifier in engine.ids():
        document = engine.get(identifier)
        if document is not None:
            yield replace(document, vectors={})


def backfill_index(
    path: Path, corpus: Corpus, encoder: Path, progress: Progress = silent
) -> Backfilled:
    """Compute missing vectors, and add them to the index.

    Raises SwapError if a document with an image has no vector afterwards.
    """
    loaded = embedding_encoder(encoder, progress)
    embed_corpus(corpus, loaded, progress)
    engine = EmbeddedEngine.open(path)
    fingerprint = loaded.manifest.fingerprint
    name = encoder_names(fingerprint).embedding
    held = set(engine.ids())
    wanted = (
        each for each in documents(corpus, fingerprint) if each.id in held and name in each.vectors
    )
    with_vector = 0
    for batch in _batches(wanted):
        missing = [each for each in batch if not _has_vector(engine, each.id, name)]
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


def _has_vector(engine: EmbeddedEngine, identifier: str, name: str) -> bool:
    document = engine.get(identifier)
    return document is not None and name in document.vectors


def evaluate_index(index: Path, corpus: Path, out: Path, progress: Progress = silent) -> Path:
    """Write the report of an index to `out`, unless it exists; return `out`."""
    if not (out / "metrics.json").exists():
        evaluate(index, corpus, out, progress=progress)
    return out
