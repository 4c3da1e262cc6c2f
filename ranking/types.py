"""Documents, queries, results, and the Engine interface.

`EmbeddedEngine` (ranking/engine/engine.py) and `VespaEngine` (vespa_app/engine.py) both satisfy
`Engine`; tests/engine_contract runs one suite over both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from encoders.base.errors import UserError
from ranking.cell_types import CellType
from ranking.distances import Distance

__all__ = [
    "DOCUMENT_FIELDS",
    "FILTER_FIELDS",
    "MULTIVALUED",
    "OF_CAPTION",
    "TEXTS",
    "Attribute",
    "AttributeType",
    "Comparison",
    "Coverage",
    "Document",
    "Engine",
    "EngineError",
    "EngineInfo",
    "FeedReport",
    "Filter",
    "Hit",
    "Matching",
    "Profiles",
    "Query",
    "QueryError",
    "RankProfile",
    "Result",
    "Retriever",
    "Sort",
    "Value",
    "VectorField",
]

Matching = Literal["or", "weakAnd"]
Retriever = Literal["text", "vector"]
AttributeType = Literal["text", "keyword", "int", "float", "date", "bool"]
Comparison = Literal["=", ">=", ">", "<=", "<"]
Value = str | int | float | bool
"""What a field of one's own holds; a date as text, 2019-12-31."""

FILTER_FIELDS = (
    "id",
    "concepts",
    "predicted_concepts",
    "group_id",
    "modality",
    "source",
    "licence",
    "split",
)
"""Fields that every document can be filtered by, beside those of one's own."""


OF_CAPTION = ("caption", "affirmed", "negated")
"""Text fields that are made of the caption, and hidden with it."""

TEXTS = (*OF_CAPTION, "pseudo_caption")
"""Text fields of a document, each with an inverted index and a BM25 of its own."""

MULTIVALUED: frozenset[str] = frozenset({"concepts", "predicted_concepts"})
"""Filter fields of which a document may have several values; they neither sort nor group."""


class EngineError(UserError):
    """The engine cannot do what was asked, or its data is damaged."""


class QueryError(UserError):
    """The query is at fault: an unknown profile, a vector of the wrong length, ..."""


@dataclass(frozen=True)
class VectorField:
    """One vector field of the schema; `name` and `fingerprint` follow from its encoder.

    labels: the name of the labels' dimension ("frame") where a document has several vectors under
    labels; "" where it has one.
    """

    name: str
    dimension: int
    fingerprint: str = ""
    cell_type: CellType = "float"
    distance: Distance = "prenormalized-angular"
    labels: str = ""


@dataclass(frozen=True)
class Attribute:
    """A field of one's own; ranking/attributes.py says what each type takes.

    source: what a record's other fields call it.
    """

    name: str
    type: AttributeType
    source: str = field(default="", compare=False)


@dataclass(frozen=True)
class Document:
    """What an engine stores of one image.

    `vectors` maps the name of a vector field to float32 [dimension]; a document without an
    image, or not yet embedded by an encoder, has no entry. `labelled` maps the name of a field of
    several vectors to those, by label. `caption` is None or "" where the source has none.
    `predicted_concepts` and `pseudo_caption` are what an encoder says of the image (`rocosearch
    label`), never judgements.
    `attributes`: values of one's own fields, those that it has.
    """

    id: str
    caption: str | None = None
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    concepts: tuple[str, ...] = ()
    concept_names: tuple[str, ...] = ()
    group_id: str = ""
    modality: str = ""
    source: str = ""
    licence: str = ""
    split: str = ""
    image_url: str = ""
    labelled: Mapping[str, Mapping[str, NDArray[np.float32]]] = field(default_factory=dict)
    predicted_concepts: tuple[str, ...] = ()
    pseudo_caption: str = ""
    attributes: Mapping[str, Value] = field(default_factory=dict)

    def content(self) -> dict[str, object]:
        """Every field but id and vectors, as JSON has them; one's own are named as they are."""
        found = {name: getattr(self, name) for name in DOCUMENT_FIELDS}
        listed = {name: list(v) if isinstance(v, tuple) else v for name, v in found.items()}
        return {**listed, **self.attributes}


DOCUMENT_FIELDS = tuple(
    f.name for f in fields(Document) if f.name not in {"id", "vectors", "labelled", "attributes"}
)
"""What is shown of every document beside its id."""


