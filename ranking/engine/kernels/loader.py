"""Load the native core; without it the exact route is used."""

from __future__ import annotations

import logging
from functools import cache

__all__ = ["DamagedError", "available"]

try:
    from ranking.engine.kernels._core import DamagedError
except ImportError:

    class DamagedError(ValueError):  # type: ignore[no-redef]
        """A segment's arrays contradict each other."""


_log = logging.getLogger("ranking")


@cache
def available() -> bool:
    """Whether the core can be used; where not, a line in the log says so, once."""
    try:
        import ranking.engine.kernels._core  # noqa: F401, PLC0415 - it may not be there
    except ImportError as error:
        _log.warning(
            "The native core is missing (%s), so searches use the exact route, which is slower. "
            "To compile the core, install a C++ compiler and then rocosearch again.",
            error,
        )
        return False
    return True
