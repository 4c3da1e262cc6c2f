"""Vespa's config server: deploy a package, wait until it serves, read what runs.

https://docs.vespa.ai/en/reference/api/deploy-v2.html
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ranking.types import EngineError
from vespa_app.http.connection import Connection, Credentials, Reply
from vespa_app.read.application import PACKAGE_FILES, Application, read_application

__all__ = ["ConfigServer", "DeployError", "Deployed"]

TENANT = "/application/v2/tenant/default"
APPLICATION = f"{TENANT}/application/default"
INSTANCE = f"{APPLICATION}/environment/prod/region/default/instance/default"
LONGEST_MESSAGE = 4000


class DeployError(EngineError):
    """The config server does not take the package, or the application does not come up."""


@dataclass(frozen=True)
class Deployed:
    """A session that was activated, and what Vespa said of it.

    warnings: its log. restart, refeed, reindex: what must still be done for changes to hold,
    in Vespa's words.
    """

    session: str
    warnings: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    refeed: tuple[str, ...] = ()
    reindex: tuple[str, ...] = ()


class ConfigServer:
    """One config server, at a URL such as http://localhost:19071."""

    def __init__(self, url: str, credentials: Credentials | None = None) -> None:
        self._connection = Connection(url, credentials, pool=2)

    def is_up(self, seconds: float = 5.0) -> bool:
        """Whether it answers and is well. Raises VespaError where nothing answers."""
        reply = self._connection.send("GET", "/state/v1/health", seconds=seconds)
        return reply.status == 200 and _at(reply, "status", "code") == "up"

    def deploy(self, package: Path, seconds: float = 120.0) -> Deployed:
        """Upload and activate the package in this folder.

        Raises DeployError in Vespa's own words where it refuses it, VespaError where it cannot
        be reached.
        """
        reply = self._connection.send(
            "POST",
            f"{TENANT}/prepareandactivate",
            body=zip_package(package),
            content_type="application/zip",
            seconds=seconds,
        )
        return read_deployed(reply)

    def converged(self, session: str = "", seconds: float = 5.0) -> bool:
        """Whether all services run the newest configuration, that of `session` at least."""
        reply = self._connection.send("GET", f"{INSTANCE}/serviceconverge", seconds=seconds)
        generation = _at(reply, "currentGeneration")
        late = session.isdigit() and isinstance(generation, int) and generation < int(session)
        return reply.status == 200 and _at(reply, "converged") is True and not late

    def application(self) -> Application:
        """What the running application offers. Raises DeployError where none runs."""
        with tempfile.TemporaryDirectory(prefix="rocosearch-") as folder:
            self.download(Path(folder))
            return read_application(Path(folder))

    def download(self, folder: Path) -> None:
        """Write into `folder` what decides queries: schema, services and query profiles.

        Raises DeployError where no application runs.
        """
        names = [name for entry in PACKAGE_FILES for name in self._listed(entry)]
        replies = [(name, self._content(name)) for name in names]
        found = [(name, reply.text) for name, reply in replies if reply.status == 200]
        if not found:
            raise DeployError("No application is deployed there yet: deploy one first.")
        for name, text in found:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def _listed(self, entry: str) -> list[str]:
        if not entry.endswith("/"):
            return [entry]
        reply = self._content(entry)
        urls = reply.content if isinstance(reply.content, list) else []
        return [entry + str(url).rstrip("/").rsplit("/", 1)[1] for url in urls]

    def _content(self, name: str) -> Reply:
        return self._connection.send("GET", f"{INSTANCE}/content/{name}")


def zip_package(package: Path) -> bytes:
    """The folder as a zip file. Raises DeployError where it has no services.xml."""
    if not (package / "services.xml").is_file():
        raise DeployError(
            f"{package} is no application package: it has no services.xml. "
            "Name a folder written by `rocosearch app`."
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(package).as_posix())
    return buffer.getvalue()


def read_deployed(reply: Reply) -> Deployed:
    """The answer to a deploy. Raises DeployError where it is a refusal."""
    content = reply.content if isinstance(reply.content, dict) else {}
    if reply.status != 200:
        kind = content.get("error-code", f"HTTP status {reply.status}")
        raise DeployError(
            f"Vespa refuses the package ({kind}): {_essence(str(content.get('message', '')))}"
        )
    actions = content.get("configChangeActions", {})
    return Deployed(
        session=str(content.get("session-id", "")),
        warnings=tuple(str(entry.get("message", "")) for entry in content.get("log", ())),
        restart=_messages(actions.get("restart", ())),
        refeed=_messages(actions.get("refeed", ())),
        reindex=_messages(actions.get("reindex", ())),
    )


def _messages(actions: object) -> tuple[str, ...]:
    found = actions if isinstance(actions, list) else []
    return tuple(str(message) for action in found for message in action.get("messages", ()))


def _essence(message: str) -> str:
    """Vespa's words; of the log of a rank set-up, the lines that say what is wrong."""
    if "Details:\n" not in message:
        return message[:LONGEST_MESSAGE]
    head, _, details = message.partition("Details:\n")
    wrong = [line for line in details.splitlines() if not line.startswith("INFO")]
    return f"{head.strip()} {'; '.join(wrong)}"[:LONGEST_MESSAGE]


def _at(reply: Reply, *keys: str) -> object:
    found: object = reply.content
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found
