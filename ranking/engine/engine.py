"""The embedded engine: search in this process, over a snapshot on disk or documents in memory.

It gives what Vespa gives for the same profiles and documents; docs/engine.md says where the
two differ. Readers need no lock: a query works on one view, which never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from encoders.base.progress import Progress, silent
from encoders.model.manifest import Manifest
from ranking.engine.compiled.batch import answer_many, answer_one
from ranking.engine.plan import Plan, make_plan
from ranking.engine.segment.segment import Segment, segment_arrays
from ranking.engine.store import snapshot
from ranking.engine.store.merge_policy import Part, merged, without
from ranking.engine.store.validate import collect, fault, with_vectors
from ranking.engine.store.writer import Change, add_encoder, publish, write_segment, writing
from ranking.engine.view import View
from ranking.profiles.cosine import in_metric
from ranking.profiles.shipped import SHIPPED, ProfileSet, save_profiles
from ranking.types import (
    Document,
    EngineError,
    EngineInfo,
    FeedReport,
    Query,
    QueryError,
    Result,
    VectorField,
)

__all__ = ["EmbeddedEngine"]


class EmbeddedEngine:
    """An `Engine` without a server. Make one with `open`, `build` or `in_memory`."""

    def __init__(self, view: View, profiles: ProfileSet) -> None:
        """Use `open`, `build` or `in_memory`."""
        self.path: Path | None = None
        self.encoder_folder: Path | None = None
        self._view = view
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
        exact: bool = False,
    ) -> EmbeddedEngine:
        """Index documents in memory.

        exact: compare every vector with the query's, however many there are.
        Raises EngineError naming a document that cannot be indexed: no id, an id used twice,
        a vector of the wrong length or with a number that is not finite.
        """
        listed = collect(documents, vector_fields, silent)
        segment = Segment("memory", segment_arrays(listed, vector_fields), vector_fields)
        return cls(View([(segment, None)], vector_fields, exact=exact), profiles)

    @classmethod
    def build(
        cls,
        path: Path,
        documents: Iterable[Document],
        vector_fields: Sequence[VectorField] = (),
        profiles: ProfileSet = SHIPPED,
        *,
        encoder: Path | None = None,
        progress: Progress = silent,
    ) -> EmbeddedEngine:
        """Write an index of the documents to `path` and open it.

        encoder: the folder of the encoder that made the vectors; it becomes part of the index.
        An index already at `path` stays in use until the new one is whole. Raises EngineError
        as `in_memory` does, where another process is writing, and where the disk is full.
        """
        with writing(path, new=True):
            listed = collect(documents, vector_fields, progress)
            progress("index", 0, 1)
            segment = write_segment(path, segment_arrays(listed, vector_fields))
            name = ""
            if encoder is not None:
                name = Manifest.load(encoder).fingerprint[:16]
                add_encoder(path, encoder, name)
            change = Change(
                vector_fields, [(segment, None)], partial(save_profiles, profiles), name
            )
            publish(path, change)
            progress("index", 1, 1)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, exact: bool = False) -> EmbeddedEngine:
        """Open an index by memory map: read-only, and in a moment whatever its size.

        exact: compare every vector with the query's, however many there are.
        Raises EngineError where `path` is no index, is damaged, or only half written.
        """
        engine = cls(View([], (), exact=exact), SHIPPED)
        engine._load(path)
        return engine

    def refresh(self) -> bool:
        """Follow a generation that another process has put in use; return whether there was.

        An index that is not in its place (while a swap exchanges two) is gone on with. Raises
        EngineError where the new one has another encoder's vectors: who asks has the old encoder.
        """
        if self.path is None or snapshot.stamp(self.path) in {self._stamp, snapshot.NOWHERE}:
            return False
        self._load(self.path)
        return True

    def _load(self, path: Path) -> None:
        opened = snapshot.open_snapshot(path, {each.name: each for each, _ in self._view.parts})
        if self.path is not None and _encoders(opened.generation.fields) != _encoders(
            self._view.fields.values()
        ):
            raise EngineError(
                f"{path} has got the vectors of another encoder meanwhile: open it again, and "
                "search with that encoder."
            )
        self.path = path
        self.profiles = opened.profiles
        self.encoder_folder = opened.encoder
        self._described = opened.generation.files
        self._index = opened.generation.index
        self._view = View(opened.parts, opened.generation.fields, exact=self._view.exact)
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
    def average_field_length(self) -> float:
        """Mean number of tokens over the documents that have a caption field."""
        return self._view.words.statistics.average_length

    def info(self) -> EngineInfo:
        """Fingerprints, counts and profiles."""
        self.refresh()
        resolved = map(self.profiles.resolve, self.profiles.names())
        return EngineInfo(
            documents=self._view.count,
            vector_fields=tuple(self._view.fields.values()),
            profiles=tuple(self.profiles.names()),
            default_profile=self.profiles.default,
            text_profiles=tuple(each.name for each in resolved if not each.uses_vector),
            details={
                "engine": "embedded",
                "id": self._index,
                "segments": len(self._view.parts),
                "average_field_length": self.average_field_length,
            },
        )

    def count(self) -> int:
        """Documents that can be found now."""
        self.refresh()
        return self._view.count

    def ids(self) -> Iterator[str]:
        """Ids of all documents, each once."""
        self.refresh()
        return self._view.ids()

    def get(self, identifier: str) -> Document | None:
        """The document with its vectors, or None where there is none."""
        self.refresh()
        number = self._view.number(identifier)
        return None if number is None else self._view.document(number, with_vectors=True)

    def search(self, query: Query) -> Result:
        """Answer one query, to its end; a result that took longer than its time-out says so.

        Raises QueryError where the query is at fault.
        """
        self.refresh()
        return _timed(query, answer_one(self._view, self._plan(query.profile), query))

    def search_many(self, queries: Sequence[Query]) -> list[Result]:
        """Answer many queries, results in their order, on all cores."""
        self.refresh()
        asked = [(self._plan(query.profile), query) for query in queries]
        return list(map(_timed, queries, answer_many(self._view, asked)))

    def _plan(self, name: str) -> Plan:
        plan = self._plans.get(name)
        if plan is None:
            if name not in self.profiles.names():
                there = ", ".join(self.profiles.names())
                raise QueryError(f"There is no profile {name}; there are {there}.")
            fields = tuple(self._view.fields.values())
            profile = self.profiles.resolve(name)
            plan = make_plan(in_metric(profile, fields[0].distance) if fields else profile, fields)
            self._plans[name] = plan
        return plan

    def feed(self, documents: Iterable[Document]) -> FeedReport:
        """Add documents, replacing those of the same id; they can be found when it returns."""
        with self._writing():
            return self._feed(documents, [])

    def update(self, documents: Iterable[Document]) -> FeedReport:
        """Add or replace vectors of existing documents; an absent id is reported as failed."""
        with self._writing():
            changed, failed = [], []
            for update in documents:
                number = self._view.number(update.id)
                if number is None:
                    failed.append((update.id, "there is no such document"))
                    continue
                changed.append(with_vectors(self._view.document(number, with_vectors=True), update))
            return self._feed(changed, failed)

    def remove(self, identifiers: Iterable[str]) -> int:
        """Remove documents; return how many were there."""
        with self._writing():
            numbers = {self._view.number(identifier) for identifier in identifiers} - {None}
            found = [number for number in numbers if number is not None]
            if found:
                self._commit(without(self._view, found))
            return len(found)

    def _feed(self, documents: Iterable[Document], failed: list[tuple[str, str]]) -> FeedReport:
        fields = tuple(self._view.fields.values())
        good: dict[str, Document] = {}
        ok = 0
        for document in documents:
            reason = fault(document, fields)
            if reason:
                failed.append((document.id, reason))
                continue
            good[document.id] = document
            ok += 1
        if good:
            old = [n for name in good if (n := self._view.number(name)) is not None]
            fresh = (self._segment(list(good.values())), None)
            self._commit([*without(self._view, old), fresh])
        return FeedReport(ok, tuple(failed))

    def _segment(self, documents: Sequence[Document]) -> Segment:
        fields = tuple(self._view.fields.values())
        arrays = segment_arrays(documents, fields)
        if self.path is None:
            return Segment("memory", arrays, fields)
        return snapshot.open_segment(self.path, write_segment(self.path, arrays), fields)

    def _commit(self, parts: Sequence[Part]) -> None:
        fields = tuple(self._view.fields.values())
        parts = merged(parts, self._segment)
        if self.path is None:
            self._view = View(parts, fields, exact=self._view.exact)
            return
        change = Change(
            fields,
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


def _timed(query: Query, result: Result) -> Result:
    seconds = sum(result.timing.values())
    if seconds <= query.timeout:
        return result
    late = f"The search took {seconds:.3g} s, longer than its time-out of {query.timeout:g} s."
    return replace(result, warnings=(*result.warnings, late))


def _encoders(fields: Iterable[VectorField]) -> set[tuple[str, str]]:
    return {(field.name, field.fingerprint) for field in fields}
