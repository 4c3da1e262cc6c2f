"""The `rocosearch` command: one file for each subcommand in rocosearch/commands."""

from __future__ import annotations

import typer

from rocosearch.commands import app as app_command
from rocosearch.commands import corpus, demo, index, search, train
from rocosearch.commands import eval as eval_command
from rocosearch.guard import GuardedGroup

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
        "The usual order: **corpus**, **train**, **index**, then **search**, **eval** and **app**. "
        "Try **demo** first: it needs no data."
    ),
    epilog="Exit codes: 0 done, 1 the job failed, 2 wrong usage.",
)


def _example(text: str) -> str:
    """One paragraph for each example."""
    return "Examples:\n\n" + "\n\n".join(text.splitlines())


for _module in (corpus, train, index, search, eval_command, app_command, demo):
    _name = _module.__name__.rpartition(".")[2]
    app.command(_name, epilog=_example(_module.EXAMPLE))(_module.command)


def main() -> None:
    """Run the command line of this process."""
    app()
