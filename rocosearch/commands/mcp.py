"""`rocosearch mcp`: search as tools for an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encoders.base.errors import UserError
from rocosearch.options import (
    ConfigUrl,
    DeployedPackage,
    IndexOrUrl,
    OptionalEncoder,
    ProfilesFile,
)

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch mcp build/index build/corpus
rocosearch mcp http://localhost:8080
"""


def command(
    index: IndexOrUrl,
    corpus: Annotated[
        Path | None, typer.Argument(metavar="CORPUS", help="Corpus with the images.")
    ] = None,
    *,
    encoder: OptionalEncoder = None,
    profiles: ProfilesFile = None,
    package: DeployedPackage = None,
    config_url: ConfigUrl = None,
) -> None:
    """Serve tools to an agent by the Model Context Protocol, on stdin and stdout.

    Tools: search, document and, with CORPUS, image. Needs the extra mcp.
    """
    try:
        from rocosearch.mcp_server import mcp_server
    except ImportError:
        raise UserError(
            'The protocol\'s SDK is not installed: run pip install "rocosearch[mcp]".'
        ) from None
    from rocosearch.searchers import searching

    with searching(
        index, encoder=encoder, profiles=profiles, package=package, config_url=config_url
    ) as searcher:
        mcp_server(searcher, corpus).run("stdio")
