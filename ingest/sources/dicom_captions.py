"""Captions for DICOM files, from tables and report files.

A row is matched by the file's path, its name or stem where that is unique, its SOPInstanceUID, or
else by SeriesInstanceUID or StudyInstanceUID. A report is `X.txt` beside the file X.dcm or the
folder X, a text file named by one of these UIDs, or `report.txt` in a study's own folder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import CorpusError, Reason, Rejection
from ingest.sources.columns import (
    CAPTIONS,
    IMAGES_AND_ID,
    PATIENT,
    Columns,
    Reading,
    column_named,
    find_columns,
)
from ingest.sources.dicom_files import found_files
from ingest.sources.fields import text_of
from ingest.sources.files import Found, suffix_of
from ingest.sources.sidecars import REPORT
from ingest.sources.table import TABLE_SUFFIXES, Table, open_table
from ingest.sources.text_table import encoding_of

__all__ = ["Captions", "read_captions"]

MAX_REPORT_BYTES = 1 << 20
TABLE, REPORT_TEXT = "table", "report"


@dataclass
class _Line:
    """caption_from: what the record says of where its caption is from."""

    caption: str
    caption_from: str
    file: str
    line: int
    used: bool = False


@dataclass
class Captions:
    """What tables and reports say. files: their names; rejections: what says nothing of them."""

    files: set[str] = field(default_factory=set)
    rejections: list[Rejection] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    _lines: list[_Line] = field(default_factory=list)
    _by_key: dict[str, _Line] = field(default_factory=dict)  # file, stem or SOPInstanceUID
    _by_group: dict[str, _Line | None] = field(default_factory=dict)  # None: not clear which
    _by_folder: dict[str, _Line] = field(default_factory=dict)
    _names: Counter[str] = field(default_factory=Counter)  # files of a name, and of a stem

    def of(self, name: str, uids: Mapping[str, str]) -> tuple[str, str]:
        """Caption of a file and where it is from, or "" twice.

        name: below the source. uids: SOPInstanceUID, SeriesInstanceUID, StudyInstanceUID.
        """
        path = PurePosixPath(name)
        short = [part for part in dict.fromkeys((path.name, path.stem)) if self._names[part] == 1]
        keys = (name, path.with_suffix("").as_posix(), uids.get("SOPInstanceUID", ""), *short)
        groups = (uids.get("SeriesInstanceUID", ""), uids.get("StudyInstanceUID", ""))
        found = [self._by_key.get(key) for key in keys]
        if not any(found):
            found = [self._by_group.get(key) for key in groups]
            found += [self._by_folder.get(folder.as_posix()) for folder in path.parents]
        lines = [line for line in found if line]
        for line in lines:
            line.used = True
        return next(((line.caption, line.caption_from) for line in lines if line.caption), ("", ""))

    @property
    def told(self) -> str:
        """Which tables are used, and how many reports."""
        reports = sum(line.caption_from == REPORT_TEXT for line in self._lines)
        return ", ".join([*self.tables[:3], *([f"{reports:,} reports"] if reports else [])])

    def unused(self) -> Iterator[Rejection]:
        """The lines that no file asked for. Their keys may be UIDs and are not repeated."""
        for line in self._lines:
            if not line.used:
                detail = "no DICOM file has this name or UID"
                yield Rejection(Reason.MISSING_IMAGE, line.file, line.line, detail=detail)

    def add_table(self, table: Table, reading: Reading) -> None:
        """Add the rows of a table; raises CorpusError if it has no captions or no keys."""
        columns, keys = _columns(table, reading)
        self.tables.append(table.name)
        for row in table.rows():
            if isinstance(row, Rejection):
                self.rejections.append(row)
                continue
            texts = [text_of(row.values.get(name)).strip() for name in columns.captions]
            filled = [text for text in texts if text]
            caption = " ".join(filled if columns.joined else filled[:1])
            values = {key: text_of(row.values.get(key)).strip() for key in keys}
            line = _Line(caption, TABLE, table.name, row.line)
            reason = (
                self._enter(line, values, table.folder) if any(values.values()) else Reason.NO_ID
            )
            if reason is not None:
                self.rejections.append(Rejection(reason, table.name, row.line))
            elif not caption:
                detail = "the line is empty, and the caption is made of the file's own tags"
                self.rejections.append(
                    Rejection(Reason.NO_CAPTION, table.name, row.line, "", detail, True)
                )
            else:
                self._lines.append(line)

    def _enter(self, line: _Line, values: Mapping[str, str], folder: str) -> Reason | None:
        specific: list[str] = []
        for column, value in values.items():
            if not value:
                continue
            if "study" in column or "series" in column:
                held = self._by_group.setdefault(value, line)
                if held is not None and held.caption != line.caption:
                    self._by_group[value] = None
            else:
                path = (PurePosixPath(folder) / value.replace("\\", "/")).as_posix()
                specific += dict.fromkeys((path, value.replace("\\", "/")))
        if specific and any(key in self._by_key for key in specific[:1]):
            return Reason.DUPLICATE_ID
        for key in specific if line.caption else ():
            self._by_key.setdefault(key, line)
        return None

    def add_report(self, found: Found, beside: set[str]) -> None:
        """Add a text file that is a report; beside: names of all files, without their endings."""
        path = PurePosixPath(found.name)
        stem = path.with_suffix("").as_posix()
        try:
            with found.open() as stream:
                data = stream.read(MAX_REPORT_BYTES)
        except (ImageRejectedError, OSError):
            return
        text = data.decode(encoding_of(found), "replace")
        line = _Line(" ".join(text.split()), REPORT_TEXT, found.name, 0)
        uid = re.fullmatch(r"\d+(\.\d+)+", path.stem)
        folder = any(name.startswith(f"{stem}/") for name in beside)
        own = bool(REPORT.search(path.stem)) or path.stem == path.parent.name
        if not line.caption or not (
            uid or folder or stem in beside or (own and len(path.parts) > 1)
        ):
            return
        self.files.add(found.name)
        self._lines.append(line)
        if uid:
            self._by_key[path.stem] = line
            self._by_group[path.stem] = line
        elif stem in beside:
            self._by_key[stem] = line
        else:
            self._by_folder[stem if folder else path.parent.as_posix()] = line


def read_captions(path: Path, reading: Reading) -> Captions:
    """All tables and reports at or below the folder `path`; none where it is a file.

    Raises CorpusError if a table that is called `captions` is none.
    """
    captions = Captions()
    if not path.is_dir():
        return captions
    found = [file for file in found_files(path) if isinstance(file, Found)]
    others = [file for file in found if suffix_of(file.name) not in TABLE_SUFFIXES]
    names = [PurePosixPath(file.name) for file in others]
    captions._names.update(part for name in names for part in {name.name, name.stem})
    stems = {name.with_suffix("").as_posix() for name in names}
    for file in found:
        suffix = suffix_of(file.name)
        if suffix == ".txt":
            captions.add_report(file, stems)
        elif suffix in TABLE_SUFFIXES:
            _add(captions, file, reading)
    return captions


def _add(captions: Captions, file: Found, reading: Reading) -> None:
    try:
        file.open().close()
    except (ImageRejectedError, OSError):
        return  # told of with the other files
    captions.files.add(file.name)
    try:
        captions.add_table(open_table(file, reading), reading)
    except CorpusError as error:
        if PurePosixPath(file.name).stem.lower() == "captions" or reading.captions:
            raise
        captions.rejections.append(Rejection(Reason.UNUSED_TABLE, file.name, detail=str(error)))


def _columns(table: Table, reading: Reading) -> tuple[Columns, list[str]]:
    """The columns of captions, and those that tell the file, series or study."""
    columns = find_columns(table.name, table.columns, table.sample(), reading, None)
    if reading.image:
        return columns, [column_named(reading.image, table.columns, table.name, "--image-column")]
    others = [name for name in table.columns if name not in (*columns.captions, *PATIENT)]
    keys = [name for name in others if _is_key(name)] or _keys_by_value(table, others)
    if not keys or not (
        set(columns.captions) & set(CAPTIONS) or columns.joined or _uids(table, keys)
    ):
        raise CorpusError(
            f"{table.name} is not a table of captions for DICOM files: it needs a column "
            "`caption`, and `file`, SOPInstanceUID, SeriesInstanceUID or StudyInstanceUID; its "
            f"columns are {', '.join(table.titles)}."
        )
    return columns, keys


def _is_key(name: str) -> bool:
    return name in IMAGES_AND_ID or "uid" in name or name in ("study_id", "series_id", "accession")


def _keys_by_value(table: Table, columns: Iterable[str]) -> list[str]:
    return [name for name in columns if _uids(table, [name])]


def _uids(table: Table, columns: Iterable[str]) -> bool:
    """Whether the values of one of the columns are UIDs."""
    row = next(iter(table.sample()), {})
    return any(re.fullmatch(r"\d+(\.\d+)+", text_of(row.get(name)).strip()) for name in columns)
