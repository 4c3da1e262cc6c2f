"""VespaEngine: a running Vespa application as an engine, over HTTP.

>>> application = read_application(Path("app"))  # doctest: +SKIP
>>> engine = VespaEngine.connect("http://localhost:8080", application)  # doctest: +SKIP
>>> engine.search(Query(text="chest x-ray", profile="hybrid"))  # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal, TypeVar

import numpy as np

from ranking.document_checks import document_fault, named, several
from ranking.engine.segment.postings import idf
from ranking.names import encoder_names
from ranking.query_checks import NO_WORD, check_types, told_of_scores
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
from vespa_app.feed.documents import DocumentClient, FeedSettings
from vespa_app.feed.operations import Operation, Verdict
from vespa_app.feed.store import Store, put_fields, vector_fields
from vespa_app.http.connection import Connection, Credentials
from vespa_app.http.errors import VespaDegradedError, VespaQueryError, VespaUnavailableError
from vespa_app.http.retries import Retries, retrying
from vespa_app.query.answers import Answer, judge, read_answer, to_result, value_counts
from vespa_app.query.operators import TOKEN
from vespa_app.query.query import SearchRequest, search_request
from vespa_app.query.top_k import Chosen, Window, choose
from vespa_app.read.application import Application

__all__ = ["EngineSettings", "VespaEngine"]

T = TypeVar("T")
R = TypeVar("R")

COUNT_SECONDS = 10.0
BATCH = 1000


@dataclass(frozen=True)
class EngineSettings:
    """How the client behaves.

    embed: texts without a vector are embedded inside Vespa, where the application can.
    strict: an answer from a part of the corpus is an error (as evaluation needs it), and Vespa's
    soft time-out is off. concurrency: requests at a time in `search_many` and feeding.
    seconds: time-out of one operation on a document, its retries included.
    """

    embed: bool = True
    strict: bool = False
    concurrency: int = 8
    retries: Retries = field(default_factory=Retries)
    seconds: float = 30.0


class VespaEngine:
    """An application that runs on a Vespa server. Safe to use from several threads."""

    def __init__(
        self,
        connection: Connection,
        application: Application,
        settings: EngineSettings = EngineSettings(),
    ) -> None:
        self.application = application
        self.settings = settings
        self._own = {each.name: each for each in application.attributes}
        self._connection = connection
        self._store = Store(connection, application, settings.retries, settings.seconds)
        self._documents: DocumentClient | None = None

    @classmethod
    def connect(
        cls,
        url: str,
        application: Application,
        settings: EngineSettings = EngineSettings(),
        credentials: Credentials | None = None,
    ) -> VespaEngine:
        """Use the server at `url`; credentials are taken from the environment by default.

        Nothing is sent yet. Raises EngineError if the URL or the credentials are unusable.
        """
        connection = Connection(url, credentials, pool=settings.concurrency)
        return cls(connection, application, settings)

    def __repr__(self) -> str:
        return f"VespaEngine({self._connection.url!r})"

    @property
    def profiles(self) -> Application:
        """The profiles of the package deployed."""
        return self.application

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()
        if self._documents:
            self._documents.close()

    def search(self, query: Query) -> Result:
        """Answer one query.

        Ties are in ascending order of ids, as far as one query may ask for hits: a few more hits
        than k are fetched, and more where k would cut a tie.

        Raises QueryError if the query is at fault, VespaError if the server is.
        """
        check_types(query)
        limit = self.application.max_hits
        if query.offset + query.k > limit:
            raise QueryError(
                f"Vespa returns at most {limit} hits per query, and {query.offset + query.k} were "
                "requested: lower k or the offset, or raise maxHits in the application's default "
                "query profile."
            )
        started = time.monotonic()
        window = Window.first(query, limit)
        significances = self._significances(query)
        request = self._request(query, window, significances)
        if request.body is None:
            return Result(ids=(), scores=np.empty(0), warnings=request.warnings)
        answer, chosen = self._choose(query, request, window, query.timeout)
        while not chosen.complete and window.hits < limit:
            window = window.larger()
            left = query.timeout - (time.monotonic() - started)
            request = self._request(query, window, significances)
            answer, chosen = self._choose(query, request, window, left)
        if query.sort and not chosen.complete:
            raise QueryError(
                f"{answer.total:,} documents match, but Vespa returns only the best {limit:,}, so "
                f"they cannot be sorted by {query.sort.field}. Narrow the query, or filter."
            )
        coverage = judge(answer)
        if chosen.unfilled and "summaries" not in coverage.degraded:
            coverage = replace(coverage, degraded=(*coverage.degraded, "summaries"))
        result = to_result(
            answer,
            coverage,
            chosen.rows,
            self.application.attributes,
            with_documents=query.with_documents,
        )
        if self.settings.strict and not coverage.full:
            raise VespaDegradedError(
                f"Vespa searched only part of the corpus: {' '.join(result.warnings)}"
            )
        nothing = (NO_WORD,) if answer.total == 0 and query.text.strip() else ()
        odd = told_of_scores(query.profile, result.scores)
        return replace(
            result,
            warnings=(*request.warnings, *result.warnings, *chosen.warnings, *nothing, *odd),
            timing={**result.timing, "client": time.monotonic() - started},
        )

    def search_many(self, queries: Sequence[Query]) -> list[Result]:
        """Answer many queries, `concurrency` at a time, results in the order of the queries.

        Raises the first error; queries not yet sent are not sent then.
        """
        return list(_in_order(self.search, queries, self.settings.concurrency))

    @property
    def index_id(self) -> str:
        """None: a server's documents come and go."""
        return ""

    def info(self) -> EngineInfo:
        """What the application has, and the fingerprints stored on its documents."""
        fields: list[VectorField] = []
        details: dict[str, str | int | float] = {"url": self._connection.url}
        for encoder in self.application.encoders:
            stored, held = self.fingerprint_counts(encoder.field)
            fields += encoder.with_fingerprint(stored.fingerprint).fields
            details[f"documents with {stored.name}"] = held
        return EngineInfo(
            documents=self.count(),
            vector_fields=tuple(fields),
            profiles=tuple(self.application.profiles),
            default_profile=self.application.default_profile,
            text_profiles=tuple(n for n, p in self.application.profiles.items() if not p.encoder),
            attributes=self.application.attributes,
            details=details,
        )

    def count(self) -> int:
        """Documents that can be found now."""
        return self._ask(self._plain("true"), COUNT_SECONDS).total

    def probe(self, identifiers: Sequence[str]) -> tuple[int, frozenset[str]]:
        """How many documents can be found now, and which of these ids are among them: one query.

        Raises VespaDegradedError if a part of the corpus does not answer.
        """
        values = {f"v{row}": identifier for row, identifier in enumerate(identifiers)}
        where = " or ".join(f"id contains @{name}" for name in values) or "false"
        answer = self._ask({**self._plain(where), "hits": len(values), **values}, COUNT_SECONDS)
        coverage = judge(answer)
        if not coverage.full:
            raise VespaDegradedError(
                f"{self._connection.url} searches only {coverage.percent:g} % of its documents "
                f"({', '.join(coverage.degraded)}): check that all nodes are up."
            )
        return coverage.documents, frozenset(
            str(row.fields["id"]) for row in answer.documents if "id" in row.fields
        )

    def fingerprint_counts(self, vector_field: VectorField) -> tuple[VectorField, int]:
        """The field with the fingerprint that its documents carry, and how many carry one.

        Raises EngineError if they carry another than the application's.
        """
        name = encoder_names(vector_field.name.rpartition("_")[2]).fingerprint
        body = self._plain(f"true | all(group({name}) each(output(count())))")
        found = next(iter(value_counts(self._ask(body, COUNT_SECONDS)).values()), {})
        prints = sorted(found)
        known = {vector_field.fingerprint} - {""}
        if len(known.union(prints)) > 1:
            raise EngineError(
                f"Documents have vectors of {', '.join(p[:16] for p in prints)} in "
                f"{vector_field.name}, which is for {vector_field.fingerprint[:16]}: feed again."
            )
        whole = next(iter(known.union(prints)), "")
        return replace(vector_field, fingerprint=whole), sum(found[p] for p in prints)

    def check_application(self, name: str) -> None:
        """Check that the server runs this application, which was read from `name`.

        Raises EngineError if it does not know a vector field or the default profile.
        """
        body = self._plain("true") | {"ranking.profile": self.application.default_profile}
        try:
            self._ask(body, COUNT_SECONDS)
            for encoder in self.application.encoders:
                self.fingerprint_counts(encoder.field)
        except (VespaQueryError, VespaUnavailableError) as error:
            raise EngineError(
                f"{self._connection.url} does not run the application in {name}: deploy it, or "
                f"name the deployed one. {error}"
            ) from None

    def ids(self) -> Iterator[str]:
        """Ids of all documents, in Vespa's own order."""
        return self._client().ids()

    def get(self, identifier: str) -> Document | None:
        """The document with its vectors, or None if there is none."""
        return self._store.get(identifier)

    def feed(self, documents: Iterable[Document]) -> FeedReport:
        """Add documents, replacing those of the same id."""
        return self._send(documents, "put")

    def update(self, documents: Iterable[Document]) -> FeedReport:
        """Add or replace vectors of existing documents; an absent id is reported as failed."""
        return self._send(documents, "update")

    def remove(self, identifiers: Iterable[str]) -> int:
        """Remove documents; return how many were there."""
        wanted = dict.fromkeys(several(identifiers, "ids"))
        there = [each for each in wanted if isinstance(each, str) and self._store.has(each)]
        ended = self._client().send_all(Operation("remove", each) for each in there)
        return sum(answer.verdict is Verdict.DONE for _, answer in ended)

    def _significances(self, query: Query) -> dict[tuple[str, str], float]:
        """The idf of the query's expansions, by text field and term, from counts asked for now."""
        if not query.expansions or not query.text.strip():
            return {}
        documents = self.count()
        found = {}
        for name in self.application.resolve(query.profile).texts:
            for term in query.expansions:
                body = {**self._plain(f"{name} contains ({{{TOKEN}}}@term)"), "term": term}
                held = self._ask(body, COUNT_SECONDS).total
                if held:
                    found[name, term] = idf(documents, held)
        return found

    def _request(
        self, query: Query, window: Window, significances: Mapping[tuple[str, str], float]
    ) -> SearchRequest:
        return search_request(
            query,
            self.application,
            hits=window.hits,
            embed=self.settings.embed,
            soft_timeout=not self.settings.strict,
            significances=significances,
        )

    def _choose(
        self, query: Query, request: SearchRequest, window: Window, seconds: float
    ) -> tuple[Answer, Chosen]:
        answer = self._ask(request.body or {}, seconds)
        return answer, choose(query, window, answer, self._own)

    def _ask(self, body: Mapping[str, object], seconds: float) -> Answer:
        """Send a search; it changes nothing, so it may be sent again while time is left."""

        def once(left: float) -> Answer:
            timed = {**body, "timeout": f"{max(left * 1000, 1):.0f}ms"}
            reply = self._connection.send("POST", "/search/", body=timed, seconds=left + 1.0)
            answer = read_answer(reply)
            judge(answer)
            return answer

        return retrying(once, self.settings.retries, seconds)

    def _plain(self, where: str) -> dict[str, object]:
        schema = self.application.schema
        return {
            "yql": f"select id from {schema} where {where}",  # noqa: S608 - names of our own
            "hits": 0,
            "ranking.profile": "unranked",
            "model.restrict": schema,
        }

    def _client(self) -> DocumentClient:
        if self._documents is None:
            settings = FeedSettings(seconds=self.settings.seconds, patience=self.settings.seconds)
            self._documents = DocumentClient(
                self._connection.url, self._connection.credentials, settings
            )
        return self._documents

    def _send(self, documents: Iterable[Document], kind: Literal["put", "update"]) -> FeedReport:
        waiting = iter(several(documents, "documents"))
        ok = 0
        failed: list[tuple[str, str]] = []
        # A batch has each id once, and ends before the next begins, so that the last one stands.
        while batch := list(islice(waiting, BATCH)):
            refused, operations = self._operations(batch, kind)
            failed += refused
            for operation, answer in self._client().send_all(operations):
                if answer.verdict is Verdict.DONE:
                    ok += 1
                elif answer.verdict is Verdict.ABSENT:
                    failed.append((operation.id, "there is no such document"))
                else:
                    failed.append((operation.id, answer.message or f"status {answer.status}"))
        return FeedReport(ok, tuple(failed))

    def _operations(
        self, documents: Iterable[Document], kind: Literal["put", "update"]
    ) -> tuple[list[tuple[str, str]], list[Operation]]:
        fields = put_fields if kind == "put" else vector_fields
        refused: list[tuple[str, str]] = []
        operations: dict[str, Operation] = {}
        for document in documents:
            reason = document_fault(document)
            if not reason:
                try:
                    found = fields(document, self.application)
                    operations[document.id] = Operation(kind, document.id, found)
                except EngineError as error:
                    reason = str(error)
            if reason:
                refused.append((named(document), reason))
        return refused, list(operations.values())


def _in_order(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Yield work(item) in the order of items; at most twice `workers` are in flight or waiting."""
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="vespa") as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) >= 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
