"""Read vector fields and profiles of an application from its package.

The schema is the one truth on vector fields, rank profiles and their inputs. It lies in the
package's folder, and a config server hands out the one it runs: a client that reads either
cannot disagree with the server on what is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast, get_args

from ranking.attributes import parse_attribute
from ranking.calibration import CALIBRATION, Calibration
from ranking.cell_types import CellType
from ranking.distances import Distance
from ranking.names import encoder_names, role_of, vector_field_names
from ranking.types import TEXTS, Attribute, EngineError, QueryError, Retriever, VectorField
from vespa_app.package.names import BASE, OWN_FIELD, SCHEMA_NAME, fingerprint_key
from vespa_app.read.schema_file import FieldFacts, SchemaFacts, read_schema
from vespa_app.read.xml_file import read_xml

__all__ = [
    "CALIBRATION_FILE",
    "PACKAGE_FILES",
    "QUERY_PROFILES",
    "Application",
    "ServedEncoder",
    "ServedProfile",
    "query_profile_fields",
    "read_application",
]

QUERY_PROFILES = "search/query-profiles"
CALIBRATION_FILE = f"ext/{CALIBRATION}"
"""Vespa leaves what is in `ext` alone."""

PACKAGE_FILES = (
    f"schemas/{SCHEMA_NAME}.sd",
    "services.xml",
    "hosts.xml",
    CALIBRATION_FILE,
    f"{QUERY_PROFILES}/",
)
"""What `read_application` reads of a package; a name that ends in a slash is a folder."""

MAX_HITS = 400  # Vespa's, where no query profile sets maxHits

_TENSOR = re.compile(r"tensor<(\w+)>\((?:(\w+)\{\},)?x\[(\d+)\]\)")
_COMPARED = re.compile(r"(?:closeness|distance)\(field, ?(\w+)\)|closest\((\w+)\)")
_PATCHES = re.compile(r"attribute\(patches_([0-9a-f]{8})\)|onnx\(reranker_([0-9a-f]{8})\)")
_SUFFIXED = re.compile(r"(\w+)_([0-9a-f]{8})")
_INPUT = re.compile(r"query\((\w+)\)\s+double")
_TEXT_FIELD = re.compile(r'defaultIndex: "(\w+)"')
_BM25 = re.compile(r"bm25\((\w+)\)")
_ID_SUMMARY = re.compile(r"document-summary\s+(\w+)\s*\{\s*summary\s+id\s*\{\s*\}\s*\}")


@dataclass(frozen=True)
class ServedEncoder:
    """One encoder's vector field; `embedder` is "" where Vespa does not embed texts by it.

    others: its fields for other roles than the image's (`ranking.names.ROLES`). An encoder of
    captions alone has the one field of those.
    """

    short: str
    field: VectorField
    embedder: str = ""
    others: tuple[VectorField, ...] = ()

    @property
    def fields(self) -> tuple[VectorField, ...]:
        """All of its vector fields."""
        return (self.field, *self.others)

    def with_fingerprint(self, fingerprint: str) -> ServedEncoder:
        """The same, of this whole fingerprint; "" where it is not known."""
        if not fingerprint:
            return self
        field, *others = (replace(each, fingerprint=fingerprint) for each in self.fields)
        return replace(self, field=field, others=tuple(others))

    @property
    def query(self) -> str:
        """The name of the query vector."""
        return encoder_names(self.short).query

    @property
    def fingerprint(self) -> str:
        """The whole fingerprint, or its first eight digits where the package has no more."""
        return self.field.fingerprint or self.short


@dataclass(frozen=True)
class ServedProfile:
    """One rank profile: what it finds by, what it reads, its encoder (None: reads no vector).

    texts: text fields that it reads the BM25 of, first the one where words are looked for.
    named: vector fields whose closeness it names. patches: the field that MaxSim or the
    re-ranker reads.
    """

    name: str
    retrieve: tuple[Retriever, ...]
    texts: tuple[str, ...] = TEXTS[:1]
    reads: frozenset[Retriever] = frozenset()
    inputs: frozenset[str] = frozenset()
    encoder: ServedEncoder | None = None
    named: tuple[str, ...] = ()
    patches: str = ""

    @property
    def compared(self) -> tuple[str, ...]:
        """Names of the vector fields that it compares: the encoder's own where it names none."""
        return self.named or ((self.encoder.field.name,) if self.encoder else ())

    @property
    def roles(self) -> tuple[str, ...]:
        """What the vectors that it compares are of (`ranking.names.ROLES`)."""
        return tuple(dict.fromkeys(map(role_of, self.compared)))

    @property
    def late(self) -> bool:
        """Whether it compares the query's tokens with patches."""
        return bool(self.patches)

    @property
    def text(self) -> str:
        """The text field that words are looked for in."""
        return self.texts[0]