@dataclass(frozen=True)
class Filter:
    """Keep documents whose field has any of the values; with `exclude`, those that have none.

    comparison: how a document's value lies to a value; other than "=" for numbers and dates alone.
    Of these a value may be a range too: "40..60", "..60", both ends included. A text has a value
    where its words stand in it next to each other. A missing value meets no condition.
    """

    field: str
    values: tuple[str, ...]
    exclude: bool = False
    comparison: Comparison = "="


@dataclass(frozen=True)
class Sort:
    """Hits in order of a field's value, of equal values the best score first.

    Numbers and dates that are missing come last.
    """

    field: str
    descending: bool = False


@dataclass(frozen=True)
class Query:
    """One search.

    text: what a person typed; plain words unless `operators` (phrases, +must, -not, field:term).
    vector: float32 [dimension] for the profile's vector fields, made by the index's encoder;
    vectors: by field, where a profile compares those of several encoders, in place of `vector`; for
    patches [tokens, dimension], which `max_sim` and `rerank` compare.
    inputs: values of the profile's `query()` numbers; what is absent takes the profile's default.
    k: hits wanted, after the first `offset`. sort: by a field's value instead of the score.
    target_hits: how many nearest neighbours, or weakAnd hits, to retrieve.
    expansions: terms, as the index holds them, that words of the text are also said by, each with
    a weight above 0 and up to 1: a match counts that much of what a word of the text would. Not
    with operators.
    min_score: hits of a lower score are left out. min_closeness: vectors find nothing farther.
    facets: fields whose values are counted over all documents that matched.
    hidden_captions: ids whose bm25 of the caption, or of its parts, and has_caption read as 0
    while statistics stay as they are (evaluation).
    group_by: keep the best hit of each value of this field, and all without a value. timeout:
    seconds.
    """

    text: str = ""
    vector: NDArray[np.float32] | None = None
    profile: str = "hybrid"
    inputs: Mapping[str, float] = field(default_factory=dict)
    k: int = 10
    offset: int = 0
    sort: Sort | None = None
    target_hits: int = 100
    matching: Matching = "or"
    operators: bool = False
    filters: tuple[Filter, ...] = ()
    exclude_ids: frozenset[str] = frozenset()
    hidden_captions: frozenset[str] = frozenset()
    group_by: str | None = None
    min_score: float | None = None
    min_closeness: float | None = None
    facets: tuple[str, ...] = ()
    expansions: Mapping[str, float] = field(default_factory=dict)
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    timeout: float = 10.0
    with_documents: bool = True


@dataclass(frozen=True)
class Coverage:
    """How much of the corpus the answer looked at; `degraded` names why it is not all of it."""

    percent: float = 100.0
    documents: int = 0
    degraded: tuple[str, ...] = ()

    @property
    def full(self) -> bool:
        """Whether every document was looked at."""
        return not self.degraded and self.percent >= 100.0


@dataclass(frozen=True)
class Hit:
    """One row of a result; `features` are the profile's match-features.

    closest: `closest(FIELD)` among them -> the label of the nearest vector, "" where there is none.
    frames: closeness of each of its labelled vectors, where `Searcher.search` was asked for it.
    probability: that it is right, NaN where that is not known (ranking/calibration.py).
    """

    id: str
    score: float
    features: Mapping[str, float]
    document: Document | None = None
    closest: Mapping[str, str] = field(default_factory=dict)
    frames: Mapping[str, float] = field(default_factory=dict)
    probability: float = math.nan

    @property
    def picture(self) -> str:
        """The record whose picture stands for it: of a study's images, the nearest."""
        return next(filter(None, self.closest.values()), self.id)


