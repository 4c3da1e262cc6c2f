"""Failures of the command line: one sentence and an exit code, never a bare traceback.

0: done. 1: the job failed. 2: wrong usage. 130: interrupted.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from encoders.base.errors import UserError
from rocosearch.console import say

__all__ = ["TRACE", "GuardedCommand", "GuardedGroup"]

TRACE = "ROCOSEARCH_TRACE"
LARGEST = 10**15  # no option means anything by more


class GuardedCommand(TyperCommand):
    """A command whose numbers are numbers: no NaN, no infinity, none too large to compute with."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as typer declares it
        """Run it; raise typer.BadParameter for such a value, which ranges let pass."""
        for option in self.params:
            value = ctx.params.get(option.name)
            if isinstance(value, int | float) and not abs(value) <= LARGEST:  # NaN as well
                hint = f"'{option.opts[0]}'"
                raise typer.BadParameter("it is not a number up to 10^15.", ctx, param_hint=hint)
        return super().invoke(ctx)


class GuardedGroup(TyperGroup):
    """Commands whose every failure is told in one sentence on stderr."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as typer declares it
        """Run a command; raise typer.Exit with the code that its failure calls for."""
        try:
            return super().invoke(ctx)
        except (typer.TyperException, typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            say("interrupted; run the same command again to resume", style="yellow")
            raise typer.Exit(130) from None
        except Exception as error:
            _tell(error)
            raise typer.Exit(1) from error


def _tell(error: Exception) -> None:
    say(_sentence(error), style="red")
    if os.environ.get(TRACE):
        say("".join(traceback.format_exception(error)).rstrip())


def _sentence(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return "Out of memory: try fewer records, or a machine with more of it."
    where = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"Unexpected {type(error).__name__} in {Path(where.filename).name}, line {where.lineno}: "
        f"{error or 'no message'}. This is a fault of the program; run the same command with "
        f"{TRACE}=1 before it to see the whole trace."
    )
