"""Threads that send operations and give back how each ended.

A pool of futures would cost as much a document as the sending itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Self

from vespa_app.operations import Answer, Operation

__all__ = ["Workers"]

Send = Callable[[Operation, threading.Event], Answer]


class Workers:
    """`count` threads around `send`, from `with` to its end.

    busy: operations begun and not yet taken back. stop: set it, and what is not sent yet is not.
    """

    def __init__(self, send: Send, count: int) -> None:
        self.stop = threading.Event()
        self.busy = 0
        self._send = send
        self._waiting: SimpleQueue[Operation | None] = SimpleQueue()
        self._ended: SimpleQueue[tuple[Operation, Answer | BaseException]] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"feed-{n}", daemon=True) for n in range(count)
        ]

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let each thread end the operation it is at."""
        self.stop.set()
        for _thread in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def begin(self, operation: Operation) -> None:
        """Have it sent by the next thread that is free."""
        self.busy += 1
        self._waiting.put(operation)

    def next_ended(self) -> tuple[Operation, Answer | BaseException]:
        """Wait for the next that has ended, with its answer or what was raised in place of one."""
        ended = self._ended.get()
        self.busy -= 1
        return ended

    def _work(self) -> None:
        while (operation := self._waiting.get()) is not None:
            try:
                self._ended.put((operation, self._send(operation, self.stop)))
            except BaseException as error:  # noqa: BLE001  (raised where it is read)
                self._ended.put((operation, error))
