"""Convert a row with known columns to a record."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from ingest.corpus.records import GroupKind, Reason, Record, Rejection, Row
from ingest.sources.columns import CONCEPT_NAMES, CONCEPTS, PATIENT, Columns, is_picture
from ingest.sources.files import split_named
from ingest.sources.modalities import modality_of, modality_of_dicom

__all__ = ["GROUPS", "group_keys", "record_from", "text_of", "told_by_path"]

CUIS = re.compile(r"[\[\s'\"]*C\d{7}(?:[\s'\",;|]+C\d{7})*[\]\s'\"]*")  # also as NumPy prints them
DEEPEST = 64  # levels of a JSON value
ARTICLE = re.compile(r"(?<![A-Za-z])PMC\d{4,}")
PATIENT_FOLDER = re.compile(r"(?:patient|subject)[-_ ]?\d+|sub-\w+|p\d{5,}", re.IGNORECASE)
STUDY_FOLDER = re.compile(r"(?:study|session|ses)[-_ ]?\d+(?:_[a-z]+)?|s\d{5,}", re.IGNORECASE)
CASE_FOLDER = re.compile(r"case[-_ ]?\d+", re.IGNORECASE)
MODALITY = ("modality",)
LICENCE = ("licence", "license")
SOURCE = ("source", "dataset")
SPLIT = "split"
# Column, kind of the group, and what columns of one meaning are called together.
GROUPS: tuple[tuple[str, GroupKind, str], ...] = (
    ("case_id", "case", "case"),
    ("case", "case", "case"),
    ("study_id", "case", "study"),
    ("study_instance_uid", "case", "study"),
    ("article_id", "article", "article"),
    ("pmc_id", "article", "article"),
    ("article", "article", "article"),
    *((name, "case", "patient") for name in PATIENT),
)


class _FieldError(ValueError):
    """A column's value is of another kind than its name promises."""


def record_from(
    values: Mapping[str, Any],
    columns: Columns,
    *,
    identifier: str,
    split: str,
    source: str,
    file: str,
    line: int,
) -> Row:
    """A record of one row's `values`, without its image; what no field takes goes to `extra`.

    values: by normalised column name. split and source hold where the row does not name its own.
    A Rejection where caption or concepts are no text, number or list of such.
    """
    left = {name: value for name, value in values.items() if not _absent(value)}
    for column in {columns.id, *columns.images[:1]}.difference(name for name, *_ in GROUPS):
        left.pop(column, None)
    if columns.group:
        left["group_id"] = left.pop(columns.group, "")
    split_column = columns.split or SPLIT

    def take(names: tuple[str, ...]) -> str:
        found = next((name for name in names if text_of(left.get(name)).strip()), None)
        return "" if found is None else text_of(left.pop(found))

    keys = group_keys(left)
    subject = next((text for name in PATIENT if (text := text_of(left.get(name)).strip())), "")
    try:
        caption = _caption(left, columns)
        concepts = _list(left, CONCEPTS, separators="[;,|]")
        concept_names = _list(left, CONCEPT_NAMES, separators=";")
        own_split = split_named(take((split_column,)))
        group_id, group_kind = _group(left, take)
        modality = take(MODALITY) or modality_of_dicom(take(("modality_dicom",)))
        licence = take(LICENCE)
        own_source = take(SOURCE)
        extra = {name: _json(value) for name, value in left.items() if not _pictures(value)}
    except _FieldError as error:
        return Rejection(Reason.MALFORMED_ROW, file, line, identifier, str(error))
    return Record(
        id=identifier,
        caption=caption,
        concepts=concepts,
        concept_names=concept_names,
        group_id=group_id,
        group_kind=group_kind,
        subject_id=subject,
        modality=modality or modality_of(concepts),
        split=own_split or split,
        licence=licence,
        source=own_source or source,
        extra=extra,
        group_keys=keys,
        file=file,
        line=line,
    )


def _pictures(value: object) -> bool:
    """Whether a value is an image or several, which are no text for `extra`."""
    return is_picture(value) or (isinstance(value, list) and any(map(is_picture, value)))


