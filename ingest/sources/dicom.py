"""Reader for folders and zip archives of DICOM files.

    FOLDER/**/*          files that begin as DICOM does, whatever their names; DICOMDIR is not read
    FOLDER/**/*.zip      the same inside; nothing is unpacked
    FOLDER/**/captions.csv   optional: file (relative to it) or SOPInstanceUID, and caption

Each file becomes one record (ingest/sources/dicom_record.py), each other file a rejection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

from encoders.images.dicom_preamble import PREAMBLE_BYTES, is_dicom
from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import CorpusError, Reason, Rejection, Row
from ingest.sources.columns import Reading
from ingest.sources.dicom_captions import read_captions
from ingest.sources.dicom_files import found_files
from ingest.sources.files import Found
from ingest.sources.pseudonyms import Pseudonyms

__all__ = ["Dicom", "looks_like_dicom"]

DICOMDIR = "DICOMDIR"
NAMES_LOOKED_AT = 10_000
FILES_LOOKED_INTO = 64
OTHERS = re.compile(
    r"\.(bmp|csv|gif|html?|jpe?g|jsonl?|md|parquet|pdf|png|tiff?|tsv|txt|webp|xml)$", re.IGNORECASE
)


def looks_like_dicom(path: Path) -> bool:
    """Whether `path` is a DICOM file, or one of the first unknown files at it is."""
    names = islice(found_files(path), NAMES_LOOKED_AT)
    files = (file for file in names if isinstance(file, Found) and not OTHERS.search(file.name))
    return any(_begins_as_dicom(file) for file in islice(files, FILES_LOOKED_INTO))


def _begins_as_dicom(file: Found) -> bool:
    try:
        with file.open() as stream:
            return is_dicom(stream.read(PREAMBLE_BYTES))
    except (ImageRejectedError, OSError):
        return False


@dataclass(frozen=True)
class Dicom:
    """All files at or below `path`, which may also be one file or one archive.

    frames: of files with several: "middle", "all" or a number. key: file of the key under which
    pseudonyms are made, itself made where there is none; without it they are plain hashes.
    text: "find" or "mask" text in the pixels.
    """

    path: Path
    reading: Reading = Reading()  # noqa: RUF009 - frozen
    frames: str | int = "middle"
    key: Path | None = None
    text: str = ""
    format: str = "dicom"
    _beside: list[str] = field(default_factory=list)

    @property
    def location(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def recognised(self) -> str:
        """The tables and reports beside the files, once it was read."""
        return "DICOM files" + "".join(self._beside)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, folder after folder, by name."""
        # Not at the top: torch takes seconds to load, and most sources need no DICOM.
        from ingest.sources.dicom_record import DicomOptions, DicomReader  # noqa: PLC0415

        captions = read_captions(self.path, self.reading)
        if self.reading != Reading() and not captions.files:
            raise CorpusError(
                f"{self.path} has no table beside its DICOM files, so what is said of its columns "
                "and its encoding has no effect: leave it out."
            )
        self._beside[:] = [f", captions from {captions.told}"] if captions.told else []
        yield from captions.rejections
        names = Pseudonyms.at(self.key, made=True) if self.key else Pseudonyms()
        root = self.path if self.path.is_dir() else self.path.parent
        reader = DicomReader(root, captions, DicomOptions(self.frames, names, self.text))
        empty = True
        for file in found_files(self.path):
            empty = False
            if isinstance(file, Rejection):
                yield file
            elif PurePosixPath(file.name).name.upper() == DICOMDIR:
                yield Rejection(Reason.NO_PIXELS, file.name, detail="a list of other files")
            elif file.name not in captions.files:
                yield from reader.rows_of(file)
        if empty:
            raise CorpusError(f"{self.path} has no DICOM file: the folder is empty.")
        reader.finish()
        yield from captions.unused()
