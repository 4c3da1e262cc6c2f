"""The JSON API: one method for each operation of openapi.json, and the page's own files.

Work runs in threads, one per core; searches never wait for images.
"""

from __future__ import annotations

import os
import re
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from functools import lru_cache, partial
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from encoders.base.errors import UserError
from ranking.engine.engine import EmbeddedEngine
from ranking.searcher import NoProbabilityError
from rocosearch.page.access import MOST_BYTES, Door, Guard, RefusedError
from rocosearch.page.answers import Asked, Desk, NotThereError, plain
from rocosearch.page.judgements import Judgement, Judgements
from rocosearch.page.lexicon import Lexicon
from rocosearch.page.map import map_of
from rocosearch.page.pictures import Pictures, jpeg
from rocosearch.page.specification import (
    Operation,
    operations,
    read_body,
    read_query,
    specification,
)

__all__ = ["Api"]

Values = Mapping[str, Any]
Answering = Callable[[Request], Awaitable[Response]]

_STATIC = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_OPENAPI = "/openapi.json"
SAMPLES, EXAMPLES, WORDS = 20, 5, 8  # pictures, queries and their words on the start page
_SLOW = frozenset({"image", "heatmap", "map"})  # operations that decode or draw
_LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Api:
    """A searcher, with images, judgements and a lexicon if available."""

    def __init__(
        self,
        desk: Desk,
        pictures: Pictures | None = None,
        judgements: Judgements | None = None,
        lexicon: Callable[[], Future[Lexicon]] | None = None,
    ) -> None:
        """`lexicon` starts to count the words; the first visitor makes it start."""
        self.desk = desk
        self.pictures_kept = pictures
        self.judgements_kept = judgements
        self.lexicon = lexicon
        self._words = lru_cache(1)(lambda _: lexicon() if lexicon else None)
        self._measured = _Measured()
        self.map_drawn = lru_cache(1)(self._draw_map)
        self.start = lru_cache(1)(self._start)

    def application(self, door: Door) -> Starlette:
        """The ASGI application behind its guard."""
        asked = list(operations())
        cores = max(2, os.cpu_count() or 2)
        quick, slow = CapacityLimiter(cores), CapacityLimiter(cores)
        by_path: dict[str, dict[str, Answering]] = {}
        for operation in asked:
            limiter = slow if operation.name in _SLOW else quick
            methods = by_path.setdefault(operation.path, {})
            methods[operation.method] = self._answering(operation, door, limiter)
        routes = [_route(path, methods) for path, methods in by_path.items()]
        routes += [Route(path, partial(_static, path)) for path in _STATIC]
        routes.append(Route(_OPENAPI, _openapi))
        open_paths = {(each.method, each.path) for each in asked if each.open}
        open_paths |= {("GET", path) for path in (*_STATIC, _OPENAPI)}
        guard = Middleware(
            Guard,
            door=door,
            open_paths=frozenset(open_paths),
            start_paths=frozenset(_STATIC),
        )
        return Starlette(
            routes=routes,
            middleware=[guard],
            exception_handlers={HTTPException: _not_there},
        )

    def about(self, _: Values) -> Response:
        """Describe the profiles, filters and inputs."""
        self._words(self._version())
        told = {
            "pictures": self.pictures_kept is not None,
            "judging": self.judgements_kept is not None,
            "suggesting": self.lexicon is not None,
            "map": self._mapped() is not None,
            **self.start(self._version()),
        }
        return JSONResponse({**self.desk.about(), **told})

    def search(self, values: Values) -> Response:
        """Search by text, or by documents."""
        return JSONResponse(self.desk.answer(Asked.read(values)))

    def search_image(self, values: Values, body: bytes) -> Response:
        """Search by an image."""
        return JSONResponse(self.desk.answer(Asked.read(values, body)))

    def document(self, values: Values) -> Response:
        """Give one document."""
        document = self.desk.searcher.engine.get(values["id"])
        if document is None:
            raise NotThereError("There is no such document.")
        return JSONResponse(plain(document))

    def image(self, values: Values) -> Response:
        """Give a document's picture."""
        kept = self.pictures_kept
        found = kept.get(values["id"], values["size"]) if kept else None
        if found is None:
            raise NotThereError("This document has no image here.")
        caching = {"cache-control": "private, max-age=3600"}
        return Response(found, media_type="image/jpeg", headers=caching)

    def heatmap(self, values: Values) -> Response:
        """The heat map of a text in a document's image."""
        from rocosearch.heat_picture import heat_picture  # noqa: PLC0415 - loads slowly

        encoder, kept = self.desk.searcher.encoder, self.pictures_kept
        if encoder is None:
            raise NotThereError("A heat map needs an encoder, and there is none.")
        data = kept.original(values["id"]) if kept else None
        if not data:
            raise NotThereError("This document has no image here.")
        drawn = heat_picture(encoder, data, values["text"])
        drawn.thumbnail((1600, 1600))
        return Response(jpeg(drawn), media_type="image/jpeg")

    def suggest(self, values: Values) -> Response:
        """Complete a prefix."""
        words = self._words(self._version())
        found = words.result().complete(values["prefix"]) if words and words.done() else []
        return JSONResponse({"suggestions": [{"text": t, "documents": n} for t, n in found]})

    def map(self, _: Values) -> Response:
        """The map, computed once for each state of the index."""
        engine = self._mapped()
        if engine is None:
            raise NotThereError("There is no map: the index has no vectors.")
        return JSONResponse(self.map_drawn(engine.count()))

    def judgements(self, values: Values) -> Response:
        """All judgements."""
        kept = self._kept()
        if values["format"] == "json":
            return JSONResponse({"judgements": [vars(each) for each in kept.last()]})
        text = kept.qrels() if values["format"] == "trec" else kept.topics()
        return Response(text, media_type="text/plain")

    def judge(self, _: Values, body: Values) -> Response:
        """Store a judgement."""
        kept = self._kept()
        if self.desk.searcher.engine.get(body["document"]) is None:
            raise NotThereError("There is no such document.")
        return JSONResponse(vars(kept.add(Judgement(**body))), status_code=HTTPStatus.CREATED)

    def entered(self, _: Values) -> Response:
        """Confirm access; the guard has checked the token."""
        return Response(status_code=HTTPStatus.NO_CONTENT)

    def healthz(self, _: Values) -> Response:
        """Confirm that the server is up."""
        return JSONResponse({"status": "ok"})

    def metrics(self, _: Values) -> Response:
        """Give the counters."""
        text = self._measured.text(self.desk.searcher.engine.count())
        return Response(text, media_type="text/plain; version=0.0.4")

    def _kept(self) -> Judgements:
        if self.judgements_kept is None:
            raise NotThereError("Judgements are stored beside the corpus, and there is no corpus.")
        return self.judgements_kept

    def _mapped(self) -> EmbeddedEngine | None:
        engine = self.desk.searcher.engine
        return engine if isinstance(engine, EmbeddedEngine) and self.desk.field else None

    def _version(self) -> object:
        """Changes with the corpus, or without one with the number of documents."""
        if self.pictures_kept:
            return self.pictures_kept.version
        return self.desk.searcher.engine.count() if self.lexicon else None

    def _start(self, _: object) -> dict[str, Any]:
        """Images and example queries for the start page: ids, and the first words of captions."""
        samples = self.pictures_kept.some(SAMPLES) if self.pictures_kept else []
        found = [self.desk.searcher.engine.get(name) for name in samples[:EXAMPLES]]
        texts = [_first_words((each and each.caption) or "") for each in found]
        return {"samples": samples, "examples": list(dict.fromkeys(filter(None, texts)))}

    def _draw_map(self, _: int) -> dict[str, Any]:
        engine = self._mapped()
        return map_of(engine, self.desk.field) if engine else {"points": []}

    def _answering(self, operation: Operation, door: Door, limiter: CapacityLimiter) -> Answering:
        if operation.name == "session":
            return partial(_session, operation, door)
        work = getattr(self, operation.name)

        async def answer(request: Request) -> Response:
            start = time.perf_counter()
            response = await _told(partial(_answer, operation, request, work, limiter))
            seconds = time.perf_counter() - start
            self._measured.add(operation.name, response.status_code, seconds)
            return response

        return answer