@dataclass(frozen=True)
class Application:
    """The vector fields and profiles of a deployed application, the current encoder first.

    attributes: fields of one's own.
    id_summary: a summary class that holds the id alone, "" if there is none.
    max_hits: most hits that one query may ask for. calibration: how probable it is that a hit is
    right, where the package tells.
    """

    profiles: Mapping[str, ServedProfile]
    encoders: tuple[ServedEncoder, ...] = ()
    default_profile: str = "lexical"
    id_summary: str = ""
    schema: str = SCHEMA_NAME
    max_hits: int = MAX_HITS
    attributes: tuple[Attribute, ...] = ()
    calibration: Calibration | None = None

    @cached_property
    def vector_fields(self) -> Mapping[str, tuple[ServedEncoder, VectorField]]:
        """Every vector field with its encoder, by name."""
        return {f.name: (encoder, f) for encoder in self.encoders for f in encoder.fields}

    @property
    def embeds(self) -> bool:
        """Whether Vespa makes vectors of texts by itself, with the current encoder."""
        return bool(self.encoders and self.encoders[0].embedder)

    def names(self) -> tuple[str, ...]:
        """Names of the profiles."""
        return tuple(self.profiles)

    def resolve(self, name: str) -> ServedProfile:
        """The profile of this name. Raises QueryError naming those there are."""
        try:
            return self.profiles[name]
        except KeyError:
            raise QueryError(
                f"The application has no rank profile {name!r}; it has "
                f"{', '.join(sorted(self.profiles))}."
            ) from None


def read_application(package: str | Path) -> Application:
    """Read what the package in this folder offers.

    Raises PackageError if it is no package of this project, EngineError if it has vectors
    that this version does not know.
    """
    package = Path(package)
    facts = read_schema(package)
    parents = {
        name: settings[0].partition(" inherits ")[2].strip()
        for name, settings in facts.rank_profiles.items()
    }
    queries = {
        path.stem: query_profile_fields(path)
        for path in sorted((package / QUERY_PROFILES).glob("*.xml"))
    }
    default = queries.get("default", {})
    encoders = _current_first(_encoders(facts, package / "services.xml", default), parents)
    schema = (package / PACKAGE_FILES[0]).read_text(encoding="utf-8")
    id_summary = _ID_SUMMARY.search(schema)
    return Application(
        profiles=dict(_served(facts, parents, queries, encoders)),
        encoders=tuple(encoders.values()),
        default_profile=default.get("ranking.profile", "lexical"),
        id_summary=id_summary[1] if id_summary else "",
        max_hits=int(default.get("maxHits", MAX_HITS)),
        attributes=tuple(
            parse_attribute(f"{name.removeprefix(OWN_FIELD)}:{kind}")
            for name, kind in default.items()
            if name.startswith(OWN_FIELD)
        ),
        calibration=Calibration.read(package / CALIBRATION_FILE),
    )


def _encoders(
    facts: SchemaFacts, services: Path, defaults: Mapping[str, str]
) -> dict[str, ServedEncoder]:
    components = services.read_text(encoding="utf-8") if services.is_file() else ""
    found: dict[str, ServedEncoder] = {}
    for name, column in facts.fields.items():
        names = vector_field_names(name)
        if names is None:
            continue
        field = _vector_field(column, defaults.get(fingerprint_key(names.short), ""))
        if (known := found.get(names.short)) is not None:
            found[names.short] = replace(known, others=(*known.others, field))
            continue
        embedder = names.embedder if f'id="{names.embedder}"' in components else ""
        found[names.short] = ServedEncoder(names.short, field, embedder)
    return found


