"""`rocosearch demo`: all steps on generated images, in a few minutes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from encoders.base.extras import need
from rocosearch.console import results
from rocosearch.demo import Step, run_steps, start_over, steps

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch demo
rocosearch demo --out /tmp/demo --records 400
"""


def command(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option("--out", metavar="OUT", help="Output folder of the demo.")
    ] = Path("build/demo"),
    records: Annotated[int, typer.Option(min=200, help="Number of phantoms.")] = 2700,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run all steps again, even finished ones.")
    ] = False,
) -> None:
    """Run corpus, train, index, search, eval and app on phantoms.

    Each command is printed before it runs; finished steps are skipped.
    """
    for module in ("torch", "scipy", "vespa"):
        need(module, "The demo", "train,eval,vespa")
    if fresh:
        start_over(out)
    group = context.find_root().command

    def run(arguments: Sequence[str]) -> int:
        return int(group.main(list(arguments), prog_name="rocosearch", standalone_mode=False) or 0)

    code = run_steps(steps(out, records), run, _announce)
    if code:
        raise typer.Exit(code)
    _what_next(out)


def _announce(step: Step, skipped: bool) -> None:
    results.print(f"\n{step.title}{' (done already)' if skipped else ''}", style="bold")
    results.print(f"$ rocosearch {shlex.join(step.arguments)}", style="cyan")


def _what_next(out: Path) -> None:
    results.print("\nWhere to look", style="bold")
    results.print(f"Report, with tables and images: {out / 'report' / 'report.html'}")
    results.print(
        f"Search page, in your browser:     rocosearch serve {out / 'index'} {out / 'corpus'}"
    )
    results.print(f"Vespa application package:        {out / 'app'}")
    results.print("\nWith your own images and captions", style="bold")
    results.print(
        "A folder with a metadata.jsonl of file_name and text, ROCO's or ImageCLEF's layout:\n$ "
        "rocosearch corpus FOLDER my/corpus\n$ rocosearch train my/corpus my/encoder\n$ "
        "rocosearch index my/corpus my/index --encoder my/encoder\n$ rocosearch search my/index "
        '"your query"\n$ rocosearch eval my/index my/corpus my/report\nEach command explains '
        "itself: rocosearch COMMAND --help"
    )
