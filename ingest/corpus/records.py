"""Records, rejected rows, and their Arrow schema."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from typing import Any, Literal, Protocol

import pyarrow as pa

from encoders.base.errors import UserError
from encoders.base.storage import sha256_bytes
from ranking.types import Attribute, AttributeType, Value

__all__ = [
    "REJECTED_SCHEMA",
    "SCHEMA",
    "CorpusError",
    "GroupKind",
    "Reason",
    "Record",
    "Rejection",
    "Row",
    "Source",
    "canonical_json",
    "from_arrow",
    "own_value",
    "schema_with",
    "to_arrow",
]

GroupKind = Literal["article", "case", "none"]


class CorpusError(UserError):
    """A source or a corpus cannot be read, or is not what it should be."""


class Reason(StrEnum):
    """Why a row, or a part of it, was not taken."""

    NO_CAPTION = "no caption"
    NO_ID = "no id"
    DUPLICATE_ID = "duplicate id"
    MALFORMED_ROW = "malformed row"
    UNUSABLE_IMAGE = "unusable image"
    MISSING_IMAGE = "missing image"
    UNSAFE_PATH = "unsafe path"
    UNUSED_FILE = "image without a row"
    UNKNOWN_CONCEPT = "unknown concept"
    UNKNOWN_ID = "no caption with this id"
    NOT_TEXT = "not valid text"
    UNUSED_TABLE = "table not used"
    NOT_DICOM = "not a DICOM file"
    NO_PIXELS = "DICOM without an image"
    NO_DECODER = "decoder of the extra dicom not installed"
    OTHER_FRAMES = "other frames"
    UNUSED_TAG = "DICOM tag not used"
    SAME_UID = "same SOPInstanceUID, other pixels"
    ONE_GREY = "image of one grey"
    BURNED_IN = "text burned into the pixels"
    TEXT_SEEN = "text seen in the pixels"
    NO_SPLIT = "no split, put into train"
    UNKNOWN_SPLIT = "split of another name"
    OTHER_TYPE = "value of another type than its field"


@dataclass(frozen=True)
class Rejection:
    """A row that did not become a record, or what must be said of one that did (`row_kept`).

    file and line: where it stood in the source (line 0: not a text file, or not known).
    """

    reason: Reason
    file: str
    line: int = 0
    id: str = ""
    detail: str = ""
    row_kept: bool = False


@dataclass(frozen=True)
class Record:
    """One captioned image, or one caption whose image is not at hand.

    image: the file's bytes as they were (any format that Pillow decodes), or None.
    image_path: the image's name in the source. split: "train", "validation", "test", or ""
    if the source has none. extra: every other field of the source, as JSON values.
    subject_id: the patient, or a pseudonym; ties splits, and the clusters of an evaluation, above
    the group.
    group_keys: all that ties the record to others ("patient:7", "study:3"), where that is more
    than group_id says; not stored.
    image_dhash: 16 hex digits of the perceptual hash, filled in by `write_corpus`.
    file, line: where the row stood in the source; used in rejections, not stored.
    caption_needed: whether a record without a caption is rejected. stock_caption: the caption
    is made of codes that many records share, and is no reason to draw one split for all of
    them. Neither is stored.
    """

    id: str
    caption: str
    image: bytes | None = None
    image_path: str = ""
    concepts: tuple[str, ...] = ()
    concept_names: tuple[str, ...] = ()
    group_id: str = ""
    group_kind: GroupKind = "none"
    subject_id: str = ""
    modality: str = ""
    split: str = ""
    licence: str = ""
    source: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    image_dhash: str = ""
    group_keys: tuple[str, ...] = field(default=(), compare=False)
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)
    caption_needed: bool = field(default=True, compare=False)
    stock_caption: bool = field(default=False, compare=False)

    def __repr__(self) -> str:
        """What it is, in a line: an image's bytes would fill pages."""
        image = "no image" if self.image is None else f"image of {len(self.image):,} bytes"
        caption = f"{self.caption[:57]}..." if len(self.caption) > 60 else self.caption
        return f"<Record {self.id}: {caption!r}, {image}>"

    def _repr_html_(self) -> str:
        from encoders.images.preprocess import open_image  # noqa: PLC0415 - Pillow, for notebooks

        picture = ""
        if self.image is not None:
            stream = io.BytesIO()
            small = open_image(self.image).convert("RGB")
            small.thumbnail((240, 240))
            small.save(stream, "PNG")
            data = base64.b64encode(stream.getvalue()).decode()
            picture = f'<img src="data:image/png;base64,{data}" alt="">'
        told = f"<b>{escape(self.id)}</b> {escape(self.caption)}"
        return f"<figure>{picture}<figcaption>{told}</figcaption></figure>"

    @property
    def image_sha256(self) -> str:
        """Hex sha256 of the image's bytes, "" without an image."""
        return sha256_bytes(self.image) if self.image is not None else ""

    @property
    def caption_sha256(self) -> str:
        """Hex sha256 of the caption in UTF-8."""
        return sha256_bytes(self.caption.encode())


