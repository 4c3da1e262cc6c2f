"""Targets of a feed: an embedded engine, or a Vespa server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from encoders.base.errors import UserError
from ranking.names import encoder_names
from ranking.types import Attribute, Document, Engine, EngineError, VectorField
from vespa_app.engine import VespaEngine
from vespa_app.feed.documents import DocumentClient
from vespa_app.feed.operations import Operation, OperationKind, Verdict
from vespa_app.feed.store import put_fields, vector_fields
from vespa_app.read.application import Application

__all__ = [
    "Change",
    "EngineTarget",
    "FeedError",
    "Outcome",
    "Target",
    "VespaTarget",
    "operation_of",
    "with_fingerprints",
]

BATCH = 2048  # documents in one commit of an engine in this process


class FeedError(UserError):
    """Feeding cannot begin, or had to stop."""


@dataclass(frozen=True)
class Change:
    """Put a document, update its vectors, or remove it (only its id counts then)."""

    kind: OperationKind
    document: Document


@dataclass(frozen=True)
class Outcome:
    """How a change ended: DONE, ABSENT or REFUSED; `message` says why, in the target's words."""

    change: Change
    verdict: Verdict
    message: str = ""
    attempts: int = 1


class Target(Protocol):
    """What feeding needs of where documents go."""

    @property
    def name(self) -> str:
        """What tells this target from others, in the ledger."""

    @property
    def content(self) -> str:
        """A value that changes when the target is rebuilt; "" if nothing does."""

    @property
    def vector_fields(self) -> Sequence[VectorField]:
        """The vector fields that it has; `fingerprint` "" if it is not known."""

    @property
    def attributes(self) -> Sequence[Attribute]:
        """The fields of one's own that it has."""

    def for_encoders(self, fingerprints: Iterable[str]) -> Target:
        """The same target, told which encoders' vectors come."""

    def send(self, changes: Iterable[Change]) -> Iterator[Outcome]:
        """Yield how each change ended, in any order; each id comes once.

        Raises EngineError if nothing more can be sent, after the outcomes known by then.
        """

    def ids(self) -> Iterator[str]:
        """Ids of all documents that it holds."""

    def probe(self, ids: Sequence[str]) -> tuple[int, frozenset[str]]:
        """How many documents it has, and which of `ids` are among them; cheap."""

    def held(self) -> Iterator[Document]:
        """Its documents with their vectors, where they are cheap to read; else none."""


@dataclass(frozen=True)
class EngineTarget:
    """An engine, fed in batches; `name` is where it lies."""

    engine: Engine
    name: str

    @property
    def content(self) -> str:
        """The id that the index got when it was built."""
        return self.engine.index_id

    @property
    def vector_fields(self) -> Sequence[VectorField]:
        """Those of the engine."""
        return self.engine.info().vector_fields

    @property
    def attributes(self) -> Sequence[Attribute]:
        """Those of the engine."""
        return self.engine.info().attributes

    def for_encoders(self, fingerprints: Iterable[str]) -> EngineTarget:
        """Itself: an engine knows its encoders."""
        return self

    def send(self, changes: Iterable[Change]) -> Iterator[Outcome]:
        """Send batch by batch; nothing is known of a batch before its end."""
        waiting = iter(changes)
        while batch := list(islice(waiting, BATCH)):
            for kind, work in (("put", self._put), ("update", self._update)):
                chosen = [change for change in batch if change.kind == kind]
                if chosen:
                    yield from work(chosen)
            removed = [change for change in batch if change.kind == "remove"]
            if removed:
                self.engine.remove(change.document.id for change in removed)
                yield from (Outcome(change, Verdict.DONE) for change in removed)

    def ids(self) -> Iterator[str]:
        """Ids of all documents of the engine."""
        return self.engine.ids()

    def probe(self, ids: Sequence[str]) -> tuple[int, frozenset[str]]:
        """As the engine says."""
        there = frozenset(i for i in ids if self.engine.get(i) is not None)
        return self.engine.count(), there

    def held(self) -> Iterator[Document]:
        """All documents of the engine."""
        for identifier in self.engine.ids():
            document = self.engine.get(identifier)
            if document is not None:
                yield document

    def _put(self, changes: Sequence[Change]) -> Iterator[Outcome]:
        failed = dict(self.engine.feed(change.document for change in changes).failed)
        for change in changes:
            reason = failed.get(change.document.id)
            verdict = Verdict.DONE if reason is None else Verdict.REFUSED
            yield Outcome(change, verdict, reason or "")

    def _update(self, changes: Sequence[Change]) -> Iterator[Outcome]:
        failed = dict(self.engine.update(change.document for change in changes).failed)
        for change in changes:
            reason = failed.get(change.document.id)
            if reason is None:
                yield Outcome(change, Verdict.DONE)
                continue
            absent = self.engine.get(change.document.id) is None
            yield Outcome(change, Verdict.ABSENT if absent else Verdict.REFUSED, reason)


