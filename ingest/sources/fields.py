"""Columns by any of their usual names -> a record, for the ImageFolder and Parquet readers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, cast

from ingest.records import GroupKind, Record
from ingest.sources.files import SPLITS, normal_name

__all__ = ["CAPTIONS", "ID", "record_from"]

ID = ("id", "image_id", "key")
CAPTIONS = ("caption", "text", "captions", "description", "report", "findings")
CONCEPTS = ("concepts", "cuis", "cui", "concept_ids")
CONCEPT_NAMES = ("concept_names", "concepts_name", "concepts_names")
MODALITY = ("modality",)
LICENCE = ("licence", "license")
SOURCE = ("source", "dataset")
SPLIT = ("split",)
GROUPS: tuple[tuple[str, GroupKind], ...] = (
    ("case_id", "case"),
    ("case", "case"),
    ("patient_id", "case"),
    ("study_id", "case"),
    ("article_id", "article"),
    ("pmc_id", "article"),
    ("pmcid", "article"),
    ("article", "article"),
)


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
) -> Record:
    """A record of one row's `values`; what no field takes goes to `extra`.

    identifier, split and source hold where the row does not name its own.
    """
    left = {normal_name(name): value for name, value in values.items()}

    def take(names: tuple[str, ...]) -> Any:  # noqa: ANN401
        return next((left.pop(name) for name in names if name in left), None)

    identifier = _text(take(ID)) or identifier
    caption = _text(take(CAPTIONS))
    own_split = _text(take(SPLIT)).lower()
    group_id, group_kind = _group(left)
    return Record(
        id=identifier,
        caption=caption,
        image=image,
        image_path=image_path,
        concepts=_list(take(CONCEPTS), separators="[;,|]"),
        concept_names=_list(take(CONCEPT_NAMES), separators=";"),
        group_id=group_id,
        group_kind=group_kind,
        modality=_text(take(MODALITY)),
        split=SPLITS.get(own_split, own_split) or split,
        licence=_text(take(LICENCE)),
        source=_text(take(SOURCE)) or source,
        extra={name: _json(value) for name, value in left.items() if not _absent(value)},
        file=file,
        line=line,
    )


def _group(left: dict[str, Any]) -> tuple[str, GroupKind]:
    if "group_id" in left:
        kind = _text(left.pop("group_kind", "case"))
        group_id = _text(left.pop("group_id"))
        return group_id, cast(GroupKind, kind) if kind in ("article", "case") else "none"
    for name, kind_of_name in GROUPS:
        if _text(left.get(name)):
            return _text(left.pop(name)), kind_of_name
    return "", "none"


def _absent(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _text(value: object) -> str:
    return "" if _absent(value) else str(value)


def _list(value: object, separators: str) -> tuple[str, ...]:
    if _absent(value):
        return ()
    parts = re.split(separators, value) if isinstance(value, str) else cast("list[object]", value)
    return tuple(part for part in (str(part).strip() for part in parts) if part)


def _json(value: Any) -> Any:  # noqa: ANN401
    """Numbers, texts, lists and objects as they are, anything else (bytes, dates) as text."""
    if isinstance(value, Mapping):
        return {str(name): _json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json(part) for part in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
