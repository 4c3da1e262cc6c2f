"""Concurrent HTTP requests from one thread, by libcurl.

Nothing is retried here, and nothing raised for what a server does: each request ends in an
`Ended`, whole within its seconds and its bytes. Compression is not asked for, so that an answer
is no longer than what was received. Beside other clients in docs/feeding.md.
https://curl.se/libcurl/c/libcurl-multi.html
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import certifi
import pycurl

from encoders.base.printable import printable
from vespa_app.http.credentials import Credentials
from vespa_app.http.errors import (
    VespaError,
    VespaGarbledError,
    VespaTimeoutError,
    VespaUnreachableError,
    VespaUntrustedError,
)

__all__ = ["LARGEST", "Ended", "Method", "Request", "Streams"]

Method = Literal["GET", "POST", "PUT", "DELETE"]
T = TypeVar("T")

LARGEST = 64 << 20  # bytes of one answer
CONNECT_SECONDS = 5.0
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # as other clients find them
LONGEST_WAIT = 0.2
# What no other version of HTTP would change.
_NOT_ITS_VERSION = {pycurl.E_COULDNT_CONNECT, pycurl.E_COULDNT_RESOLVE_HOST}
_UNTRUSTED = {
    pycurl.E_PEER_FAILED_VERIFICATION,
    pycurl.E_SSL_CACERT_BADFILE,
    pycurl.E_SSL_CERTPROBLEM,
    pycurl.E_SSL_ISSUER_ERROR,
}
_LOST = ("eof", "reset", "syscall", "closed")  # an end of the connection, not of trust


@dataclass(frozen=True)
class Request(Generic[T]):
    """What to send; `key` comes back with its end.

    target: path and query. seconds: for the whole answer. largest: its bytes.
    """

    key: T
    method: Method
    target: str
    body: bytes = b""
    content_type: str = "application/json"
    seconds: float = 30.0
    largest: int = LARGEST


@dataclass(frozen=True)
class Ended(Generic[T]):
    """How the request of `key` ended: with a status and a body, or with a `failure`."""

    key: T
    status: int = 0
    body: bytes = b""
    content_type: str = ""
    failure: VespaError | None = None


class _Body:
    """Takes the bytes of an answer; more than `largest` break it off."""

    def __init__(self, largest: int) -> None:
        self.parts: list[bytes] = []
        self.left = largest

    def write(self, data: bytes) -> int:
        """Return how many bytes were taken."""
        self.left -= len(data)
        if self.left < 0:
            return 0
        self.parts.append(data)
        return len(data)


class Streams(Generic[T]):
    """Up to `count` requests at once to the server at `url`; for one thread at a time.

    count is not enforced: begin no more than that. http2: one connection for all of them.
    """

    def __init__(
        self, url: str, credentials: Credentials, count: int, *, http2: bool = True
    ) -> None:
        self.count = count
        self.proven = False
        self._url = url
        self._credentials = credentials
        self._http2 = http2
        self._idle: list[pycurl.Curl] = []
        self._under_way: dict[pycurl.Curl, tuple[Request[T], _Body]] = {}
        self._multi = self._new_multi()

    @property
    def busy(self) -> int:
        """Requests in flight."""
        return len(self._under_way)

    def begin(self, request: Request[T]) -> None:
        """Send a request."""
        handle = self._idle.pop() if self._idle else self._new_handle()
        answer = _Body(request.largest)
        handle.setopt(pycurl.URL, self._url + request.target)
        handle.setopt(pycurl.HTTPHEADER, self._headers(request))
        handle.setopt(pycurl.TIMEOUT_MS, max(1, int(1000 * request.seconds)))
        connect = min(CONNECT_SECONDS, request.seconds)
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, int(1000 * connect)))
        if request.body:
            handle.setopt(pycurl.POSTFIELDS, request.body)
        else:
            handle.setopt(pycurl.HTTPGET, 1)
        handle.setopt(pycurl.CUSTOMREQUEST, request.method)
        handle.setopt(pycurl.WRITEDATA, answer)
        self._multi.add_handle(handle)
        self._under_way[handle] = request, answer

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
        """Abort the requests in flight, and close the connection."""
        for handle in self._under_way:
            self._multi.remove_handle(handle)
        for handle in (*self._under_way, *self._idle):
            handle.close()
        self._under_way.clear()
        self._idle.clear()
        self._multi.close()

    def _collect(self) -> list[Ended[T]]:
        found: list[Ended[T]] = []
        waiting = 1
        while waiting:
            waiting, good, bad = self._multi.info_read()
            for handle in good:
                request, answer = self._take(handle)
                status = int(handle.getinfo(pycurl.RESPONSE_CODE))
                kind = handle.getinfo(pycurl.CONTENT_TYPE) or ""
                found.append(Ended(request.key, status, b"".join(answer.parts), kind))
                self.proven = True
                self._idle.append(handle)
            for handle, code, said in bad:
                if handle not in self._under_way:  # begun again with another
                    continue
                request, answer = self._take(handle)
                connected = handle.getinfo(pycurl.PRETRANSFER_TIME) > 0
                number = handle.getinfo(pycurl.OS_ERRNO)
                refused = code == pycurl.E_COULDNT_CONNECT and number
                problem = os.strerror(number) if refused else said
                handle.close()
                if not self._again_otherwise(request, code):
                    failure = self._failure(request, answer, code, problem, connected=connected)
                    found.append(Ended(request.key, failure=failure))
        return found

    def _failure(
        self, request: Request[T], answer: _Body, code: int, problem: str, *, connected: bool
    ) -> VespaError:
        """What ended it, in a sentence."""
        address = f"{self._url}{request.target.partition('?')[0]}"
        said = printable(problem or f"curl {code}").strip(". ")
        if answer.left < 0:
            return VespaGarbledError(
                f"{address} sent more than {request.largest >> 20} MiB, so the request was "
                "stopped: check URL and port."
            )
        if _distrusts(code, said):
            return VespaUntrustedError(
                f"{self._url} has an untrusted certificate, or does not trust this client: "
                f"{said}. VESPA_CLI_DATA_PLANE_CA_CERT_FILE names the trusted authorities, "
                "VESPA_CLI_DATA_PLANE_CERT_FILE and _KEY_FILE this client's certificate."
            )
        if code == pycurl.E_OPERATION_TIMEDOUT and connected:
            return VespaTimeoutError(
                f"{address} did not answer completely within {request.seconds:.3g} s."
            )
        return VespaUnreachableError(
            f"{self._url} cannot be reached: {said}. Check that Vespa is running there, and that "
            "an application is deployed."
        )

    def _take(self, handle: pycurl.Curl) -> tuple[Request[T], _Body]:
        self._multi.remove_handle(handle)
        return self._under_way.pop(handle)

    def _again_otherwise(self, request: Request[T], code: int) -> bool:
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
                self.begin(other)
            self.begin(request)
            return True
        return False

    def _new_multi(self) -> pycurl.CurlMulti:
        multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, 1 if self._http2 else self.count)
        return multi

    def _headers(self, request: Request[T]) -> list[str]:
        headers = [f"Content-Type: {request.content_type}", "Accept: application/json", "Expect:"]
        token = self._credentials.token
        return [*headers, f"Authorization: Bearer {token}"] if token else headers

    def _new_handle(self) -> pycurl.Curl:
        handle, known = pycurl.Curl(), self._credentials
        handle.setopt(pycurl.HTTP_VERSION, self._version())
        handle.setopt(pycurl.PIPEWAIT, int(self._http2))
        handle.setopt(pycurl.NOSIGNAL, 1)
        bundle = next((os.environ[name] for name in BUNDLES if os.environ.get(name)), None)
        handle.setopt(pycurl.CAINFO, str(known.authority or bundle or certifi.where()))
        if known.certificate:
            handle.setopt(pycurl.SSLCERT, str(known.certificate))
            handle.setopt(pycurl.SSLKEY, str(known.key or known.certificate))
        return handle

    def _version(self) -> int:
        """Over TLS the two agree on HTTP/2; in clear text it must be known beforehand."""
        if not self._http2:
            return pycurl.CURL_HTTP_VERSION_1_1
        if self._url.startswith("https://"):
            return pycurl.CURL_HTTP_VERSION_2TLS
        return pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE


def _distrusts(code: int, said: str) -> bool:
    """Whether TLS failed for want of trust: an alert is the other side's refusal."""
    lost = any(word in said.lower() for word in _LOST)
    refused = "alert" in said and "ssl" in said.lower()
    return code in _UNTRUSTED or refused or (code == pycurl.E_SSL_CONNECT_ERROR and not lost)
