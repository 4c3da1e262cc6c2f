"""The server behind the search page: socket, uvicorn, and rules for the address.

It listens on 127.0.0.1 by default. On an address that others can reach it requires a token.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Self

import uvicorn

from encoders.base.errors import UserError
from rocosearch.page.access import Door
from rocosearch.page.api import Api
from rocosearch.page.connection import Connection

__all__ = ["PageServer", "is_public"]

LONGEST_HEAD = 256 << 10  # bytes; ten thousand characters of text may take nine each in a URL


class PageServer:
    """A server with an open port; `serve_forever` runs until interrupted."""

    def __init__(
        self, api: Api, host: str, port: int, *, names: tuple[str, ...] = (), token: str = ""
    ) -> None:
        """Listen on `port`, 0 for a free one. Raises UserError if that fails.

        names: further host names of the server.
        """
        if is_public(host) and not token:
            raise UserError(
                f"Others can reach {host}, so the server needs a token there: name its file with "
                "--token-file (it is created if missing)."
            )
        if host in _EVERYWHERE and not names:
            raise UserError(
                f"{host} means every address of this machine: give the server's host name with "
                "--name, such as search.example.org."
            )
        self.host = host
        self._socket = _listening(host, port)
        self.server_port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            api.application(Door.at(host, self.server_port, names, token)),
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",  # what people search for is not for logs, nor are tracebacks
            access_log=False,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=LONGEST_HEAD,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)

    @property
    def url(self) -> str:
        """Address of the page."""
        shown = "localhost" if self.host in {"127.0.0.1", *_EVERYWHERE} else self.host
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self.server_port}/"

    def serve_forever(self) -> None:
        """Run until `shutdown`, or until the process is interrupted."""
        self._server.run(sockets=[self._socket])

    def shutdown(self) -> None:
        """Stop the server from another thread."""
        self._server.should_exit = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


def is_public(host: str) -> bool:
    """Whether other machines can reach an address; host names except localhost count as public."""
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(f"{host} is not an address of this machine ({error.strerror}).") from None
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(address)
        opened.listen(128)
    except OSError as error:
        opened.close()
        raise UserError(
            f"The server cannot listen on {host}:{port} ({error.strerror}): choose another --port."
        ) from None
    return opened
