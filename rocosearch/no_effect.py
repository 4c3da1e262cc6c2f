"""Options that would change nothing in a combination are refused before any work.

A command lists such combinations in a table NO_EFFECT beside its options; `GuardedCommand` reads
it. What the Python API can be given too is refused there, by the function or class that takes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["NoEffect", "told_of"]

EVERY_OTHER = "all but "
SEVERAL = "several "
URL = "a URL"
TARGETS = ("index", "to")  # parameters that hold an index's folder or a server's URL


class NoEffect(NamedTuple):
    """Options that do nothing `where` something is given, or is not.

    options: names separated by blanks; "all but -k --json": every option but these.
    where: "with --export", "without --cloud", "with several --profile", "with a URL"; of several,
    as in "without --save or --open", one is enough. An argument is named by its metavar.
    why: a clause for the message.
    """

    options: str
    where: str
    why: str = ""

    def refusal(self, context: Any) -> str:  # noqa: ANN401 - typer's context
        """The sentence that refuses what was given, or "" if all have an effect."""
        how, _, named = self.where.partition(" ")
        if any(_is_there(context, name) for name in named.split(" or ")) != (how == "with"):
            return ""
        given = [name for name in _given(context) if self._names(name)]
        if not given:
            return ""
        *some, last = given
        listed = f"{', '.join(some)} and {last}" if some else last
        has, them = ("have", "them") if some else ("has", "it")
        why = f", {self.why}" if self.why else ""
        other = "" if how == "with" else f", or give {named}"
        return f"{listed} {has} no effect {self.where}{why}: leave {them} out{other}."

    def _names(self, option: str) -> bool:
        listed = self.options.removeprefix(EVERY_OTHER).split()
        if self.options.startswith(EVERY_OTHER):
            return option not in (*listed, *self.where.split())
        return option in listed


def told_of(context: Any, table: tuple[NoEffect, ...]) -> str:  # noqa: ANN401 - typer's context
    """The first refusal of a table, or ""."""
    return next(filter(None, (each.refusal(context) for each in table)), "")


def _given(context: Any) -> Iterator[str]:  # noqa: ANN401
    """Options on the command line, by their first names."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name)
        if option.param_type_name == "option" and source and source.name == "COMMANDLINE":
            yield option.opts[0]


def _is_there(context: Any, name: str) -> bool:  # noqa: ANN401
    """Whether an option or an argument of this name has a value other than none, 0 or false."""
    if name == URL:
        from vespa_app.http.credentials import is_url  # noqa: PLC0415 - not for --help

        return any(is_url(str(context.params.get(each) or "")) for each in TARGETS)
    least = 2 if name.startswith(SEVERAL) else 1
    name = name.removeprefix(SEVERAL)
    for each in context.command.params:
        value = context.params.get(each.name)
        if name in (*each.opts, each.metavar):
            return len(set(value or ())) >= least if isinstance(value, list) else bool(value)
        if name in each.secondary_opts:  # --no-NAME
            return value is False
    raise KeyError(f"{context.command.name} has no {name}.")
