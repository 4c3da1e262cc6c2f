"""The `rocosearch` command: one file for each subcommand in rocosearch/commands."""

from __future__ import annotations

import typer

from rocosearch.commands import app as app_command
from rocosearch.commands import corpus, demo, eval as eval_command, index, search, train
from rocosearch.guard import GuardedGroup

__all__ = ["app", "main"]

app = typer.Typer(
    name="rocosearch",
    cls=GuardedGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Search over captioned radiology images: train a CLIP on your own pairs, rank with "
        "BM25, vectors or both, measure which serves best, and write it all out for Vespa.\n\n"
        "The usual order: [bold]corpus[/] > [bold]train[/] > [bold]index[/] > [bold]search[/], "
        "[bold]eval[/], [bold]app[/]. Try [bold]rocosearch demo[/] first: it needs no data."
    ),
    epilog="Exit codes: 0 done, 1 the job failed, 2 wrong usage.",
)

for _module in (corpus, train, index, search, eval_command, app_command, demo):
    app.command(epilog=_module.EXAMPLE)(_module.command)


def main() -> None:
    """Run the command line of this process."""
    app()
