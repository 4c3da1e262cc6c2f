"""Recognise the columns of a table by name and content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ingest.corpus.records import CorpusError
from ingest.sources.files import normal_name, split_of

__all__ = [
    "CAPTIONS",
    "CONCEPTS",
    "CONCEPT_NAMES",
    "ID",
    "IMAGES_AND_ID",
    "KNOWN",
    "PATIENT",
    "Columns",
    "Reading",
    "column_named",
    "find_columns",
    "is_picture",
]

ID = ("id", "image_id", "key", "uid", "roco_id")
IMAGES = (
    *(
        "file_name",
        "filename",
        "image",
        "img",
        "image_path",
        "img_path",
        "image_file",
        "image_name",
    ),
    *("img_name", "image_filename", "file", "file_path", "filepath", "path", "name", "picture"),
    *("figure", "images", "image_paths", "file_names", "jpg", "png", "dicom", "dicom_id", "img_id"),
    *("bild", "bilddatei", "datei", "dateiname"),
)
CAPTIONS = (
    *("caption", "text", "captions", "description", "report", "findings", "impression"),
    *("image_caption", "figure_caption", "report_text", "radiology_report", "legend", "sentence"),
    *("narrative", "finding", "conclusion", "comment", "comments", "befund", "beschreibung"),
)
CONCEPTS = ("concepts", "cuis", "cui", "concept_ids", "concept")
CONCEPT_NAMES = ("concept_names", "concepts_name", "concepts_names", "concept_name")
PATIENT = (
    *("patient_id", "patientid", "subject_id", "subject", "patient"),
    *("subjectid", "patient_number", "patient_no", "patient_nr", "patientnr", "mrn"),
    *("patienten_id", "patientenid", "patientennummer", "num_patient", "id_patient"),
)
SPLITS = ("split", "set", "subset", "partition", "phase")
IMAGES_AND_ID = frozenset((*IMAGES, *ID))
KNOWN = frozenset((*ID, *IMAGES, *CAPTIONS, *CONCEPTS, *CONCEPT_NAMES, *PATIENT, "split"))
ROWS_LOOKED_AT = 200
WORDS = 2  # a caption has on average, where no name tells which column holds it


@dataclass(frozen=True)
class Reading:
    """What the user says of a table, in place of what would be recognised; "": nothing."""

    image: str = ""
    captions: tuple[str, ...] = ()
    group: str = ""
    split: str = ""
    encoding: str = ""
    separator: str = ""


@dataclass(frozen=True)
class Columns:
    """Normalised names of the columns. images: the first is read, the others are its like.

    captions: joined where the user named them, else the first that is not empty counts.
    """

    captions: tuple[str, ...]
    images: tuple[str, ...] = ()
    id: str = ""
    group: str = ""
    split: str = ""
    joined: bool = False


def column_named(name: str, columns: Sequence[str], table: str, option: str) -> str:
    """The normalised name of a column that the user named; raises CorpusError."""
    if normal_name(name) in columns:
        return normal_name(name)
    raise CorpusError(
        f"{table} has no column {name!r} ({option}); its columns are {', '.join(columns)}."
    )


def find_columns(
    table: str,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    reading: Reading,
    has_image: Callable[[str], bool] | None,
) -> Columns:
    """What each column of a table is.

    rows: the values of the first rows. has_image: whether an image is called so, None where
    there are no images. Raises CorpusError if no column holds captions, or none tells which
    image is meant.
    """
    sample = list(islice(rows, ROWS_LOOKED_AT))

    def given(name: str, option: str) -> str:
        return column_named(name, columns, table, option) if name else ""

    own_image = given(reading.image, "--image-column")
    images = (own_image,) if own_image else _images(columns, sample, has_image)
    captions = tuple(given(name, "--caption-column") for name in reading.captions)
    others = [name for name in columns if name not in images]
    named = captions or tuple(name for name in CAPTIONS if name in others)
    named = named or _wordy(others, sample)
    if not named:
        raise CorpusError(
            f"{table} has no caption column; its columns are {', '.join(columns)}. Name one with "
            f"--caption-column, or call it {', '.join(CAPTIONS[:6])}."
        )
    own = next((name for name in ID if name in columns and _distinct(name, sample)), "")
    if not images and own:
        images = (own,)
    if has_image is not None and not images:
        raise CorpusError(
            f"{table} has no column that names images; its columns are {', '.join(columns)}. Name "
            f"one with --image-column, or call it {', '.join(IMAGES[:5])} or id."
        )
    return Columns(
        captions=named,
        images=images,
        id=own,
        group=given(reading.group, "--group-column"),
        split=given(reading.split, "--split-column") or _split_column(columns, sample),
        joined=bool(captions),
    )


def is_picture(value: object) -> bool:
    """Whether a value is an image itself: bytes, or bytes with a path as `datasets` keeps them."""
    return isinstance(value, bytes) or (isinstance(value, dict) and {"bytes", "path"} >= set(value))


def _images(
    columns: Sequence[str],
    sample: Sequence[Mapping[str, Any]],
    has_image: Callable[[str], bool] | None,
) -> tuple[str, ...]:
    """Columns of images, by name first; where files are at hand, they decide among the names."""
    pictures = [name for name in columns if any(is_picture(row.get(name)) for row in sample)]
    if pictures:
        return tuple(sorted(pictures, key=lambda name: name not in IMAGES))
    named = [name for name in (*IMAGES, *ID) if name in columns]
    named += [name for name in columns if name.endswith(("_file_name", "_file_names"))]
    if has_image is None:
        return tuple(name for name in named if name not in ID)
    shares = {name: _share(name, sample, has_image) for name in (*named, *columns)}
    best = max(shares, key=lambda name: shares[name], default="")
    fitting = next((name for name in named if shares[name] >= 0.5), "")
    chosen = fitting or (best if best and shares[best] >= 0.5 else next(iter(named), ""))
    further = (name for name in named if name != chosen and name.endswith(("_name", "_names")))
    return (chosen, *further) if chosen else ()


def _split_column(columns: Sequence[str], sample: Sequence[Mapping[str, Any]]) -> str:
    """A column of splits: `split`, or one of a like name with nothing but words for splits."""
    if SPLITS[0] in columns:
        return SPLITS[0]
    for name in SPLITS[1:]:
        values = [str(row[name]) for row in sample if row.get(name)]
        if values and all(map(split_of, values)):
            return name
    return ""


def _distinct(name: str, sample: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a column can be an id: a patient's stands in many rows."""
    values = [str(row.get(name)) for row in sample]
    return len(set(values)) > len(values) / 2


def _share(
    name: str, sample: Sequence[Mapping[str, Any]], has_image: Callable[[str], bool]
) -> float:
    values = [row.get(name) for row in sample]
    firsts = [value[0] if isinstance(value, list) and value else value for value in values]
    texts = [str(value) for value in firsts if isinstance(value, str | int) and str(value).strip()]
    return sum(map(has_image, texts)) / len(texts) if texts else 0.0


def _wordy(columns: Sequence[str], sample: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The column with the most words per row, if there are enough to exclude codes and names."""
    texts = {name: [t for row in sample if isinstance(t := row.get(name), str)] for name in columns}
    words = {
        name: sum(len(text.split()) for text in found) / len(found)
        for name, found in texts.items()
        if found
    }
    best = max(words, key=lambda name: words[name], default="")
    return (best,) if best and words[best] > WORDS else ()
