"""The corpus on disk: Parquet parts, what was rejected, and a manifest written last.

CORPUS/corpus.json             counts, splits, content hash, where it came from
CORPUS/data/part-*.parquet     the records (records.SCHEMA)
CORPUS/rejected.parquet        every row that could not be used, and why
CORPUS/embeddings/<fingerprint>/part-*.parquet   vectors, added later by ingest.embed
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from encoders.progress import Progress, silent
from encoders.storage import sha256_bytes, whole_folder
from ingest.images import ImageRejected, check_image, dhash
from ingest.records import (
    REJECTED_SCHEMA,
    SCHEMA,
    CorpusError,
    Reason,
    Record,
    Rejection,
    Row,
    Source,
    canonical_json,
    from_arrow,
    to_arrow,
)
from ingest.splits import SplitRule, Splits

__all__ = ["Corpus", "CorpusManifest", "Record", "Rejection", "write_corpus"]

MANIFEST = "corpus.json"
DATA = "data"
EMBEDDINGS = "embeddings"
REJECTED = "rejected.parquet"
FORMAT = 1
PART_ROWS = 4096
PART_BYTES = 64 << 20  # of images and text held in memory before a part is written


@dataclass(frozen=True)
class CorpusManifest:
    """What `corpus.json` says.

    content_sha256: over all records in order. rejected: rows left out, by reason; lost_parts:
    parts of kept rows that were left out (an unknown concept). groups_across_splits: groups
    that the source itself puts into several splits (kept there, since the splits are its own).
    """

    records: int
    images: int
    groups: int
    splits: dict[str, int]
    split_rule: str
    groups_across_splits: int
    rejected: dict[str, int]
    lost_parts: dict[str, int]
    source: str
    source_format: str
    content_sha256: str
    format: int = FORMAT


@dataclass(frozen=True)
class Corpus:
    """An opened corpus. `len()` is its number of records."""

    path: Path
    manifest: CorpusManifest

    @classmethod
    def open(cls, path: Path) -> Corpus:
        """Open the corpus at `path`; raises CorpusError where there is none, or a part of one."""
        if not path.is_dir():
            raise CorpusError(
                f"There is no corpus at {path}. Write one with `rocosearch corpus SOURCE {path}`."
            )
        try:
            content = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            stored = content["format"]
            if stored != FORMAT:
                raise CorpusError(
                    f"{path} has corpus format {stored}; this version reads {FORMAT}."
                )
            manifest = CorpusManifest(**content)
        except FileNotFoundError:
            raise CorpusError(
                f"{path} is not a corpus, or only half of one: it has no {MANIFEST}. "
                "Write it again with `rocosearch corpus`."
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorpusError(
                f"{path / MANIFEST} is damaged ({error}). Write the corpus again."
            ) from None
        corpus = cls(path, manifest)
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
        for part in self.parts:
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(batch_size=256):
                    for row in batch.to_pylist():
                        if split is None or row["split"] == split:
                            yield from_arrow(row)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The records as one Arrow table; every column but the images where none are named."""
        wanted = [name for name in SCHEMA.names if name != "image"]
        return ds.dataset(self.parts, schema=SCHEMA).to_table(columns=list(columns or wanted))

    def rejected(self) -> pa.Table:
        """What was not taken: source, line, id, reason, detail, row_kept."""
        return pq.read_table(self.path / REJECTED)

    def _check_rows(self) -> None:
        try:
            rows = sum(pq.read_metadata(part).num_rows for part in self.parts)
        except (OSError, pa.ArrowException) as error:
            raise CorpusError(
                f"{self.path / DATA} is damaged ({error}). Write the corpus again."
            ) from None
        if rows != len(self):
            raise CorpusError(
                f"{self.path} is damaged: its manifest tells of {len(self)} records, its parts "
                f"hold {rows}. Write the corpus again."
            )


def write_corpus(
    source: Source,
    out: Path,
    *,
    splits: Literal["auto", "source", "drawn"] = "auto",
    progress: Progress = silent,
) -> Corpus:
    """Read all of `source` and write the corpus at `out`, whole or not at all.

    Images are decoded once, to reject what cannot be used; their bytes are stored as they
    were. Embeddings of a corpus that stood at `out` are kept: they belong to image bytes, and
    those that no longer fit are not read. `splits` is explained in ingest/splits.py.
    Memory: one part, and about 300 bytes a record.
    Raises CorpusError where no row of the source can be used.
    """
    with whole_folder(out) as folder:
        writer = _Writer(folder)
        for done, row in enumerate(source, 1):
            writer.add(row)
            if done % 100 == 0:
                progress("corpus", done, None, f"{writer.rejections} rejected")
        writer.finish()
        if not writer.records:
            raise CorpusError(_nothing_usable(source, writer))
        rule = writer.splits.rule(splits)
        assigned = writer.splits.assign(rule)
        if assigned is not None:
            _rewrite_splits(folder / DATA, assigned)
        manifest = writer.manifest(source, rule, assigned)
        _keep_embeddings(out, folder)
        text = json.dumps(asdict(manifest), indent=2) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    progress("corpus", manifest.records, manifest.records, f"{writer.rejections} rejected")
    return Corpus.open(out)


