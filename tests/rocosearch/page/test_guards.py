"""The guards of the page, over raw sockets: bytes that no well-meant client sends."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from contextlib import contextmanager, suppress
from importlib.resources import files
from urllib.parse import urlsplit

import pytest
import requests

from encoders.base.errors import UserError
from ranking.engine.engine import EmbeddedEngine
from ranking.searcher import Searcher
from ranking.types import Document
from rocosearch.page import connection
from rocosearch.page.access import MOST_BYTES
from rocosearch.page.build_server import open_page
from rocosearch.page.server import is_public

TOKEN = "a-token-of-some-length"
SIZE_OF_THE_SCRIPT = len(files("rocosearch.page").joinpath("static", "page.js").read_bytes())


@contextmanager
def serving(**options):
    searcher = Searcher(EmbeddedEngine.in_memory([Document("one", "a lesion of the chest")]))
    with open_page(searcher, port=0, **options) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


@pytest.fixture(scope="module")
def small():
    with serving() as server:
        yield server


def talk(server, data, *, wait=10.0):
    """Send bytes; return all that comes until the server closes. Fails where it does not."""
    host = urlsplit(server.url).hostname
    with socket.create_connection((host, server.server_port), wait) as opened:
        opened.sendall(data)
        found = b""
        while True:
            part = opened.recv(65536)
            if not part:
                return found
            found += part


def head(server, method="GET", path="/about", host=None, *more):
    name = host if host is not None else f"localhost:{server.server_port}"
    lines = [f"{method} {path} HTTP/1.1", f"Host: {name}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def status_and_sentence(answer):
    top, _, body = answer.partition(b"\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1  # one answer: nothing unread was taken for a request
    assert b"connection: close" in top.lower()
    return int(top.split()[1]), json.loads(body)["error"]


HIDDEN = "GET /search?text=lesion HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "path", "host", "more", "status"),
    [
        ("GET", "/about", "evil.example", (), 403),
        ("GET", "/about", "evil.example:{port}", (), 403),
        ("GET", "/about", "[::1", (), 400),
        ("GET", "/about", "", (), 400),
        ("GET", "/about", "localhost:{port}@evil.example", (), 400),
        ("GET", "/about", None, ("Host: evil.example",), 400),
        ("GET", "/about", None, ("Host: localhost:{port}",), 400),
        ("GET", "/about", None, ("Content-Length: {length}",), 400),
        ("GET", "/about", None, ("Transfer-Encoding: chunked",), 400),
        ("POST", "/search", None, ("Content-Length: 5", "Transfer-Encoding: chunked"), 400),
        ("POST", "/search", None, ("Content-Length: 5", "Content-Length: 6"), 400),
        ("POST", "/search", None, ("Content-Length: ²",), 400),
        ("POST", "/search", None, ("Content-Length: " + "9" * 5_000,), 400),
        ("POST", "/search", None, ("Content-Length: -5",), 400),
        ("POST", "/search", None, ("Content-Length: " + str(MOST_BYTES + 1),), 413),
        ("POST", "/search", None, ("Transfer-Encoding: chunked",), 400),  # and no chunk follows
        ("POST", "/search", None, (), 411),
        ("POST", "/search", None, ("Sec-Fetch-Site: cross-site", "Content-Length: {length}"), 403),
        ("POST", "/search", None, ("Origin: http://evil.example", "Content-Length: {length}"), 403),
        ("POST", "/search", None, ("Origin: null", "Content-Length: {length}"), 403),
        ("POST", "/nowhere", None, ("Content-Length: {length}",), 404),
        ("PUT", "/search", None, ("Content-Length: {length}",), 405),
        ("GET", "/about", None, ("Sec-Fetch-Site: same-site",), 403),
        ("GET", "//[::1", None, (), 404),
        ("GET", "/about\x00", None, (), 400),
        ("NOT HTTP", "", None, (), 400),
    ],
)
def test_what_is_refused_closes_and_leaves_nothing_to_be_taken_for_a_request(
    small, method, path, host, more, status
):
    hidden = HIDDEN.format(port=small.server_port)
    told = {"port": small.server_port, "length": len(hidden)}
    filled = [line.format(**told) for line in more]
    name = None if host is None else host.format(**told)
    answer = talk(small, head(small, method, path, name, *filled) + hidden.encode())
    found, sentence = status_and_sentence(answer)
    assert found == status
    assert sentence.endswith((".", "..."))


def test_two_requests_of_one_connection_are_both_answered(small):
    closing = head(small, "GET", "/about", None, "Connection: close")
    answer = talk(small, head(small) + closing)
    assert answer.count(b"HTTP/1.1 200") == 2


def test_a_slow_client_is_ended(monkeypatch):
    """A byte a tenth of a second would otherwise hold a connection for ever."""
    monkeypatch.setattr(connection, "PATIENCE", 1.0)
    with serving() as server:
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", server.server_port), 10) as opened:
            found = b""
            opened.settimeout(0.1)
            for byte in head(server) * 10:
                try:
                    opened.sendall(bytes([byte]))
                    found += opened.recv(65536)
                except TimeoutError:
                    continue
                except OSError:
                    break
                if found:
                    break
        assert b" 408 " in found
        assert time.monotonic() - start < 5


def test_a_client_that_does_not_read_is_ended(monkeypatch):
    monkeypatch.setattr(connection, "PATIENCE", 1.0)
    with serving() as server, socket.create_connection(("127.0.0.1", server.server_port)) as opened:
        opened.sendall(head(server, "GET", "/page.js") * 2_000)
        time.sleep(2.5)
        opened.settimeout(5)
        received = 0
        with suppress(ConnectionError):  # reset: what was not sent is dropped
            while part := opened.recv(1 << 20):
                received += len(part)
        assert received < 1_000 * SIZE_OF_THE_SCRIPT


def test_there_is_a_cap_on_connections(monkeypatch):
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 3)
    with serving() as server:
        held = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(3)]
        time.sleep(0.3)
        answer = talk(server, b"")
        assert b" 503 " in answer
        assert b"Too many connections" in answer
        for each in held:
            each.close()
        time.sleep(0.3)
        assert requests.get(f"{server.url}about", timeout=10).status_code == 200


def test_a_client_that_goes_away_leaves_no_trace(small, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", small.server_port)) as opened:
                opened.sendall(head(small, "GET", "/search?text=unmistakable"))
            with socket.create_connection(("127.0.0.1", small.server_port)) as opened:
                opened.sendall(head(small, "POST", "/search", None, "Content-Length: 100") + b"x")
        requests.get(f"{small.url}search?text=unmistakable", timeout=10)
        time.sleep(0.2)
    own = [each for each in caplog.records if not each.name.startswith("urllib3")]
    printed = "".join([*capfd.readouterr(), *(each.getMessage() for each in own)])
    assert "unmistakable" not in printed
    assert "Traceback" not in printed


def test_a_fault_tells_where_and_not_what(small, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("unmistakable")

    monkeypatch.setattr(Searcher, "search", broken)
    response = requests.get(f"{small.url}search?text=unmistakable", timeout=10)
    assert response.status_code == 500
    assert "This is a bug" in response.json()["error"]
    assert "unmistakable" not in response.text


def test_an_ipv6_address():
    with serving(host="::1") as server:
        assert server.url == f"http://[::1]:{server.server_port}/"
        assert requests.get(f"{server.url}about", timeout=10).json()["documents"] == 1


def test_a_public_address_demands_a_token_and_a_name():
    with pytest.raises(UserError, match="--token-file"), serving(host="0.0.0.0"):
        pass
    with pytest.raises(UserError, match="--name"), serving(host="0.0.0.0", token=TOKEN):
        pass
    with (
        pytest.raises(UserError, match="not an address"),
        serving(host="no such", token=TOKEN),
    ):
        pass
    public = ("0.0.0.0", "::", "192.0.2.7", "some.host")
    assert [host for host in (*public, "127.0.0.1", "::1", "localhost") if is_public(host)] == [
        *public
    ]


def test_who_brings_the_token_is_answered():
    with serving(host="0.0.0.0", names=("search.example",), token=TOKEN) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        assert requests.get(f"{url}/about", timeout=10).status_code == 401
        for given in ("Bearer wrong", f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x"):
            wrong = requests.get(f"{url}/about", headers={"Authorization": given}, timeout=10)
            assert wrong.status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}", "Host": "search.example"}
        assert requests.get(f"{url}/about", headers=bearer, timeout=10).status_code == 200
        assert requests.get(f"{url}/", timeout=10).status_code == 200
        assert requests.get(f"{url}/healthz", timeout=10).status_code == 200
        with requests.Session() as session:
            assert session.post(f"{url}/session", json={"token": "wrong"}).status_code == 401
            assert session.get(f"{url}/about", timeout=10).status_code == 401
            entered = session.post(f"{url}/session", json={"token": TOKEN}, timeout=10)
            assert entered.status_code == 204
            told = entered.headers["Set-Cookie"].lower()
            assert "httponly" in told
            assert "samesite=strict" in told
            assert TOKEN not in told
            assert session.get(f"{url}/about", timeout=10).status_code == 200
