"""`rocosearch serve`: the search page, on one's own machine."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from rocosearch.console import results, say
from rocosearch.options import (
    ConfigUrl,
    DeployedPackage,
    IndexOrUrl,
    OptionalEncoder,
    ProfilesFile,
)

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch serve build/index build/corpus
rocosearch serve build/index --port 9000
rocosearch serve http://localhost:8080 build/corpus
"""
OWN = ("127.0.0.1", "localhost")


def command(
    index: IndexOrUrl,
    corpus: Annotated[
        Path | None,
        typer.Argument(metavar="CORPUS", help="Where the pictures are; captions alone if none."),
    ] = None,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8765,
    browse: Annotated[bool, typer.Option("--browse", help="Open the page in a browser.")] = False,
    encoder: OptionalEncoder = None,
    profiles: ProfilesFile = None,
    package: DeployedPackage = None,
    config_url: ConfigUrl = None,
) -> None:
    """Search with pictures: a page in your browser, served from this machine until Ctrl-C.

    By text, by an image that is dropped or pasted, by a hit's own picture; one ranking, or
    lexical, vector and hybrid side by side.
    """
    from rocosearch.page.opening import open_page
    from rocosearch.searchers import searching

    with (
        searching(
            index, encoder=encoder, profiles=profiles, package=package, config_url=config_url
        ) as searcher,
        open_page(searcher, corpus, host=host, port=port) as server,
    ):
        if host not in OWN:
            say(f"Whoever can reach {host} can read every caption and picture.", style="yellow")
        results.print(f"The page is at {server.url} (Ctrl-C ends it).")
        if browse:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("Ended.")
