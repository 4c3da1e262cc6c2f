"""The `rocosearch` command: one file for each subcommand in rocosearch/commands."""

from __future__ import annotations

import os
import signal
import sys

import typer

from rocosearch.commands import (
    app as app_command,
    classify,
    compare,
    corpus,
    demo,
    deploy,
    doctor,
    embed,
    eval as eval_command,
    feed,
    forget,
    index,
    look,
    mcp,
    parity,
    plan,
    search,
    serve,
    source,
    swap,
    train,
    tune,
)
from rocosearch.guard import GuardedCommand, GuardedGroup, writing

__all__ = ["app", "main"]

app = typer.Typer(
    name="rocosearch",
    cls=GuardedGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Search over captioned radiology images: train a CLIP on your own pairs, rank with "
        "BM25, vectors or both, measure which serves best, and write it all out for Vespa.\n\n"
        "The usual order: **corpus**, **train**, **index**, then **search** or **serve**, **eval** "
        "and **app**. Try **demo** first: it needs no data."
    ),
    epilog="Exit codes: 0 done, 1 the job failed, 2 wrong usage.",
)


def _example(text: str) -> str:
    """One paragraph for each example."""
    return "Examples:\n\n" + "\n\n".join(text.splitlines())


PANELS = {
    "From files to a report": (corpus, train, index, search, serve, eval_command),
    "Better rankings": (tune, compare),
    "Vespa": (app_command, deploy, feed, parity, doctor, plan),
    "More": (mcp, look, classify, embed, source, forget, demo),
}

ONLY_READING = (search, compare, deploy, parity, doctor, mcp, source)

for _panel, _modules in PANELS.items():
    for _module in _modules:
        _name = _module.__name__.rpartition(".")[2]
        _register = app.command(
            _name,
            cls=GuardedCommand,
            epilog=_example(_module.EXAMPLE),
            rich_help_panel=_panel,
        )
        _register(_module.command if _module in ONLY_READING else writing(_module.command))
app.add_typer(swap.app, name="swap", epilog=_example(swap.EXAMPLE), rich_help_panel="Vespa")


def main() -> None:
    """Run the command line of this process."""
    # Read when torch is loaded: threads that wait by spinning cost a shared machine eight times
    # the CPU seconds in training.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # As an exception, so that half-written files and folders are removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # What libraries write on our behalf is the owner's alone too; --share says otherwise.
    os.umask(0o077)
    app()
