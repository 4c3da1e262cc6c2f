"""`rocosearch deploy`: an application package onto a server, until it serves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.options import AsJson

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch deploy build/app
rocosearch deploy build/app --config-url http://vespa:19071 --url http://vespa:8080
rocosearch deploy build/app --cloud mytenant.images.default
"""


def command(
    package: Annotated[
        Path, typer.Argument(metavar="APP", help="Folder written by `rocosearch app`.")
    ],
    *,
    config_url: Annotated[
        str, typer.Option(metavar="URL", help="Config server; the compose file's if not given.")
    ] = "http://localhost:19071",
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="Where queries are answered afterwards.")
    ] = "http://localhost:8080",
    cloud: Annotated[
        str | None,
        typer.Option(metavar="TENANT.APP[.INSTANCE]", help="Deploy to Vespa Cloud instead."),
    ] = None,
    environment: Annotated[
        str, typer.Option(help="Environment of Vespa Cloud: dev or perf.")
    ] = "dev",
    seconds: Annotated[
        float, typer.Option("--timeout", min=1, help="Give up after so long.")
    ] = 300,
    as_json: AsJson = False,
) -> None:
    """Deploy, wait until it serves, and say in Vespa's own words what failed.

    Credentials come from the environment, never from options: see docs/operations.md.
    """
    from rocosearch.vespa_jobs import deploy_package

    with progress_bars() as progress:
        deployed = deploy_package(
            package,
            config_url=config_url,
            url=url,
            cloud=cloud,
            environment=environment,
            seconds=seconds,
            progress=progress,
        )
    if as_json:
        show_json(deployed)
        return
    results.print(f"{package} serves at {deployed['url']}.", markup=False)
