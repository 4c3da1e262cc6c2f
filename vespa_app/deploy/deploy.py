"""Deploy an application package, and wait until it answers queries.

To a config server by its URL (that of docker-compose.yml too), or to Vespa Cloud.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from encoders.base.progress import Progress, silent
from vespa_app.deploy.config_server import ConfigServer, Deployed, DeployError
from vespa_app.http.connection import Connection, Credentials
from vespa_app.http.errors import (
    VespaError,
    VespaGarbledError,
    VespaQueryError,
    VespaRefusedError,
    VespaUntrustedError,
    words_of,
)
from vespa_app.package.names import SCHEMA_NAME
from vespa_app.query.answers import NO_NODES, read_answer

__all__ = ["CloudTarget", "deploy", "deploy_to_cloud", "wait_until"]

PAUSE = 0.5
ASK_SECONDS = 5.0


def deploy(
    package: Path,
    config_url: str,
    serve_url: str,
    *,
    seconds: float = 300.0,
    credentials: Credentials | None = None,
    progress: Progress = silent,
    pause: float = PAUSE,
) -> Deployed:
    """Deploy the folder `package`, and return when queries can be answered by it.

    Waits first for the config server (a container that was just started needs a while), then
    for all services to run the new configuration, then for the container at `serve_url`, and for
    content nodes to answer a query through it.

    Raises DeployError in Vespa's own words where it refuses the package, and where a step is
    not done after `seconds` in all; VespaError if it refuses this client.
    """
    end = time.monotonic() + seconds
    server = ConfigServer(config_url, credentials)

    def wait(stage: str, ready: Callable[[float], bool]) -> None:
        wait_until(ready, stage, end, progress, pause)

    wait("config server", server.is_up)
    progress("deploy", 0, 1)
    deployed = server.deploy(package, max(end - time.monotonic(), 1.0))
    progress("deploy", 1, 1, f"session {deployed.session}")
    wait(
        "services activate the new configuration",
        lambda left: server.converged(deployed.session, left),
    )
    container = Connection(serve_url, credentials, pool=1)
    wait("container serves", lambda left: _serves(container, left))
    if (package / "schemas" / f"{SCHEMA_NAME}.sd").exists():
        wait("content nodes answer", lambda left: _answers(container, left))
    return deployed


def wait_until(
    ready: Callable[[float], bool],
    stage: str,
    end: float,
    progress: Progress = silent,
    pause: float = PAUSE,
) -> None:
    """Return when `ready(seconds)`; errors of the server meanwhile are taken as "not yet".

    end: time.monotonic() at which to give up. Raises DeployError then, with the last reason. What
    waiting does not change is raised at once: no trust, no access, an answer that is not Vespa's.
    """
    started = time.monotonic()
    while True:
        why = ""
        try:
            if ready(min(ASK_SECONDS, max(end - time.monotonic(), 0.05))):
                progress(stage, 1, 1, f"after {time.monotonic() - started:.0f} s")
                return
        except (VespaUntrustedError, VespaRefusedError):
            raise
        except VespaError as error:
            if isinstance(error, VespaGarbledError) and error.status == 200:
                raise
            why = f" Last: {error}"
        waited = time.monotonic() - started
        if time.monotonic() + pause > end:
            raise DeployError(
                f"Gave up after {waited:.0f} s: {stage}.{why} Details are in Vespa's log (docker "
                "compose logs vespa, or `vespa-logfmt` on the server)."
            )
        progress(stage, 0, 1, f"{waited:.0f} s")
        time.sleep(pause)


def _serves(container: Connection, seconds: float) -> bool:
    reply = container.send("GET", "/state/v1/health", seconds=seconds)
    return reply.status == 200 and reply.at("status", "code") == "up"


def _answers(container: Connection, seconds: float) -> bool:
    """Whether a query that finds everything is answered wholly; raises VespaError if not.

    An application without documents is answered wholly too. Without any coverage the schema is
    not known there yet (recorded: a restriction to an unknown schema).
    """
    body = {
        "yql": f"select id from {SCHEMA_NAME} where true",  # noqa: S608 - a name of our own
        "hits": 0,
        "ranking.profile": "unranked",
        "timeout": f"{seconds:.3f}s",
    }
    try:
        answer = read_answer(container.send("POST", "/search/", body=body, seconds=seconds))
    except VespaQueryError:
        return False
    whole = answer.coverage is not None and set(answer.coverage.degraded) <= {NO_NODES}
    return answer.status == 200 and not answer.messages and whole


@dataclass(frozen=True)
class CloudTarget:
    """An application of Vespa Cloud.

    key: file of the key that signs in to its control plane; None: VESPA_CLI_API_KEY_FILE, or
    the login of the `vespa` command line.
    """

    tenant: str
    application: str
    instance: str = "default"
    environment: str = "dev"
    region: str | None = None
    key: Path | None = None


def deploy_to_cloud(package: Path, target: CloudTarget, *, progress: Progress = silent) -> str:
    """Deploy to a dev or perf environment of Vespa Cloud through pyvespa; return its URL.

    Raises DeployError with what pyvespa and Vespa Cloud say.
    """
    from vespa.deployment import VespaCloud  # noqa: PLC0415 (a self-hosted server does not need it)

    key = target.key or os.environ.get("VESPA_CLI_API_KEY_FILE")
    said = io.StringIO()
    progress("deploy to Vespa Cloud", 0, 1)
    try:
        with redirect_stdout(said):
            cloud = VespaCloud(
                tenant=target.tenant,
                application=target.application,
                instance=target.instance,
                key_location=str(key) if key else None,
                application_root=str(package),
                output_file=said,
            )
            app = cloud.deploy_from_disk(
                instance=target.instance,
                application_root=package,
                environment=target.environment,
                region=target.region,
            )
    except Exception as error:
        last = said.getvalue().strip().splitlines()[-5:]
        raise DeployError(
            f"Vespa Cloud did not take the application: {words_of(error)}. {' '.join(last)}".strip()
        ) from error
    progress("deploy to Vespa Cloud", 1, 1)
    return str(app.url)
