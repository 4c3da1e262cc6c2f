"""HTTP connections to one server: persistent, TLS verified, secrets hidden.

A `Connection` can be shared by threads. Nothing is retried here: `retries.py` decides.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlencode

from vespa_app.http.credentials import Credentials, check_files, check_url
from vespa_app.http.errors import VespaTimeoutError
from vespa_app.http.reply import Reply, read_reply
from vespa_app.http.streams import Method, Request, Streams

__all__ = ["Connection", "Credentials", "Reply"]


class Connection:
    """Requests to one server, over at most `pool` connections that are kept open.

    Raises EngineError if the URL is no http(s) address, holds a password, or would carry a
    token unencrypted to another machine, and where a file of the credentials is not what it
    should be.
    """

    def __init__(self, url: str, credentials: Credentials | None = None, *, pool: int = 16) -> None:
        known = credentials if credentials is not None else Credentials.from_environment()
        self.url = check_url(url, known)
        check_files(known)
        self.credentials = known
        self._free = threading.BoundedSemaphore(pool)
        self._lock = threading.Lock()
        self._idle: list[Streams[None]] = []

    def __repr__(self) -> str:
        return f"Connection({self.url!r})"

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def send(
        self,
        method: Method,
        path: str,
        *,
        body: Mapping[str, object] | bytes | None = None,
        parameters: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        seconds: float = 10.0,
    ) -> Reply:
        """Send one request and read its whole answer within `seconds`, whatever its status.

        Raises VespaUnreachableError if there is no connection, VespaUntrustedError where
        the two do not trust each other, VespaTimeoutError if no whole answer came in time,
        VespaGarbledError if it is too long or too deep.
        """
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        with self._one(seconds) as (stream, left):
            request = Request(None, method, target, data or b"", content_type, left)
            stream.begin(request)
            while not (ended := stream.ended(left)):
                pass
        (answer,) = ended
        if answer.failure:
            raise answer.failure
        address = f"{self.url}{path}"
        return read_reply(
            answer.status, answer.body, answer.content_type, address, self.credentials.token
        )

    @contextmanager
    def _one(self, seconds: float) -> Iterator[tuple[Streams[None], float]]:
        """A connection of this caller's own, and the seconds that are left."""
        end = time.monotonic() + seconds
        if not self._free.acquire(timeout=seconds):
            raise VespaTimeoutError(f"All connections to {self.url} were busy for {seconds:g} s.")
        try:
            with self._lock:
                stream = self._idle.pop() if self._idle else None
            stream = stream or Streams(self.url, self.credentials, 1, http2=False)
            try:
                yield stream, max(end - time.monotonic(), 0.001)
            finally:
                with self._lock:
                    if stream.busy:
                        stream.close()
                    else:
                        self._idle.append(stream)
        finally:
            self._free.release()
