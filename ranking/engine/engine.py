"""The embedded engine: the facade over an index on disk or documents in memory.

It gives what Vespa gives for the same profiles and documents; docs/engine.md says where the
two differ. Queries need no lock: each works on one reader, which never changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from encoders.base.progress import Progress, silent
from encoders.inference.reranker import Reranker
from ranking.document_checks import collect, fault, named, several, with_vectors
from ranking.engine.candidates import Route
from ranking.engine.exact import ExactSearch
from ranking.engine.kernels import loader
from ranking.engine.kernels.loader import DamagedError
from ranking.engine.plan import Plan, make_plan
from ranking.engine.reader import IndexReader
from ranking.engine.search import search
from ranking.engine.segment.segment import Segment, segment_arrays
from ranking.engine.store import snapshot
from ranking.engine.store.merge_policy import Part, merged, without
from ranking.engine.store.writer import (
    Change,
    add_encoder,
    check_source,
    publish,
    write_segment,
    writing,
)
from ranking.names import ROLES
from ranking.profiles.cosine import in_metric
from ranking.profiles.shipped import SHIPPED, ProfileSet, save_profiles
from ranking.query_checks import check_types
from ranking.types import (
    TEXTS,
    Attribute,
    Document,
    EngineError,
    EngineInfo,
    FeedReport,
    Query,
    QueryError,
    Result,
    VectorField,
)

__all__ = ["EmbeddedEngine", "RouteName"]

RouteName = Literal["exact", "native"]
"""How candidates are found: looking at every document, or by the native core."""

# All ids are decoded where that many times the hits wanted are more.
DECODED = 4
# A task of a thread pool costs about as much as a query.
QUERIES_A_TASK = 32


class EmbeddedEngine:
    """An `Engine` without a server. Make one with `open`, `build` or `in_memory`."""

    def __init__(
        self, reader: IndexReader, profiles: ProfileSet, route: RouteName | None = None
    ) -> None:
        """Use `open`, `build` or `in_memory`."""
        self.path: Path | None = None
        self.encoder_folder: Path | None = None
        self._reader = reader
        self._route = _route(route)
        self._described: Mapping[str, tuple[int, str]] = {}
        self._index = ""
        self._stamp = (0, 0)
        self.profiles = profiles

    @classmethod
    def in_memory(
        cls,
        documents: Iterable[Document],
        vector_fields: Sequence[VectorField] = (),
        profiles: ProfileSet = SHIPPED,
        *,
        attributes: Sequence[Attribute] = (),
        route: RouteName | None = None,
    ) -> EmbeddedEngine:
        """Index documents in memory.

        attributes: fields of one's own. route: the native one unless told, or where it was not
        compiled, the exact one.
        Raises EngineError naming a document that cannot be indexed: no id, an id used twice,
        a vector of the wrong length or with a number that is not finite.
        """
        listed = collect(documents, vector_fields, silent, attributes)
        arrays = segment_arrays(listed, vector_fields, attributes=attributes)
        segment = Segment("memory", arrays, vector_fields, attributes)
        return cls(IndexReader([(segment, None)], vector_fields, attributes), profiles, route)

    @classmethod
    def build(
        cls,
        path: str | Path,
        documents: Iterable[Document],
        vector_fields: Sequence[VectorField] = (),
        profiles: ProfileSet = SHIPPED,
        *,
        attributes: Sequence[Attribute] = (),
        encoder: str | Path | None = None,
        captions: str | Path | None = None,
        progress: Progress = silent,
    ) -> EmbeddedEngine:
        """Write an index of the documents to `path` and open it.

        attributes: fields of one's own. encoder: the folder of the encoder that made the vectors;
        it becomes part of the index; so does captions: that of the encoder of captions, where it
        is another one.
        An index already at `path` stays in use until the new one is whole. Raises EngineError
        as `in_memory` does, where another process is writing, and where the disk is full.
        """
        path = Path(path)
        encoder = Path(encoder) if encoder else None
        reader = Path(captions) if captions else None
        if reader is not None and encoder is None:
            raise EngineError("An encoder of captions stands beside that of images: name both.")
        if encoder is not None:
            check_source(encoder, reader)
        with writing(path, new=True):
            listed = collect(documents, vector_fields, progress, attributes)
            progress("index", 0, 1)
            arrays = segment_arrays(listed, vector_fields, attributes=attributes)
            segment = write_segment(path, arrays)
            name = ""
            if encoder is not None:
                name = add_encoder(path, encoder, reader)
            written = partial(save_profiles, profiles)
            change = Change(vector_fields, attributes, [(segment, None)], written, name)
            publish(path, change)
            progress("index", 1, 1)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path, *, route: RouteName | None = None) -> EmbeddedEngine:
        """Open an index by memory map: read-only, and in a moment whatever its size.

        route: the native one unless told, or where it was not compiled, the exact one.
        Raises EngineError if `path` is no index, is damaged, or only half written.
        """
        path = Path(path)
        engine = cls(IndexReader([], ()), SHIPPED, route)
        engine._load(path)
        return engine

    def refresh(self) -> bool:
        """Switch to a newer generation, written by another process; return whether there was one.

        While an index is not in its place (a swap exchanges two), the old one stays. Raises
        EngineError if the new one has another encoder's vectors, which the caller does not have.
        """
        if self.path is None or snapshot.stamp(self.path) in {self._stamp, snapshot.NOWHERE}:
            return False
        self._load(self.path)
        return True

    def _load(self, path: Path) -> None:
        opened = snapshot.open_snapshot(path, {each.name: each for each, _ in self._reader.parts})
        if self.path is not None and _encoders(opened.generation.fields) != _encoders(
            self._reader.fields
        ):
            raise EngineError(
                f"{path} now has the vectors of another encoder: open it again, and search with "
                "that encoder."
            )
        self.path = path
        self.profiles = opened.profiles
        self.encoder_folder = opened.encoder
        self._described = opened.generation.files
        self._index = opened.generation.index
        self._reader = IndexReader(
            opened.parts, opened.generation.fields, opened.generation.attributes
        )
        self._stamp = opened.stamp

    @property
    def profiles(self) -> ProfileSet:
        """The rank profiles, as they were given or as the snapshot carries them."""
        return self._profiles

    @profiles.setter
    def profiles(self, profiles: ProfileSet) -> None:
        self._profiles = profiles
        self._plans: dict[str, Plan] = {}

    @property
    def index_id(self) -> str:
        """The id that it got when it was built; "" in memory."""
        return self._index

    @property
    def average_field_lengths(self) -> dict[str, float]:
        """Mean number of tokens of each text field, over the documents that have it."""
        return {text: found.average_length for text, found in self._reader.texts.items()}

    def info(self) -> EngineInfo:
        """Fingerprints, counts and profiles."""
        self.refresh()
        resolved = map(self.profiles.resolve, self.profiles.names())
        return EngineInfo(
            documents=self._reader.count,
            vector_fields=self._reader.fields,
            profiles=tuple(self.profiles.names()),
            default_profile=self.profiles.default,
            text_profiles=tuple(each.name for each in resolved if not each.uses_vector),
            attributes=self._reader.own_fields,
            details={
                "engine": "embedded",
                "id": self._index,
                "segments": len(self._reader.parts),
                "average_field_length": self.average_field_lengths[TEXTS[0]],
            },
        )

    def count(self) -> int:
        """Documents that can be found now."""
        self.refresh()
        return self._reader.count

    def ids(self) -> Iterator[str]:
        """Ids of all documents, each once."""
        self.refresh()
        return self._reader.ids()

    def documents(self) -> Iterator[Document]:
        """All documents, each once, without their vectors."""
        self.refresh()
        return self._reader.documents()

    def get(self, identifier: str) -> Document | None:
        """The document with its vectors, or None if there is none."""
        self.refresh()
        number = self._reader.number(identifier)
        return None if number is None else self._reader.document(number, with_vectors=True)

    def search(self, query: Query) -> Result:
        """Answer one query, to its end; a result that took longer than its time-out says so.

        Raises QueryError if the query is at fault, EngineError if the index is damaged.
        """
        check_types(query)
        self.refresh()
        return self._answer(query)

    def search_many(self, queries: Sequence[Query]) -> list[Result]:
        """Answer many queries, results in their order, on all cores."""
        for query in queries:
            check_types(query)
        self.refresh()
        if DECODED * sum(query.k for query in queries) > self._reader.size:
            self._reader.decode_ids()
        some = [queries[n : n + QUERIES_A_TASK] for n in range(0, len(queries), QUERIES_A_TASK)]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return [found for part in pool.map(self._answer_some, some) for found in part]

    def _answer_some(self, queries: Sequence[Query]) -> list[Result]:
        return [self._answer(query) for query in queries]

    def _answer(self, query: Query) -> Result:
        try:
            return search(self._reader, self._plan(query.profile), query, self._route)
        except DamagedError as error:
            where = "in memory" if self.path is None else self.path
            raise EngineError(f"The index {where} is damaged ({error}): build it again.") from None

    def _plan(self, name: str) -> Plan:
        plan = self._plans.get(name)
        if plan is None:
            if name not in self.profiles.names():
                there = ", ".join(self.profiles.names())
                raise QueryError(f"There is no profile {name or repr(name)}; there are {there}.")
            fields = self._reader.fields
            profile = self.profiles.resolve(name)
            profile = in_metric(profile, fields[0].distance) if fields else profile
            reranker = self._reranker(fields) if profile.reranks else None
            plan = make_plan(profile, fields, self._reader.attributes, reranker)
            self._plans[name] = plan
        return plan

    def _reranker(self, fields: Sequence[VectorField]) -> Reranker | None:
        folder, labels = self.encoder_folder, ROLES["patches"]
        made = next((field.fingerprint for field in fields if field.labels == labels), "")
        return Reranker.load(folder, made) if folder else None

    def feed(self, documents: Iterable[Document]) -> FeedReport:
        """Add documents, replacing those of the same id; they can be found when it returns."""
        with self._writing():
            return self._feed(documents, [])

    def update(self, documents: Iterable[Document]) -> FeedReport:
        """Add or replace vectors of existing documents; an absent id is reported as failed."""
        with self._writing():
            changed, failed = [], []
            for update in several(documents, "documents"):
                reason = fault(update, self._reader.fields, self._reader.own_fields)
                number = None if reason else self._reader.number(update.id)
                if number is None:
                    failed.append((named(update), reason or "there is no such document"))
                    continue
                changed.append(
                    with_vectors(self._reader.document(number, with_vectors=True), update)
                )
            return self._feed(changed, failed)

    def remove(self, identifiers: Iterable[str]) -> int:
        """Remove documents; return how many were there."""
        with self._writing():
            wanted = several(identifiers, "ids")
            numbers = {self._reader.number(identifier) for identifier in wanted} - {None}
            found = [number for number in numbers if number is not None]
            if found:
                self._commit(without(self._reader, found))
            return len(found)

    def _feed(self, documents: Iterable[Document], failed: list[tuple[str, str]]) -> FeedReport:
        good: dict[str, Document] = {}
        ok = 0
        for document in several(documents, "documents"):
            reason = fault(document, self._reader.fields, self._reader.own_fields)
            if reason:
                failed.append((named(document), reason))
                continue
            good[document.id] = document
            ok += 1
        if good:
            old = [n for name in good if (n := self._reader.number(name)) is not None]
            fresh = (self._segment(list(good.values())), None)
            self._commit([*without(self._reader, old), fresh])
        return FeedReport(ok, tuple(failed))

    def _segment(self, documents: Sequence[Document]) -> Segment:
        fields, attributes = self._reader.fields, self._reader.own_fields
        arrays = segment_arrays(documents, fields, attributes=attributes)
        if self.path is None:
            return Segment("memory", arrays, fields, attributes)
        name = write_segment(self.path, arrays)
        return snapshot.open_segment(self.path, name, fields, attributes)

    def _commit(self, parts: Sequence[Part]) -> None:
        fields, attributes = self._reader.fields, self._reader.own_fields
        parts = merged(parts, self._segment)
        if self.path is None:
            self._reader = IndexReader(parts, fields, attributes)
            return
        change = Change(
            fields,
            attributes,
            [(segment.name, alive) for segment, alive in parts],
            partial(save_profiles, self.profiles),
            self.encoder_folder.name if self.encoder_folder else "",
            self._index,
            self._described,
        )
        publish(self.path, change)
        self._load(self.path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if self.path is None:
            yield
            return
        with writing(self.path):
            self.refresh()
            yield


def _route(name: RouteName | None) -> Route:
    """Raises EngineError if the native route is asked for and was not compiled."""
    if name == "exact" or not loader.available():
        if name == "native":
            raise EngineError(
                "The native core was not compiled: install a C++ compiler and rocosearch again."
            )
        return ExactSearch
    from ranking.engine.native import NativeSearch  # noqa: PLC0415 - needs the compiled core

    return NativeSearch


def _encoders(fields: Iterable[VectorField]) -> set[tuple[str, str]]:
    return {(field.name, field.fingerprint) for field in fields}