@dataclass(frozen=True)
class Result:
    """Hits by descending score, ties by ascending id, as columns.

    ids and scores have length n <= k; each array of `features` too; `documents` has length n,
    or 0 where the query did not ask for them. closest: labels of nearest vectors, by the name of
    the match feature, each of length n. frames, probabilities: as `Hit` has them. total:
    documents that matched. facets: for each field asked for, its values with how many of those
    have them, most frequent first. timing: seconds by stage. warnings: what the person who asked
    should know (a query without a known word).
    """

    ids: tuple[str, ...]
    scores: NDArray[np.float64]
    features: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    documents: tuple[Document, ...] = ()
    total: int = 0
    facets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    coverage: Coverage = Coverage()
    timing: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    closest: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    frames: tuple[Mapping[str, float], ...] = ()
    probabilities: tuple[float, ...] = ()

    def __repr__(self) -> str:
        """The number of hits and the best of them; the columns can be long."""
        best = f", best {self.ids[0]} ({self.scores[0]:.4g})" if self.ids else ""
        return f"<Result: {len(self)} of {self.total:,} matches{best}>"

    def _repr_html_(self) -> str:
        from ranking.html import result_table  # noqa: PLC0415 - it speaks of results

        return result_table(self)

    def __len__(self) -> int:
        """Return the number of hits."""
        return len(self.ids)

    def only(self, kept: NDArray[np.bool_]) -> Result:
        """The same with the marked hits alone; bool [n]."""
        rows = np.flatnonzero(kept).tolist()

        def some(values: Sequence[Any]) -> tuple[Any, ...]:
            return tuple(values[row] for row in rows) if len(values) else ()

        return replace(
            self,
            ids=some(self.ids),
            scores=self.scores[kept],
            features={name: values[kept] for name, values in self.features.items()},
            documents=some(self.documents),
            closest={name: some(labels) for name, labels in self.closest.items()},
            frames=some(self.frames),
            probabilities=some(self.probabilities),
        )

    @property
    def hits(self) -> tuple[Hit, ...]:
        """The same as rows."""
        return tuple(self)

    def __iter__(self) -> Iterator[Hit]:
        """Iterate over the hits, best first."""
        for row, identifier in enumerate(self.ids):
            yield Hit(
                id=identifier,
                score=float(self.scores[row]),
                features={name: float(values[row]) for name, values in self.features.items()},
                document=self.documents[row] if self.documents else None,
                closest={name: labels[row] for name, labels in self.closest.items()},
                frames=self.frames[row] if self.frames else {},
                probability=self.probabilities[row] if self.probabilities else math.nan,
            )


@dataclass(frozen=True)
class FeedReport:
    """What became of the documents fed: `failed` has (id, reason)."""

    ok: int = 0
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class EngineInfo:
    """What an engine holds: its vector fields (with fingerprints), profiles and counts.

    text_profiles: those that look at no vector. attributes: fields of one's own.
    """

    documents: int
    vector_fields: tuple[VectorField, ...]
    profiles: tuple[str, ...]
    default_profile: str
    text_profiles: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    details: Mapping[str, str | int | float] = field(default_factory=dict)


class RankProfile(Protocol):
    """What every engine tells of a profile."""

    @property
    def text(self) -> str:
        """The text field that words are looked for in, "" for the caption."""

    @property
    def retrieve(self) -> tuple[Retriever, ...]:
        """What it finds candidates by."""

    @property
    def late(self) -> bool:
        """Whether it compares the query's tokens with patches."""

    @property
    def roles(self) -> tuple[str, ...]:
        """What the vectors that it compares are of (`ranking.names.ROLES`)."""


class Profiles(Protocol):
    """An engine's profiles: those it evaluates itself, or those of the package deployed."""

    def names(self) -> tuple[str, ...]:
        """Those that a query can ask for."""

    def resolve(self, name: str) -> RankProfile:
        """The profile of this name; raises where there is none."""


class Engine(Protocol):
    """What search, feeding and evaluation need of an engine."""

    @property
    def profiles(self) -> Profiles:
        """Its rank profiles."""

    @property
    def index_id(self) -> str:
        """What an index got when it was built, and keeps while documents come and go; else ""."""

    def info(self) -> EngineInfo:
        """Fingerprints, counts and profiles."""

    def count(self) -> int:
        """Documents that can be found now."""

    def ids(self) -> Iterator[str]:
        """Ids of all documents, each once."""

    def get(self, identifier: str) -> Document | None:
        """The document, or None if there is none."""

    def feed(self, documents: Iterable[Document]) -> FeedReport:
        """Add documents, replacing those of the same id."""

    def update(self, documents: Iterable[Document]) -> FeedReport:
        """Add or replace vectors of existing documents; an absent id is reported as failed.

        Only `id`, `vectors` and `labelled` are looked at (a field's labels are replaced as a
        whole): a caption is changed by feeding the document.
        """

    def remove(self, identifiers: Iterable[str]) -> int:
        """Remove documents; return how many were there."""

    def search(self, query: Query) -> Result:
        """Answer one query.

        Raises QueryError if the query is at fault, EngineError if the engine is.
        """

    def search_many(self, queries: Sequence[Query]) -> list[Result]:
        """Answer many queries, results in the order of the queries."""
