"""Write a corpus from rows in bounded memory."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from encoders.base.parquet import CHECKED, seal, write_parquet
from encoders.base.storage import sha256_bytes
from ingest.corpus.images import ImageRejectedError, check_image, dhash
from ingest.corpus.manifest import CorpusManifest
from ingest.corpus.records import (
    REJECTED_SCHEMA,
    SCHEMA,
    Reason,
    Record,
    Rejection,
    Row,
    Source,
    canonical_json,
    schema_with,
    to_arrow,
)
from ingest.corpus.splits import SplitRule, Splits
from ingest.corpus.tables import read_table
from ranking.attributes import AttributeFault, value_of
from ranking.document_checks import is_text
from ranking.types import Attribute

__all__ = ["DATA", "REJECTED", "ROW_GROUP", "CorpusWriter", "rewrite_splits"]

DATA = "data"
REJECTED = "rejected.parquet"
PART_ROWS = 4096
PART_BYTES = 64 << 20  # of images and text held in memory before a part is written
# What is said where the source says no more than the reason.
DETAILS = {
    Reason.NO_ID: "the id is empty",
    Reason.NO_CAPTION: "the caption is empty",
    Reason.DUPLICATE_ID: "an earlier row has this id",
    Reason.NOT_TEXT: "bytes that are invalid in the encoding, or a zero character",
    Reason.UNUSED_FILE: "no row names this file",
    Reason.UNKNOWN_ID: "no row of captions has this id",
    Reason.NO_SPLIT: "other rows name a split",
}
_LETTERS = re.compile(r"[\W_]+")
SPLIT_NAMES = ("train", "validation", "test")
ROW_GROUP = 256  # records read at a time


@dataclass
class CorpusWriter:
    """Rows go in one by one; parts are written as they fill."""

    folder: Path
    attributes: Sequence[Attribute] = ()
    records: int = 0
    images: int = 0
    details: dict[str, str] = field(default_factory=dict)  # of the first with each reason
    splits: Splits = field(default_factory=Splits)
    rejected: Counter[str] = field(default_factory=Counter)
    lost_parts: Counter[str] = field(default_factory=Counter)
    filled: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)
    _held: list[tuple[Record, dict[str, object]]] = field(default_factory=list)
    _held_bytes: int = 0
    _parts: int = 0
    _content: bytes = b""
    _rejections: list[dict[str, object]] = field(default_factory=list)
    _notes: list[Rejection] = field(default_factory=list)  # of the record to come
    _without_split: list[tuple[str, int, str]] = field(default_factory=list)  # file, line, id

    def __post_init__(self) -> None:
        (self.folder / DATA).mkdir()
        self._rejected_file = pq.ParquetWriter(self.folder / REJECTED, REJECTED_SCHEMA, **CHECKED)

    @property
    def rejections(self) -> int:
        """Rows rejected so far."""
        return self.rejected.total()

    def add(self, row: Row) -> None:
        """Check a row; take it or write down why not.

        What a source says of a row that it keeps comes before its record, and is only written
        down where that is taken.
        """
        if isinstance(row, Rejection):
            if row.row_kept:
                self._notes.append(row)
            else:
                self._reject(row)
            return
        checked = _check(row, self._seen)
        lost = isinstance(checked, Rejection)
        self._write_notes(without=row.id.strip() if lost else None)
        if isinstance(checked, Rejection):
            self._reject(checked)
        else:
            self._take(checked)

    def finish(
        self, splits: Literal["auto", "source", "drawn"]
    ) -> tuple[SplitRule, list[str] | None]:
        """Write what is held; the rule of the splits, and those that replace the source's own."""
        self._flush_records()
        self._write_notes()
        rule = self.splits.rule(splits)
        if rule == "source":
            for file, line, identifier in self._without_split:
                self._reject(Rejection(Reason.NO_SPLIT, file, line, identifier, row_kept=True))
        self.close()
        return rule, self.splits.assign(rule)

    def close(self) -> None:
        """Write down what is still to be told of rejected rows."""
        self._write_notes()
        self._flush_rejections()
        self._rejected_file.close()
        seal(self.folder / REJECTED)

    def manifest(
        self,
        source: Source,
        rule: SplitRule,
        assigned: list[str] | None,
        duplicates: Counter[str],
    ) -> CorpusManifest:
        """What `corpus.json` says; `assigned` are the splits drawn, None: the source's own."""
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
            duplicates=dict(sorted(duplicates.items())),
            source=source.location,
            source_format=source.format,
            recognised=source.recognised,
            fields=tuple(self.attributes),
            filled={each.name: self.filled[each.name] for each in self.attributes},
            content_sha256=sha256_bytes(self._content + canonical_json(final).encode()),
        )

    def _write_notes(self, without: str | None = None) -> None:
        """Write down what was said of kept rows, but not of the one with the id `without`."""
        for note in self._notes:
            if note.id != without:
                self._reject(note)
        self._notes = []

    def _take(self, record: Record) -> None:
        self._seen.add(record.id)
        if not record.split:
            self._without_split.append((record.file, record.line, record.id))
        elif record.split not in SPLIT_NAMES:
            detail = f"{record.split!r} is not one of {', '.join(SPLIT_NAMES)}, and is kept"
            self._reject(
                Rejection(
                    Reason.UNKNOWN_SPLIT, record.file, record.line, record.id, detail, row_kept=True
                )
            )
        self.splits.add(record)
        self.records += 1
        self.images += record.image is not None
        self._held.append((record, self._own_values(record)))
        self._held_bytes += len(record.image or b"") + len(record.caption)
        if len(self._held) >= PART_ROWS or self._held_bytes >= PART_BYTES:
            self._flush_records()

    def _own_values(self, record: Record) -> dict[str, object]:
        """Fields of one's own; a value of another type is told, and left out."""
        found: dict[str, object] = {}
        for each in self.attributes:
            given = _given(record.extra, each.source)
            try:
                value = value_of(each, given)
            except AttributeFault as fault:
                where = record.file, record.line, record.id
                self._reject(Rejection(Reason.OTHER_TYPE, *where, str(fault), row_kept=True))
                value = value_of(each, None)
            else:
                self.filled[each.name] += given is not None and value is not None
            dated = each.type == "date" and isinstance(value, str)
            found[each.name] = dt.date.fromisoformat(str(value)) if dated else value
        return found

    def _reject(self, rejection: Rejection) -> None:
        counter = self.lost_parts if rejection.row_kept else self.rejected
        counter[rejection.reason] += 1
        self.details.setdefault(rejection.reason, rejection.detail)
        self._rejections.append(
            {
                "source": _printable(rejection.file),
                "line": rejection.line,
                "id": _printable(rejection.id),
                "reason": str(rejection.reason),
                "detail": _printable(rejection.detail or DETAILS.get(rejection.reason, "")),
                "row_kept": rejection.row_kept,
            }
        )
        if len(self._rejections) >= PART_ROWS:
            self._flush_rejections()

    def _flush_records(self) -> None:
        if not self._held:
            return
        rows = [to_arrow(record) for record, _ in self._held]
        for row, (_, own) in zip(rows, self._held, strict=True):
            without_bytes = {k: v for k, v in row.items() if k not in {"image", "split"}}
            self._content = bytes.fromhex(
                sha256_bytes(self._content + canonical_json(without_bytes).encode())
            )
            row.update(own)
        path = self.folder / DATA / f"part-{self._parts:05d}.parquet"
        table = pa.Table.from_pylist(rows, schema=schema_with(self.attributes))
        write_parquet(table, path, row_group_size=ROW_GROUP)
        self._parts += 1
        self._held, self._held_bytes = [], 0

    def _flush_rejections(self) -> None:
        self._rejected_file.write_table(
            pa.Table.from_pylist(self._rejections, schema=REJECTED_SCHEMA)
        )
        self._rejections = []


