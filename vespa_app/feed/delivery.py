"""Deliver document operations, with retries, until each has an outcome.

What may pass by itself is tried again after a pause that grows, with full jitter, and within
`patience`; an error that stops everything is raised after all operations in flight have ended.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from vespa_app.feed.operations import (
    NO_CONNECTION,
    Answer,
    Operation,
    OperationKind,
    Verdict,
    judge_operation,
)
from vespa_app.http.errors import (
    VespaError,
    VespaGarbledError,
    VespaTimeoutError,
    VespaUnreachableError,
    error_for,
    words_of,
)
from vespa_app.http.reply import Reply, read_reply
from vespa_app.http.retries import Retries
from vespa_app.http.streams import LARGEST, Ended, Method, Request, Streams

__all__ = ["Delivery", "Exchange", "FeedSettings"]

LONGEST_PAUSE = 0.2  # seconds until closing is noticed
LARGEST_VERDICT = 1 << 20  # bytes of an answer to an operation
STOPPED = "Feeding was stopped."
_PASSING = (VespaUnreachableError, VespaTimeoutError)


@dataclass(frozen=True)
class FeedSettings:
    """streams: operations in flight. seconds: time limit of one operation.

    patience: seconds that an operation is tried again before feeding stops. first, longest:
    pauses between tries grow from the one to the other, with full jitter.
    """

    streams: int = 64
    seconds: float = 30.0
    patience: float = 300.0
    first: float = 0.1
    longest: float = 10.0


@dataclass
class Exchange:
    """One request with its tries; `operation` is None for a page of a visit.

    end: time.monotonic() after which it is not tried again. reply: the last answer.
    """

    operation: Operation | None
    method: Method
    target: str
    body: bytes
    end: float
    attempts: int = 0
    reply: Reply | None = None

    def request(self, seconds: float) -> Request[Exchange]:
        """It, to be sent; Vespa may take `seconds` for it, and gives up before this client does."""
        largest = LARGEST_VERDICT if self.operation else LARGEST
        patience = seconds * 1.2 + 1.0
        return Request(self, self.method, self.target, self.body, seconds=patience, largest=largest)

    @property
    def kind(self) -> OperationKind | Literal["visit"]:
        """What judges its answers."""
        return self.operation.kind if self.operation else "visit"


class Delivery:
    """Delivers to the server at `url`; `closed` ends it from another thread.

    secret: what is sent with each request, and must not be shown where it comes back.
    """

    def __init__(
        self, url: str, settings: FeedSettings, closed: threading.Event, secret: str = ""
    ) -> None:
        self._url = url
        self._secret = secret
        self._settings = settings
        self._retries = Retries(first=settings.first, longest=settings.longest)
        self._closed = closed
        self._later = _Later()

    def run(
        self, streams: Streams[Exchange], exchanges: Iterator[Exchange]
    ) -> Iterator[tuple[Exchange, Answer]]:
        """Yield the outcome of each; an error that stops them is raised at the end."""
        failure: Exception | None = None
        while True:
            if failure is None:
                failure = self._fill(streams, exchanges)
            if not streams.busy and (failure or not self._later):
                break
            for ended in streams.ended(self._later.pause()):
                exchange = ended.key
                if ended.failure and not isinstance(ended.failure, _PASSING):
                    failure = failure or ended.failure
                    continue
                answer = self._judged(exchange, ended)
                if answer.verdict not in (Verdict.AGAIN, Verdict.STOP):
                    yield exchange, answer
                elif answer.verdict is Verdict.STOP or not self._put_off(exchange):
                    failure = failure or self.error(answer)
        if failure is not None:
            raise failure

    def error(self, answer: Answer) -> VespaError:
        """Why `answer` cannot be the end of its request."""
        status, message = answer.status, answer.message
        if status == NO_CONNECTION:
            return VespaUnreachableError(
                f"{self._url} gave no answer for {self._settings.patience:g} s ({message}): check "
                "that Vespa is running there, then feed again."
            )
        if status < 400:
            return VespaGarbledError(
                f"{self._url} answered {status}, not in Vespa's format ({message[:80]!r}): check "
                "URL and port.",
                status=status,
            )
        error = error_for(status, None, message)
        return error if isinstance(error, VespaError) else VespaError(str(error), status=status)

    def _fill(self, streams: Streams[Exchange], exchanges: Iterator[Exchange]) -> Exception | None:
        """Begin what is due and what is new; what the caller's iterator raises is returned."""
        if self._closed.is_set():
            return VespaUnreachableError(STOPPED)
        for exchange in self._later.due():
            streams.begin(exchange.request(self._settings.seconds))
        try:
            while streams.busy + len(self._later) < streams.count:
                exchange = next(exchanges)
                streams.begin(exchange.request(self._settings.seconds))
        except StopIteration:
            return None
        except Exception as error:  # noqa: BLE001 - raised after all in flight have ended
            return error
        return None

    def _put_off(self, exchange: Exchange) -> bool:
        """Have it tried again after a pause; False where there is no time for one."""
        at = time.monotonic() + self._retries.pause(exchange.attempts - 1)
        if at >= exchange.end:
            return False
        self._later.add(at, exchange)
        return True

    def _judged(self, exchange: Exchange, ended: Ended[Exchange]) -> Answer:
        exchange.attempts += 1
        exchange.reply = None
        if ended.failure:
            return Answer(Verdict.AGAIN, NO_CONNECTION, str(ended.failure), exchange.attempts)
        address = f"{self._url}{exchange.target.partition('?')[0]}"
        try:
            reply = read_reply(ended.status, ended.body, "", address, self._secret)
        except VespaGarbledError as error:
            return Answer(Verdict.STOP, ended.status, str(error), exchange.attempts)
        exchange.reply = reply
        verdict = judge_operation(exchange.kind, ended.status, reply.content)
        message = reply.message if isinstance(reply.content, dict) else reply.text
        return Answer(verdict, ended.status, words_of(message), exchange.attempts)


@dataclass
class _Later:
    """Exchanges that wait for their next try, by the time of it."""

    _heap: list[tuple[float, int, Exchange]] = field(default_factory=list)
    _count: int = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at: float, exchange: Exchange) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, exchange))

    def due(self) -> Iterator[Exchange]:
        """Take out those whose time has come."""
        while self._heap and self._heap[0][0] <= time.monotonic():
            yield heapq.heappop(self._heap)[2]

    def pause(self) -> float:
        """Seconds until the next one, at most LONGEST_PAUSE."""
        if not self._heap:
            return LONGEST_PAUSE
        return min(max(self._heap[0][0] - time.monotonic(), 0.0), LONGEST_PAUSE)
