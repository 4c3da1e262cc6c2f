"""Many HTTP requests under way at once from one thread, over one HTTP/2 connection, by libcurl.

Nothing is retried here, and nothing raised for what a server does: each request ends in a
`Reply`. Beside other clients in docs/feeding.md.
https://curl.se/libcurl/c/libcurl-multi.html
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from io import BytesIO
from typing import Generic, Literal, TypeVar

import certifi
import pycurl

from vespa_app.http.connection import CONNECT_SECONDS, Credentials

__all__ = ["Ended", "Method", "Streams"]

Method = Literal["GET", "POST", "PUT", "DELETE"]
T = TypeVar("T")

NO_ANSWER = 0  # in place of an HTTP status
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # as `requests` finds them
LONGEST_WAIT = 0.2
# What no other version of HTTP would change.
_NOT_ITS_VERSION = {pycurl.E_COULDNT_CONNECT, pycurl.E_COULDNT_RESOLVE_HOST}


@dataclass(frozen=True)
class Ended(Generic[T]):
    """How the request of `key` ended; without an answer status is 0 and `problem` says why."""

    key: T
    status: int
    body: bytes = b""
    problem: str = ""


@dataclass(frozen=True)
class _Request(Generic[T]):
    key: T
    method: Method
    target: str
    body: bytes


class Streams(Generic[T]):
    """Up to `count` requests at once to the server at `url`; for one thread at a time.

    seconds: what the server may take for one. count is not enforced: begin no more than that.
    """

    def __init__(self, url: str, credentials: Credentials, count: int, seconds: float) -> None:
        self.count = count
        self.proven = False
        self._url = url
        self._credentials = credentials
        self._seconds = seconds
        self._http2 = True
        self._idle: list[pycurl.Curl] = []
        self._under_way: dict[pycurl.Curl, tuple[_Request[T], BytesIO]] = {}
        self._multi = self._new_multi()

    @property
    def busy(self) -> int:
        """Requests under way."""
        return len(self._under_way)

    def begin(self, key: T, method: Method, target: str, body: bytes = b"") -> None:
        """Send a request; `target` is its path and query."""
        self._begin(_Request(key, method, target, body))

    def ended(self, seconds: float) -> list[Ended[T]]:
        """Requests that have ended; waits at most `seconds` for the first of them."""
        end = time.monotonic() + seconds
        while True:
            self._multi.perform()
            found = self._collect()
            left = end - time.monotonic()
            if found or not self._under_way or left <= 0:
                return found
            if self._multi.select(min(left, LONGEST_WAIT)) < 0:  # no socket to wait for yet
                time.sleep(0.005)

    def close(self) -> None:
        """Break off what is under way, and close the connection."""
        for handle in self._under_way:
            self._multi.remove_handle(handle)
        for handle in (*self._under_way, *self._idle):
            handle.close()
        self._under_way.clear()
        self._idle.clear()
        self._multi.close()

    def _begin(self, request: _Request[T]) -> None:
        handle = self._idle.pop() if self._idle else self._new_handle()
        answer = BytesIO()
        handle.setopt(pycurl.URL, self._url + request.target)
        if request.body:
            handle.setopt(pycurl.POSTFIELDS, request.body)
        else:
            handle.setopt(pycurl.HTTPGET, 1)
        handle.setopt(pycurl.CUSTOMREQUEST, request.method)
        handle.setopt(pycurl.WRITEDATA, answer)
        self._multi.add_handle(handle)
        self._under_way[handle] = request, answer

    def _collect(self) -> list[Ended[T]]:
        found: list[Ended[T]] = []
        waiting = 1
        while waiting:
            waiting, good, bad = self._multi.info_read()
            for handle in good:
                request, answer = self._take(handle)
                status = handle.getinfo(pycurl.RESPONSE_CODE)
                found.append(Ended(request.key, int(status), answer.getvalue()))
                self.proven = True
                self._idle.append(handle)
            for handle, code, problem in bad:
                if handle not in self._under_way:  # begun again with another
                    continue
                request, _ = self._take(handle)
                handle.close()
                if not self._again_otherwise(request, code):
                    found.append(Ended(request.key, NO_ANSWER, problem=problem or f"curl {code}"))
        return found

    def _take(self, handle: pycurl.Curl) -> tuple[_Request[T], BytesIO]:
        self._multi.remove_handle(handle)
        return self._under_way.pop(handle)

    def _again_otherwise(self, request: _Request[T], code: int) -> bool:
        """Whether the request was begun again by HTTP/1.1: what stands before Vespa may need it."""
        if self.proven or self._url.startswith("https://") or code in _NOT_ITS_VERSION:
            return False
        if self._http2:
            self._http2 = False
            others = [self._take(handle)[0] for handle in list(self._under_way)]
            self._idle.clear()
            self._multi.close()
            self._multi = self._new_multi()
            for other in others:
                self._begin(other)
            self._begin(request)
            return True
        return False

    def _new_multi(self) -> pycurl.CurlMulti:
        multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, 1 if self._http2 else self.count)
        return multi

    def _new_handle(self) -> pycurl.Curl:
        handle, known = pycurl.Curl(), self._credentials
        headers = ["Content-Type: application/json", "Expect:"]
        if known.token:
            headers.append(f"Authorization: Bearer {known.token}")
        handle.setopt(pycurl.HTTPHEADER, headers)
        handle.setopt(pycurl.HTTP_VERSION, self._version())
        handle.setopt(pycurl.PIPEWAIT, int(self._http2))
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, int(1000 * CONNECT_SECONDS))
        # Vespa gives up before this client does, and says why.
        handle.setopt(pycurl.TIMEOUT_MS, int(1000 * (self._seconds * 1.2 + 1.0)))
        bundle = next((os.environ[name] for name in BUNDLES if os.environ.get(name)), None)
        handle.setopt(pycurl.CAINFO, str(known.authority or bundle or certifi.where()))
        if known.certificate:
            handle.setopt(pycurl.SSLCERT, str(known.certificate))
            handle.setopt(pycurl.SSLKEY, str(known.key or known.certificate))
        return handle

    def _version(self) -> int:
        """Over TLS the two agree on HTTP/2; in clear text it must be known beforehand."""
        if self._url.startswith("https://"):
            return pycurl.CURL_HTTP_VERSION_2TLS
        if self._http2:
            return pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
        return pycurl.CURL_HTTP_VERSION_1_1
