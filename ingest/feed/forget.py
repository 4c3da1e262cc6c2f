"""Remove a patient from a corpus, its vectors, indexes and servers."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from encoders.base.parquet import write_parquet
from encoders.base.progress import Progress, silent
from encoders.base.storage import whole_file
from ingest.corpus.corpus import EMBEDDINGS, FEATURES, Corpus, write_corpus
from ingest.corpus.records import CorpusError, Rejection, Row
from ingest.feed.feed import ledgers_of
from ingest.feed.ledger import Ledger
from ingest.sources.stored_corpus import StoredCorpus
from ingest.vectors.embed import read_part
from ranking.engine.engine import EmbeddedEngine
from ranking.types import Engine

__all__ = [
    "Forgotten",
    "forget_in_corpus",
    "forget_in_engine",
    "forget_in_ledgers",
    "records_of",
]


@dataclass(frozen=True)
class Forgotten:
    """What was of the subject. trained: how many records stood in the training split.

    encoders: fingerprints of the encoders that had embedded the corpus.
    """

    ids: tuple[str, ...]
    trained: int
    encoders: tuple[str, ...]


def records_of(corpus: Corpus, subject: str) -> Forgotten:
    """What a corpus holds of a subject."""
    columns = corpus.table(["id", "subject_id", "split"]).to_pylist()
    own = [row for row in columns if row["subject_id"] == subject]
    folders = sorted((corpus.path / EMBEDDINGS).glob("*"))
    return Forgotten(
        tuple(row["id"] for row in own),
        sum(row["split"] == "train" for row in own),
        tuple(folder.name for folder in folders),
    )


def forget_in_corpus(
    corpus: Corpus,
    subject: str,
    ids: Sequence[str],
    files: Sequence[str],
    progress: Progress = silent,
) -> None:
    """Write the corpus again without the subject's records, rejected rows and vectors.

    ids, files: of the subject's records, as far as known. Raises CorpusError if nothing would
    be left.
    """
    gone = set(ids)
    if len(records_of(corpus, subject).ids) == len(corpus):
        raise CorpusError(f"{corpus.path} has no other patient: delete the folder.")
    manifest = corpus.manifest
    source = _Without(corpus.path, subject, frozenset(gone), tuple(files), manifest.source,
                      manifest.source_format, manifest.recognised)  # fmt: skip
    again = write_corpus(
        source, corpus.path, splits="source", attributes=manifest.fields, progress=progress
    )
    replace(again.manifest, split_rule=manifest.split_rule).save(corpus.path)
    # By hash of an image; training makes them again.
    shutil.rmtree(corpus.path / FEATURES, ignore_errors=True)
    for part in sorted((corpus.path / EMBEDDINGS).rglob("part-*.parquet")):
        table = read_part(part)
        kept = table.filter(pc.invert(pc.is_in(table["id"], pa.array(sorted(gone), pa.string()))))
        if not len(kept):
            part.unlink()
        elif len(kept) < len(table):
            with whole_file(part) as path:
                write_parquet(kept, path, compression={"id": "zstd", "image_sha256": "zstd"})


def forget_in_ledgers(corpus: Corpus, ids: Sequence[str], cleaned: Collection[str]) -> list[str]:
    """Remove documents from the ledgers of targets that lost them; names the others that have any.

    cleaned: names of targets. The next feed to another target removes the documents there.
    """
    others = []
    for path in sorted(ledgers_of(corpus).glob("*.sqlite")):
        with Ledger.at(path) as ledger:
            if ledger.target in cleaned:
                ledger.forget(ids)
                ledger.write_dead_letters(path.with_suffix(".dead.jsonl"))
            elif ledger.holding(ids):
                others.append(ledger.target)
    return others


def forget_in_engine(engine: Engine, ids: Sequence[str]) -> int:
    """Remove documents; an index on disk rewrites their segments, so that nothing remains.

    Returns how many there were.
    """
    present = [identifier for identifier in ids if engine.get(identifier) is not None]
    engine.remove(present)
    if present and isinstance(engine, EmbeddedEngine):
        left = [found for name in list(engine.ids()) if (found := engine.get(name)) is not None]
        engine.feed(left)  # all segments of before are dead
        engine.feed(left[:1])  # and a dead one goes with the next change
    return len(present)


@dataclass(frozen=True)
class _Without:
    """The rows of a corpus that are not of the subject."""

    path: Path
    subject: str
    gone: frozenset[str]
    files: tuple[str, ...]
    location: str
    format: str
    recognised: str

    def __iter__(self) -> Iterator[Row]:
        for row in StoredCorpus(self.path):
            own = row.id in self.gone
            if isinstance(row, Rejection):
                own |= any(file == row.file or file.endswith(f"/{row.file}") for file in self.files)
            else:
                own |= row.subject_id == self.subject
            if not own:
                yield row
