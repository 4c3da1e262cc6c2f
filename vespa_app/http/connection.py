"""HTTP to a Vespa server: connections kept open, TLS verified, secrets never shown.

A `Connection` can be shared by threads. Nothing is retried here: `retries.py` decides.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from ranking.types import EngineError
from vespa_app.http.errors import (
    VespaGarbledError,
    VespaTimeoutError,
    VespaUnreachableError,
    VespaUntrustedError,
)

__all__ = ["Connection", "Credentials", "Reply"]

CONNECT_SECONDS = 5.0
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Credentials:
    """What a server may ask of its clients; the token is left out of every text form.

    certificate, key: PEM files for mutual TLS. authority: PEM file of the authorities to trust,
    None for those of the system.
    """

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    token: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Credentials:
        """Take them from the variables that pyvespa and the `vespa` command line read.

        VESPA_CLOUD_SECRET_TOKEN, and files named by VESPA_CLI_DATA_PLANE_CERT_FILE,
        VESPA_CLI_DATA_PLANE_KEY_FILE and VESPA_CLI_DATA_PLANE_CA_CERT_FILE. Raises EngineError
        where a file is not there.
        """
        env = os.environ if environment is None else environment
        return cls(
            certificate=_file(env, "VESPA_CLI_DATA_PLANE_CERT_FILE"),
            key=_file(env, "VESPA_CLI_DATA_PLANE_KEY_FILE"),
            authority=_file(env, "VESPA_CLI_DATA_PLANE_CA_CERT_FILE"),
            token=env.get("VESPA_CLOUD_SECRET_TOKEN", "").strip(),
        )


def _check_files(credentials: Credentials) -> None:
    """Raise EngineError, which names the file and shows nothing of it, where TLS cannot use one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificate, key, authority = credentials.certificate, credentials.key, credentials.authority
    try:
        if authority:
            context.load_verify_locations(authority)
    except (OSError, ssl.SSLError):
        raise EngineError(f"{authority} holds no certificates of authorities (PEM).") from None
    try:
        if certificate:  # a password would be asked for at the terminal
            context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ssl.SSLError):
        raise EngineError(
            f"{certificate} and {key or 'no key'} are no certificate with its key (PEM, without "
            "a password)."
        ) from None


def _file(env: Mapping[str, str], name: str) -> Path | None:
    if not env.get(name):
        return None
    path = Path(env[name])
    if not path.is_file():
        raise EngineError(f"{name} names {path}, which is no file.")
    return path


@dataclass(frozen=True)
class Reply:
    """An HTTP answer: its status, and its JSON (None where the body is none)."""

    status: int
    content: object
    text: str = ""


class _Token(AuthBase):
    """Bearer token; set as `auth`, because requests would otherwise prefer a .netrc entry."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Connection:
    """Requests to one server, over at most `pool` connections that are kept open.

    Raises EngineError where the URL is no http(s) address, holds a password, or would carry a
    token unencrypted to another machine, and where a file of the credentials is not what it
    should be.
    """

    def __init__(self, url: str, credentials: Credentials | None = None, *, pool: int = 16) -> None:
        known = credentials if credentials is not None else Credentials.from_environment()
        self.url = _checked(url, known)
        _check_files(known)
        self.credentials = known
        self._session = requests.Session()
        self._session.auth = _Token(known.token)
        self._session.headers["Accept"] = "application/json"
        if known.certificate:
            pair = (str(known.certificate), str(known.key)) if known.key else None
            self._session.cert = pair or str(known.certificate)
        # Given with each request: REQUESTS_CA_BUNDLE would go before the session's own.
        self._verify = str(known.authority) if known.authority else True
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=pool, pool_block=True)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def __repr__(self) -> str:
        return f"Connection({self.url!r})"

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | bytes | None = None,
        parameters: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        seconds: float = 10.0,
    ) -> Reply:
        """Send one request and read its answer, whatever its status.

        Raises VespaUnreachableError where there is no connection, VespaUntrustedError where
        the two do not trust each other, VespaTimeoutError where no answer came in `seconds`.
        """
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            response = self._session.request(
                method,
                self.url + path,
                data=data,
                params=parameters,
                headers={"Content-Type": content_type} if data is not None else {},
                timeout=(min(CONNECT_SECONDS, seconds), seconds),
                verify=self._verify,
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            raise VespaUntrustedError(
                f"{self.url} cannot be trusted, or does not trust this client: {_reason(error)}. "
                "VESPA_CLI_DATA_PLANE_CA_CERT_FILE names the authorities to trust, "
                "VESPA_CLI_DATA_PLANE_CERT_FILE and _KEY_FILE this client's certificate."
            ) from None
        except requests.exceptions.ReadTimeout:
            raise VespaTimeoutError(f"{self.url} did not answer within {seconds:g} s.") from None
        except requests.exceptions.RequestException as error:
            raise VespaUnreachableError(
                f"{self.url} cannot be reached: {_reason(error)}. See whether Vespa is running "
                "there, and whether an application is deployed."
            ) from None
        return _reply(response)


def _reply(response: requests.Response) -> Reply:
    try:
        content = json.loads(response.content) if response.content else None
    except ValueError:
        if response.ok and "json" in response.headers.get("Content-Type", ""):
            raise VespaGarbledError(
                f"{_address(response)} sent a JSON answer that breaks off or is damaged.",
                status=response.status_code,
            ) from None
        content = None
    text = response.content.decode("utf-8", "replace") if content is None else ""
    return Reply(response.status_code, content, text)


def _address(response: requests.Response) -> str:
    parts = urlsplit(response.url)
    return f"{parts.scheme}://{parts.netloc}"


def _checked(url: str, credentials: Credentials) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise EngineError("A Vespa server is named by a URL such as http://localhost:8080.")
    if parts.username or parts.password:
        raise EngineError(
            f"The address of {parts.hostname} holds a user or password: a Vespa server takes a "
            "certificate or a token, from the environment."
        )
    if credentials.token and parts.scheme == "http" and parts.hostname not in LOCAL:
        raise EngineError(
            f"A token would travel unencrypted to {parts.hostname}: use https, or unset "
            "VESPA_CLOUD_SECRET_TOKEN."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _reason(error: BaseException) -> str:
    """The innermost cause: requests and urllib3 wrap it several times."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(getattr(error, "strerror", None) or error).strip(". ") or type(error).__name__