class _Measured:
    """Counters of one server; they contain no queries."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "rocosearch_requests",
            "Requests answered, by operation and status.",
            ["operation", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "rocosearch_request_seconds",
            "Seconds from the request's headers to its answer.",
            ["operation"],
            buckets=_LATENCIES,
            registry=self._registry,
        )
        self._documents = Gauge(
            "rocosearch_documents", "Searchable documents.", registry=self._registry
        )

    def add(self, operation: str, status: int, seconds: float) -> None:
        self._requests.labels(operation, str(status)).inc()
        self._seconds.labels(operation).observe(seconds)

    def text(self, documents: int) -> bytes:
        self._documents.set(documents)
        return generate_latest(self._registry)


def _first_words(caption: str) -> str:
    sentence = re.split(r"[.,;:()]", caption, maxsplit=1)[0]
    return " ".join(sentence.split()[:WORDS])


def _route(path: str, methods: Mapping[str, Answering]) -> Route:
    """One route for all methods of a path; an id may have slashes."""

    async def answer(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await methods[method](request)

    return Route(path.replace("{id}", "{id:path}"), answer, methods=list(methods))


async def _answer(
    operation: Operation,
    request: Request,
    work: Callable[..., Response],
    limiter: CapacityLimiter,
) -> Response:
    values = {**read_query(operation, request.scope["query_string"]), **request.path_params}
    if not operation.body:
        return await run_sync(work, values, limiter=limiter)
    body = await _body(request)
    content = _content(operation, request, body)
    return await run_sync(work, values, content, limiter=limiter)


def _content(operation: Operation, request: Request, body: bytes) -> bytes | Values:
    if "application/json" not in operation.body:
        return body
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # which a page of another site cannot send unasked
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send application/json.")
    return read_body(operation, body)


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")
        parts.append(part)
    return b"".join(parts)


async def _told(answering: Callable[[], Awaitable[Response]]) -> Response:
    """The answer, or an error sentence."""
    try:
        return await answering()
    except RefusedError as refusal:
        return _error(str(refusal), refusal.status)
    except (NotThereError, NoProbabilityError) as error:
        return _error(str(error), HTTPStatus.NOT_FOUND)
    except UserError as error:
        return _error(str(error), HTTPStatus.BAD_REQUEST)
    except ClientDisconnect:
        return Response(status_code=HTTPStatus.BAD_REQUEST)
    except Exception as error:  # noqa: BLE001 - one request's fault is not the server's end
        return _fault(error)


def _fault(error: Exception) -> Response:
    """Report the location only: the message of an exception may contain the query."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}"
    return _error(f"Unexpected {place}. This is a bug.", HTTPStatus.INTERNAL_SERVER_ERROR)


def _error(sentence: str, status: HTTPStatus) -> Response:
    return JSONResponse({"error": sentence}, status_code=int(status))


async def _session(operation: Operation, door: Door, request: Request) -> Response:
    async def entered() -> Response:
        read_query(operation, request.scope["query_string"])
        given = _content(operation, request, await _body(request))
        if isinstance(given, bytes) or not door.knows(given["token"]):
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "The token is wrong.")
        response = Response(status_code=HTTPStatus.NO_CONTENT)
        response.set_cookie(door.cookie, door.session, httponly=True, samesite="strict")
        return response

    return await _told(entered)


def _static(path: str, _: Request) -> Response:
    name, kind = _STATIC[path]
    data = files("rocosearch.page").joinpath("static", name).read_bytes()
    return Response(data, media_type=kind)


def _openapi(_: Request) -> Response:
    return JSONResponse(specification())


def _not_there(request: Request, error: Exception) -> Response:
    """Starlette's own errors, as a sentence."""
    if not isinstance(error, HTTPException):
        return _fault(error)
    told = f"There is nothing at {request.scope['path'][:100]}."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        told = f"{request.method} is not supported here."
    response = _error(told, HTTPStatus(error.status_code))
    response.headers.update(error.headers or {})
    return response
