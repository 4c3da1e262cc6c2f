"""UserError: the base of all errors that the user can correct."""

from __future__ import annotations

__all__ = ["UserError"]


class UserError(Exception):
    """Invalid input or an invalid state, described in one sentence.

    The message says what was wrong, where, and what to do. The command line prints it
    without a traceback. Packages derive their own errors from it.
    pointed: a line of what was read and a caret below follow the sentence.
    """

    pointed = False