def group_keys(values: Mapping[str, object]) -> tuple[str, ...]:
    """What every column that names a group says of a row, by normalised names."""
    names = (("group_id", "group"), *((name, meaning) for name, _, meaning in GROUPS))
    found = ((meaning, text_of(values.get(name)).strip()) for name, meaning in names)
    return tuple(dict.fromkeys(f"{meaning}:{value}" for meaning, value in found if value))


def told_by_path(path: str, values: Mapping[str, object]) -> dict[str, str]:
    """Article, patient, study or case by the names of a file and its folders; not what a row says.

    >>> told_by_path("files/p10/p19000001/s59000001/a.jpg", {})
    {'patient_id': 'p19000001', 'study_id': 'p19000001/s59000001'}
    >>> told_by_path("images/PMC1234567_g003.jpg", {"pmc_id": ""})
    {'article_id': 'PMC1234567'}
    """
    told: dict[str, str] = {}
    for folder in path.split("/")[:-1]:
        patient = told.get("patient_id", "")
        if PATIENT_FOLDER.fullmatch(folder):
            told["patient_id"] = folder
        elif STUDY_FOLDER.fullmatch(folder) and patient:
            told["study_id"] = f"{patient}/{folder}"
        elif CASE_FOLDER.fullmatch(folder):
            told["case_id"] = folder
    names = (path, *(text for text in map(text_of, values.values()) if text.startswith("PMC")))
    if article := next(filter(None, map(ARTICLE.search, names)), None):
        told["article_id"] = article[0]
    said = {key.partition(":")[0] for key in group_keys(values)}
    return {name: value for name, value in told.items() if name.removesuffix("_id") not in said}


def _group(left: dict[str, Any], take: Callable[[tuple[str, ...]], str]) -> tuple[str, GroupKind]:
    if "group_id" in left:
        kind = take(("group_kind",)) or "case"
        group_id = take(("group_id",))
        return group_id, cast(GroupKind, kind) if kind in ("article", "case") else "none"
    for name, kind_of_name, _ in GROUPS:
        group_id = take((name,))
        if group_id:
            return group_id, kind_of_name
    return "", "none"


def _absent(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def text_of(value: object) -> str:
    """A text or number as text, whole numbers without a point; "" for anything else."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value) if math.isfinite(value) else ""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _texts(name: str, value: object) -> list[str]:
    """The texts of a list, or the one that stands in its place; raises _FieldError."""
    parts = value if isinstance(value, list | tuple) else [value]
    present = [part for part in parts if not _absent(part)]
    wrong = next((part for part in present if not text_of(part)), None)
    if wrong is not None:
        raise _FieldError(f"{name} is a {type(wrong).__name__}, not a text")
    return [text_of(part) for part in present]


def _caption(left: dict[str, Any], columns: Columns) -> str:
    """The caption: of columns that the user named all, else the first that is not empty."""
    found = {name: _texts(name, left.get(name)) for name in columns.captions}
    filled = [name for name, texts in found.items() if any(text.strip() for text in texts)]
    taken = filled if columns.joined else filled[:1]
    for name in taken:
        del left[name]
    return " ".join(text for name in taken for text in found[name])


def _list(left: dict[str, Any], names: tuple[str, ...], separators: str) -> tuple[str, ...]:
    name = next((name for name in names if not _absent(left.get(name))), None)
    if name is None:
        return ()
    value = left.pop(name)
    texts = _texts(name, value)
    if isinstance(value, str):
        listed = CUIS.fullmatch(value)
        bare = value.strip().removeprefix("[").removesuffix("]") if value[:1] == "[" else value
        texts = re.findall(r"C\d{7}", value) if listed else re.split(separators, bare)
    return tuple(dict.fromkeys(part.strip() for part in texts if part.strip()))


def _json(value: Any, depth: int = 0) -> Any:  # noqa: ANN401
    """Numbers, texts, lists and objects as they are, dates as text, bytes left out."""
    if depth > DEEPEST:
        raise _FieldError(f"a value is nested more than {DEEPEST} deep")
    if isinstance(value, Mapping):
        return {str(name): _json(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json(part, depth + 1) for part in value]
    if isinstance(value, bytes) or (isinstance(value, float) and not math.isfinite(value)):
        return None if isinstance(value, bytes) else str(value)  # JSON has no such numbers
    return value if isinstance(value, str | int | float | bool | None) else str(value)
