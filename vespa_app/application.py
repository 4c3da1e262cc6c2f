"""What an application has to offer to queries, read from the package that was deployed.

The schema is the one truth on vector fields, rank profiles and their inputs. It lies in the
package's folder, and a config server hands out the one it runs. Both are read by the same code,
so a client cannot disagree with the server on what is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args
from xml.etree import ElementTree

from ranking.names import encoder_names
from ranking.profiles import Retriever
from ranking.types import CellType, Distance, EngineError, QueryError, VectorField
from vespa_app.schema import SCHEMA_NAME

__all__ = ["Application", "ServedEncoder", "ServedProfile", "read_application"]

SCHEMA_FILE = f"schemas/{SCHEMA_NAME}.sd"
SERVICES_FILE = "services.xml"
QUERY_PROFILES = "search/query-profiles"

_FIELD = re.compile(r"field\s+(embedding_([0-9a-f]{8}))\s+type\s+tensor<(\w+)>\(x\[(\d+)\]\)")
_METRIC = re.compile(r"distance-metric:\s*([\w-]+)")
_PROFILE = re.compile(r"rank-profile\s+(\w+)(?:\s+inherits\s+(\w+))?\s*\{")
_INPUT = re.compile(r"query\((\w+)\)\s+(?:type\s+)?double")
_SUMMARY = re.compile(r"document-summary\s+(\w+)[^{]*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_SUMMARY_FIELD = re.compile(r"summary\s+(\w+)")
_SUFFIX = re.compile(r"(\w+)_([0-9a-f]{8})")


@dataclass(frozen=True)
class ServedEncoder:
    """One encoder's vector field; `embedder` is "" where Vespa does not embed texts by it."""

    short: str
    field: VectorField
    embedder: str = ""

    @property
    def query(self) -> str:
        """The name of the query vector."""
        return encoder_names(self.short).query

    @property
    def fingerprint(self) -> str:
        """The fingerprint as far as it is known: the schema has its first eight digits."""
        return self.field.fingerprint or self.short


@dataclass(frozen=True)
class ServedProfile:
    """One rank profile: what it finds by, what it reads, its encoder (None: reads no vector)."""

    name: str
    retrieve: tuple[Retriever, ...]
    reads: frozenset[Retriever] = frozenset()
    inputs: frozenset[str] = frozenset()
    encoder: ServedEncoder | None = None


@dataclass(frozen=True)
class Application:
    """The vector fields and profiles of a deployed application, the current encoder first.

    id_summary: a summary class that holds the id alone, "" where there is none.
    max_hits: most hits that one query may ask for.
    """

    profiles: Mapping[str, ServedProfile]
    encoders: tuple[ServedEncoder, ...] = ()
    default_profile: str = "lexical"
    id_summary: str = ""
    schema: str = SCHEMA_NAME
    max_hits: int = 400
    details: Mapping[str, str] = field(default_factory=dict)

    def profile(self, name: str) -> ServedProfile:
        """The profile of this name. Raises QueryError naming those there are."""
        try:
            return self.profiles[name]
        except KeyError:
            raise QueryError(
                f"The application has no rank profile {name!r}; it has "
                f"{', '.join(sorted(self.profiles))}."
            ) from None


def read_application(files: Path | Mapping[str, str]) -> Application:
    """Read a package: its folder, or its text files by their path within it.

    Raises EngineError where it is not a package of this project.
    """
    texts = _texts(files) if isinstance(files, Path) else files
    if SCHEMA_FILE not in texts:
        where = files if isinstance(files, Path) else "The deployed application"
        raise EngineError(
            f"{where} has no {SCHEMA_FILE}: it is no application package of `rocosearch app`."
        )
    schema = texts[SCHEMA_FILE]
    blocks = {name: (parent, body) for name, parent, body in _rank_profiles(schema)}
    encoders = _current_first(_encoders(schema, texts.get(SERVICES_FILE, "")), blocks)
    queries = dict(_query_profiles(texts))
    profiles = dict(_served(blocks, queries, encoders))
    return Application(
        profiles=profiles,
        encoders=tuple(encoders.values()),
        default_profile=queries.get("default", {}).get("ranking.profile", "lexical"),
        id_summary=_id_summary(schema),
        max_hits=int(queries.get("default", {}).get("maxHits", 400)),
    )


