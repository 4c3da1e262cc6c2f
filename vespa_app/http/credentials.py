"""Credentials, and the addresses that they may be sent to."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from encoders.base.printable import printable
from ranking.types import EngineError

__all__ = ["Credentials", "check_files", "check_url", "is_url", "on_port"]

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
SCHEMES = ("http://", "https://")
EXAMPLE = "Give a Vespa server as a URL such as http://localhost:8080"


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
        if a file is not there, or the token cannot stand in a header.
        """
        env = os.environ if environment is None else environment
        token = env.get("VESPA_CLOUD_SECRET_TOKEN", "").strip()
        if not (token.isascii() and token.isprintable()):
            raise EngineError(
                "VESPA_CLOUD_SECRET_TOKEN has characters that are not allowed in a token."
            )
        return cls(
            certificate=_file(env, "VESPA_CLI_DATA_PLANE_CERT_FILE"),
            key=_file(env, "VESPA_CLI_DATA_PLANE_KEY_FILE"),
            authority=_file(env, "VESPA_CLI_DATA_PLANE_CA_CERT_FILE"),
            token=token,
        )


def check_files(credentials: Credentials) -> None:
    """Raise EngineError, which names the file and shows nothing of it, where TLS cannot use one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificate, key, authority = credentials.certificate, credentials.key, credentials.authority
    try:
        if authority:
            context.load_verify_locations(authority)
    except (OSError, ssl.SSLError):
        raise EngineError(f"{authority} has no certificates of authorities (PEM).") from None
    try:
        if certificate:  # a password would be asked for at the terminal
            context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ssl.SSLError):
        raise EngineError(
            f"{certificate} and {key or 'no key'} are not a certificate and its key (PEM, without "
            "a password)."
        ) from None


def is_url(text: str) -> bool:
    """Whether it names a server rather than a folder."""
    return text.strip().lower().startswith(SCHEMES)


def check_url(url: str, credentials: Credentials) -> str:
    """The URL in its plain form, without a slash at its end.

    Raises EngineError if it is no http(s) address, holds a password, or would carry a token
    unencrypted to another machine.
    """
    parts = _split(url)
    if parts.username or parts.password:
        raise EngineError(
            f"The URL of {parts.hostname} has a user or password: use a certificate or a token "
            "from the environment."
        )
    if parts.query or parts.fragment:
        raise EngineError(f"{EXAMPLE}, without anything after a ? or #.")
    if credentials.token and parts.scheme == "http" and parts.hostname not in LOCAL:
        raise EngineError(
            f"A token would be sent unencrypted to {parts.hostname}: use https, or unset "
            "VESPA_CLOUD_SECRET_TOKEN."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def on_port(url: str, port: int) -> str:
    """The address of another service of the same host. Raises EngineError as `check_url` does."""
    parts = _split(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def _split(url: str) -> SplitResult:
    text = url.strip()
    shown = printable(text.partition("@")[2] or text)[:200]
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError as error:  # a port that is no number, a bracket that is not closed
        raise EngineError(f"{EXAMPLE}; {shown!r} is not one: {printable(str(error))}.") from None
    if parts.scheme not in {"http", "https"} or not named or not text.isprintable() or " " in text:
        raise EngineError(f"{EXAMPLE}; {shown!r} is not one.")
    return parts


def _file(env: Mapping[str, str], name: str) -> Path | None:
    if not env.get(name):
        return None
    path = Path(env[name])
    if not path.is_file():
        raise EngineError(f"{name} names {path}, which is not a file.")
    return path
