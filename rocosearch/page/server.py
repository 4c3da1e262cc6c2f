"""The server behind the search page: a socket, uvicorn, and where it may listen.

It is meant for one person's own machine: it listens on 127.0.0.1 unless told otherwise. On an
address that others can reach it asks for a token.
"""

from __future__ import annotations

import ipaddress
import socket
from types import TracebackType
from typing import Self

import uvicorn

from encoders.base.errors import UserError
from rocosearch.page.api import Api
from rocosearch.page.connection import Connection
from rocosearch.page.guards import Door

__all__ = ["PageServer", "is_public"]

LONGEST_HEAD = 256 << 10  # bytes; ten thousand characters of text may take nine each in a URL


class PageServer:
    """A server that has its port; `serve_forever` answers until interrupted."""

    def __init__(
        self, api: Api, host: str, port: int, *, names: tuple[str, ...] = (), token: str = ""
    ) -> None:
        """Listen on `port`, 0 for a free one. Raises UserError where that cannot be done.

        names: what the server is called by those who reach it from elsewhere.
        """
        if is_public(host) and not token:
            raise UserError(
                f"Others can reach {host}, so the page asks for a token there: name the file that "
                "holds it with --token-file (it is made where there is none)."
            )
        if host in _EVERYWHERE and not names:
            raise UserError(
                f"{host} is every address of this machine: say with --name what the page is "
                "called by those who reach it, such as search.example.org."
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
        """Where the page stands."""
        shown = "localhost" if self.host in {"127.0.0.1", *_EVERYWHERE} else self.host
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self.server_port}/"

    def serve_forever(self) -> None:
        """Answer until `shutdown`, or until the process is interrupted."""
        self._server.run(sockets=[self._socket])

    def shutdown(self) -> None:
        """End, from another thread."""
        self._server.should_exit = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()


_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


def is_public(host: str) -> bool:
    """Whether other machines can reach an address; a name counts as public but for localhost."""
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
        raise UserError(f"{host} is no address of this machine ({error.strerror}).") from None
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(address)
        opened.listen(128)
    except OSError as error:
        opened.close()
        raise UserError(
            f"The page cannot listen on {host}:{port} ({error.strerror}): choose another --port."
        ) from None
    return opened
