"""Reads a schema file back: its fields and rank profiles as plain facts to compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from encoders.base.storage import put_back
from vespa_app.package.names import SCHEMA_NAME
from vespa_app.package.options import PackageError

__all__ = ["FieldFacts", "SchemaFacts", "read_schema"]

DEEPEST = 20  # blocks in blocks


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

    Raises PackageError where the folder has none, or one that is damaged or of something else.
    """
    put_back(package)
    path = package / "schemas" / f"{SCHEMA_NAME}.sd"
    if not path.is_file():
        raise PackageError(
            f"{package} is no application package of this project: it has no "
            f"{path.relative_to(package)}."
        )
    blocks = list(_descendants(_parse(path)))
    headers = {block.header for block in blocks}
    if not {f"schema {SCHEMA_NAME}", f"document {SCHEMA_NAME}"} <= headers:
        raise PackageError(f"{path} is no schema {SCHEMA_NAME} with its document type.")
    fields = [_field(block) for block in blocks if block.header.startswith("field ")]
    profiles = [block for block in blocks if block.header.startswith("rank-profile ")]
    summaries = [block for block in blocks if block.header.startswith("document-summary ")]
    return SchemaFacts(
        fields={f.name: f for f in fields},
        rank_profiles={p.header.split()[1]: (p.header, *_settings(p)) for p in profiles},
        summaries={s.header.split()[1]: tuple(_summary_fields(s)) for s in summaries},
    )


@dataclass
class _Block:
    header: str
    content: list[str | _Block] = field(default_factory=list)


def _parse(path: Path) -> _Block:
    stack = [_Block("")]
    for line in map(str.strip, path.read_text("utf-8", "replace").splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.endswith("{"):
            stack.append(_Block(line[:-1].strip()))
            stack[-2].content.append(stack[-1])
            if len(stack) > DEEPEST:
                break
        elif line == "}":
            stack.pop()
        else:
            stack[-1].content.append(line)
        if not stack:
            break
    if len(stack) != 1:
        raise PackageError(f"{path} is damaged: its braces do not match.")
    return stack[0]


def _descendants(block: _Block) -> Iterator[_Block]:
    for child in block.content:
        if isinstance(child, _Block):
            yield child
            yield from _descendants(child)


def _settings(block: _Block) -> Iterator[str]:
    """Statements of a block and those in it, flat."""
    for item in block.content:
        if isinstance(item, _Block):
            for setting in _settings(item):
                yield f"{item.header} {setting}"
        else:
            yield item


def _summary_fields(block: _Block) -> Iterator[str]:
    """Names in `summary id {}` or `summary id { ... }`."""
    for item in block.content:
        words = (item.header if isinstance(item, _Block) else item).split()
        if words[:1] == ["summary"] and len(words) > 1:
            yield words[1]


def _field(block: _Block) -> FieldFacts:
    words = block.header.split(maxsplit=3)
    if len(words) < 4:
        raise PackageError(f"The schema is damaged: {block.header!r} is no field with its type.")
    _, name, _, kind = words
    settings = list(_settings(block))
    indexing = [s.removeprefix("indexing: ") for s in settings if s.startswith("indexing: ")]
    steps = tuple(step.strip() for line in indexing for step in line.split("|"))
    others = frozenset(s for s in settings if not s.startswith("indexing"))
    return FieldFacts(name, kind, steps, others)
