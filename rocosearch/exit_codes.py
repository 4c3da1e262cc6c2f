"""Error handling of the command line: one sentence and an exit code.

Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperCommand, TyperGroup

from encoders.base.errors import Notice, UserError
from encoders.base.extras import EXTRAS, MissingExtraError
from encoders.base.storage import share_with_group
from rocosearch.console import messages, say
from rocosearch.no_effect import NoEffect, told_of

__all__ = ["TRACE", "GuardedCommand", "GuardedGroup", "writing"]

TRACE = "ROCOSEARCH_TRACE"
NEEDED = {
    "corpus": "corpus",
    "index": "corpus",
    "embed": "corpus",
    "train": "train",
    "look": "train",
    "eval": "eval",
    "tune": "eval",
    "compare": "eval",
    "classify": "eval",
    "app": "vespa",
    "deploy": "vespa",
    "feed": "vespa",
    "doctor": "vespa",
    "plan": "vespa",
    "search": "vespa",  # of a server: an index is searched without any extra
    "parity": "vespa",
    "swap": "eval,vespa",
}
"""Command -> the extras that it needs, reported together."""

LARGEST = 10**15  # no option means anything by more


class GuardedCommand(TyperCommand):
    """A command that refuses NaN, infinity and huge numbers, and options without an effect."""

    no_effect: tuple[NoEffect, ...] = ()

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as typer declares it
        """Run the command; raise typer.BadParameter for such values, which typer accepts."""
        if refusal := told_of(ctx, self.no_effect):
            raise typer.BadParameter(refusal, ctx)
        for option in self.params:
            value = ctx.params.get(option.name)
            if isinstance(value, int | float) and not abs(value) <= LARGEST:  # NaN as well
                hint = f"'{option.opts[0]}'"
                raise typer.BadParameter("it is not a number up to 10^15.", ctx, param_hint=hint)
        return super().invoke(ctx)


Share = Annotated[
    bool,
    typer.Option("--share", help="Let the group read the output; by default only the owner can."),
]


def writing(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option --share: by default only the owner can read the output."""

    @wraps(command)
    def run(*given: Any, share: bool = False, **options: Any) -> None:  # noqa: ANN401
        if share:
            share_with_group()
        command(*given, **options)

    told = signature(command, eval_str=True)
    option = Parameter("share", Parameter.KEYWORD_ONLY, default=False, annotation=Share)
    vars(run)["__signature__"] = told.replace(parameters=[*told.parameters.values(), option])
    run.__annotations__ = {
        each.name: each.annotation for each in (*told.parameters.values(), option)
    }
    return run


class GuardedGroup(TyperGroup):
    """A group of commands that print every failure as one sentence on stderr."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as typer declares it
        """Run a command; on failure raise typer.Exit with the exit code."""
        shown, warnings.showwarning = warnings.showwarning, _warn
        try:
            return super().invoke(ctx)
        except (typer.TyperException, typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            say("interrupted; run the same command again to resume", style="yellow")
            raise typer.Exit(130) from None
        except Exception as error:
            _tell(_missing(error, ctx.invoked_subcommand or "") or error)
            raise typer.Exit(1) from error
        finally:
            warnings.showwarning = shown


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print our own warnings as one sentence, others in Python's format."""
    if issubclass(category, Notice):
        say(str(message), style="yellow")
    else:
        told = warnings.formatwarning(message, category, filename, lineno, line)
        (file or sys.stderr).write(told)


def _missing(error: Exception, command: str) -> Exception | None:
    """The message for a missing package of an extra."""
    module = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if module not in EXTRAS:
        return None
    return MissingExtraError(f"rocosearch {command}", module, NEEDED.get(command, ""))


def _tell(error: Exception) -> None:
    if isinstance(error, UserError) and error.pointed:
        messages.print(str(error), style="red")
    else:
        say(_sentence(error), style="red")
    if os.environ.get(TRACE):
        messages.print("".join(traceback.format_exception(error)).rstrip())


def _sentence(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    if _disk_full(error):
        return (
            "The disk is full: free some space, or write elsewhere, and run the same command again."
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return "Out of memory: try fewer records, or a machine with more of it."
    where = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"Unexpected {type(error).__name__} in {Path(where.filename).name}, line {where.lineno}: "
        f"{error or 'no message'}. This is a bug; set {TRACE}=1 in the environment to see the "
        "traceback."
    )


def _disk_full(error: BaseException | None) -> bool:
    """Whether the disk is why; pyarrow and safetensors say so in their message alone."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        if os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
