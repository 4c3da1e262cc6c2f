"""Choose the reader for a path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from encoders.base.extras import need
from ingest.corpus.records import CorpusError, Source
from ingest.sources.columns import Reading
from ingest.sources.dicom import Dicom, looks_like_dicom
from ingest.sources.file_index import FileIndex
from ingest.sources.files import unread
from ingest.sources.layouts import TABLE_LAYOUTS, open_tables, tables_layout
from ingest.sources.phantoms import Cines, Phantoms
from ingest.sources.roco import looks_like_roco, open_roco
from ingest.sources.stored_corpus import StoredCorpus, looks_like_corpus

__all__ = ["FORMATS", "open_source"]

OF_TABLES = {
    "image": "--image-column",
    "captions": "--caption-column",
    "group": "--group-column",
    "split": "--split-column",
    "encoding": "--encoding",
    "separator": "--separator",
}
"""What the user may say of a table, and how the command line calls it."""
DRAWN: dict[str, type[Phantoms | Cines]] = {"phantoms": Phantoms, "cines": Cines}
MOST_DIGITS = 10
FORMATS = ("roco", "dicom", *TABLE_LAYOUTS, *DRAWN)


def open_source(
    path: str | Path,
    format: str = "auto",  # noqa: A002
    reading: Reading = Reading(),  # noqa: B008 - frozen
    *,
    frames: str | int = "middle",
    key: Path | None = None,
    text: str = "",
) -> Source:
    """Open the data set at `path` in the named layout, or in the one that it shows.

    What is drawn lies nowhere: with format "phantoms" or "cines", or "auto" where no such file
    exists, the path is `phantoms` or `phantoms:COUNT`, `cines` or `cines:COUNT`.
    reading: what the user says of its tables.
    frames, key, text: of DICOM files (ingest/sources/dicom.py).
    Raises CorpusError if there is nothing, or nothing of that layout, or what is said of a table or
    of DICOM files is read nowhere.
    """
    if format != "auto" and format not in FORMATS:
        raise CorpusError(f"There is no format {format!r}: choose auto, {', '.join(FORMATS)}.")
    drawn = str(path).partition(":")[0] if format == "auto" and not Path(path).exists() else format
    tables = [name for part, name in OF_TABLES.items() if getattr(reading, part)]
    dicom = ["--frames"] if frames != "middle" else []
    dicom += [{"find": "--find-text", "mask": "--mask-text"}[text]] if text else []
    if drawn in DRAWN:
        _refuse(tables + dicom, "a drawn data set")
        return _drawn(drawn, str(path))
    if str(path).startswith(("http://", "https://")) and format in ("auto", "dicom"):
        need("requests", "Reading from a DICOMweb service")
        _refuse(tables, "a DICOMweb service")
        from ingest.sources.dicomweb import DicomWeb  # noqa: PLC0415 - needs requests, an extra

        return DicomWeb(str(path), frames, key, text)
    folder = Path(path)
    if not folder.exists():
        raise CorpusError(f"{folder} does not exist: name the folder or file of a data set.")
    layout = format if format != "auto" else _layout(folder)
    if layout != "dicom":
        _refuse(dicom, f"files in the {layout} layout")
    if layout == "roco":
        _refuse(tables, "ROCO's own files")
        return open_roco(folder)
    if layout == "dicom":
        return Dicom(folder, reading, frames, key, text)
    if layout == "parquet" and looks_like_corpus(folder):
        _refuse(tables, "a finished corpus")
        return StoredCorpus(folder)
    return open_tables(folder, layout, reading)


def _refuse(options: Sequence[str], what: str) -> None:
    if options:
        does, them = ("has", "it") if len(options) == 1 else ("have", "them")
        named = " and ".join(options)
        raise CorpusError(f"{named} {does} no effect on {what}: leave {them} out.")


def _layout(folder: Path) -> str:
    """The layout that a path shows; raises CorpusError if it shows none."""
    if looks_like_corpus(folder):
        return "parquet"
    if looks_like_roco(folder):
        return "roco"
    if looks_like_dicom(folder):  # before tables, which may lie beside DICOM files
        return "dicom"
    layout = tables_layout(folder)
    if layout:
        return layout
    with FileIndex(folder) as files:
        cannot = unread(files.keys or [folder.name])
    raise CorpusError(
        f"{folder} has no image, no table and no DICOM file: name another folder (docs/corpus.md "
        f"lists the layouts).{cannot}"
    )


def _drawn(kind: str, name: str) -> Source:
    _, _, count = name.partition(":")
    if not count:
        return DRAWN[kind]()
    if not (count.isdecimal() and len(count) < MOST_DIGITS) or int(count) == 0:
        raise CorpusError(
            f"{kind}:{count[:20]}: write {kind}:COUNT with a number above 0 and below a billion."
        )
    return DRAWN[kind](int(count))