def _check(record: Record, seen: set[str]) -> Record | Rejection:
    """The record as it will be stored, or why it is not."""
    record = replace(record, id=record.id.strip(), caption=record.caption.strip())
    reason = _wrong_text(record, seen)
    if reason is not None:
        return Rejection(reason, record.file, record.line, record.id)
    if record.image is None:
        return record
    try:
        return replace(record, image_dhash=dhash(check_image(record.image)))
    except ImageRejectedError as error:
        return Rejection(error.reason, record.file, record.line, record.id, error.detail)


def _wrong_text(record: Record, seen: set[str]) -> Reason | None:
    if not record.id:
        return Reason.NO_ID
    if record.id in seen:
        return Reason.DUPLICATE_ID
    if record.caption_needed and not record.caption:
        return Reason.NO_CAPTION
    if not (is_text(record.id) and is_text(record.caption)):
        return Reason.NOT_TEXT
    try:
        canonical_json(to_arrow(replace(record, image=None))).encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8 came as lone surrogates
        return Reason.NOT_TEXT
    return None


def _given(extra: Mapping[str, object], source: str) -> object:
    """What a record holds under a name; readers of sources write "Patient age" as patient_age."""
    if source in extra:
        return extra[source]
    wanted = _LETTERS.sub("", source.lower())
    return next((v for name, v in extra.items() if _LETTERS.sub("", name.lower()) == wanted), None)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def rewrite_splits(data: Path, splits: list[str], schema: pa.Schema) -> None:
    """Give the records of all parts, in order, these splits. schema: of the parts."""
    start = 0
    column = SCHEMA.get_field_index("split")
    for part in sorted(data.glob("part-*.parquet")):
        table = read_table(part, schema=schema)
        chosen = pa.array(splits[start : start + len(table)], pa.string())
        start += len(table)
        write_parquet(table.set_column(column, "split", chosen), part, row_group_size=ROW_GROUP)
