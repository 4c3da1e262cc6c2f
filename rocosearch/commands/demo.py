"""`rocosearch demo`: all steps, on generated images or on a data set."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from encoders.base.extras import need
from rocosearch.console import results
from rocosearch.demo import Step, check_source, run_steps, start_over, steps

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch demo
rocosearch demo phantoms:400 /tmp/demo
rocosearch demo ~/images build/mine
"""


def command(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="[SOURCE]", help="What `rocosearch corpus` reads, a finished corpus too."
        ),
    ] = "phantoms:2700",
    out: Annotated[
        Path, typer.Argument(metavar="[OUT]", help="Folder for the outputs of all steps.")
    ] = Path("build/demo"),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run all steps again, even finished ones.")
    ] = False,
) -> None:
    """Run corpus, train, index, search, eval and app, on phantoms or your own data.

    Each command is printed before it runs; finished steps are skipped. Without image-caption
    pairs to train on, ranking is lexical.
    """
    for module in ("torch", "scipy", "vespa"):
        need(module, "The demo", "train,eval,vespa")
    if fresh:
        start_over(out)
    check_source(source, out)
    group = context.find_root().command

    def run(arguments: tuple[str, ...]) -> int:
        return int(group.main(list(arguments), prog_name="rocosearch", standalone_mode=False) or 0)

    code = run_steps(steps(source, out), run, _announce)
    if code:
        raise typer.Exit(code)
    _where_to_look(out)
    if source.startswith("phantoms"):
        results.print("\nWith your own images and captions", style="bold")
        results.print("One command, then the page:\n$ rocosearch demo FOLDER my")
        results.print("$ rocosearch serve my/index my/corpus")


def _announce(step: Step, skipped: bool) -> None:
    results.print(f"\n{step.title}{' (done already)' if skipped else ''}", style="bold")
    results.print(f"$ rocosearch {shlex.join(step.arguments)}", style="cyan")


def _where_to_look(out: Path) -> None:
    results.print("\nWhere to look", style="bold")
    results.print(f"Report, with tables and images: {out / 'report' / 'report.html'}")
    results.print(
        f"Search page, in your browser:     rocosearch serve {out / 'index'} {out / 'corpus'}"
    )
    results.print(f"Vespa application package:        {out / 'app'}")
