"""Read fields and rank profiles back from a schema file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from encoders.base.storage import put_back
from vespa_app.package.names import SCHEMA_NAME
from vespa_app.package.options import PackageError
from vespa_app.read.blocks import Block, read_blocks

__all__ = ["FieldFacts", "SchemaFacts", "read_schema"]


@dataclass(frozen=True)
class FieldFacts:
    """A field: its type, what its indexing statement does, and every other setting.

    Settings are written flat: "attribute paged", "index hnsw max-links-per-node: 16".
    """

    name: str
    type: str
    steps: tuple[str, ...]
    settings: frozenset[str]

    def value(self, key: str) -> str | None:
        """The value of the setting "key: value", or None."""
        for setting in self.settings:
            name, colon, value = setting.partition(": ")
            if colon and name == key:
                return value
        return None


@dataclass(frozen=True)
class SchemaFacts:
    """Fields, rank profiles and summary classes by name.

    A rank profile as its settings in order, a summary class as its fields.
    """

    fields: dict[str, FieldFacts]
    rank_profiles: dict[str, tuple[str, ...]]
    summaries: dict[str, tuple[str, ...]]


def read_schema(package: Path) -> SchemaFacts:
    """The schema `image` of an application package.

    Raises PackageError if the folder has none, or one that is damaged or of something else.
    """
    put_back(package)
    path = package / "schemas" / f"{SCHEMA_NAME}.sd"
    if not path.is_file():
        raise PackageError(
            f"{package} was not written by rocosearch: it has no {path.relative_to(package)}."
        )
    try:
        blocks = list(read_blocks(path.read_text("utf-8", "replace")).all_inside())
    except PackageError as error:
        raise PackageError(f"{path}: {error}") from None
    if not {f"schema {SCHEMA_NAME}", f"document {SCHEMA_NAME}"} <= {b.head for b in blocks}:
        raise PackageError(f"{path} is not a schema {SCHEMA_NAME} with its document type.")

    def named(kind: str) -> Iterator[Block]:
        return (block for block in blocks if block.head.startswith(f"{kind} "))

    return SchemaFacts(
        fields={f.name: f for f in map(_field, named("field"))},
        rank_profiles={p.words[1]: (p.head, *p.settings()) for p in named("rank-profile")},
        summaries={s.words[1]: tuple(_summary_fields(s)) for s in named("document-summary")},
    )


def _summary_fields(block: Block) -> Iterator[str]:
    """Names in `summary id {}` or `summary id { ... }`."""
    for summary in block.find("summary"):
        if len(summary.words) > 1:
            yield summary.words[1]


def _field(block: Block) -> FieldFacts:
    words = block.head.split(maxsplit=3)
    if len(words) < 4:
        raise PackageError(f"The schema is damaged: {block.head!r} is not a field with a type.")
    _, name, _, kind = words
    settings = list(block.settings())
    indexing = [s.removeprefix("indexing: ") for s in settings if s.startswith("indexing: ")]
    steps = tuple(step.strip() for line in indexing for step in line.split("|"))
    others = frozenset(s for s in settings if not s.startswith("indexing"))
    return FieldFacts(name, kind, steps, others)
