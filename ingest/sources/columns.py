"""Recognise the columns of a table by name and content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
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
    "column_names",
    "find_columns",
    "is_picture",
    "known_name",
    "names_images",
]

ID = ("id", "image_id", "key", "uid", "roco_id", "qid")
IMAGES = (
    *("file_name", "image", "img", "image_path", "img_path", "image_file", "image_name"),
    *("img_name", "image_file_name", "file", "file_path", "path", "name", "picture"),
    *("figure", "images", "image_paths", "file_names", "jpg", "png", "dicom", "dicom_id", "img_id"),
    *("bild", "bilddatei", "datei", "dateiname"),
)
CAPTIONS = (
    *("caption", "text", "captions", "description", "report", "findings", "impression"),
    *("image_caption", "figure_caption", "report_text", "radiology_report", "legend", "sentence"),
    *("narrative", "finding", "conclusion", "comment", "comments", "befund", "beschreibung"),
)
CONCEPTS = ("concepts", "cuis", "cui", "concept_ids", "concept", "label_cuis")
CONCEPT_NAMES = ("concept_names", "concepts_name", "concepts_names", "concept_name")
PATIENT = (
    *("patient_id", "subject_id", "subject", "patient", "patient_number", "patient_no"),
    *("participant_id", "pat_id", "pat_nr", "pat_no"),
    *("patient_nr", "mrn", "patienten_id", "patientennummer", "num_patient", "id_patient"),
)
ENDINGS = (
    *("patient_id", "subject_id", "study_id", "study_instance_uid", "case_id", "article_id"),
    "pmc_id",
)
SPLITS = ("split", "set", "subset", "partition", "phase")
IMAGES_AND_ID = frozenset((*IMAGES, *ID))
KNOWN = frozenset((*ID, *IMAGES, *CAPTIONS, *CONCEPTS, *CONCEPT_NAMES, *PATIENT, *ENDINGS, "split"))
SPELLINGS = {name.replace("_", ""): name for name in sorted(KNOWN)}
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


def known_name(title: str) -> str:
    """The name that a column goes by, however it is spelled or begins; else its normalised name.

    >>> known_name("ImageID"), known_name("deid_patient_id"), known_name("View Position")
    ('image_id', 'patient_id', 'view_position')
    """
    name = normal_name(title)
    ending = next((known for known in ENDINGS if name.endswith(f"_{known}")), name)
    return SPELLINGS.get(name.replace("_", ""), ending)


def column_names(titles: Sequence[str]) -> list[str]:
    """The columns' known names, each given once; a column without a title gets its number."""
    plain = [normal_name(title) or f"column_{n}" for n, title in enumerate(titles, 1)]
    for place, title in enumerate(titles):
        known = known_name(title)
        if known and known not in plain:
            plain[place] = known
    return plain


def column_named(name: str, columns: Sequence[str], table: str, option: str) -> str:
    """The normalised name of a column that the user named; raises CorpusError."""
    for spelled in (normal_name(name), known_name(name)):
        if spelled in columns:
            return spelled
    raise CorpusError(
        f"{table} has no column {name!r} ({option}); its columns are {', '.join(columns)}."
    )


def find_columns(
    table: str,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    reading: Reading,
    has_image: Callable[[str], bool] | None,
    has_folder: Callable[[str], bool] = lambda _: False,
) -> Columns:
    """What each column of a table is.

    rows: the values of the first rows. has_image: whether an image is called so, None where
    there are no images. has_folder: whether a folder of images is called so. Raises CorpusError if
    no column holds captions, or none tells which image is meant.
    """
    sample = list(islice(rows, ROWS_LOOKED_AT))

    def given(name: str, option: str) -> str:
        return column_named(name, columns, table, option) if name else ""

    own_image = given(reading.image, "--image-column")
    images = (own_image,) if own_image else _images(columns, sample, has_image, has_folder)
    captions = tuple(given(name, "--caption-column") for name in reading.captions)
    others = [name for name in columns if name not in images]
    named = captions or tuple(name for name in CAPTIONS if name in others)
    named = named or _wordy(others, sample)
    if not captions and not set(named) & set(CAPTIONS) and {"question", "answer"} <= set(columns):
        raise CorpusError(
            f"{table} has questions and answers, but no captions: to join them, give "
            "--caption-column question --caption-column answer."
        )
    if not named:
        raise CorpusError(
            f"{table} has no caption column; its columns are {', '.join(columns)}. Name one with "
            f"--caption-column, or call it {', '.join(CAPTIONS[:6])}; Recipes in "
            "docs/corpus.md help with labels and other forms."
        )
    own = next((name for name in ID if name in columns and _distinct(name, sample, images)), "")
    one = len(sample) == ROWS_LOOKED_AT  # the same value in so many rows is no study's
    repeated = (name for name in ID if images and name in others and name not in (own, *named))
    repeating = (n for n in repeated if len({str(row.get(n)) for row in sample}) > one)
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
        group=given(reading.group, "--group-column") or next(repeating, ""),
        split=given(reading.split, "--split-column") or _split_column(columns, sample),
        joined=bool(captions),
    )


def names_images(
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    has_image: Callable[[str], bool],
) -> bool:
    """Whether a column holds images, or their names in half of the first rows."""
    sample = list(islice(rows, ROWS_LOOKED_AT))
    return any(
        _share(name, sample, has_image) >= 0.5 or any(is_picture(row.get(name)) for row in sample)
        for name in columns
    )


def is_picture(value: object) -> bool:
    """Whether a value is an image itself: bytes, or bytes with a path as `datasets` keeps them."""
    return isinstance(value, bytes) or (isinstance(value, dict) and {"bytes", "path"} >= set(value))


def _images(
    columns: Sequence[str],
    sample: Sequence[Mapping[str, Any]],
    has_image: Callable[[str], bool] | None,
    has_folder: Callable[[str], bool],
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
    folders = (
        n for n in columns if _distinct(n, sample, ()) and _share(n, sample, has_folder) >= 0.5
    )
    chosen = fitting or (best if best and shares[best] >= 0.5 else "")
    chosen = chosen or next(chain(folders, named), "")
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


def _distinct(name: str, sample: Sequence[Mapping[str, Any]], images: Sequence[str]) -> bool:
    """Whether a column can be an id: a patient's or a study's stands in the rows of many images."""
    values = {str(row.get(name)) for row in sample}
    named = {image for row in sample if isinstance(image := row.get(next(iter(images), "")), str)}
    return len(values) > len(sample) / 2 and len(values) >= len(named)


def _share(
    name: str, sample: Sequence[Mapping[str, Any]], has_image: Callable[[str], bool]
) -> float:
    values = [row.get(name) for row in sample]
    firsts = [value[0] if isinstance(value, list) and value else value for value in values]
    texts = [str(value) for value in firsts if isinstance(value, str | int) and str(value).strip()]
    return sum(map(has_image, texts)) / len(texts) if texts else 0.0


def _wordy(columns: Sequence[str], sample: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The columns of texts with a caption's word in their name (`findings_en`), by CAPTIONS.

    Else the one with the most words per row. Codes and names have too few words for either.
    """
    texts = {name: [t for row in sample if isinstance(t := row.get(name), str)] for name in columns}
    words = {
        name: sum(len(text.split()) for text in found) / len(found)
        for name, found in texts.items()
        if found
    }
    enough = [name for name in words if words[name] > WORDS]
    alike = [name for word in CAPTIONS for name in enough if word in name.split("_")]
    best = sorted(enough, key=lambda name: -words[name])[:1]
    return tuple(dict.fromkeys(alike or best))
