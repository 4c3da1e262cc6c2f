"""UserError: the base of all errors that the user can correct; Notice: of warnings."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Notice", "UserError", "plain_reason", "readable"]


class UserError(Exception):
    """Invalid input or an invalid state, described in one sentence.

    The message says what was wrong, where, and what to do. The command line prints it
    without a traceback. Packages derive their own errors from it.
    pointed: a line of what was read and a caret below follow the sentence.
    """

    pointed = False


class Notice(UserWarning):
    """The work is done, and the user should know this: one sentence, printed as it is."""


@contextmanager
def readable(path: Path, error: type[UserError] = UserError) -> Iterator[None]:
    """Tell of a file that may not be read, which nobody should take for a damaged one."""
    try:
        yield
    except PermissionError:
        raise error(
            f"{path} cannot be read for lack of permission: ask its owner for access."
        ) from None


def plain_reason(error: Exception) -> str:
    """What is wrong with a file that was read, without Python's words; no full stop at the end.

    >>> plain_reason(KeyError("x"))
    'a value is missing, unknown or of the wrong type'
    """
    if isinstance(error, OSError):
        full = os.strerror(errno.ENOSPC)
        listed = full if full in str(error) else "not all files could be copied"
        # shutil's own error holds a list of what it could not copy.
        return listed if isinstance(error, shutil.Error) else error.strerror or str(error)
    if isinstance(error, UnicodeError):
        return "it is not UTF-8 text"
    if isinstance(error, json.JSONDecodeError):
        return f"it is not JSON from line {error.lineno} on"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, KeyError | IndexError | TypeError | AttributeError):
        return "a value is missing, unknown or of the wrong type"
    # Python's own limit for digits, whatever was being read.
    long = "integer string conversion" in str(error)
    return "a number has too many digits" if long else str(error).rstrip(".")
