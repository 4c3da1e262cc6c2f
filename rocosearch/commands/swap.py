"""`rocosearch swap`: replace the encoder of a running search, without an outage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rocosearch.console import progress_bars, results, show
from rocosearch.exit_codes import GuardedCommand, writing
from rocosearch.no_effect import NoEffect
from rocosearch.options import CorpusFolder, IndexFolder

__all__ = ["EXAMPLE", "app"]

EXAMPLE = """\
rocosearch swap start build/index build/corpus build/encoder-new
rocosearch swap backfill build/index.swap
rocosearch swap shadow build/index.swap
rocosearch swap switch build/index.swap
rocosearch swap finish build/index.swap
"""

app = typer.Typer(
    no_args_is_help=True,
    help="Replace the encoder of a running search, step by step.",
)

SwapFolder = Annotated[
    Path,
    typer.Argument(metavar="SWAP", help="Working folder of the swap, as printed by `swap start`."),
]


class Start(GuardedCommand):
    """Swapping an index needs nothing of a server."""

    no_effect = (NoEffect("--config-url --force", "without --to"),)


@app.command(cls=Start)
@writing
def start(
    index: IndexFolder,
    corpus: CorpusFolder,
    encoder: Annotated[Path, typer.Argument(metavar="ENCODER", help="The new encoder's folder.")],
    *,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="URL", help="Swap on this Vespa server instead of the index."),
    ] = None,
    config_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Its config server; default: port 19071 of URL's host."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="SWAP", help="Working folder of the swap; default: INDEX.swap."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Even if the server has manual changes, which the swap drops."
        ),
    ] = False,
) -> None:
    """Add a field and profiles for the new encoder; nothing else changes."""
    from rocosearch.vespa_jobs import start_swap

    with progress_bars() as progress:
        swap = start_swap(
            index,
            corpus,
            encoder,
            to=to,
            config_url=config_url,
            folder=folder,
            force=force,
            progress=progress,
        )
    results.print(
        f"Started: {swap.state.old[:8]} to {swap.state.new[:8]}. "
        f"Next: rocosearch swap backfill {swap.folder}"
    )


@app.command()
@writing
def backfill(swap: SwapFolder) -> None:
    """Add the new encoder's vectors to every document; resumes after a kill."""
    from rocosearch.swap import open_swap

    with progress_bars() as progress:
        found = open_swap(swap).backfill(progress)
    results.print(
        f"{found.with_vector:,} of {found.documents:,} documents have a vector of the new encoder. "
        f"Next: rocosearch swap shadow {swap}"
    )


@app.command()
@writing
def shadow(swap: SwapFolder) -> None:
    """Evaluate both encoders on the same queries; users notice nothing."""
    from rocosearch.swap import open_swap

    with progress_bars() as progress:
        changes = open_swap(swap).shadow(progress)
    show(changes.table())
    if not changes.passed:
        results.print("The new encoder is significantly worse: switch only with --force.")
        raise typer.Exit(1)
    results.print(f"Nothing fell by more than noise. Next: rocosearch swap switch {swap}")


@app.command()
@writing
def switch(
    swap: SwapFolder,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even if the new encoder is worse or was not evaluated.")
    ] = False,
) -> None:
    """Make the new encoder the default; the old one stays until `finish`."""
    from rocosearch.swap import open_swap

    with progress_bars() as progress:
        open_swap(swap).switch(progress, force=force)
    results.print(f"Switched. Next: rocosearch swap finish {swap}, or rollback.")


@app.command()
@writing
def rollback(swap: SwapFolder) -> None:
    """Go one step back: after `switch` to the old encoder, before it to the initial state."""
    from rocosearch.swap import open_swap

    with progress_bars() as progress:
        open_swap(swap).rollback(progress)
    results.print("Rolled back.")


@app.command()
@writing
def finish(swap: SwapFolder) -> None:
    """Remove the old encoder; this cannot be undone."""
    from rocosearch.swap import open_swap

    with progress_bars() as progress:
        open_swap(swap).finish(progress)
    results.print("Finished: the old encoder is removed.")
