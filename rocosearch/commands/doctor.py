"""`rocosearch doctor`: what is wrong with a Vespa server."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from rocosearch.console import results, show_json
from rocosearch.options import AsJson, ConfigUrl, DeployedPackage

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch doctor http://localhost:8080
rocosearch doctor https://vespa.example.org --app build/app --json
"""

STYLES = {"fine": "green", "notice": "yellow", "wrong": "red"}


def command(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where Vespa answers queries.")],
    *,
    package: DeployedPackage = None,
    config_url: ConfigUrl = None,
    as_json: AsJson = False,
) -> None:
    """Ask a server for its version, application, documents and room, and say what is wrong.

    Nothing is changed there. The exit code is 1 where something is wrong.
    """
    from rocosearch.vespa_jobs import Server, examine_server

    findings = list(examine_server(Server(url, package, config_url)))
    if as_json:
        show_json({"findings": [asdict(each) for each in findings]})
    else:
        for each in findings:
            results.print(f"{each.level:>6}  {each.text}", style=STYLES[each.level])
    if any(each.level == "wrong" for each in findings):
        raise typer.Exit(1)
