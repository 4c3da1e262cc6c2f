"""`rocosearch deploy`: deploy an application package and wait until it answers queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from rocosearch.console import progress_bars, results, say, show_json
from rocosearch.no_effect import NoEffect
from rocosearch.options import AsJson

__all__ = ["EXAMPLE", "command"]

# What Vespa says of a deploy that it took.
NEEDS = {
    "warnings": "Vespa warns",
    "restart": "Restart the content nodes (vespa-stop-services, vespa-start-services)",
    "reindex": "Vespa indexes all documents again; until then searches miss some",
    "refeed": "Feed all documents again",
}

EXAMPLE = """\
rocosearch deploy build/app
rocosearch deploy build/app --config-url http://vespa:19071 --url http://vespa:8080
rocosearch deploy build/app --allow-removal
rocosearch deploy build/app --cloud mytenant.images.default
"""
NO_EFFECT = (
    NoEffect("--config-url --url --timeout", "with --cloud", "since Vespa Cloud has its own"),
    NoEffect("--environment", "without --cloud"),
    NoEffect("--yes", "without --allow-removal or --allow-change"),
)


def command(
    package: Annotated[
        Path, typer.Argument(metavar="APP", help="Folder written by `rocosearch app`.")
    ],
    *,
    config_url: Annotated[
        str, typer.Option(metavar="URL", help="Config server; default: that of the compose file.")
    ] = "http://localhost:19071",
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="URL of the query container.")
    ] = "http://localhost:8080",
    cloud: Annotated[
        str | None,
        typer.Option(metavar="TENANT.APP[.INSTANCE]", help="Deploy to Vespa Cloud instead."),
    ] = None,
    environment: Annotated[
        str, typer.Option(help="Environment of Vespa Cloud: dev or perf.")
    ] = "dev",
    seconds: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds after which to give up.")
    ] = 300,
    allow_removal: Annotated[
        bool,
        typer.Option(
            "--allow-removal",
            help="Let Vespa remove parts that this package lacks, for a week; asks first.",
        ),
    ] = False,
    allow_change: Annotated[
        bool,
        typer.Option(
            "--allow-change",
            help="Let Vespa change fields although values or an index are lost; asks first.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Answer yes to the question.")] = False,
    as_json: AsJson = False,
) -> None:
    """Deploy a package to Vespa and wait until it answers queries.

    Credentials come from the environment, never from options: see docs/operations.md.
    """
    from rocosearch.vespa_jobs import deploy_package
    from vespa_app.deploy.changes import WEEK, kind_of, wanted_overrides, write_overrides
    from vespa_app.deploy.config_server import DeployError

    def attempt() -> dict[str, object]:
        with progress_bars() as progress:
            return deploy_package(
                package,
                config_url=config_url,
                url=url,
                cloud=cloud,
                environment=environment,
                seconds=seconds,
                progress=progress,
            )

    try:
        deployed = attempt()
    except DeployError as error:
        overrides = wanted_overrides(str(error))
        kinds = sorted({kind_of(each) for each in overrides})
        if not all({"removal": allow_removal, "change": allow_change}[kind] for kind in kinds):
            options = " ".join(f"--allow-{kind}" for kind in kinds)
            advice = f" To allow it: `rocosearch deploy {package} {options}`, which asks first."
            raise DeployError(f"{error}{advice}", error.kind) from None
        if not overrides:
            raise
        say(str(error), style="yellow")
        if not yes:  # Vespa's words, just shown, name what will be lost
            typer.confirm("Deploy anyway and lose this data?", abort=True, err=True)
        write_overrides(package, overrides, WEEK)
        deployed = attempt()
    if as_json:
        show_json(deployed)
        return
    results.print(f"{package} is deployed; it answers queries at {deployed['url']}.")
    for name, meaning in NEEDS.items():
        for words in cast(Sequence[str], deployed.get(name, ())):
            say(f"{meaning}: {words}", style="yellow")