def _nothing_usable(source: Source, writer: _Writer) -> str:
    if not writer.rejections:
        return f"{source.location} is empty: it holds no record in the {source.format} layout."
    reasons = ", ".join(f"{reason} ({n})" for reason, n in writer.rejected.most_common())
    return f"No row of {source.location} can be used: {reasons}."


@dataclass
class _Writer:
    """Rows go in one by one; parts are written as they fill."""

    folder: Path
    records: int = 0
    images: int = 0
    splits: Splits = field(default_factory=Splits)
    rejected: Counter[str] = field(default_factory=Counter)
    lost_parts: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)
    _held: list[Record] = field(default_factory=list)
    _held_bytes: int = 0
    _parts: int = 0
    _content: bytes = b""
    _rejections: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / DATA).mkdir()
        self._rejected_file = pq.ParquetWriter(self.folder / REJECTED, REJECTED_SCHEMA)

    @property
    def rejections(self) -> int:
        return self.rejected.total()

    def add(self, row: Row) -> None:
        checked = row if isinstance(row, Rejection) else _check(row, self._seen)
        if isinstance(checked, Rejection):
            self._reject(checked)
        else:
            self._take(checked)

    def finish(self) -> None:
        self._flush_records()
        self._flush_rejections()
        self._rejected_file.close()

    def manifest(
        self, source: Source, rule: SplitRule, assigned: list[str] | None
    ) -> CorpusManifest:
        final = self.splits.given if assigned is None else assigned
        return CorpusManifest(
            records=self.records,
            images=self.images,
            groups=self.splits.groups,
            splits=dict(sorted(Counter(final).items())),
            split_rule=rule,
            groups_across_splits=self.splits.groups_across(final),
            rejected=dict(sorted(self.rejected.items())),
            lost_parts=dict(sorted(self.lost_parts.items())),
            source=source.location,
            source_format=source.format,
            content_sha256=sha256_bytes(self._content + canonical_json(final).encode()),
        )

    def _take(self, record: Record) -> None:
        self._seen.add(record.id)
        self.splits.add(record)
        self.records += 1
        self.images += record.image is not None
        self._held.append(record)
        self._held_bytes += len(record.image or b"") + len(record.caption)
        if len(self._held) >= PART_ROWS or self._held_bytes >= PART_BYTES:
            self._flush_records()

    def _reject(self, rejection: Rejection) -> None:
        counter = self.lost_parts if rejection.row_kept else self.rejected
        counter[rejection.reason] += 1
        self._rejections.append(
            {
                "source": rejection.file,
                "line": rejection.line,
                "id": rejection.id,
                "reason": str(rejection.reason),
                "detail": rejection.detail,
                "row_kept": rejection.row_kept,
            }
        )
        if len(self._rejections) >= PART_ROWS:
            self._flush_rejections()

    def _flush_records(self) -> None:
        if not self._held:
            return
        rows = [to_arrow(record) for record in self._held]
        for row in rows:
            without_bytes = {k: v for k, v in row.items() if k not in {"image", "split"}}
            self._content = bytes.fromhex(
                sha256_bytes(self._content + canonical_json(without_bytes).encode())
            )
        path = self.folder / DATA / f"part-{self._parts:05d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, row_group_size=256)
        self._parts += 1
        self._held, self._held_bytes = [], 0

    def _flush_rejections(self) -> None:
        self._rejected_file.write_table(
            pa.Table.from_pylist(self._rejections, schema=REJECTED_SCHEMA)
        )
        self._rejections = []


def _check(record: Record, seen: set[str]) -> Record | Rejection:
    """The record as it will be stored, or why it is not."""

    def reject(reason: Reason, detail: str = "") -> Rejection:
        return Rejection(reason, record.file, record.line, record.id, detail)

    record = replace(record, id=record.id.strip(), caption=record.caption.strip())
    if not record.id:
        return reject(Reason.NO_ID)
    if record.id in seen:
        return reject(Reason.DUPLICATE_ID)
    if not record.caption:
        return reject(Reason.NO_CAPTION)
    try:
        canonical_json(to_arrow(replace(record, image=None))).encode()
    except (UnicodeEncodeError, TypeError) as error:
        return reject(Reason.NOT_TEXT, str(error))
    if record.image is None:
        return record
    try:
        return replace(record, image_dhash=dhash(check_image(record.image)))
    except ImageRejected as error:
        return reject(error.reason, error.detail)


def _rewrite_splits(data: Path, splits: list[str]) -> None:
    start = 0
    column = SCHEMA.get_field_index("split")
    for part in sorted(data.glob("part-*.parquet")):
        table = pq.read_table(part, schema=SCHEMA)
        chosen = pa.array(splits[start : start + len(table)], pa.string())
        start += len(table)
        pq.write_table(table.set_column(column, "split", chosen), part, row_group_size=256)


def _keep_embeddings(old: Path, new: Path) -> None:
    if (old / EMBEDDINGS).is_dir():
        shutil.copytree(old / EMBEDDINGS, new / EMBEDDINGS, copy_function=os.link)