@dataclass(frozen=True)
class VespaTarget:
    """A Vespa server; `application` is what is deployed there."""

    client: DocumentClient
    application: Application

    @property
    def name(self) -> str:
        """The server's address."""
        return self.client.url

    @property
    def content(self) -> str:
        """Nothing: `rocosearch feed --reconcile` asks a server what it holds."""
        return ""

    @property
    def vector_fields(self) -> Sequence[VectorField]:
        """Those of the application."""
        return tuple(f for encoder in self.application.encoders for f in encoder.fields)

    @property
    def attributes(self) -> Sequence[Attribute]:
        """Those of the application."""
        return self.application.attributes

    def for_encoders(self, fingerprints: Iterable[str]) -> VespaTarget:
        """The same target, knowing these whole fingerprints."""
        return replace(self, application=with_fingerprints(self.application, fingerprints))

    def send(self, changes: Iterable[Change]) -> Iterator[Outcome]:
        """Send over HTTP, many at once; a vector that must not be sent is refused here."""
        under_way: dict[str, Change] = {}
        refused: list[Outcome] = []

        def operations() -> Iterator[Operation]:
            for change in changes:
                try:
                    operation = operation_of(change, self.application)
                except EngineError as error:
                    refused.append(Outcome(change, Verdict.REFUSED, str(error), attempts=0))
                    continue
                under_way[operation.id] = change
                yield operation

        for operation, answer in self.client.send_all(operations()):
            while refused:
                yield refused.pop()
            change = under_way.pop(operation.id)
            yield Outcome(change, answer.verdict, answer.message, answer.attempts)
        yield from refused

    def ids(self) -> Iterator[str]:
        """Ids by visiting."""
        return self.client.ids()

    def probe(self, ids: Sequence[str]) -> tuple[int, frozenset[str]]:
        """By one query."""
        with closing(self.engine()) as engine:
            return engine.probe(ids)

    def engine(self) -> VespaEngine:
        """The same server, asked queries."""
        return VespaEngine.connect(
            self.client.url, self.application, credentials=self.client.credentials
        )

    def held(self) -> Iterator[Document]:
        """None: sending a document costs no more than reading it back would."""
        return iter(())


def with_fingerprints(application: Application, fingerprints: Iterable[str]) -> Application:
    """The application with the whole fingerprints of encoders: a schema has their beginnings."""
    whole = {encoder_names(each).short: each for each in fingerprints}
    encoders = tuple(e.with_fingerprint(whole.get(e.short, "")) for e in application.encoders)
    return replace(application, encoders=encoders)


def operation_of(change: Change, application: Application) -> Operation:
    """The change as /document/v1/ takes it.

    Raises EngineError if a vector is of a wrong length, not finite, or not of length 1.
    """
    document = change.document
    if change.kind == "remove":
        return Operation("remove", document.id)
    fields = put_fields if change.kind == "put" else vector_fields
    return Operation(change.kind, document.id, fields(document, application))
