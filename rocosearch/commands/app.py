"""`rocosearch app`: the same encoder and profiles as a Vespa application package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.options import AsJson, OutFolder, ProfilesFile

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch app build/index build/app
"""


def command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="An index (its encoder, profiles and statistics are taken) or an encoder folder.",
        ),
    ],
    out: OutFolder,
    *,
    profiles: ProfilesFile = None,
    as_json: AsJson = False,
) -> None:
    """Write the Vespa application package: what was evaluated is what is deployed.

    OUT gets services.xml, the schema with every rank profile, the exported text tower as an
    embedder, and query profile defaults.
    """
    from rocosearch.pipeline import write_app

    with progress_bars() as progress:
        files = write_app(source, out, profiles=profiles, progress=progress)
    if as_json:
        show_json({"app": str(out), "files": files})
        return
    results.print(f"{out}: {len(files)} files: {', '.join(files)}.")