Row = Record | Rejection


class Source(Protocol):
    """One data set in one layout: iterate for its rows, as often as needed."""

    @property
    def format(self) -> str:
        """Name of the layout, as `rocosearch corpus --format` takes it."""

    @property
    def location(self) -> str:
        """Where it was read from, for messages and the manifest."""

    @property
    def recognised(self) -> str:
        """How it is read, in one line: tables, columns, encoding."""

    def __iter__(self) -> Iterator[Row]:
        """Yield records and rejections in the order of the source."""


_STRINGS = pa.list_(pa.string())
_HASHES = pa.struct(
    [("image_sha256", pa.string()), ("caption_sha256", pa.string()), ("image_dhash", pa.string())]
)
_TEXT = {"dtype": "string", "_type": "Value"}
_TEXTS = {"feature": _TEXT, "_type": "List"}

# What Hugging Face `datasets` reads from the Parquet footer to know that `image` is an image.
# https://huggingface.co/docs/datasets/about_dataset_features
_FEATURES: dict[str, Any] = {
    "id": _TEXT,
    "image": {"_type": "Image"},
    "caption": _TEXT,
    "concepts": _TEXTS,
    "concept_names": _TEXTS,
    "group_id": _TEXT,
    "group_kind": _TEXT,
    "subject_id": _TEXT,
    "modality": _TEXT,
    "split": _TEXT,
    "licence": _TEXT,
    "source": _TEXT,
    "hashes": dict.fromkeys(("image_sha256", "caption_sha256", "image_dhash"), _TEXT),
    "extra": _TEXT,
}

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("caption", pa.string()),
        ("concepts", _STRINGS),
        ("concept_names", _STRINGS),
        ("group_id", pa.string()),
        ("group_kind", pa.string()),
        ("subject_id", pa.string()),
        ("modality", pa.string()),
        ("split", pa.string()),
        ("licence", pa.string()),
        ("source", pa.string()),
        ("hashes", _HASHES),
        ("extra", pa.string()),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)

_ARROW: Mapping[AttributeType, tuple[pa.DataType, str]] = {
    "text": (pa.string(), "string"),
    "keyword": (pa.string(), "string"),
    "int": (pa.int64(), "int64"),
    "float": (pa.float64(), "float64"),
    "date": (pa.date32(), "date32"),
    "bool": (pa.bool_(), "bool"),
}


def schema_with(attributes: Sequence[Attribute]) -> pa.Schema:
    """The columns of a corpus with these fields of one's own."""
    if not attributes:
        return SCHEMA
    own = {each.name: {"dtype": _ARROW[each.type][1], "_type": "Value"} for each in attributes}
    told = json.dumps({"info": {"features": {**_FEATURES, **own}}})
    columns = [*SCHEMA, *(pa.field(each.name, _ARROW[each.type][0]) for each in attributes)]
    return pa.schema(columns, metadata={"huggingface": told})


def own_value(value: Any) -> Value | None:  # noqa: ANN401 - as Arrow gives it
    """A value of a field of one's own as documents have it: a date as text."""
    return value.isoformat() if isinstance(value, dt.date) else value


REJECTED_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("line", pa.int64()),
        ("id", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("row_kept", pa.bool_()),
    ]
)


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def to_arrow(record: Record) -> dict[str, Any]:
    """`record` as one row of `SCHEMA`."""
    has_image = record.image is not None
    return {
        "id": record.id,
        "image": {"bytes": record.image, "path": record.image_path} if has_image else None,
        "caption": record.caption,
        "concepts": list(record.concepts),
        "concept_names": list(record.concept_names),
        "group_id": record.group_id,
        "group_kind": record.group_kind,
        "subject_id": record.subject_id,
        "modality": record.modality,
        "split": record.split,
        "licence": record.licence,
        "source": record.source,
        "hashes": {
            "image_sha256": record.image_sha256,
            "caption_sha256": record.caption_sha256,
            "image_dhash": record.image_dhash,
        },
        "extra": canonical_json(dict(record.extra)),
    }


def from_arrow(row: Mapping[str, Any]) -> Record:
    """The record of one row of `SCHEMA`; subject_id may be absent (corpus format 1)."""
    image = row["image"] or {}
    return Record(
        id=row["id"],
        caption=row["caption"],
        image=image.get("bytes"),
        image_path=image.get("path") or "",
        concepts=tuple(row["concepts"]),
        concept_names=tuple(row["concept_names"]),
        group_id=row["group_id"],
        group_kind=row["group_kind"],
        subject_id=row.get("subject_id") or "",
        modality=row["modality"],
        split=row["split"],
        licence=row["licence"],
        source=row["source"],
        extra=json.loads(row["extra"]),
        image_dhash=row["hashes"]["image_dhash"],
    )
