"""A config server as far as deploying needs one: it says what it is told to, and keeps packages.

With real Vespa's recorded answers put into `deploys` it refuses as Vespa does.
"""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INSTANCE = (
    "/application/v2/tenant/default/application/default"
    "/environment/prod/region/default/instance/default"
)
UP = {"status": {"code": "up"}}
FOUND = {"root": {"coverage": {"coverage": 100, "documents": 0, "full": True, "nodes": 1}}}
ACTIVATED = {
    "log": [],
    "session-id": "2",
    "activated": True,
    "configChangeActions": {"restart": [], "refeed": [], "reindex": []},
}


class FakeConfigServer:
    """Answers of the config server and of the container, each list used up in turn.

    health, converge, container, search: (status, content) pairs, the last of which is said for
    ever.
    deploys: answers to deploys. package: the files of the package deployed last.
    """

    def __init__(self) -> None:
        self.health = [(200, UP)]
        self.converge = [(200, {"converged": True})]
        self.container = [(200, UP)]
        self.search = [(200, FOUND)]
        self.deploys: list[tuple[int, dict]] = []
        self.package: dict[str, bytes] = {}
        self.url = ""

    def deploy(self, data: bytes) -> tuple[int, dict]:
        status, content = self.deploys.pop(0) if self.deploys else (200, ACTIVATED)
        if status == 200:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                self.package = {name: archive.read(name) for name in archive.namelist()}
        return status, content

    def get(self, path: str) -> tuple[int, dict | list | bytes]:
        if path == "/state/v1/health":
            return next_of(self.health)
        if path == "/container/state/v1/health":
            return next_of(self.container)
        if path == f"{INSTANCE}/serviceconverge":
            return next_of(self.converge)
        name = path.removeprefix(f"{INSTANCE}/content/")
        if name in self.package:
            return 200, self.package[name]
        inside = [f"{self.url}{path}{n[len(name) :]}" for n in self.package if n.startswith(name)]
        return (
            (200, inside) if inside and name.endswith("/") else (404, {"error-code": "NOT_FOUND"})
        )


def next_of(answers: list) -> tuple[int, dict]:
    return answers.pop(0) if len(answers) > 1 else answers[0]


@contextmanager
def running(fake: FakeConfigServer) -> Iterator[FakeConfigServer]:
    """Serve it on a free port of this machine; its address is `fake.url`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.say(*fake.get(self.path))

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/container/search/":
                self.say(*next_of(fake.search))
                return
            assert self.headers["Content-Type"] == "application/zip"
            self.say(*fake.deploy(data))

        def say(self, status: int, content: dict | list | bytes) -> None:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    fake.url = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
