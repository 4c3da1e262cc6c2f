"""A server that sends whatever a test tells it to, byte by byte."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Send", "hostile", "said", "saying"]

Send = Callable[[bytes], None]
JSON_KIND = "Content-Type: application/json\r\n"


def said(content: object, status: int = 200, headers: str = JSON_KIND) -> bytes:
    """A whole answer; bytes are sent as they are, everything else as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def hostile(answer: Callable[[str, Send, threading.Event], None]) -> Iterator[str]:
    """Serve; `answer(request, send, ended)` answers each; yields the URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()
    threads = []

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while not ended.is_set() and (request := read(connection)):
                    answer(request, connection.sendall, ended)
            except OSError:  # the client has had enough, as it should
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connection.settimeout(5)
            threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join()


def read(connection: socket.socket) -> str:
    """One request, head and body; "" where the client is gone or speaks HTTP/2."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        data += more
        if not more or data.startswith(b"PRI * HTTP/2"):
            return ""
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [h for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:")]
    wanted = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < wanted:
        body += connection.recv(65536)
    return head.decode("latin-1")


def saying(content: object, status: int = 200, headers: str = JSON_KIND):
    """The same answer to everything."""
    data = said(content, status, headers)
    return lambda _request, send, _ended: send(data)
