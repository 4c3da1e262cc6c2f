"""Client of Vespa's config server: deploy, wait, read the running application.

https://docs.vespa.ai/en/reference/api/deploy-v2.html
"""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from encoders.base.errors import UserError
from encoders.base.printable import printable
from encoders.base.storage import put_back
from ranking.types import EngineError
from vespa_app.http.connection import Connection, Credentials
from vespa_app.http.errors import VespaError, error_for, words_of
from vespa_app.http.reply import Reply, as_list, as_object, as_text, reading
from vespa_app.read.application import PACKAGE_FILES, Application, read_application

__all__ = ["ConfigServer", "DeployError", "Deployed"]

TENANT = "/application/v2/tenant/default"
APPLICATION = f"{TENANT}/application/default"
INSTANCE = f"{APPLICATION}/environment/prod/region/default/instance/default"
LONGEST_MESSAGE = 4000
NOT_OF_THE_PACKAGE = frozenset({401, 403, 404, 408, 429})  # and what is above 500
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


class DeployError(EngineError):
    """The config server does not take the package, or the application does not come up.

    kind: Vespa's code of the refusal, "" if it gave none.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(printable(message))
        self.kind = kind


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
        """Whether it answers and is well. Raises VespaError if nothing of Vespa's answers."""
        reply = self._connection.send("GET", "/state/v1/health", seconds=seconds)
        if reply.status != 200:
            raise _error(reply)
        with reading(reply.address):
            return as_text(reply.at("status", "code"), "status.code") == "up"

    def version(self, seconds: float = 5.0) -> str:
        """The version of Vespa that it is. Raises VespaError as `is_up` does."""
        reply = self._connection.send("GET", "/state/v1/version", seconds=seconds)
        if reply.status != 200:
            raise _error(reply)
        with reading(reply.address):
            return as_text(reply.at("version"), "version")

    def deploy(self, package: Path, seconds: float = 120.0) -> Deployed:
        """Upload and activate the package in this folder.

        Raises DeployError in Vespa's own words where it refuses it, VespaError if it cannot
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
        generation = reply.at("currentGeneration")
        newest = int(session) if session.isdecimal() and len(session) < 19 else 0
        late = isinstance(generation, int) and generation < newest
        return reply.status == 200 and reply.at("converged") is True and not late

    def application(self) -> Application:
        """What the running application offers.

        Raises DeployError if none runs or another one than this project's, VespaError where
        the config server does not tell.
        """
        url = f"{self._connection.url}{INSTANCE}/content/"
        with tempfile.TemporaryDirectory(prefix="rocosearch-") as folder:
            self.download(Path(folder))
            try:
                with reading(url):
                    return read_application(Path(folder))
            except VespaError:
                raise
            except UserError as error:
                why = str(error).replace(f"{folder}/", "").replace(folder, "it")
                raise DeployError(
                    f"The application at {url} was not written by rocosearch: {why}"
                ) from None

    def download(self, folder: Path) -> None:
        """Write into `folder` what decides queries: schema, services and query profiles.

        Raises DeployError if no application runs, VespaError if it is not told.
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
        if reply.status == 404:
            return []
        with reading(reply.address):
            urls = [as_text(url, "a file") for url in as_list(reply.content, "the list of files")]
            return [f"{entry}{_file_name(url)}" for url in urls if not url.endswith("/")]

    def _content(self, name: str) -> Reply:
        reply = self._connection.send("GET", f"{INSTANCE}/content/{name}")
        if reply.status not in (200, 404):
            raise _error(reply)
        return reply


def zip_package(package: Path) -> bytes:
    """The folder as a zip file. Raises DeployError if it has no services.xml."""
    put_back(package)
    if not (package / "services.xml").is_file():
        raise DeployError(
            f"{package} is not an application package: it has no services.xml. Name a folder "
            "written by `rocosearch app`."
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(package).as_posix())
    return buffer.getvalue()


def read_deployed(reply: Reply) -> Deployed:
    """The answer to a deploy.

    Raises DeployError if it is a refusal of the package, VespaError if it is of something
    else: access, load, the config server itself.
    """
    if reply.status != 200:
        if reply.status in NOT_OF_THE_PACKAGE or reply.status >= 500:
            raise _error(reply)
        kind = words_of(reply.at("error-code") or f"HTTP status {reply.status}")
        raise DeployError(f"Vespa refuses the package ({kind}): {_essence(reply.message)}", kind)
    with reading(reply.address):
        content = as_object(reply.content, "the answer")
        actions = as_object(content.get("configChangeActions", {}), "configChangeActions")
        log = [as_object(entry, "a log entry") for entry in as_list(content.get("log", []), "log")]
        return Deployed(
            session=as_text(content.get("session-id"), "session-id"),
            warnings=tuple(words_of(entry.get("message", "")) for entry in log),
            restart=_messages(actions.get("restart", [])),
            refeed=_messages(actions.get("refeed", [])),
            reindex=_messages(actions.get("reindex", [])),
        )


def _messages(actions: object) -> tuple[str, ...]:
    found = [as_object(action, "an action") for action in as_list(actions, "actions")]
    return tuple(
        words_of(message)
        for action in found
        for message in as_list(action.get("messages", []), "messages")
    )


def _essence(message: str) -> str:
    """Vespa's words; of the log of a rank set-up, the lines that say what is wrong."""
    if "Details:\n" not in message:
        return words_of(message, LONGEST_MESSAGE)
    head, _, details = message.partition("Details:\n")
    wrong = [line for line in details.splitlines() if not line.startswith("INFO")]
    return words_of(f"{head.strip()} {'; '.join(wrong)}", LONGEST_MESSAGE)


def _error(reply: Reply) -> VespaError:
    """What a status means that is about the config server, not about a package."""
    said = f"{reply.message or f'HTTP status {reply.status}'} ({reply.address})"
    error = error_for(reply.status, None, said)
    return error if isinstance(error, VespaError) else VespaError(said, status=reply.status)


def _file_name(url: str) -> str:
    """The last part of the URL of a file, where it is a name that a package may have."""
    name = url.rsplit("/", 1)[-1]
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"a file is called {name[:40]!r}")
    return name
