"""Which reader fits a path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ingest.corpus.records import CorpusError, Source
from ingest.sources.dicom import Dicom, looks_like_dicom
from ingest.sources.imageclef import ImageClef, looks_like_imageclef
from ingest.sources.imagefolder import ImageFolder, looks_like_imagefolder
from ingest.sources.parquet import ParquetFiles, looks_like_parquet
from ingest.sources.phantoms import Phantoms
from ingest.sources.roco import Roco, looks_like_roco

__all__ = ["FORMATS", "open_source"]

PHANTOMS = "phantoms"


def open_source(path: str | Path, format: str = "auto") -> Source:  # noqa: A002
    """Open the data set at `path` in the named layout, or in the one that it shows.

    Phantoms lie nowhere: with format "phantoms", or "auto" where no such file exists, the
    path is `phantoms` or `phantoms:COUNT`.
    Raises CorpusError where there is nothing, or nothing of that layout.
    """
    if format != "auto" and format not in FORMATS:
        raise CorpusError(f"There is no format {format!r}: choose auto, {', '.join(FORMATS)}.")
    if format == PHANTOMS or (format == "auto" and _names_phantoms(path)):
        return _phantoms(str(path))
    folder = Path(path)
    if not folder.exists():
        raise CorpusError(f"There is nothing at {folder}: name a data set's folder or file.")
    if format != "auto":
        return _READERS[format][1](folder)
    for fits, reader in _READERS.values():
        if fits(folder):
            return reader(folder)
    raise CorpusError(
        f"{folder} shows none of the known layouts ({', '.join(_READERS)}): "
        "name a folder that does (docs/corpus.md draws them), or its layout with --format."
    )


_READERS: dict[str, tuple[Callable[[Path], bool], Callable[[Path], Source]]] = {
    "roco": (looks_like_roco, Roco),
    "dicom": (looks_like_dicom, Dicom),  # before imageclef, which any captions.csv would suit
    "imageclef": (looks_like_imageclef, ImageClef),
    "imagefolder": (looks_like_imagefolder, ImageFolder),
    "parquet": (looks_like_parquet, ParquetFiles),
}

FORMATS = (*_READERS, PHANTOMS)


def _names_phantoms(path: str | Path) -> bool:
    return str(path).split(":")[0] == PHANTOMS and not Path(path).exists()


def _phantoms(name: str) -> Phantoms:
    _, _, count = name.partition(":")
    if not count:
        return Phantoms()
    if not count.isdigit() or int(count) == 0:
        raise CorpusError(f"{name!r}: write phantoms:COUNT with a number above 0.")
    return Phantoms(int(count))