def _vector_field(column: FieldFacts, fingerprint: str) -> VectorField:
    tensor = _TENSOR.fullmatch(column.type)
    distance = column.value("attribute distance-metric") or "prenormalized-angular"
    if not tensor or tensor[1] not in get_args(CellType) or distance not in get_args(Distance):
        raise EngineError(
            f"The vector field {column.name} is a {column.type} with the distance metric "
            f"{distance}, which this version does not know."
        )
    return VectorField(
        column.name,
        int(tensor[3]),
        fingerprint,
        cell_type=cast(CellType, tensor[1]),
        distance=cast(Distance, distance),
        labels=tensor[2] or "",
    )


def _current_first(
    encoders: Mapping[str, ServedEncoder], parents: Mapping[str, str]
) -> dict[str, ServedEncoder]:
    """The encoder to which the plain profile names point comes first."""
    for name, parent in parents.items():
        match = _SUFFIXED.fullmatch(parent)
        if match and match[1] == name and match[2] in encoders:
            return {match[2]: encoders[match[2]], **encoders}
    return dict(encoders)


def query_profile_fields(path: Path) -> dict[str, str]:
    """The fields of a query profile's file. Raises PackageError if it is none."""
    root = read_xml(path)
    return {item.get("name", ""): (item.text or "").strip() for item in root.iter("field")}


def _served(
    facts: SchemaFacts,
    parents: Mapping[str, str],
    queries: Mapping[str, Mapping[str, str]],
    encoders: Mapping[str, ServedEncoder],
) -> Iterator[tuple[str, ServedProfile]]:
    for name in facts.rank_profiles:
        # `hybrid` is empty but for the `hybrid_1a2b3c4d` it inherits; that one has the expressions.
        parent = _SUFFIXED.fullmatch(parents[name])
        own = parents[name] if parent and parent[1] == name else name
        suffixed = _SUFFIXED.fullmatch(own)
        encoder = encoders.get(suffixed[2]) if suffixed else None
        plain = suffixed[1] if suffixed and encoder else name
        if plain == BASE:
            continue
        content = "\n".join(facts.rank_profiles[own])
        reads = _reads(content)
        yql = queries.get(plain, {}).get("yql", "")
        yield (
            name,
            ServedProfile(
                name=name,
                retrieve=_retrieves(yql) or tuple(sorted(reads)),
                texts=_texts(yql, content),
                reads=reads,
                inputs=frozenset(_INPUT.findall(content)),
                encoder=encoder,
                named=_named(content, encoders),
                patches=_patches(content),
            ),
        )


def _patches(content: str) -> str:
    found = _PATCHES.search(content)
    return f"patches_{found[1] or found[2]}" if found else ""


def _reads(content: str) -> frozenset[Retriever]:
    found: set[Retriever] = set()
    if "bm25(" in content:
        found.add("text")
    if _COMPARED.search(content):
        found.add("vector")
    return frozenset(found)


def _named(content: str, encoders: Mapping[str, ServedEncoder]) -> tuple[str, ...]:
    """Vector fields that the profile reads, in the schema's order."""
    found = {name for names in _COMPARED.findall(content) for name in names}
    return tuple(f.name for each in encoders.values() for f in each.fields if f.name in found)


def _texts(yql: str, content: str) -> tuple[str, ...]:
    named = _TEXT_FIELD.search(yql)
    searched = named[1] if named else TEXTS[0]
    read = set(_BM25.findall(content))
    return (searched, *sorted(read - {searched}))


def _retrieves(yql: str) -> tuple[Retriever, ...]:
    words: tuple[tuple[Retriever, str], ...] = (
        ("text", "userInput"),
        ("vector", "nearestNeighbor"),
    )
    return tuple(name for name, word in words if word in yql)
