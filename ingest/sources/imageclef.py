"""ImageCLEFmedical Caption, and ROCOv2, which is distributed the same way.

    {Train,Valid,Test}/
        caption_prediction_train.csv   ID, caption; tabs or commas
        concept_detection_train.csv    ID, CUIs joined by ";"
        resized_train.zip              or images unpacked in any folder
    concepts.txt or cui_mapping.csv    CUI, name

All of it may also lie in one folder, the split told by the files' names. Columns go by several
names (`needed` below), and one table may hold captions and concepts. J. Rückert et al.,
"Overview of ImageCLEFmedical 2023 - Caption Prediction and Concept Detection", CLEF 2023;
"ROCOv2", Scientific Data 2024.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import CorpusError, Reason, Record, Rejection, Row
from ingest.sources.archive import ImageFiles
from ingest.sources.fields import group_keys
from ingest.sources.files import TableRow, normal_name, read_table, split_of
from ingest.sources.modalities import modality_of

__all__ = ["ImageClef", "looks_like_imageclef"]

TABLES = {".csv", ".tsv", ".txt"}
ID = ("id", "image", "image_id", "image_name", "file_name", "filename", "name", "img")
CAPTION = ("caption", "captions", "text")
CONCEPTS = ("cuis", "cui", "concepts", "concept", "concept_ids")
NAMES = ("concepts_name", "concepts_names", "concept_name", "concept_names", "canonical_name")
IMAGE_SUFFIX = re.compile(r"\.(jpe?g|png|tiff?|bmp|gif|webp)$", re.IGNORECASE)


def looks_like_imageclef(path: Path) -> bool:
    """Whether a caption table lies in `path` or in one of its split folders."""
    return bool(_caption_tables(path))


@dataclass(frozen=True)
class ImageClef:
    """All splits at `path`, which may also be one split's folder."""

    path: Path
    format: str = "imageclef"

    @property
    def location(self) -> str:
        """The folder's path."""
        return str(self.path)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, split after split."""
        tables = _caption_tables(self.path)
        if not tables:
            raise CorpusError(
                f"{self.path} is not in the ImageCLEF layout: it holds no table of captions, "
                "such as Train/caption_prediction_train.csv."
            )
        known = yield from _known_concepts(self.path)
        for table in tables:
            yield from _split(table, known, alone=len(tables) == 1)


def _caption_tables(path: Path) -> list[Path]:
    found = [
        file
        for pattern in ("*", "*/*")
        for file in path.glob(pattern)
        if file.suffix.lower() in {".csv", ".tsv"} and "caption" in file.name.lower()
    ]
    order = ("train", "validation", "test", "")
    return sorted(found, key=lambda file: (order.index(_split_name(file)), file.name))


def _split_name(table: Path) -> str:
    return split_of(table.stem) or split_of(table.resolve().parent.name)


def _known_concepts(path: Path) -> Generator[Rejection, None, dict[str, str]]:
    """Names by CUI, from a list without header or a table with one; empty where there is none."""
    places = (path, path.resolve().parent) if split_of(path.resolve().name) else (path,)
    for folder in places:
        for name in ("concepts.txt", "concepts.csv", "cui_mapping.csv", "concepts_names.csv"):
            if (folder / name).is_file():
                return (yield from _concept_names(folder / name))
    return {}


def _concept_names(path: Path) -> Generator[Rejection, None, dict[str, str]]:
    known: dict[str, str] = {}
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        cui, tab, name = line.partition("\t")
        if not tab:
            cui, _, name = line.partition(",")
        if number == 1 and normal_name(cui) in (*CONCEPTS, "id"):
            continue
        if not name.strip():
            if line.strip():
                yield Rejection(Reason.MALFORMED_ROW, _name(path), number, detail="no name")
            continue
        known[cui.strip()] = name.strip().strip('"')
    return known


def _split(table: Path, known: Mapping[str, str], *, alone: bool) -> Iterator[Row]:
    concepts = yield from _concepts_by_id(table, alone=alone)
    archives, folders = _image_places(table, alone=alone)
    with ImageFiles(archives, folders) as images:
        yield from images.rejections
        for row in read_table(table, {"id": ID, "caption": CAPTION}, _name(table)):
            if isinstance(row, Rejection):
                yield row
                continue
            yield from _rows(table, row, concepts, known, images)
        yield from images.unused()
    for identifier, (file, line, _) in concepts.items():
        yield Rejection(Reason.UNKNOWN_ID, file, line, identifier)


def _siblings(table: Path, *, alone: bool) -> list[Path]:
    """What lies beside the caption table and belongs to its split."""
    split = _split_name(table)
    return [
        entry
        for entry in sorted(table.parent.iterdir())
        if entry != table and (alone or split_of(entry.stem) in ("", split))
    ]


_Concepts = dict[str, tuple[str, int, tuple[str, ...]]]  # file, line, CUIs by id


def _concepts_by_id(table: Path, *, alone: bool) -> Generator[Rejection, None, _Concepts]:
    found: _Concepts = {}
    for file in _siblings(table, alone=alone):
        if file.suffix.lower() not in TABLES or not re.search("concept", file.name, re.IGNORECASE):
            continue
        if file.name.startswith(("concepts.", "concepts_names.")):
            continue
        for row in read_table(file, {"id": ID, "cuis": CONCEPTS}, _name(file)):
            if isinstance(row, Rejection):
                yield row
                continue
            identifier = _identifier(row.values["id"])
            if identifier in found:
                yield Rejection(Reason.DUPLICATE_ID, _name(file), row.line, identifier)
                continue
            found[identifier] = _name(file), row.line, _parts(row.values["cuis"])
    return found


def _image_places(table: Path, *, alone: bool) -> tuple[list[Path], list[Path]]:
    beside = _siblings(table, alone=alone)
    archives = [entry for entry in beside if entry.suffix.lower() == ".zip"]
    return archives, [entry for entry in beside if entry.is_dir()]


def _rows(
    table: Path,
    row: TableRow,
    concepts: _Concepts,
    known: Mapping[str, str],
    images: ImageFiles,
) -> Iterator[Row]:
    identifier = _identifier(row.values["id"])
    image, image_path = None, ""
    try:
        if len(images):
            image_path, image = images.read(identifier)
    except ImageRejectedError as error:
        yield Rejection(error.reason, _name(table), row.line, identifier, error.detail)
        concepts.pop(identifier, None)
        return
    file, line, cuis = concepts.pop(identifier, (_name(table), row.line, ()))
    own = next((row.values[name] for name in CONCEPTS if name in row.values), "")
    cuis = tuple(dict.fromkeys((*cuis, *_parts(own))))
    for cui in cuis:
        if known and cui not in known:
            yield Rejection(Reason.UNKNOWN_CONCEPT, file, line, identifier, cui, row_kept=True)
    kept = tuple(cui for cui in cuis if not known or cui in known)
    yield Record(
        id=identifier,
        caption=row.values["caption"],
        image=image,
        image_path=image_path,
        concepts=kept,
        concept_names=_names(row, kept, known),
        modality=modality_of(kept),
        group_keys=group_keys(row.values),
        split=_split_name(table),
        source="ImageCLEF",
        extra=_other_columns(row),
        file=_name(table),
        line=row.line,
    )


def _names(row: TableRow, cuis: tuple[str, ...], known: Mapping[str, str]) -> tuple[str, ...]:
    if known:
        return tuple(known[cui] for cui in cuis)
    own = next((row.values[name] for name in NAMES if name in row.values), "")
    return tuple(name.strip() for name in own.split(";") if name.strip())


def _other_columns(row: TableRow) -> dict[str, str]:
    used = {"id", "caption", *CONCEPTS, *NAMES}
    return {name: value for name, value in row.values.items() if name not in used and value}


def _name(file: Path) -> str:
    return f"{file.resolve().parent.name}/{file.name}"


def _identifier(text: str) -> str:
    return IMAGE_SUFFIX.sub("", text.strip())


def _parts(cuis: str) -> tuple[str, ...]:
    return tuple(cui for cui in re.split(r"[;,|\s]+", cuis) if cui)
