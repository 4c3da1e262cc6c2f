"""The subcommands as a typer application."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer

from rocosearch.exit_codes import GuardedCommand, GuardedGroup, writing
from rocosearch.overview import COMMANDS, HELP, overview

__all__ = ["make_app"]


ONLY_READING = ("search", "compare", "deploy", "parity", "source", "doctor", "mcp")


class _Root(GuardedGroup):
    """The group of all commands; its help is the overview."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as typer declares it
        """Print the overview."""
        typer.echo(overview())


def make_app(names: Sequence[str] | None = None) -> typer.Typer:
    """The application with these commands, or with all; only their files are loaded."""
    app = typer.Typer(
        name="rocosearch",
        cls=_Root,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": list(HELP)},
    )
    app.callback()(_nothing)
    for commands in COMMANDS.values():
        for name in commands:
            if names is None or name in names or "demo" in names:  # which runs others
                _add(app, name)
    return app


def _add(app: typer.Typer, name: str) -> None:
    module = import_module(f"rocosearch.commands.{name.replace('-', '_')}")
    # One paragraph for each example.
    examples = "Examples:\n\n" + "\n\n".join(module.EXAMPLE.splitlines())
    if hasattr(module, "app"):
        app.add_typer(module.app, name=name, epilog=examples)
    else:
        command = module.command if name in ONLY_READING else writing(module.command)
        kind = type("Command", (GuardedCommand,), {"no_effect": getattr(module, "NO_EFFECT", ())})
        app.command(name, cls=kind, epilog=examples)(command)


def _nothing() -> None:
    """With a callback, a single command stays a subcommand."""
