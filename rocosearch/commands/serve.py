"""`rocosearch serve`: the search page and its API."""

from __future__ import annotations

import secrets
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from encoders.base.errors import UserError
from encoders.base.storage import write_whole
from rocosearch.console import results, say, telling_after
from rocosearch.options import (
    ConfigUrl,
    DeployedPackage,
    IndexOrUrl,
    OptionalEncoder,
    ProfilesFile,
    SynonymsFile,
)

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch serve build/index build/corpus
rocosearch serve build/index --port 9000
rocosearch serve http://localhost:8080 build/corpus
rocosearch serve build/index build/corpus --host 192.0.2.7 --token-file token
"""
LEAST_TOKEN = 16  # characters


def command(
    index: IndexOrUrl,
    corpus: Annotated[
        Path | None,
        typer.Argument(metavar="CORPUS", help="Corpus with the images; without it, captions only."),
    ] = None,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = 8765,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="NAME", help="A host name of this server; repeatable."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the access token; created if missing."),
    ] = None,
    browse: Annotated[bool, typer.Option("--browse", help="Open the page in a browser.")] = False,
    encoder: OptionalEncoder = None,
    profiles: ProfilesFile = None,
    synonyms: SynonymsFile = None,
    package: DeployedPackage = None,
    config_url: ConfigUrl = None,
) -> None:
    """Serve the search page and its API from this machine until Ctrl-C.

    Search by text, by a dropped or pasted image, or by positive and negative examples, with one
    ranking or several side by side. /openapi.json describes the JSON API. An address that others
    can reach needs a token.
    """
    token = _token(token_file) if token_file else ""
    with ExitStack() as opened:
        with telling_after(2.0, f"Opening {index} ..."):
            from rocosearch.page.build_server import open_page
            from rocosearch.searchers import searching

            found = searching(
                index,
                encoder=encoder,
                profiles=profiles,
                package=package,
                config_url=config_url,
                synonyms=synonyms,
            )
            server = opened.enter_context(
                open_page(
                    opened.enter_context(found),
                    corpus,
                    host=host,
                    port=port,
                    names=tuple(name or ()),
                    token=token,
                )
            )
        results.print(f"The page is at {server.url} (Ctrl-C ends it).")
        if token:
            say(f"It requires the token in {token_file}.")
        if browse:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("Ended.")


def _token(path: Path) -> str:
    """Read the token, or create one that only its owner can read."""
    if not path.exists():
        write_whole(path, secrets.token_urlsafe(32) + "\n", secret=True)
    try:
        token = path.read_text("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    if len(token) < LEAST_TOKEN or not token.isprintable() or " " in token:
        raise UserError(
            f"{path} has no valid token: it needs at least {LEAST_TOKEN} ASCII characters without "
            "blanks."
        )
    return token
