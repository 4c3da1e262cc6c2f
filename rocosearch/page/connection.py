"""One connection: uvicorn's HTTP protocol, with a deadline and a limit on connections.

uvicorn closes a connection that is idle between two requests, but waits forever for one that
sends single bytes slowly.
"""

from __future__ import annotations

import asyncio
from typing import cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from rocosearch.page.access import error_body

__all__ = ["MOST_CONNECTIONS", "PATIENCE", "Connection"]

PATIENCE = 30.0
"""Seconds for a request, from the end of the previous one to the end of its answer."""

MOST_CONNECTIONS = 200


class Connection(H11Protocol):
    """Ends slow requests; refuses excess connections and invalid HTTP with a sentence."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection, unless there are too many."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._begin()
        if len(self.connections) > MOST_CONNECTIONS:
            self._end(503, "Too many connections at once: try again in a moment.")

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._deadline:
            self._deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Restart the deadline for the next request."""
        self._begin()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer invalid HTTP."""
        self._end(400, msg)

    def _begin(self) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(PATIENCE, self._late)

    def _late(self) -> None:
        self._end(408, f"The request took longer than {PATIENCE:g} seconds.")

    def _end(self, status: int, sentence: str) -> None:
        """Send the reason, unless an answer has started; then close."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = error_body(sentence)
            head = f"HTTP/1.1 {status} \r\nContent-Type: application/json\r\n"
            length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            self.transport.write((head + length).encode() + body)
            self.transport.close()
            if self.cycle is not None:
                self.cycle.disconnected = True
            self.loop.call_later(1.0, self.transport.abort)  # a client that does not read
        else:
            self.transport.abort()
