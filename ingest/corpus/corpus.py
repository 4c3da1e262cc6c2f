"""The corpus on disk: open it, iterate over records.

CORPUS/corpus.json             counts, splits, content hash, where it came from
CORPUS/data/part-*.parquet     the records (records.SCHEMA, and fields of one's own)
CORPUS/rejected.parquet        every row that could not be used, and why
CORPUS/duplicates.parquet      records that repeat an earlier one
CORPUS/predictions.parquet     what an encoder says of the images, added later (predictions.py)
CORPUS/embeddings/<fingerprint>/part-*.parquet   vectors, added later by ingest.vectors.embed
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from encoders.base.parquet import write_parquet
from encoders.base.progress import Progress, silent
from encoders.base.storage import link_or_copy, put_back, whole_folder
from ingest.corpus.duplicates import DUPLICATES, find_duplicates
from ingest.corpus.manifest import MANIFEST, CorpusManifest
from ingest.corpus.records import (
    SCHEMA,
    CorpusError,
    Record,
    Rejection,
    Source,
    from_arrow,
    schema_with,
)
from ingest.corpus.tables import opened, read_table
from ingest.corpus.writer import DATA, REJECTED, ROW_GROUP, CorpusWriter, rewrite_splits
from ranking.types import Attribute

__all__ = [
    "EMBEDDINGS",
    "FEATURES",
    "Corpus",
    "CorpusManifest",
    "Record",
    "Rejection",
    "write_corpus",
]

EMBEDDINGS = "embeddings"
FEATURES = "features"  # what frozen towers gave while training


@dataclass(frozen=True)
class Corpus:
    """An opened corpus. `len()` is its number of records."""

    path: Path
    manifest: CorpusManifest

    @classmethod
    def open(cls, path: str | Path) -> Corpus:
        """Open the corpus at `path`; raises CorpusError if there is none, or a part of one."""
        path = Path(path)
        put_back(path)
        if not path.is_dir():
            raise CorpusError(
                f"There is no corpus at {path}. Write one with `rocosearch corpus SOURCE {path}`."
            )
        corpus = cls(path, CorpusManifest.load(path))
        corpus._check_rows()
        return corpus

    def __len__(self) -> int:
        """Return the number of records."""
        return self.manifest.records

    @property
    def parts(self) -> list[Path]:
        """The Parquet files, in order."""
        return sorted((self.path / DATA).glob("part-*.parquet"))

    def records(self, split: str | None = None) -> Iterator[Record]:
        """Records in the order of the source, those of one split where `split` is given."""
        for row in self.rows(SCHEMA.names):
            if split is None or row["split"] == split:
                yield from_arrow(row)

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The same as plain values of some columns, in bounded memory; others are not read."""
        for part in self.parts:
            with opened(part) as file:
                for batch in file.iter_batches(batch_size=ROW_GROUP, columns=list(columns)):
                    yield from batch.to_pylist()

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The records as one Arrow table; every column but the images where none are named."""
        schema = schema_with(self.manifest.fields)
        wanted = [name for name in schema.names if name != "image"]
        chosen = list(columns or wanted)
        found = pa.concat_tables([read_table(part, chosen, schema) for part in self.parts])
        if "subject_id" in found.column_names and self.manifest.format == 1:
            place = found.column_names.index("subject_id")
            empty = pa.array([""] * len(found), pa.string())
            return found.set_column(place, "subject_id", empty)
        return found

    def rejected(self) -> pa.Table:
        """What was not taken: source, line, id, reason, detail, row_kept."""
        return read_table(self.path / REJECTED)

    def duplicates(self) -> pa.Table:
        """Which records repeat an earlier one: id, kind, like (ingest/corpus/duplicates.py)."""
        return read_table(self.path / DUPLICATES)

    def _check_rows(self) -> None:
        rows = 0
        for part in self.parts:
            with opened(part) as file:
                rows += file.metadata.num_rows
        if rows != len(self):
            raise CorpusError(
                f"{self.path} is damaged: its manifest says {len(self)} records, its files have "
                f"{rows}. Write the corpus again."
            )


def write_corpus(
    source: Source,
    out: Path,
    *,
    splits: Literal["auto", "source", "drawn"] = "auto",
    attributes: Sequence[Attribute] = (),
    keep_rejections: bool = False,
    progress: Progress = silent,
) -> Corpus:
    """Read all of `source` and write the corpus at `out`, whole or not at all.

    Images are decoded once, to reject what cannot be used; their bytes are stored as they
    were. Embeddings of a corpus that stood at `out` are kept: they belong to image bytes, and
    those that no longer fit are not read. `splits` is explained in ingest/corpus/splits.py.
    attributes: fields of one's own, whose values are taken from what the records hold beside their
    fixed fields. keep_rejections: write rejected.parquet at `out` also where no row can be used.
    Memory: one part, and about 500 bytes a record.
    Raises CorpusError if no row of the source can be used, or the source lies in `out`.
    """
    _check_apart(source, out)
    with whole_folder(out) as folder:
        writer = CorpusWriter(folder, attributes)
        for done, row in enumerate(source, 1):
            writer.add(row)
            if done % 100 == 0:
                progress("corpus", done, None, f"{writer.rejections} rejected")
        if not writer.records:
            writer.close()
            keep = keep_rejections and writer.rejections
            kept = _keep_rejections(folder / REJECTED, out) if keep else ""
            raise CorpusError(_nothing_usable(source, writer) + kept)
        rule, assigned = writer.finish(splits)
        if assigned is not None:
            rewrite_splits(folder / DATA, assigned, schema_with(attributes))
        repeats = find_duplicates(sorted((folder / DATA).iterdir()))
        write_parquet(repeats, folder / DUPLICATES)
        manifest = writer.manifest(source, rule, assigned, Counter(repeats["kind"].to_pylist()))
        _keep_embeddings(out, folder)
        manifest.save(folder)
    progress("corpus", manifest.records, manifest.records, f"{writer.rejections} rejected")
    return Corpus.open(out)


def _check_apart(source: Source, out: Path) -> None:
    path = Path(source.location)
    if path.exists() and path.resolve().is_relative_to(out.resolve()):
        raise CorpusError(
            f"{out} contains the source {path} and would be replaced: name another output folder."
        )


def _keep_rejections(file: Path, out: Path) -> str:
    """Put it at `out`, or beside an existing corpus; return a sentence with the path."""
    stands = (out / MANIFEST).exists()
    place = out.with_name(f"{out.name}.{REJECTED}") if stands else out / REJECTED
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, place)
    return f" Details: {place}."


def _nothing_usable(source: Source, writer: CorpusWriter) -> str:
    if not writer.rejections:
        return f"{source.location} is empty: it has no record in the {source.format} layout."
    reasons = ", ".join(f"{reason} ({n})" for reason, n in writer.rejected.most_common())
    read = f" It was read as {source.recognised}." if source.recognised else ""
    first = writer.details.get(writer.rejected.most_common(1)[0][0], "").rstrip(".")
    why = f" The first: {first}." if first else ""
    return f"No row of {source.location} can be used: {reasons}.{read}{why}"


def _keep_embeddings(old: Path, new: Path) -> None:
    for name in (EMBEDDINGS, FEATURES):
        if (old / name).is_dir():
            shutil.copytree(old / name, new / name, copy_function=link_or_copy)
