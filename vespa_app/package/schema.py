"""Write the schema `image`: one document per image, one vector field per encoder."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from vespa.package import (
    HNSW,
    Document,
    DocumentSummary,
    Field,
    FieldSet,
    OnnxModel,
    RankProfile,
    Schema,
    Summary,
)

from encoders.inference.reranker import RERANKER_GRAPH, RerankerManifest
from encoders.model.manifest import Manifest, check_file
from ranking.names import ROLES, EncoderNames, encoder_names
from ranking.types import DOCUMENT_FIELDS, MULTIVALUED, TEXTS, Attribute, AttributeType
from vespa_app.package.names import SCHEMA_NAME
from vespa_app.package.options import PackageError, VectorOptions

__all__ = ["image_schema"]

VESPA_TYPES: Mapping[AttributeType, str] = {"int": "long", "date": "long", "float": "double"}


def image_schema(
    encoders: Mapping[Manifest, Collection[str]],
    vectors: VectorOptions,
    rank_profiles: Sequence[RankProfile],
    summaries: Mapping[str, tuple[str, ...]],
    attributes: Sequence[Attribute] = (),
    rerankers: Mapping[Path, RerankerManifest] = {},
) -> Schema:
    """The schema with the fields of every encoder, side by side, and those of one's own.

    encoders: each with what its vectors are of (`ranking.names.ROLES`). rerankers: by their
    folders. Raises PackageError where a summary class names an unknown field.
    """
    fields = [*_common_fields(), *(field for own in attributes for field in _own_fields(own))]
    for manifest, roles in encoders.items():
        fields += _encoder_fields(manifest, vectors, roles)
    return Schema(
        name=SCHEMA_NAME,
        document=Document(fields=fields),
        fieldsets=[FieldSet(name="default", fields=["caption"])],
        rank_profiles=list(rank_profiles),
        models=[_onnx_model(folder, manifest) for folder, manifest in rerankers.items()],
        document_summaries=_summaries(summaries, {field.name for field in fields}),
    )


def _common_fields() -> list[Field]:
    return [
        # Stems and tokens depend on the language; left to detection, 63 of the 300 most frequent
        # concept words of ROCO match other documents. It must stand before the text fields.
        Field(name="language", type="string", indexing=['"en"', "set_language"]),
        _keyword("id"),
        *(_text(name, *(["summary"] if name in DOCUMENT_FIELDS else [])) for name in TEXTS),
        _flag("has_caption"),
        *(_keyword(name, "array<string>") for name in sorted(MULTIVALUED)),
        Field(name="concept_names", type="array<string>", indexing=["summary"]),
        _keyword("group_id"),
        _keyword("modality"),
        _keyword("source"),
        _keyword("licence"),
        _keyword("split"),
        Field(name="image_url", type="string", indexing=["summary"]),
    ]


def _own_fields(own: Attribute) -> list[Field]:
    """A number goes with a flag: where it is missing, an expression reads NaN."""
    if own.type == "text":
        return [_text(own.name, "summary")]
    if own.type == "keyword":
        return [_keyword(own.name)]
    if own.type == "bool":
        return [_flag(own.name)]
    number = Field(
        name=own.name,
        type=VESPA_TYPES[own.type],
        indexing=["attribute", "summary"],
        attribute=["fast-search"],
    )
    return [number, _flag(f"has_{own.name}")]


def _encoder_fields(
    manifest: Manifest, vectors: VectorOptions, roles: Collection[str]
) -> list[Field]:
    names = encoder_names(manifest.fingerprint)
    return [
        *(_vector(names, role, manifest.dimension, vectors) for role in ROLES if role in roles),
        _keyword(names.fingerprint),
        *([_flag(names.has_vector)] if "embedding" in roles else []),
    ]


def _vector(names: EncoderNames, role: str, dimension: int, vectors: VectorOptions) -> Field:
    metric = f"distance-metric: {vectors.distance}"
    paged = ["paged"] if vectors.paged else []
    labels = f"{ROLES[role]}{{}}," if ROLES[role] else ""
    tensor = f"tensor<{vectors.cell_type}>({labels}x[{dimension}])"
    if not vectors.hnsw or role == "patches":  # nothing is found by patches
        return Field(
            name=names.field(role), type=tensor, indexing=["attribute"], attribute=[metric, *paged]
        )
    return Field(
        name=names.field(role),
        type=tensor,
        indexing=["attribute", "index"],
        attribute=paged or None,
        ann=HNSW(
            distance_metric=vectors.distance,
            max_links_per_node=vectors.links,
            neighbors_to_explore_at_insert=vectors.explore_at_insert,
        ),
    )


def _onnx_model(folder: Path, manifest: RerankerManifest) -> OnnxModel:
    names = encoder_names(manifest.encoder)
    inputs = {side: names.reranker_input(side) for side in ("tokens", "patches")}
    graph = folder / RERANKER_GRAPH
    check_file(graph, manifest.graph_sha256)
    return OnnxModel(names.reranker, str(graph), inputs, {"score": "score"})


def _text(name: str, *shown: str) -> Field:
    return Field(
        name=name,
        type="string",
        indexing=["index", *shown],
        index="enable-bm25",
        stemming="best",
    )


def _keyword(name: str, kind: str = "string") -> Field:
    """A field that filters and groups: kept as it is, in memory, with a dictionary.

    Without `cased` Vespa would take id "a1" for "A1"; the embedded engine does not.
    """
    return Field(
        name=name,
        type=kind,
        indexing=["attribute", "summary"],
        match=["word", "cased"],
        attribute=["fast-search"],
        rank="filter",
    )


def _flag(name: str) -> Field:
    return Field(name=name, type="bool", indexing=["attribute", "summary"])


def _summaries(summaries: Mapping[str, tuple[str, ...]], known: set[str]) -> list[DocumentSummary]:
    for name, fields in summaries.items():
        unknown = [field for field in fields if field not in known]
        if unknown or not fields:
            raise PackageError(
                f"Summary class {name!r} names {', '.join(unknown) or 'no field'}; "
                f"the schema has {', '.join(sorted(known - {'language'}))}."
            )
    return [
        DocumentSummary(name=name, summary_fields=[Summary(field) for field in fields])
        for name, fields in summaries.items()
    ]
