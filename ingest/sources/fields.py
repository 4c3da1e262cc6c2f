"""Columns by any of their usual names -> a record, for the ImageFolder and Parquet readers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from ingest.corpus.records import GroupKind, Reason, Record, Rejection, Row
from ingest.sources.files import normal_name, split_named, told_apart

__all__ = ["CAPTIONS", "ID", "group_keys", "record_from"]

ID = ("id", "image_id", "key")
CAPTIONS = ("caption", "text", "captions", "description", "report", "findings")
CONCEPTS = ("concepts", "cuis", "cui", "concept_ids")
CONCEPT_NAMES = ("concept_names", "concepts_name", "concepts_names")
MODALITY = ("modality",)
LICENCE = ("licence", "license")
SOURCE = ("source", "dataset")
SPLIT = ("split",)
PATIENT = ("patient_id", "patientid", "subject_id", "subject", "patient")
# Column, kind of the group, and what columns of one meaning are called together.
GROUPS: tuple[tuple[str, GroupKind, str], ...] = (
    ("case_id", "case", "case"),
    ("case", "case", "case"),
    ("study_id", "case", "study"),
    ("studyid", "case", "study"),
    ("article_id", "article", "article"),
    ("pmc_id", "article", "article"),
    ("pmcid", "article", "article"),
    ("article", "article", "article"),
    *((name, "case", "patient") for name in PATIENT),
)


class _FieldError(ValueError):
    """A column's value is of another kind than its name promises."""


def record_from(
    values: Mapping[str, Any],
    *,
    identifier: str,
    image: bytes | None,
    image_path: str,
    split: str,
    source: str,
    file: str,
    line: int,
) -> Row:
    """A record of one row's `values`; what no field takes goes to `extra`.

    identifier, split and source hold where the row does not name its own. A Rejection where
    caption or concepts are no text, number or list of such.
    """
    names = told_apart([normal_name(name) for name in values], {})
    left = dict(zip(names, values.values(), strict=True))

    def take(names: tuple[str, ...]) -> str:
        found = next((name for name in names if _text(left.get(name)).strip()), None)
        return "" if found is None else _text(left.pop(found))

    identifier = take(ID) or identifier
    keys = group_keys(left)
    subject = next((text for name in PATIENT if (text := _text(left.get(name)).strip())), "")
    try:
        caption = _caption(left)
        concepts = _list(left, CONCEPTS, separators="[;,|]")
        concept_names = _list(left, CONCEPT_NAMES, separators=";")
    except _FieldError as error:
        return Rejection(Reason.MALFORMED_ROW, file, line, identifier, str(error))
    own_split = split_named(take(SPLIT))
    group_id, group_kind = _group(left, take)
    return Record(
        id=identifier,
        caption=caption,
        image=image,
        image_path=image_path,
        concepts=concepts,
        concept_names=concept_names,
        group_id=group_id,
        group_kind=group_kind,
        subject_id=subject,
        modality=take(MODALITY),
        split=own_split or split,
        licence=take(LICENCE),
        source=take(SOURCE) or source,
        extra={name: _json(value) for name, value in left.items() if not _absent(value)},
        group_keys=keys,
        file=file,
        line=line,
    )


def group_keys(values: Mapping[str, object]) -> tuple[str, ...]:
    """What every column that names a group says of a row, by normalised names."""
    names = (("group_id", "group"), *((name, meaning) for name, _, meaning in GROUPS))
    found = ((meaning, _text(values.get(name)).strip()) for name, meaning in names)
    return tuple(dict.fromkeys(f"{meaning}:{value}" for meaning, value in found if value))


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


def _text(value: object) -> str:
    """A text or number as text, whole numbers without a point; "" for anything else."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value) if math.isfinite(value) else ""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _texts(name: str, value: object) -> list[str]:
    """The texts of a list, or the one that stands in its place; raises _FieldError."""
    parts = value if isinstance(value, list | tuple) else [value]
    present = [part for part in parts if not _absent(part)]
    wrong = next((part for part in present if not _text(part)), None)
    if wrong is not None:
        raise _FieldError(f"{name} holds a {type(wrong).__name__}, not a text")
    return [_text(part) for part in present]


def _caption(left: dict[str, Any]) -> str:
    for name in CAPTIONS:
        texts = _texts(name, left.get(name))
        if any(text.strip() for text in texts):
            del left[name]
            return " ".join(texts)
    return ""


def _list(left: dict[str, Any], names: tuple[str, ...], separators: str) -> tuple[str, ...]:
    name = next((name for name in names if not _absent(left.get(name))), None)
    if name is None:
        return ()
    value = left.pop(name)
    texts = _texts(name, value)
    parts = re.split(separators, texts[0]) if isinstance(value, str) else texts
    return tuple(part.strip() for part in parts if part.strip())


def _json(value: Any) -> Any:  # noqa: ANN401
    """Numbers, texts, lists and objects as they are, anything else (bytes, dates) as text."""
    if isinstance(value, Mapping):
        return {str(name): _json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such numbers
    return value if isinstance(value, str | int | float | bool | None) else str(value)
