"""A Vespa schema (`.sd`) read: its vector fields, and its rank profiles as a ProfileSet.

For comparing this engine with a Vespa that someone else's schema runs on. What a schema may
hold beyond that is passed over: https://docs.vespa.ai/en/reference/schemas/schemas.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from encoders.base.errors import UserError
from ranking.cell_types import CellType
from ranking.distances import Distance
from ranking.profiles.profile import Phase, Profile, ProfileError
from ranking.profiles.set import ProfileSet
from ranking.types import VectorField
from vespa_app.package.options import PackageError
from vespa_app.read.blocks import Block, read_blocks

__all__ = ["Schema", "SchemaError", "read_schema"]

_TENSOR = re.compile(r"tensor(?:<(\w+)>)?\((?:(\w+)\{\},)?\w+\[(\d+)\]\)")
_FEATURE = re.compile(r"[^\s,(]+(?:\([^)]*\))?")


_MAX_SIM = re.compile(
    r"sum\(reduce\(sum\(query\((\w+)\) \* (?:cell_cast\()?attribute\((\w+)\)(?:, float\))?, x\), "
    r"max, patch\), token\)"
)


_RERANK = re.compile(r"sum\(onnx\(reranker_(\w+)\)\.score\)")
OWN_MAX_SIM, MAX_SIM = re.compile(r"\bmax_sim\b"), "max_sim_by_name"
"""A schema's own function of the name of a feature here, and how it is called instead."""


class SchemaError(UserError):
    """The file is no schema that can be read."""


@dataclass(frozen=True)
class Schema:
    """What was read.

    unusable: profile name -> why it cannot be computed here. scanned: vector fields without HNSW.
    """

    name: str
    vector_fields: tuple[VectorField, ...]
    profiles: ProfileSet
    unusable: Mapping[str, str]
    scanned: frozenset[str] = frozenset()


def read_schema(path: Path) -> Schema:
    """Read a schema file; raises SchemaError where it cannot be."""
    try:
        root = read_blocks(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, PackageError) as error:
        raise SchemaError(f"{path} cannot be read: {error}") from None
    schema = next(root.find("schema"), None)
    if schema is None:
        raise SchemaError(f"{path} holds no schema.")
    fields = [f for document in schema.find("document") for f in document.find("field")]
    vectors = tuple(v for f in [*fields, *schema.find("field")] if (v := _vector_field(f)))
    blocks = {block.words[1]: block for block in schema.find("rank-profile")}
    profiles, unusable = _usable({name: _profile(block) for name, block in blocks.items()})
    plain = (f.words[1] for f in fields if "index" not in f.text("indexing"))
    return Schema(schema.words[1], vectors, profiles, unusable, frozenset(plain))


def _vector_field(block: Block) -> VectorField | None:
    match = _TENSOR.search(block.head)
    if match is None or not (match[2] or "index" in block.text("indexing")):
        return None
    metrics = [attribute.text("distance-metric") for attribute in block.find("attribute")]
    metric = next((m for m in metrics if m), "euclidean")
    cells = match[1] or "double"
    if cells not in get_args(CellType) or metric not in get_args(Distance):
        return None
    return VectorField(
        name=block.words[1],
        dimension=int(match[3]),
        labels=match[2] or "",
        cell_type=next(c for c in get_args(CellType) if c == cells),
        distance=next(d for d in get_args(Distance) if d == metric),
    )


def _profile(block: Block) -> Profile:
    """One rank profile; every retriever is allowed, as a Vespa query says which it uses."""
    names = block.words
    functions = dict(_functions(block))
    for constants in block.find("constants"):
        functions |= {
            name.strip(): value.strip()
            for name, _, value in (
                line.partition(":") for line in (line.head for line in constants.inner)
            )
        }
    return Profile(
        name=names[1],
        inherits=names[3].rstrip(",") if len(names) > 3 and names[2] == "inherits" else "",
        retrieve=("text", "vector"),
        first_phase=_expression(block, "first-phase"),
        inputs=dict(_inputs(block)),
        functions=functions,
        second_phase=_phase(block, "second-phase"),
        global_phase=_phase(block, "global-phase"),
        match_features=tuple(_features(block.text("match-features"))),
    )


def _inputs(block: Block) -> Iterator[tuple[str, float]]:
    for inputs in block.find("inputs"):
        for line in (line.head for line in inputs.inner):
            match = re.fullmatch(r"(?:query\()?(\w+)\)?\s+(?:double|float)\s*(?::\s*(\S+))?", line)
            if match:
                yield match[1], float(match[2] or 0)


def _functions(block: Block) -> Iterator[tuple[str, str]]:
    for kind in ("function", "macro"):
        for function in block.find(kind):
            signature = re.sub(r"^(?:function|macro)\s+(?:inline\s+)?", "", function.head)
            text = _by_name(function.text("expression"))
            if signature.startswith("reranker_"):  # tensors for the model, which has its own here
                continue
            yield OWN_MAX_SIM.sub(MAX_SIM, signature.replace("()", "").strip()), text


def _features(text: str) -> Iterator[str]:
    """Canonical names: Vespa reports closeness(field,x) however it was written."""
    for name in _FEATURE.findall(text):
        yield OWN_MAX_SIM.sub(MAX_SIM, name.replace(" ", ""))


def _expression(block: Block, phase: str) -> str:
    return _by_name(next((found.text("expression") for found in block.find(phase)), ""))


def _by_name(expression: str) -> str:
    """MaxSim in tensors, and the re-ranker, as the features that compute them here.

    The name of the first is free in a schema.
    """
    found = _MAX_SIM.sub(r"max_sim(\1,\2)", OWN_MAX_SIM.sub(MAX_SIM, expression))
    return _RERANK.sub(r"rerank(q_tokens_\1,patches_\1)", found)


def _phase(block: Block, name: str) -> Phase | None:
    for phase in block.find(name):
        count = phase.text("rerank-count")
        text = _by_name(phase.text("expression"))
        return Phase(text, int(count) if count else Phase("").rerank_count)
    return None


def _usable(profiles: Mapping[str, Profile]) -> tuple[ProfileSet, dict[str, str]]:
    """Keep what can be computed here; a profile goes with the parent that cannot."""
    kept: dict[str, Profile] = {}
    unusable: dict[str, str] = {}
    waiting = dict(profiles)
    while waiting:
        ready = [p for p in waiting.values() if p.inherits not in waiting]
        if not ready:
            unusable |= dict.fromkeys(waiting, "it inherits in a circle")
            break
        for profile in ready:
            del waiting[profile.name]
            try:
                _profile_set([*kept.values(), profile])
            except ProfileError as error:
                unusable[profile.name] = str(error).splitlines()[0].rstrip(":")
            else:
                kept[profile.name] = profile
    return _profile_set(list(kept.values())), unusable


def _profile_set(profiles: Sequence[Profile]) -> ProfileSet:
    first = next((profile.name for profile in profiles if profile.first_phase), "")
    return ProfileSet(tuple(profiles), first)
