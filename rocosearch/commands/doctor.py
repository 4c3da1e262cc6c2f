"""`rocosearch doctor`: diagnose a Vespa server."""

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
    url: Annotated[str, typer.Argument(metavar="URL", help="URL of Vespa's query container.")],
    *,
    package: DeployedPackage = None,
    config_url: ConfigUrl = None,
    as_json: AsJson = False,
) -> None:
    """Diagnose a Vespa server: version, application, documents, free space.

    The server is not changed. The exit code is 1 if there is a problem.
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
