"""The retry rule: what is retried, delays with jitter, time limit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from vespa_app.http.errors import RETRIED

__all__ = ["Retries", "retrying"]

T = TypeVar("T")


@dataclass(frozen=True)
class Retries:
    """At most `attempts` in all, with random pauses: up to `first` seconds, then twice that ...

    No pause is over `longest` seconds.
    Full jitter keeps many clients from coming back at the same moment.
    """

    attempts: int = 4
    first: float = 0.1
    longest: float = 2.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the attempt of this number (from 0)."""
        return random.uniform(0.0, min(self.longest, self.first * 2 ** min(attempt, 30)))  # noqa: S311


def retrying(work: Callable[[float], T], retries: Retries, seconds: float) -> T:
    """Return `work(seconds left)`, called again after errors that may pass, within `seconds`.

    Only for work that may be done twice. Raises its last error.
    """
    end = time.monotonic() + seconds
    for attempt in range(retries.attempts):
        try:
            return work(max(end - time.monotonic(), 0.001))
        except RETRIED:
            pause = retries.pause(attempt)
            if attempt + 1 == retries.attempts or time.monotonic() + pause >= end:
                raise
            time.sleep(pause)
    raise AssertionError("unreachable")
