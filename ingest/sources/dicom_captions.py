"""`captions.csv` beside DICOM files: a file's name or a SOPInstanceUID, and a caption."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ingest.corpus.records import CorpusError, Reason, Rejection
from ingest.sources.files import read_table

__all__ = ["CAPTIONS", "Captions", "read_captions"]

CAPTIONS = "captions.csv"
KEYS = ("file", "file_name", "filename", "path", "sopinstanceuid", "sop_instance_uid", "uid")
UID = re.compile(r"\d+(\.\d+)+")
COLUMNS = {"key": KEYS, "caption": ("caption", "text", "report", "findings")}


@dataclass
class _Line:
    caption: str
    file: str
    line: int
    used: bool = False


@dataclass
class Captions:
    """What the tables say. tables: their names; rejections: the lines that say nothing."""

    tables: list[str] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    _lines: list[_Line] = field(default_factory=list)
    _by_name: dict[str, _Line] = field(default_factory=dict)
    _by_uid: dict[str, _Line] = field(default_factory=dict)

    def of(self, name: str, uid: str) -> str:
        """The caption of a file by its name below the source, or its SOPInstanceUID, or ""."""
        found = [line for line in (self._by_name.get(name), self._by_uid.get(uid)) if line]
        for line in found:
            line.used = True
        return next((line.caption for line in found if line.caption), "")

    def unused(self) -> Iterator[Rejection]:
        """The lines that no file asked for. Their keys may be UIDs and are not repeated."""
        for line in self._lines:
            if not line.used:
                detail = "no DICOM file has this name or SOPInstanceUID"
                yield Rejection(Reason.MISSING_IMAGE, line.file, line.line, detail=detail)

    def read(self, root: Path, table: Path) -> None:
        """Add a table; files are named relative to it. Raises CorpusError."""
        file = table.relative_to(root)
        self.tables.append(file.as_posix())
        for row in read_table(table, COLUMNS, file.as_posix()):
            if isinstance(row, Rejection):
                self.rejections.append(row)
                continue
            key = row.values["key"].strip()
            name = (PurePosixPath(file).parent / key.replace("\\", "/")).as_posix()
            if not key or name in self._by_name:
                reason = Reason.DUPLICATE_ID if key else Reason.NO_ID
                self.rejections.append(Rejection(reason, file.as_posix(), row.line))
                continue
            caption = row.values["caption"].strip()
            if not caption:
                detail = "the line is empty, and the caption is made of the file's own tags"
                self.rejections.append(
                    Rejection(Reason.NO_CAPTION, file.as_posix(), row.line, "", detail, True)
                )
                continue
            line = _Line(caption, file.as_posix(), row.line)
            self._lines.append(line)
            self._by_name[name] = line
            if UID.fullmatch(key):
                self._by_uid[key] = line


def read_captions(path: Path) -> Captions:
    """All `captions.csv` at or below the folder `path`; none where it is a file."""
    captions = Captions()
    for table in sorted(path.rglob(CAPTIONS)) if path.is_dir() else ():
        if table.is_symlink():  # found_files tells of it
            continue
        try:
            captions.read(path, table)
        except OSError as error:
            raise CorpusError(f"{table} cannot be read ({error.strerror}).") from None
    return captions