def _texts(folder: Path) -> dict[str, str]:
    names = [SCHEMA_FILE, SERVICES_FILE]
    names += [f"{QUERY_PROFILES}/{path.name}" for path in (folder / QUERY_PROFILES).glob("*.xml")]
    return {
        name: (folder / name).read_text(encoding="utf-8")
        for name in names
        if (folder / name).is_file()
    }


def _block(text: str, start: int) -> str:
    """The text from `start` to the brace that closes the one before it."""
    depth = 1
    for match in re.finditer(r"[{}]", text[start:]):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return text[start : start + match.start()]
    return text[start:]


def _rank_profiles(schema: str) -> Iterator[tuple[str, str, str]]:
    for match in _PROFILE.finditer(schema):
        yield match[1], match[2] or "", _block(schema, match.end())


def _encoders(schema: str, services: str) -> dict[str, ServedEncoder]:
    found = {}
    for match in _FIELD.finditer(schema):
        metric = _METRIC.search(_block(schema, schema.index("{", match.end()) + 1))
        short, cell = match[2], match[3]
        distance = metric[1] if metric else "prenormalized-angular"
        if cell not in get_args(CellType) or distance not in get_args(Distance):
            raise EngineError(
                f"The vector field {match[1]} has {cell} cells and the distance metric {distance}, "
                "which this version does not know."
            )
        embedder = encoder_names(short).embedder
        found[short] = ServedEncoder(
            short,
            VectorField(
                match[1],
                int(match[4]),
                cell_type=cast(CellType, cell),
                distance=cast(Distance, distance),
            ),
            embedder if f'id="{embedder}"' in services else "",
        )
    return found


def _current_first(
    encoders: Mapping[str, ServedEncoder], blocks: Mapping[str, tuple[str, str]]
) -> dict[str, ServedEncoder]:
    """The encoder to which the plain profile names point comes first."""
    for name, (parent, _) in blocks.items():
        match = _SUFFIX.fullmatch(parent)
        if match and match[1] == name and match[2] in encoders:
            return {match[2]: encoders[match[2]], **encoders}
    return dict(encoders)


def _query_profiles(texts: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    for name, text in texts.items():
        if not name.startswith(f"{QUERY_PROFILES}/"):
            continue
        root = ElementTree.fromstring(text)  # noqa: S314 - our own package's files
        yield (
            root.get("id", ""),
            {f.get("name", ""): (f.text or "").strip() for f in root.iter("field")},
        )


def _served(
    blocks: Mapping[str, tuple[str, str]],
    queries: Mapping[str, Mapping[str, str]],
    encoders: Mapping[str, ServedEncoder],
) -> Iterator[tuple[str, ServedProfile]]:
    for name, (parent, body) in blocks.items():
        match = _SUFFIX.fullmatch(name)
        plain = match[1] if match and match[2] in encoders else name
        if plain == "base":
            continue
        inherited = _SUFFIX.fullmatch(parent)
        short = inherited[2] if inherited else ""
        # A plain name is empty but for the encoder's profile that it inherits.
        content = blocks[parent][1] if inherited and inherited[1] == name else body
        reads = _reads(content)
        yield (
            name,
            ServedProfile(
                name=name,
                retrieve=_retrieves(queries.get(plain, {}).get("yql", "")) or tuple(sorted(reads)),
                reads=reads,
                inputs=frozenset(_INPUT.findall(content)),
                encoder=encoders.get(short),
            ),
        )


def _reads(content: str) -> frozenset[Retriever]:
    found: set[Retriever] = set()
    if "bm25(" in content:
        found.add("text")
    if "closeness(" in content or "distance(" in content:
        found.add("vector")
    return frozenset(found)


def _retrieves(yql: str) -> tuple[Retriever, ...]:
    words: Iterable[tuple[Retriever, str]] = (("text", "userInput"), ("vector", "nearestNeighbor"))
    return tuple(name for name, word in words if word in yql)


def _id_summary(schema: str) -> str:
    for match in _SUMMARY.finditer(schema):
        if _SUMMARY_FIELD.findall(match[2]) == ["id"]:
            return match[1]
    return ""
